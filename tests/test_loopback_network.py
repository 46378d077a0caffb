"""Servers on a host whose binder has peers on another: what the other host's clients are told.

Real processes in two network namespaces, joined by one cable. The rules themselves are tested
without them, in test_reach.
"""

import os
import shutil
from contextlib import ExitStack

import pytest

from tests.netns import Host, Namespace
from tests.nodes import eventually, wire

TYPE = "2"
LOOKUP = b"\x02\x02"


def _why_not() -> str:
    """Why two hosts cannot be made here; empty if they can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and ip"
    try:
        Namespace().close()
    except OSError as error:
        return f"no network namespaces here: {error}"
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(_why_not() != "", reason=_why_not())]


@pytest.fixture
def hosts():
    """Two hosts, each with `eth0` and an address of its own."""
    with ExitStack() as stack:
        both = []
        for number in (1, 2):
            both.append(Host(number))
            stack.callback(both[-1].close)
        one, other = both
        one.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", other.path)
        for host in both:
            host.run("ip", "addr", "add", f"{host.ip}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")
        yield both


def start_binders(hosts, listen="{}:2222"):
    """A binder on each host, which have found each other."""
    one, other = hosts
    nodes = []
    for host, peer in ((one, other), (other, one)):
        listening = ("--listen", listen.format(host.ip))
        nodes.append(host.start("binder", *listening, "--peer", peer.name))
        nodes[-1].wait_for("synced")  # the first has waited for the other in vain
    nodes[-1].wait_for("synced: full list")
    return nodes


def answer(host, binder, question=LOOKUP):
    """What a binder answers a program on `host`."""
    with host.socket() as asking:
        asking.settimeout(1)
        asking.sendto(question, binder)
        return asking.recv(100)


def found(address):
    """The answer to a lookup."""
    return b"\x03" + wire(0, address)[1:]


def test_a_server_beside_its_binder_is_told_to_the_other_host_as_it_can_be_reached(hosts):
    one, other = hosts
    start_binders(hosts)
    server = one.start("server", "--type", TYPE, "--binder", one.name)
    server.wait_for("confirmed")
    assert server.address[0] == one.ip
    eventually(lambda: answer(other, other.address) == found(server.address))
    client = other.start("client", "--type", TYPE, "--binder", other.name)
    assert client.process.wait(10) == 0


def test_a_server_of_a_binder_on_the_other_host_listens_where_that_reaches_it(hosts):
    one, other = hosts
    start_binders(hosts)
    server = one.start("server", "--type", TYPE, "--binder", other.name)
    server.wait_for("confirmed")
    assert server.address[0] == one.ip


def test_a_server_that_was_told_to_listen_on_loopback_is_told_what_to_write(hosts):
    one, other = hosts
    for binder in (one.name, other.name):
        server = one.start("server", "--type", TYPE, "--binder", binder, "--listen", "127.0.0.1:0")
        assert server.process.wait(10) == 2
        (line,) = [line for line in server.lines if line.startswith("prr: ")]
        assert f"--listen {one.ip}:0 or --listen eth0:0" in line
        assert "start a binder" not in line


def test_a_binder_on_all_addresses_with_a_peer_elsewhere_takes_no_loopback_server(hosts):
    one, other = hosts
    binder, _ = start_binders(hosts, "0.0.0.0:2222")
    server = one.start("server", "--type", TYPE, "--binder", "127.0.0.1:2222")
    binder.wait_for("refused type 2 at 127.0.0.1")
    assert server.process.wait(10) == 3
    assert "loopback" in server.wait_for("^prr: ")
    assert answer(other, other.address) == b"\x04"


def test_an_interface_s_name_is_where_to_listen(hosts):
    one, _ = hosts
    binder = one.start("binder", "--listen", "eth0:2222")
    assert binder.address == one.address
    server = one.start("server", "--type", TYPE, "--binder", one.name, "--listen", "eth0:0")
    server.wait_for("confirmed")
    assert server.address[0] == one.ip


def test_a_binder_that_listens_on_loopback_is_told_that_its_peer_is_elsewhere(hosts):
    one, other = hosts
    binder = one.start("binder", "--peer", other.name)
    assert binder.process.wait(10) == 2
    (line,) = [line for line in binder.lines if line.startswith("prr: ")]
    assert f"--listen {one.ip}:2222 or --listen eth0:2222" in line
