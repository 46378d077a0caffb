"""From HOST:PORT as it is configured to addresses that sockets take."""

import fcntl
import ipaddress
import socket
import struct
from array import array
from collections.abc import Iterable
from types import ModuleType

from prr.config import BadInput, HostPort
from prr.wire.instance import Address, is_loopback

SIOCGIFCONF = 0x8912
IFREQ_BYTES = 40  # a name of 16 bytes, then a sockaddr: ip at 20 to 24
NAME_BYTES = 16
INTERFACES_MAX = 1024

LOOPBACK_ANY: Address = ("127.0.0.1", 0)
"""Any free port, for this host alone."""


def is_ip(host: str) -> bool:
    """`host` is an IPv4 address and no name."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def resolve(endpoint: HostPort, sockets: ModuleType = socket) -> Address:
    """The IPv4 address of `endpoint`; `sockets` is the socket module to ask for names.

    Raises BadInput when the name has none.
    """
    host, port = endpoint
    if is_ip(host):
        return host, port
    try:
        found = sockets.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(
            f"cannot resolve {host!r}: {why}; use an IPv4 address, or a name that has one"
        ) from error
    ip, port = found[0][4]
    return ip, port


def resolve_any(
    endpoints: tuple[HostPort, ...], sockets: ModuleType = socket
) -> tuple[Address, ...]:
    """The addresses of those of `endpoints` that can be resolved, each once.

    Raises BadInput when none can: one name that fails must not disable the others.
    """
    found: dict[Address, None] = {}
    failure: BadInput | None = None
    for endpoint in endpoints:
        try:
            found[resolve(endpoint, sockets)] = None
        except BadInput as error:
            failure = error
    if not found and failure is not None:
        raise failure
    return tuple(found)


def resolve_listen(endpoint: HostPort, sockets: ModuleType = socket) -> Address:
    """Where to listen: as `resolve`, and the host may be the name of an interface of this host,
    whose first IPv4 address is meant. Raises BadInput, which lists the interfaces there are."""
    host, port = endpoint
    if is_ip(host):
        return host, port
    found = interfaces()
    if host in found:
        return found[host], port
    there = ", ".join(f"{name} ({ip})" for name, ip in found.items()) or "none has an address"
    if host in (name for _, name in socket.if_nameindex()):
        raise BadInput(f"interface {host!r} has no IPv4 address; use one that has: {there}")
    try:
        return resolve(endpoint, sockets)
    except BadInput as error:
        raise BadInput(f"{error}, or an interface: {there}") from error


def interfaces() -> dict[str, str]:
    """The interfaces of this host that are up and have an IPv4 address, and the first of each."""
    found: dict[str, str] = {}
    for name, ip in _rows():
        found.setdefault(name, ip)
    return found


def own_ips() -> frozenset[str]:
    """The IPv4 addresses of this host's interfaces, at this moment."""
    return frozenset(ip for _, ip in _rows())


def _rows() -> list[tuple[str, str]]:
    """The name of an interface and an address of it, for each (Linux: netdevice(7))."""
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


def route_to(other: Address) -> str | None:
    """This host's address on the route to `other`; None if there is no way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(other)  # nothing is sent
        except OSError:
            return None
        ip: str = probe.getsockname()[0]
    return ip


def listening_towards(others: Iterable[Address]) -> Address:
    """Where a node that is to be reached from where `others` are listens, if nobody has said: at
    the address of the route to the first that is on another host, and on loopback where all of
    them are. Without any way there, on all addresses: one of them may get a way later."""
    remote = [other for other in others if not is_loopback(other[0])]
    if not remote:
        return LOOPBACK_ANY
    return next(filter(None, map(route_to, remote)), "0.0.0.0"), 0


def hosts_towards(other: Address) -> list[str]:
    """What stands for this host where `other` is to reach it: the address, and the interface's
    name if it is the first there."""
    ip = route_to(other) or "0.0.0.0"
    return [ip, *(name for name, one in interfaces().items() if one == ip)]


def seen_from(address: Address, other: Address) -> Address:
    """`address` as `other` sees it: a socket bound to 0.0.0.0 speaks from the route's address.

    Without a way there it stays 0.0.0.0, which no datagram will ever show.
    """
    if address[0] != "0.0.0.0":
        return address
    return route_to(other) or address[0], address[1]
