"""From what people write to what sockets take."""

import ipaddress
import socket
from types import ModuleType

from prr.config import BadInput, HostPort
from prr.wire.address import Address, describe_address


def resolve(endpoint: HostPort, sockets: ModuleType = socket) -> Address:
    """The IPv4 address of `endpoint`; `sockets` is the socket module to ask for names.

    Raises BadInput when the name has none.
    """
    host, port = endpoint
    try:
        return str(ipaddress.IPv4Address(host)), port
    except ValueError:
        pass
    try:
        found = sockets.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise BadInput(
            f"cannot resolve {host!r}: {error.strerror or error}; "
            f"write an IPv4 address, or a name that has one"
        ) from error
    ip, port = found[0][4]
    return ip, port


def is_own_ip(ip: str) -> bool:
    """This host has the address `ip`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
        return True


def seen_from(address: Address, other: Address) -> Address:
    """`address` as `other` sees it: a socket bound to 0.0.0.0 speaks from the route's address."""
    if address[0] != "0.0.0.0":
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(other)
        except OSError as error:
            raise BadInput(
                f"no way from here to {describe_address(other)}: {error.strerror}; "
                f"check the network, or listen on the address that others reach"
            ) from error
        return probe.getsockname()[0], address[1]
