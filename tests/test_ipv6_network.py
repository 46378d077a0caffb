"""Nodes on IPv6, as processes: on ::1 alone, and beside others on 127.0.0.1."""

import json
import sys

import pytest

from prr import Client
from prr.demo.ports import free_port
from prr.wire.instance import describe_address, make_instance
from tests.families import needs_ipv6, udp
from tests.nodes import eventually, run

pytestmark = needs_ipv6


def asked(data: bytes, binder: tuple[str, int]) -> bytes:
    """What a bare client is answered."""
    with udp("::" if ":" in binder[0] else "0.0.0.0") as asking:
        asking.settimeout(5)
        asking.sendto(data, binder)
        return asking.recv(2048)


def listed(node) -> list[dict]:
    return json.loads(run("list", "--binder", node.name, "--output", "json").stdout or "[]")


def looked_up(service: str, node, times: int) -> list[str]:
    found = (run("lookup", service, "--binder", node.name) for _ in range(times))
    return sorted(one.stdout.strip() for one in found)


@pytest.mark.smoke
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


@pytest.mark.smoke
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


@pytest.mark.smoke
def test_an_agent_speaks_for_a_program_at_ipv6(cluster):
    binder = cluster.start("binder", "--listen", "[::1]:0")
    port = free_port()
    program = ("-m", "http.server", "--bind", "::1", str(port))
    agent = cluster.start(
        *("run", "--type", "web", "--port", str(port), "--check", "tcp", "--binder", binder.name),
        *("--", sys.executable, *program),
    )
    url = ("lookup", "web", "--format", "url:http", "--binder", binder.name)
    try:
        eventually(lambda: run(*url).stdout == f"http://[::1]:{port}\n")
    finally:
        agent.terminate()  # which ends the program too
    cluster.start(
        *("announce", "--type", "db", "--at", f"[::1]:{free_port()}", "--check", "none"),
        *("--binder", binder.name),
    ).wait_for("confirmed")
    here = ("--binder", binder.name)
    failing = ("--complain-on", "7", "--", "sh", "-c", "exit 7 # {}")
    told = run("exec", "db", *here, *failing)
    assert told.returncode == 7
    assert "the binders were told" in told.stderr
    address = run("lookup", "db", *here).stdout.strip()
    assert "complaint" in run("why", "db", address, *here).stdout


@pytest.mark.smoke
def test_it_is_on_disk_and_comes_back(cluster, tmp_path):
    state = ("--state", str(tmp_path / "state"))
    binder = cluster.start("binder", "--listen", f"[::1]:{free_port()}", *state)
    server = cluster.server("5", binder)
    eventually(lambda: looked_up("5", binder, 1) == [server.name])
    binder.kill()
    again = cluster.start("binder", "--listen", binder.name, *state)
    assert again.address
    assert looked_up("5", again, 1) == [server.name]
