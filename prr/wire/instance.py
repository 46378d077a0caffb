"""Addresses and instances, and the bytes they are on the wire.

An instance is kept as its seven bytes of the wire: the cheapest key a table can have, and ready
to be sent. What these bytes are is known here and in the other modules of the wire; all others take
an instance for a key that can be hashed and compared, and ask the functions below. Whoever shows
one to a person calls `describe`.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NewType, TypeAlias

Address: TypeAlias = tuple[str, int]
"""IPv4 in dotted text and port, as sockets use them."""

Instance = NewType("Instance", bytes)
"""type (1 byte), ip (4 bytes, network order), port (2 bytes, little-endian)."""

ADDRESS_BYTES = 6
LOOPBACK = 127
"""The first number of every loopback address (RFC 1122, 3.2.1.3): each host has its own."""

INSTANCE_BYTES = 1 + ADDRESS_BYTES
_ONE = struct.Struct(f"{INSTANCE_BYTES}s")

TYPES = 256
"""Service types there are: 0 to 255, one byte."""


def encode_address(address: Address) -> bytes:
    """The six bytes of `address`: ip in network order, port little-endian (the lab's choice)."""
    ip, port = address
    return bytes(map(int, ip.split("."))) + port.to_bytes(2, "little")


def decode_address(data: bytes) -> Address:
    """The address in six bytes of the wire."""
    assert len(data) == ADDRESS_BYTES
    return f"{data[0]}.{data[1]}.{data[2]}.{data[3]}", data[4] | data[5] << 8


def make_instance(type_: int, address: Address) -> Instance:
    """The instance of `type_` (0 to 255) that listens on `address`."""
    return Instance(bytes((type_,)) + encode_address(address))


def type_of(instance: Instance) -> int:
    """The service type (0 to 255) an instance provides."""
    return instance[0]


def address_of(instance: Instance) -> Address:
    """Where an instance listens."""
    return decode_address(instance[1:])


def address_key(instance: Instance) -> bytes:
    """The same for all instances at one address, and for no other."""
    return instance[1:]


def host_key(instance: Instance) -> bytes:
    """The same for all instances on one host, and for no other."""
    return instance[1:5]


def is_instance(data: bytes) -> bool:
    """These bytes are those of an instance; which types and addresses there are says the spec."""
    return len(data) == INSTANCE_BYTES


def instances_in(data: bytes) -> Iterator[Instance]:
    """The instances that stand one behind the other in `data`."""
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
    return instance[1] == LOOPBACK


def describe_address(address: Address) -> str:
    """`ip:port`, as people and flags write it."""
    return f"{address[0]}:{address[1]}"


def describe(instance: Instance) -> str:
    """One instance for a log line: `type 2 at 127.0.0.1:4242`."""
    return f"type {type_of(instance)} at {describe_address(address_of(instance))}"
