"""IPv6: instances and their bytes, and whom they reach."""

from dataclasses import replace

import pytest

from prr.core.directory.results import NOBODY
from prr.wire.codec import Codec
from prr.wire.found import FOUND_RUNS
from prr.wire.frames import Found, Lookup, Role
from prr.wire.instance import (
    NAMED,
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
from prr.wire.messages import Plain
from prr.wire.query import Query
from prr.wire.questions import Asked
from tests.cores import decode, encode

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


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("zone", ["", "eu", "z" * 63])
@pytest.mark.parametrize("service", [5, 255, "a", "ab", "b" * 17, "c" * 18, "c" * 21, "d" * 63])
def test_a_question_has_room_for_its_answer_and_wastes_little(service, zone, wide):
    query = Query.about(service, wide, zone)
    if query is None:
        assert isinstance(service, int) and not wide and not zone
        return
    asked = Lookup(service if isinstance(service, int) else NAMED, trailer=query)
    data = encode(asked)
    assert decode(data, Role.BINDER) == asked and asked.service == service
    assert query.size == len(data)
    assert query.has_room and query.takes_ipv6 is wide
    answer = encode(Found(ADDRESS if wide else ("10.0.0.1", 1), trailer=Plain()))
    bare = encode(replace(asked, trailer=replace(query, padding=None)))
    assert len(answer) <= len(data) <= max(len(answer) + 2, len(bare))


def test_a_question_without_room_takes_no_ipv6():
    query = Query(wide=1, padding=bytes(20))
    assert len(encode(Lookup(5, trailer=query))) == 29
    assert query.has_room and not query.takes_ipv6
    assert not Query(wide=1).has_room and not Query(name=b"a").has_room


@pytest.mark.parametrize("service", [5, "ab"])
def test_the_answer_at_ipv6_has_30_bytes_and_its_address_in_the_trailer(service):
    instance = make_instance(service, ADDRESS)
    for form in FOUND_RUNS:
        codec = Codec(Role.BINDER, form)
        data = codec.found(instance, Asked(service, "", True))
        assert data[:7] == bytes((3, 0, 0, 0, 0, 0, 0)) and len(data) == 30
        assert decode(data, Role.CLIENT) == Found(ADDRESS, trailer=Plain())


def test_a_run_of_answers_at_both_families_is_the_answers_one_by_one():
    codec = Codec(Role.BINDER)
    here = [make_instance(5, ADDRESS), make_instance("ab", ("10.0.0.1", 1)), NOBODY]
    run = [*here, *here, here[0]]
    asked = [Asked(5, "", True)] * len(run)
    answers = codec.found_read_run(run, asked)
    expected = [*map(codec.found, run, asked)]
    assert list(answers.datagrams()) == expected and answers.count == len(run)
