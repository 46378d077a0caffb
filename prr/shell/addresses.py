"""From what people write to what sockets take."""

import fcntl
import ipaddress
import socket
import struct
from array import array
from types import ModuleType

from prr.config import BadInput, HostPort
from prr.wire.address import Address

SIOCGIFCONF = 0x8912
IFREQ_BYTES = 40  # a name of 16 bytes, then a sockaddr: ip at 20 to 24
INTERFACES_MAX = 1024


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
            f"cannot resolve {host!r}: {why}; write an IPv4 address, or a name that has one"
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


def own_ips() -> frozenset[str]:
    """The IPv4 addresses of this host's interfaces, at this moment (Linux: netdevice(7))."""
    rows = array("B", bytes(IFREQ_BYTES * INTERFACES_MAX))
    where, _ = rows.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("iL", len(rows), where)
        filled, _ = struct.unpack("iL", fcntl.ioctl(asking, SIOCGIFCONF, request))
    data = rows.tobytes()
    starts = range(0, filled, IFREQ_BYTES)
    return frozenset(socket.inet_ntoa(data[at + 20 : at + 24]) for at in starts)


def seen_from(address: Address, other: Address) -> Address:
    """`address` as `other` sees it: a socket bound to 0.0.0.0 speaks from the route's address.

    Without a way there it stays 0.0.0.0, which no datagram will ever show.
    """
    if address[0] != "0.0.0.0":
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(other)
        except OSError:
            return address
        return probe.getsockname()[0], address[1]
