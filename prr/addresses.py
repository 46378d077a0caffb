"""From HOST:PORT as it is configured to addresses that sockets take."""

import fcntl
import ipaddress
import socket
import struct
import time
from array import array
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from prr.config import ANY_IPV4, ANY_IPV6, BadInput, HostPort
from prr.wire.instance import (
    LOOPBACK_IPV6,
    Address,
    canonical,
    describe_address,
    is_ipv6_address,
    is_loopback,
    is_usable,
)

SIOCGIFCONF = 0x8912
IFREQ_BYTES = 40  # a name of 16 bytes, then a sockaddr: ip at 20 to 24
NAME_BYTES = 16
INTERFACES_MAX = 1024

IPV6_INTERFACES = Path("/proc/net/if_inet6")
"""A line for each address: its 32 digits, four numbers, and the interface's name (proc(5))."""

BOTH = (socket.AF_INET, socket.AF_INET6)
"""The families in the order in which a name's addresses are looked for: as ever, IPv4 first."""

LOOK_PAUSE = 10.0
"""Seconds between two looks at whether this host has IPv6, which take as long as a lookup."""

LOOPBACKS = {ANY_IPV4: "127.0.0.1", ANY_IPV6: LOOPBACK_IPV6}
"""Where this host itself reaches who listens on all addresses."""

_WHAT = {
    BOTH: "an IP address",
    (socket.AF_INET,): "an IPv4 address",
    (socket.AF_INET6,): "an IPv6 address",
}


def is_ip(host: str) -> bool:
    """`host` is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_any(ip: str) -> bool:
    """`ip` is to listen on, and stands for all addresses."""
    return ip in (ANY_IPV4, ANY_IPV6)


def family_of(address: Address) -> socket.AddressFamily:
    """That of the sockets which send there."""
    return socket.AF_INET6 if is_ipv6_address(address) else socket.AF_INET


def families_of(own: Address) -> tuple[socket.AddressFamily, ...]:
    """Those in which a node that listens on `own` can be reached, and reach others."""
    return BOTH if own[0] == ANY_IPV6 else (family_of(own),)


def resolve(
    endpoint: HostPort,
    sockets: ModuleType = socket,
    families: tuple[socket.AddressFamily, ...] = BOTH,
) -> Address:
    """The address of `endpoint`, of one of `families`: the first that this host has a route to, or
    the first. `sockets` is the socket module to ask for names.

    Raises BadInput when there is none.
    """
    host, port = endpoint
    if is_ip(host):
        if family_of(endpoint) not in families:
            raise BadInput(f"{describe_address(endpoint)} is not {_WHAT[families]}; use one")
        return host, port
    found: list[Address] = []
    failure: Exception | None = None
    for family in families:
        try:
            rows = sockets.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            failure = failure or error
            continue
        usable = [row[4][0] for row in rows if is_usable(row[4][0].partition("%")[0])]
        found += [(canonical(ip), port) for ip in usable[:1]]
        if usable and (len(families) == 1 or route_to(found[-1])):
            return found[-1]
    if found:
        return found[0]
    why = getattr(failure, "strerror", None) or failure or "it has none that means it everywhere"
    raise BadInput(f"cannot resolve {host!r}: {why}; use {_WHAT[families]}, or a name that has one")


def resolve_any(
    endpoints: tuple[HostPort, ...],
    sockets: ModuleType = socket,
    families: tuple[socket.AddressFamily, ...] = BOTH,
) -> tuple[Address, ...]:
    """The addresses of those of `endpoints` that can be resolved, each once; as `resolve`.

    Raises BadInput when none can: one name that fails must not disable the others.
    """
    found: dict[Address, None] = {}
    failure: BadInput | None = None
    for endpoint in endpoints:
        try:
            found[resolve(endpoint, sockets, families)] = None
        except BadInput as error:
            failure = error
    if not found and failure is not None:
        raise failure
    return tuple(found)


def resolve_listen(endpoint: HostPort, sockets: ModuleType = socket) -> Address:
    """Where to listen: as `resolve`, and the host may be the name of an interface of this host,
    whose first address is meant. Raises BadInput, which lists the interfaces there are."""
    host, port = endpoint
    if is_ip(host):
        return host, port
    found = interfaces()
    if host in found:
        return found[host], port
    there = ", ".join(f"{name} ({ip})" for name, ip in found.items()) or "none has an address"
    if host in (name for _, name in socket.if_nameindex()):
        raise BadInput(f"interface {host!r} has no IP address; use one that has: {there}")
    try:
        return resolve(endpoint, sockets)
    except BadInput as error:
        raise BadInput(f"{error}, or an interface: {there}") from error


def interfaces() -> dict[str, str]:
    """The interfaces of this host that are up and have an address that other hosts can use, and the
    first of each: of IPv4, if it has any."""
    found: dict[str, str] = {}
    for name, ip in [*_rows(), *_ipv6_rows()]:
        found.setdefault(name, ip)
    return found


def own_ips() -> frozenset[str]:
    """The addresses of this host's interfaces, at this moment, but for those of one link."""
    return frozenset(ip for _, ip in [*_rows(), *_ipv6_rows()])


def _rows() -> list[tuple[str, str]]:
    """The name of an interface and an IPv4 address of it, for each (Linux: netdevice(7))."""
    rows = array("B", bytes(IFREQ_BYTES * INTERFACES_MAX))
    where, _ = rows.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("iL", len(rows), where)
        filled, _ = struct.unpack("iL", fcntl.ioctl(asking, SIOCGIFCONF, request))
    data = rows.tobytes()
    starts = range(0, filled, IFREQ_BYTES)
    return [
        (
            data[at : at + NAME_BYTES].partition(b"\0")[0].decode(errors="replace"),
            socket.inet_ntoa(data[at + 20 : at + 24]),
        )
        for at in starts
    ]


def _ipv6_rows() -> list[tuple[str, str]]:
    """The same of IPv6; none where the host has no IPv6."""
    try:
        lines = IPV6_INTERFACES.read_text(errors="replace").splitlines()
    except OSError:
        return []
    rows = [(line.split()[-1], ipaddress.IPv6Address(int(line[:32], 16))) for line in lines]
    return [(name, ip.compressed) for name, ip in rows if is_usable(ip.compressed)]


def route_to(other: Address) -> str | None:
    """This host's address on the route to `other`; None if there is no way there."""
    try:
        with socket.socket(family_of(other), socket.SOCK_DGRAM) as probe:
            probe.connect(other)  # nothing is sent
            ip = canonical(probe.getsockname()[0])
    except OSError:
        return None
    return ip


def can_take_ipv6(others: Iterable[Address]) -> bool:
    """This host reaches instances at IPv6 addresses, if `others` know some: one of them has such an
    address; or this host has one, if only on loopback where one of them is on this host."""
    ips = [ip for ip, _ in others]
    if any(":" in ip for ip in ips):
        return True
    own = _own_ipv6(int(time.monotonic() / LOOK_PAUSE))
    return bool(own - {LOOPBACK_IPV6}) or (bool(own) and any(map(is_loopback, ips)))


@lru_cache(maxsize=1)
def _own_ipv6(moment: int) -> frozenset[str]:
    """This host's IPv6 addresses, looked for anew when another `moment` has come."""
    return frozenset(ip for _, ip in _ipv6_rows())


def listening_towards(others: Iterable[Address]) -> Address:
    """Where a node that is to be reached from where `others` are listens, if nobody has said: at
    the address of the route to the first that is on another host, and on loopback where all of
    them are. On all addresses where they are of both families; and without any way there: one of
    them may get a way later."""
    known = list(others)
    remote = [other for other in known if not is_loopback(other[0])] or known
    if len(set(map(family_of, remote))) > 1:
        return ANY_IPV6, 0
    anywhere = ANY_IPV6 if is_ipv6_address(remote[0]) else ANY_IPV4
    if is_loopback(remote[0][0]):
        return LOOPBACKS[anywhere], 0
    return next(filter(None, map(route_to, remote)), anywhere), 0


def hosts_towards(other: Address) -> list[str]:
    """What stands for this host where `other` is to reach it: the address, as one writes it before
    a port, and the interface's name if it is the first there."""
    ip = route_to(other) or (ANY_IPV6 if is_ipv6_address(other) else ANY_IPV4)
    host, _, _ = describe_address((ip, 0)).rpartition(":")
    return [host, *(name for name, one in interfaces().items() if one == ip)]


def seen_from(address: Address, other: Address) -> Address:
    """`address` as `other` sees it: a socket bound to all addresses speaks from the route's.

    Without a way there it stays as it is, which no datagram will ever show.
    """
    if not is_any(address[0]):
        return address
    return route_to(other) or address[0], address[1]
