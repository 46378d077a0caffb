"""Credentials: what the holder of a key may do. They stand in each datagram that the key tags, so
that binders need no list of them.

A credential is bytes of one form: its role, its id, and for a server its service and the networks
in which its instances may be. The key is derived from these bytes, so that whoever changes one of
them has no key for it.
"""

import re
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from prr.record import record
from prr.wire.instance import NAMED, Service, is_name

ID_BYTES_MAX = 32
"""Of who holds it: it stands in each datagram, and in the log."""

HOSTS_MAX = 4
"""Networks of one credential."""

CREDENTIAL_BYTES_MAX = 2 + ID_BYTES_MAX + 2 + 63 + HOSTS_MAX * 18
"""Of one at its longest."""

Network: TypeAlias = IPv4Network | IPv6Network

_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?")


class Holder(IntEnum):
    """What the holder of a credential is."""

    SERVER = 1
    CLIENT = 2
    OPERATOR = 3

    def __str__(self) -> str:
        return self.name.lower()


@record
class Credential:
    """Who it is. `service` is a server's only; so are `hosts`, the networks where its instances may
    be although it speaks from elsewhere: without any on its own host alone."""

    holder: Holder
    id: str
    service: Service | None = None
    hosts: tuple[Network, ...] = ()

    def __str__(self) -> str:
        return f"{self.holder} {self.id}"

    def may_be_at(self, ip: str) -> bool:
        """An instance of it may be at this address, wherever the server speaks from."""
        return any(ip_address(ip) in network for network in self.hosts)


def is_id(text: str) -> bool:
    """`text` can be an id: 1 to 32 of a to z, 0 to 9, and inside also dots, hyphens and _."""
    return _ID.fullmatch(text) is not None


def encode_credential(credential: Credential) -> bytes:
    """Its bytes. Its id has to be one, and there are at most HOSTS_MAX networks."""
    assert is_id(credential.id) and len(credential.hosts) <= HOSTS_MAX
    front = bytes((credential.holder, len(credential.id))) + credential.id.encode()
    if credential.holder is not Holder.SERVER:
        assert credential.service is None and not credential.hosts
        return front
    assert credential.service is not None
    return front + _service(credential.service) + b"".join(map(_host, credential.hosts))


@lru_cache(maxsize=1024)
def decode_credential(data: bytes) -> Credential | None:
    """The credential in these bytes; None if there is none in them, or not in its one form."""
    try:
        found = _decoded(data)
        return found if encode_credential(found) == data else None
    except (ValueError, IndexError, AssertionError):
        return None


def _decoded(data: bytes) -> Credential:
    holder, end = Holder(data[0]), 2 + data[1]
    name = data[2:end].decode("ascii")
    if holder is not Holder.SERVER:
        return Credential(holder, name)
    size = data[end + 1]
    hosts_at = end + 2 + size
    service: Service = data[end]
    if size:
        label = data[end + 2 : hosts_at]
        if not is_name(label):
            raise ValueError("not the name of a service")
        service = label.decode()
    return Credential(holder, name, service, tuple(_hosts(data[hosts_at:])))


def _service(service: Service) -> bytes:
    if isinstance(service, int):
        return bytes((service, 0))
    return bytes((NAMED, len(service))) + service.encode()


def _host(network: Network) -> bytes:
    return bytes((network.version, network.prefixlen)) + network.network_address.packed


def _hosts(data: bytes) -> Iterator[Network]:
    at = 0
    while at < len(data):
        size = {4: 4, 6: 16}.get(data[at], 0)
        address = data[at + 2 : at + 2 + size]
        if len(address) != size or not size:
            raise ValueError("neither IPv4 nor IPv6")
        yield ip_network((address, data[at + 1]))
        at += 2 + size
