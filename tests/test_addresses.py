"""Where to listen, and whom to take for a peer: what addresses and names come down to here."""

import socket

import pytest

from prr import addresses
from prr.addresses import (
    can_take_ipv6,
    interfaces,
    listening_towards,
    own_ips,
    resolve,
    resolve_listen,
)
from prr.cli.reload import NamedPeers
from prr.config import BadInput, ServerConfig
from prr.shell.reachable import binders_of

OWN = ("10.0.0.1", 2222)
EVERYWHERE = ("0.0.0.0", 2222)
REMOTE, LOCAL = ("10.0.0.2", 2222), ("127.0.0.1", 2223)


@pytest.fixture(autouse=True)
def this_host(monkeypatch):
    """A host with two interfaces, one of them without an address, and routes through the other."""
    rows = [("lo", "127.0.0.1"), ("eth0", OWN[0]), ("eth0", "10.0.0.9")]
    monkeypatch.setattr(addresses, "_rows", lambda: rows)
    monkeypatch.setattr(addresses, "route_to", lambda other: OWN[0])
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0"), (3, "eth1")])
    has_ipv6(monkeypatch)
    yield
    addresses._own_ipv6.cache_clear()


def has_ipv6(monkeypatch, *rows):
    """It has these IPv6 addresses, and no others."""
    monkeypatch.setattr(addresses, "_ipv6_rows", lambda: rows)
    addresses._own_ipv6.cache_clear()


def no_names(*_):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.smoke
def test_this_host_s_own_interfaces_can_be_read(monkeypatch):
    monkeypatch.undo()
    assert interfaces()["lo"] == "127.0.0.1"
    assert set(interfaces().values()) <= own_ips()


def test_an_interface_s_name_stands_for_its_first_address():
    assert resolve_listen(("eth0", 2222)) == OWN
    assert resolve_listen(("10.9.9.9", 0)) == ("10.9.9.9", 0)
    assert resolve_listen(("localhost", 0))[0].startswith("127.")


def test_what_is_no_interface_with_an_address_is_told_with_those_there_are(monkeypatch):
    with pytest.raises(BadInput, match=r"'eth1' has no IP address.* lo .*, eth0 \(10.0.0.1\)"):
        resolve_listen(("eth1", 2222))
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    with pytest.raises(BadInput, match=r"cannot resolve 'eht0'.*interface: lo .*, eth0 "):
        resolve_listen(("eht0", 2222))


def test_a_server_that_was_told_nothing_listens_where_its_binders_reach_it(monkeypatch):
    assert listening_towards([LOCAL]) == ("127.0.0.1", 0)
    assert listening_towards([LOCAL, REMOTE]) == (OWN[0], 0)
    monkeypatch.setattr(addresses, "route_to", lambda other: None)
    assert listening_towards([REMOTE]) == ("0.0.0.0", 0)


@pytest.mark.parametrize(
    ("listen", "is_handed", "instead"),
    [
        (LOCAL, False, "use --listen 10.0.0.1:2223 or --listen eth0:2223"),
        (LOCAL, True, "use ListenDatagram=10.0.0.1:2300 in its socket unit"),
    ],
)
def test_a_server_on_loopback_with_a_binder_elsewhere_is_told_what_to_write(
    listen, is_handed, instead
):
    config = ServerConfig(7, listen, (LOCAL, REMOTE))
    with pytest.raises(BadInput, match=instead):
        binders_of(config, ("127.0.0.1", 2300), is_handed)
    assert binders_of(config, OWN) == {LOCAL: OWN, REMOTE: OWN}


def test_a_binder_s_peers_are_all_on_this_host_or_none_is():
    with pytest.raises(BadInput, match="cannot be in one cluster"):
        NamedPeers([LOCAL, REMOTE], EVERYWHERE)
    assert NamedPeers([EVERYWHERE, REMOTE], EVERYWHERE).addresses() == (REMOTE,)
    # It is the binder itself: one list may serve all.
    assert NamedPeers([("127.0.0.1", 2222), REMOTE], EVERYWHERE).addresses() == (REMOTE,)


def test_a_name_that_means_loopback_here_is_left_out_beside_peers_elsewhere(monkeypatch):
    ips = {"here": "127.0.1.1", "there": REMOTE[0]}
    monkeypatch.setattr(
        "prr.cli.reload.resolve", lambda peer, *_: (ips[peer[0]], peer[1]), raising=True
    )
    peers = NamedPeers([("here", 2222), ("there", 2222)], OWN)
    peers.resolve()
    assert peers.addresses() == (REMOTE,)


def test_a_binder_on_loopback_cannot_have_a_peer_on_another_host(monkeypatch):
    with pytest.raises(BadInput, match=r"use --listen 10\.0\.0\.1:2222 or --listen eth0:2222"):
        NamedPeers([REMOTE], ("127.0.0.1", 2222))
    own_too = ("10.0.0.9", 2223)
    monkeypatch.setattr("prr.cli.reload.own_ips", lambda: frozenset({"127.0.0.1", "10.0.0.9"}))
    assert NamedPeers([own_too], ("127.0.0.1", 2222)).addresses() == (own_too,)


V6, V6_LOCAL = ("2001:db8::2", 2222), ("::1", 2223)


@pytest.mark.parametrize(
    ("peer", "own"), [(V6, OWN), (V6_LOCAL, ("127.0.0.1", 2222)), (REMOTE, ("2001:db8::1", 2222))]
)
def test_whom_a_node_cannot_reach_in_its_family_is_told_with_what_reaches_both(peer, own):
    with pytest.raises(BadInput, match=r"one is an address of IPv6.* use --listen \[::\]:2222"):
        NamedPeers([peer], own)
    assert NamedPeers([peer], ("::", 2222)).addresses() == (peer,)
    with pytest.raises(BadInput, match="sockets of both families in its socket unit"):
        binders_of(ServerConfig(7, None, (peer,)), own, is_handed=True)


def test_who_listens_everywhere_takes_itself_for_no_peer_in_either_family(monkeypatch):
    monkeypatch.setattr("prr.cli.reload.own_ips", lambda: frozenset({OWN[0], "2001:db8::1"}))
    itself = [("2001:db8::1", 2222), OWN, ("::1", 2222), ("127.0.0.1", 2222), ("::", 2222)]
    assert NamedPeers([*itself, V6, REMOTE], ("::", 2222)).addresses() == (V6, REMOTE)


def test_a_server_with_binders_of_both_families_listens_in_both(monkeypatch):
    assert listening_towards([LOCAL, V6_LOCAL]) == ("::", 0)
    assert listening_towards([REMOTE, V6]) == ("::", 0)
    assert listening_towards([V6_LOCAL]) == ("::1", 0)
    monkeypatch.setattr(addresses, "route_to", lambda other: None)
    assert listening_towards([V6]) == ("::", 0)


class Names:
    """A resolver that knows one name in the families given."""

    def __init__(self, **ips):
        self._ips, self.asked = ips, []

    def getaddrinfo(self, host, port, family, kind):
        self.asked.append(family)
        if family.name not in self._ips:
            no_names()
        ip = self._ips[family.name]
        return [(family, kind, 17, "", (ip, port))]


def test_a_name_means_its_ipv4_address_where_there_is_a_way_to_it(monkeypatch):
    both = Names(AF_INET="10.0.0.2", AF_INET6="2001:DB8::2")
    assert resolve(("there", 1), both) == ("10.0.0.2", 1)
    assert both.asked == [socket.AF_INET]  # as before there was IPv6
    assert resolve(("there", 1), both, (socket.AF_INET6,)) == ("2001:db8::2", 1)
    assert resolve(("there", 1), Names(AF_INET6="2001:db8::2")) == ("2001:db8::2", 1)
    monkeypatch.setattr(addresses, "route_to", lambda other: None if "." in other[0] else "::5")
    assert resolve(("there", 1), both) == ("2001:db8::2", 1)
    monkeypatch.setattr(addresses, "route_to", lambda other: None)
    assert resolve(("there", 1), both) == ("10.0.0.2", 1)


def test_a_name_whose_address_others_cannot_use_has_none():
    with pytest.raises(BadInput, match="use an IPv6 address"):
        resolve(("there", 1), Names(AF_INET="10.0.0.2"), (socket.AF_INET6,))
    with pytest.raises(BadInput, match="it has none that means it everywhere"):
        resolve(("there", 1), Names(AF_INET6="fe80::2"), (socket.AF_INET6,))


def test_a_host_takes_ipv6_if_it_has_an_address_or_knows_a_binder_that_has(monkeypatch):
    assert can_take_ipv6([LOCAL, V6])
    assert not can_take_ipv6([LOCAL, REMOTE])
    has_ipv6(monkeypatch, ("lo", "::1"))
    assert not can_take_ipv6([REMOTE])
    assert can_take_ipv6([REMOTE, LOCAL])
    has_ipv6(monkeypatch, ("lo", "::1"), ("eth0", "2001:db8::1"))
    assert can_take_ipv6([REMOTE])


def test_an_interface_with_ipv6_alone_stands_for_that(monkeypatch):
    has_ipv6(monkeypatch, ("eth0", "2001:db8::1"), ("eth1", "2001:db8::2"))
    assert resolve_listen(("eth0", 2222)) == OWN
    assert resolve_listen(("eth1", 2222)) == ("2001:db8::2", 2222)
    assert {"2001:db8::1", "2001:db8::2", OWN[0]} <= own_ips()


def test_addresses_of_one_link_are_left_out(monkeypatch, tmp_path):
    monkeypatch.undo()
    rows = tmp_path / "if_inet6"
    rows.write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n"
        "fd000000000000000000000000000002 04 40 00 82     eth0\n"
    )
    monkeypatch.setattr(addresses, "IPV6_INTERFACES", rows)
    assert addresses._ipv6_rows() == [("lo", "::1"), ("eth0", "fd00::2")]
    monkeypatch.setattr(addresses, "IPV6_INTERFACES", tmp_path / "none")
    assert addresses._ipv6_rows() == []
