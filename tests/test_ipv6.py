"""IPv6: instances and their bytes, and whom they reach."""

import pytest

from prr.wire.instance import (
    Instance,
    address_key,
    address_of,
    canonical,
    decode_address,
    describe,
    encode_address,
    host_key,
    is_instance,
    is_ipv6,
    is_loopback,
    is_on_loopback,
    is_usable,
    is_wide,
    make_instance,
    service_of,
)

HOST = "2001:db8::1"
ADDRESS = (HOST, 0x1234)
ADDRESS_HEX = "20010db8" + "00" * 11 + "01" + "3412"


@pytest.mark.parametrize(
    "service, address, expected",
    [
        (200, ("192.168.0.254", 0x1234), "c8c0a800fe3412"),
        ("ab", ("192.168.0.254", 0x1234), "ff026162c0a800fe3412"),
        (200, ADDRESS, "c800" + ADDRESS_HEX),
        (255, ADDRESS, "ff00" + ADDRESS_HEX),
        ("ab", ADDRESS, "ff026162" + ADDRESS_HEX),
    ],
)
def test_an_instances_bytes_say_what_and_where_it_is(service, address, expected):
    instance = make_instance(service, address)
    assert instance == Instance(bytes.fromhex(expected)) and is_instance(instance)
    assert (service_of(instance), address_of(instance)) == (service, address)
    assert address_key(instance) == encode_address(address)
    assert is_ipv6(instance) is (address == ADDRESS)
    assert is_wide(instance) is (isinstance(service, str) or address == ADDRESS)


def test_no_bytes_of_an_instance_are_those_of_another():
    services = [0, 1, 6, 18, 255, "a", "x" * 6, "x" * 18, "x" * 63]
    addresses = [(ip, port) for ip in ("10.0.0.1", HOST, "::2") for port in (1, 257)]
    made = {make_instance(service, where) for service in services for where in addresses}
    assert len(made) == len(services) * len(addresses)
    assert all(map(is_instance, made))


@pytest.mark.parametrize(
    "data",
    [
        "c8000a0000013412",  # of IPv4, which has seven bytes
        "c802" + "6162" + ADDRESS_HEX,  # a name, and a type
        "ff01" + ADDRESS_HEX,
        "c800" + ADDRESS_HEX + "00",
        "c800" + ADDRESS_HEX[2:],
        "c800" + "00" * 10 + "ffff0a000001" + "3412",  # mapped: that is IPv4
        "c800" + "fe80" + "00" * 13 + "01" + "3412",
        "c800" + "febf" + "00" * 13 + "01" + "3412",
        "c800" + "ff02" + "00" * 13 + "01" + "3412",
        "c800" + "00" * 16 + "3412",
        "ff026162" + "ff02" + "00" * 13 + "01" + "3412",
    ],
)
def test_no_other_bytes_are_an_instance(data):
    assert not is_instance(bytes.fromhex(data))


@pytest.mark.parametrize(
    "ip, expected",
    [
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::10.0.0.1", "::a00:1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_an_ip_is_written_in_one_way(ip, expected):
    assert canonical(ip) == expected
    assert decode_address(encode_address((expected, 7))) == (expected, 7)


@pytest.mark.parametrize("ip", ["fe80::1%eth0", "10.0.0", "ip.example.com", "", "1::2::3"])
def test_what_is_no_ip_is_refused(ip):
    with pytest.raises(ValueError):
        canonical(ip)


def test_an_address_of_many_or_of_one_link_is_not_usable():
    assert all(map(is_usable, ["::1", HOST, "fd00::1", "fec0::1", "10.0.0.1", "224.0.0.1"]))
    assert not any(map(is_usable, ["::", "fe80::1", "febf::1", "ff02::1", "ff00::"]))


def test_loopback_is_known_in_both_families():
    for ip, expected in [("::1", True), ("127.9.9.9", True), (HOST, False), ("::2", False)]:
        assert is_loopback(ip) is expected
        for service in (1, "billing"):
            assert is_on_loopback(make_instance(service, (ip, 9))) is expected


def test_a_network_of_64_bits_counts_as_one_host():
    def key(ip: str) -> bytes:
        return host_key(make_instance("billing", (ip, 9)))

    assert key(HOST) == key("2001:db8::ffff:0:1") != key("2001:db8:0:1::1")
    assert key("10.0.0.1") != key("10.0.0.2")
    assert host_key(make_instance(1, ("10.0.0.1", 2))) == key("10.0.0.1")


def test_an_ipv6_address_is_shown_in_brackets():
    assert describe(make_instance(3, ADDRESS)) == f"type 3 at [{HOST}]:4660"
    assert describe(make_instance("ab", ("::1", 1))) == "ab at [::1]:1"
