"""Hosts of one family and of both in one cluster: real processes in network namespaces.

The first host has both families, the second IPv4 alone, the third IPv6 alone; the binders of the
two others know the first one's only. Needs root.
"""

import json

import pytest

from tests.netns import Network, why_not
from tests.nodes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() != "", reason=why_not())]

TYPE = "5"


def ipv6(host) -> str:
    return f"fd99::{host.ip.rpartition('.')[2]}"


def named(host) -> str:
    """Its binder's IPv6 address."""
    return f"[{ipv6(host)}]:2222"


@pytest.fixture
def hosts():
    with Network(3) as network:
        both, ipv4_only, ipv6_only = network.hosts
        for host in (both, ipv6_only):
            host.run("ip", "addr", "add", f"{ipv6(host)}/64", "dev", "eth0", "nodad")
        ipv6_only.run("ip", "addr", "del", f"{ipv6_only.ip}/24", "dev", "eth0")
        with ipv4_only.entered(), open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as switch:
            switch.write("1")
        yield network.hosts


def binders(hosts) -> list:
    both, ipv4_only, ipv6_only = hosts
    first = both.start(
        *("binder", "--listen", "[::]:2222"),
        *("--peer", ipv4_only.name, "--peer", named(ipv6_only)),
    )
    first.wait_for("synced")  # it has waited for the others in vain
    nodes = [
        ipv4_only.start("binder", "--listen", ipv4_only.name, "--peer", both.name),
        ipv6_only.start("binder", "--listen", named(ipv6_only), "--peer", named(both)),
    ]
    for node in nodes:
        node.wait_for("synced: full list")
    return [first, *nodes]


def listed(host, binder: str) -> set[str]:
    code, text = host.asked("list", "--binder", binder, "--output", "json")
    assert code == 0
    return {row["address"] for row in json.loads(text)}


def found(host, binder: str, times: int = 2) -> set[str]:
    return {host.asked("lookup", TYPE, "--binder", binder)[1] for _ in range(times)}


def test_hosts_of_one_family_and_of_both_share_what_they_know(hosts):
    both, ipv4_only, ipv6_only = hosts
    places = [both.name, ipv4_only.name, named(ipv6_only)]
    binders(hosts)
    here = ipv4_only.start("server", "--type", TYPE, "--binder", ipv4_only.name)
    there = ipv6_only.start("server", "--type", TYPE, "--binder", named(ipv6_only))
    for server in (here, there):
        server.wait_for("confirmed")
    assert here.name.startswith(ipv4_only.ip)
    assert there.name.startswith(f"[{ipv6(ipv6_only)}]")
    everything = {here.name, there.name}
    for host, place in zip(hosts, places, strict=True):
        eventually(lambda host=host, place=place: listed(host, place) == everything)
    assert found(both, named(both)) == everything
    assert found(ipv6_only, named(ipv6_only)) == everything
    assert found(ipv4_only, ipv4_only.name) == {here.name}
    assert here.terminate() == 0
    for host, place in zip(hosts, places, strict=True):
        eventually(lambda host=host, place=place: listed(host, place) == {there.name})
    assert found(both, both.name) == found(ipv6_only, named(ipv6_only)) == {there.name}
    assert ipv4_only.asked("lookup", TYPE, "--binder", ipv4_only.name) == (1, "")
    assert both.asked("client", "--type", TYPE, "--binder", both.name) == (0, "hello")
    there.kill()
    assert both.asked("client", "--type", TYPE, "--binder", both.name)[0] == 4
    for host, place in zip(hosts, places, strict=True):
        eventually(lambda host=host, place=place: listed(host, place) == set())
