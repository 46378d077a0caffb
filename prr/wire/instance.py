"""Services, addresses and instances, and the bytes they are on the wire.

An instance is kept as bytes: the cheapest key a table can have, and ready to be sent. Those of the
spec, a numbered service at an IPv4 address, are its seven bytes of the wire. Any other is `wide`:
its type (255 if the service has a name), the length of its name, the name, and its address. What
these bytes are is known here and in the other modules of the wire; all others take an instance for
a key that can be hashed and compared, and ask the functions below. Whoever shows one to a person
calls `describe`.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NewType, TypeAlias

Address: TypeAlias = tuple[str, int]
"""IPv4 in dotted text and port, as sockets use them."""

Service: TypeAlias = int | str
"""What is looked up: a number, 0 to 255, which the spec calls a type, or a name (see `is_name`)."""

Instance = NewType("Instance", bytes)
"""type (1 byte), ip (4 bytes, network order), port (2 bytes, little-endian); or a wide one."""

ADDRESS_BYTES = 6
LOOPBACK = 127
"""The first number of every loopback address (RFC 1122, 3.2.1.3): each host has its own."""

INSTANCE_BYTES = 1 + ADDRESS_BYTES
_ONE = struct.Struct(f"{INSTANCE_BYTES}s")

TYPES = 256
"""Service types there are: 0 to 255, one byte."""

NAMED = 255
"""The type that stands where a service has a name."""

NAME_BYTES_MAX = 63
"""A name is one DNS label (RFC 1035, 2.3.4)."""

WIDE_BYTES_MIN = 2 + 1 + ADDRESS_BYTES
WIDE_BYTES_MAX = 2 + NAME_BYTES_MAX + ADDRESS_BYTES

NOWHERE = Instance(bytes((NAMED,)) + bytes(ADDRESS_BYTES))
"""Stands in front where the instance itself is in the trailer."""

_NAME = re.compile(rb"(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def is_name(name: bytes) -> bool:
    """`name` is a service's: one DNS label in lower case, 1 to 63 bytes of a to z, 0 to 9 and inner
    hyphens, and not all digits, which would be a number."""
    return _NAME.fullmatch(name) is not None


def encode_address(address: Address) -> bytes:
    """The six bytes of `address`: ip in network order, port little-endian (the lab's choice)."""
    ip, port = address
    return bytes(map(int, ip.split("."))) + port.to_bytes(2, "little")


def decode_address(data: bytes) -> Address:
    """The address in six bytes of the wire."""
    assert len(data) == ADDRESS_BYTES
    return f"{data[0]}.{data[1]}.{data[2]}.{data[3]}", data[4] | data[5] << 8


def make_instance(service: Service, address: Address) -> Instance:
    """The instance of `service` that listens on `address`."""
    if isinstance(service, int):
        return Instance(bytes((service,)) + encode_address(address))
    name = service.encode()
    return Instance(bytes((NAMED, len(name))) + name + encode_address(address))


def is_wide(instance: Instance) -> bool:
    """It does not fit into the seven bytes of the spec: its service has a name."""
    return len(instance) != INSTANCE_BYTES


def service_of(instance: Instance) -> Service:
    """The service that an instance provides."""
    return _name_of(instance) if len(instance) != INSTANCE_BYTES else instance[0]


@lru_cache(maxsize=256)
def _name_of(instance: Instance) -> str:
    """One step asks for it a dozen times."""
    return instance[2:-ADDRESS_BYTES].decode()


def address_of(instance: Instance) -> Address:
    """Where an instance listens."""
    return decode_address(address_key(instance))


def address_key(instance: Instance) -> bytes:
    """The same for all instances at one address, and for no other."""
    return instance[-ADDRESS_BYTES:]


def host_key(instance: Instance) -> bytes:
    """The same for all instances on one host, and for no other."""
    return instance[-ADDRESS_BYTES:-2]


def is_instance(data: bytes) -> bool:
    """These bytes are those of an instance; which types and addresses there are says the spec."""
    return len(data) == INSTANCE_BYTES or is_wide_instance(data)


def is_wide_instance(data: bytes) -> bool:
    """These bytes are those of a wide instance."""
    return (
        WIDE_BYTES_MIN <= len(data) <= WIDE_BYTES_MAX
        and data[0] == NAMED
        and data[1] == len(data) - 2 - ADDRESS_BYTES
        and is_name(data[2:-ADDRESS_BYTES])
    )


def instances_in(data: bytes) -> Iterator[Instance]:
    """The instances of the spec that stand one behind the other in `data`."""
    for at in range(0, len(data), INSTANCE_BYTES):
        yield Instance(data[at : at + INSTANCE_BYTES])


def address_columns(instances: Sequence[Instance]) -> list[bytes]:
    """For each of an address's bytes a column: that byte of each of the instances."""
    rows = b"".join(instances)
    return [rows[place::INSTANCE_BYTES] for place in range(1, INSTANCE_BYTES)]


def from_columns(types: bytes, addresses: Sequence[bytes]) -> list[Instance]:
    """The instances of these types at these addresses, which are given as columns."""
    rows = bytearray(len(types) * INSTANCE_BYTES)
    for place, column in enumerate((types, *addresses)):
        rows[place::INSTANCE_BYTES] = column
    return [Instance(one) for one in chain.from_iterable(_ONE.iter_unpack(rows))]


def is_loopback(ip: str) -> bool:
    """`ip` means the host that reads it, whichever that is: 127.0.0.0/8."""
    return ip.startswith(f"{LOOPBACK}.")


def is_on_loopback(instance: Instance) -> bool:
    """An instance's address is a loopback one."""
    return instance[-ADDRESS_BYTES] == LOOPBACK


def describe_address(address: Address) -> str:
    """`ip:port`, as people and flags write it."""
    return f"{address[0]}:{address[1]}"


def describe_service(service: Service) -> str:
    """A service for a log line: `type 2`, or `billing`."""
    return f"type {service}" if isinstance(service, int) else service


def describe(instance: Instance) -> str:
    """One instance for a log line: `type 2 at 127.0.0.1:4242`."""
    return f"{describe_service(service_of(instance))} at {describe_address(address_of(instance))}"
