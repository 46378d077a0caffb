"""Nodes on IPv6, as processes: on ::1 alone, and beside others on 127.0.0.1."""

import json
import socket

import pytest

from prr import Client
from prr.demo.ports import free_port
from prr.wire.instance import describe_address, make_instance
from tests.nodes import eventually, run


def has_ipv6_loopback() -> bool:
    """This system has ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6_loopback(), reason="this system has no ::1")


def asked(data: bytes, binder: tuple[str, int]) -> bytes:
    """What a bare client is answered."""
    family = socket.AF_INET6 if ":" in binder[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(data, binder)
        return asking.recv(2048)


def listed(node) -> list[dict]:
    return json.loads(run("list", "--binder", node.name, "--output", "json").stdout or "[]")


def looked_up(service: str, node, times: int) -> list[str]:
    found = (run("lookup", service, "--binder", node.name) for _ in range(times))
    return sorted(one.stdout.strip() for one in found)


def test_services_at_ipv6_from_the_first_command_to_the_last(cluster):
    binder = cluster.start("binder", "--listen", "[::1]:0")
    assert binder.name.startswith("[::1]:")
    named, numbered = cluster.server("billing", binder), cluster.server("5", binder)
    assert numbered.name.startswith("[::1]:")
    assert {(row["service"], row["address"]) for row in listed(binder)} >= {
        ("billing", named.name)
    } and len(listed(binder)) == 2
    assert looked_up("billing", binder, 1) == [named.name]
    assert looked_up("5", binder, 1) == [numbered.name]
    assert run("client", "--type", "5", "--binder", binder.name).stdout == "hello\n"
    client = Client(binder.name)
    assert client.lookup("billing") == named.address
    assert client.call(5, b"hi") == b"hi"
    why = run("why", "5", numbered.name, "--binder", binder.name).stdout
    assert why.startswith("type 5") and f"at {numbered.name}" in why and "subscribed" in why
    assert binder.name in run("status", "--binder", binder.name).stdout
    assert run("health", "--binder", binder.name).returncode == 0
    assert numbered.terminate() == 0
    assert run("lookup", "5", "--binder", binder.name).returncode == 1
    named.kill()
    assert run("client", "--type", "billing", "--binder", binder.name).returncode == 4
    eventually(lambda: listed(binder) == [])


def test_a_client_that_reads_six_bytes_gets_none_of_ipv6(cluster):
    binder = cluster.start("binder", "--listen", "[::]:0")
    port = binder.address[1]
    here, there = ("127.0.0.1", port), ("::1", port)
    at_ipv6 = cluster.start("server", "--type", "5", "--binder", f"[::1]:{port}")
    at_ipv6.wait_for("confirmed")
    for where in (here, there):
        assert asked(b"\x02\x05", where) == b"\x04"
    server = cluster.start("server", "--type", "5", "--binder", f"127.0.0.1:{port}")
    server.wait_for("confirmed")
    for where in (here, there, here, there):
        answer = asked(b"\x02\x05", where)
        assert answer == b"\x03" + make_instance(5, server.address)[1:]
    client = Client(describe_address(there))
    assert {client.lookup(5) for _ in range(2)} == {server.address, at_ipv6.address}
    # Over IPv4 it may be a legacy binder: it is asked for one at IPv6 only if it has no other.
    client = Client(describe_address(here))
    assert {client.lookup(5) for _ in range(2)} == {server.address}
    assert server.terminate() == 0
    assert client.lookup(5) == at_ipv6.address


def test_who_listens_everywhere_serves_both_families_on_one_port(cluster):
    port = free_port()
    binder = cluster.start("binder", "--listen", f"[::]:{port}")
    assert binder.name == f"[::]:{port}"
    server = cluster.start(
        *("server", "--type", "billing", "--listen", "[::]:0"),
        *("--binder", f"127.0.0.1:{port}"),
    )
    server.wait_for("confirmed")
    client = Client(f"[::1]:{port}")
    assert client.lookup("billing") == ("127.0.0.1", server.address[1])
    assert client.call("billing", b"hi") == b"hi"
