"""Services, addresses and instances, and the bytes they are on the wire.

An instance is kept as bytes: the cheapest key a table can have, and ready to be sent. Those of the
spec, a numbered service at an IPv4 address, are its seven bytes of the wire. Any other is `wide`:
its type (255 if the service has a name), the length of its name (0: it is a number), the name, and
its address. What these bytes are is known here and in the other modules of the wire; all others
take an instance for a key that can be hashed and compared, and ask the functions below. Whoever
shows one to a person calls `describe`.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import NewType, TypeAlias, cast

Address: TypeAlias = tuple[str, int]
"""IP and port, as sockets use them; the IP as `canonical` writes it."""

Service: TypeAlias = int | str
"""What is looked up: a number, 0 to 255, which the spec calls a type, or a name (see `is_name`)."""

Instance = NewType("Instance", bytes)
"""type (1 byte), ip (4 bytes, network order), port (2 bytes, little-endian); or a wide one."""

ADDRESS_BYTES = 6
IPV6_ADDRESS_BYTES = 18

LOOPBACK = 127
"""The first number of every loopback address of IPv4 (RFC 1122, 3.2.1.3): each host has its own."""

LOOPBACK_IPV6 = "::1"
"""The one of IPv6 (RFC 4291, 2.5.3)."""

_LOOPBACK_KEY = bytes(15) + b"\1"
_SITE_BYTES = 8

INSTANCE_BYTES = 1 + ADDRESS_BYTES

TYPES = 256
"""Service types there are: 0 to 255, one byte."""

NAMED = 255
"""The type that stands where a service has a name."""

NAME_BYTES_MAX = 63
"""A name is one DNS label (RFC 1035, 2.3.4)."""

WIDE_BYTES_MIN = 2 + 1 + ADDRESS_BYTES
WIDE_BYTES_MAX = 2 + NAME_BYTES_MAX + IPV6_ADDRESS_BYTES

NO_ADDRESS = bytes(ADDRESS_BYTES)
NOWHERE = Instance(bytes((NAMED,)) + NO_ADDRESS)
"""They stand in front where the address, or the instance itself, is in the trailer."""

_NAME = re.compile(rb"(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def is_name(name: bytes) -> bool:
    """`name` is a service's: one DNS label in lower case, 1 to 63 bytes of a to z, 0 to 9 and inner
    hyphens, and not all digits, which would be a number."""
    return _NAME.fullmatch(name) is not None


def canonical(ip: str) -> str:
    """The one way in which an IP is written here: dotted, or as in RFC 5952, section 4. An address
    of IPv4 that is mapped into IPv6 (RFC 4291, 2.5.5.2) is that of IPv4.

    Raises ValueError if it is none, or is one of IPv6 that has a scope.
    """
    parsed = ip_address(ip)
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            raise ValueError(f"{ip!r} has a scope, which means something else on every host")
        parsed = parsed.ipv4_mapped or parsed
    return parsed.compressed


def is_usable(ip: str) -> bool:
    """`ip`, in its canonical form, means the same on every host, or that host itself; several, none
    in particular, or another one on each link (RFC 4291, 2.7, 2.5.2, 2.5.6) no instance has. What
    IPv4 addresses there are says the spec."""
    return ":" not in ip or _is_usable(IPv6Address(ip).packed)


def is_ipv6_address(address: Address) -> bool:
    """It is one of IPv6."""
    return ":" in address[0]


def encode_address(address: Address) -> bytes:
    """The bytes of `address`, six, or eighteen of IPv6: ip in network order, port little-endian
    (the lab's choice)."""
    ip, port = address
    packed = IPv6Address(ip).packed if ":" in ip else bytes(map(int, ip.split(".")))
    return packed + port.to_bytes(2, "little")


def decode_address(data: bytes) -> Address:
    """The address in six bytes of the wire, or eighteen."""
    if len(data) == IPV6_ADDRESS_BYTES:
        return _ipv6_text(data[:-2]), data[-2] | data[-1] << 8
    assert len(data) == ADDRESS_BYTES
    return f"{data[0]}.{data[1]}.{data[2]}.{data[3]}", data[4] | data[5] << 8


@lru_cache(maxsize=1024)
def _ipv6_text(packed: bytes) -> str:
    """Three microseconds the first time."""
    return canonical(IPv6Address(packed).compressed)


def is_ipv6_key(data: bytes) -> bool:
    """These bytes are those of an address of IPv6 that an instance may have."""
    return len(data) == IPV6_ADDRESS_BYTES and _is_usable(data[:-2])


def _is_usable(packed: bytes) -> bool:
    is_link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
    is_mapped = packed.startswith(bytes(10) + b"\xff\xff")
    return packed[0] != 0xFF and not is_link_local and not is_mapped and any(packed)


def make_instance(service: Service, address: Address) -> Instance:
    """The instance of `service` that listens on `address`."""
    where = encode_address(address)
    if isinstance(service, int):
        front = bytes((service,)) if len(where) == ADDRESS_BYTES else bytes((service, 0))
        return Instance(front + where)
    name = service.encode()
    return Instance(bytes((NAMED, len(name))) + name + where)


def is_wide(instance: Instance) -> bool:
    """It does not fit into the seven bytes of the spec: its service has a name, or it is at an IPv6
    address."""
    return len(instance) != INSTANCE_BYTES


def has_name(instance: Instance) -> bool:
    """Its service has a name."""
    return len(instance) != INSTANCE_BYTES and instance[1] != 0


def is_ipv6(instance: Instance) -> bool:
    """It is at an IPv6 address: a client that reads six bytes of one must never get it."""
    size = len(instance)
    return size != INSTANCE_BYTES and size == 2 + instance[1] + IPV6_ADDRESS_BYTES


def service_of(instance: Instance) -> Service:
    """The service that an instance provides."""
    if len(instance) == INSTANCE_BYTES or not instance[1]:
        return instance[0]
    return _name_of(instance)


@lru_cache(maxsize=256)
def _name_of(instance: Instance) -> str:
    """One step asks for it a dozen times."""
    return instance[2 : 2 + instance[1]].decode()


def address_of(instance: Instance) -> Address:
    """Where an instance listens."""
    return decode_address(address_key(instance))


def address_key(instance: Instance) -> bytes:
    """The same for all instances at one address, and for no other."""
    return instance[1 if len(instance) == INSTANCE_BYTES else 2 + instance[1] :]


def address_keys(instances: Iterable[Instance]) -> list[bytes]:
    """The same for many, in half the time."""
    return [one[1:] if len(one) == INSTANCE_BYTES else address_key(one) for one in instances]


def host_key(instance: Instance) -> bytes:
    """The same for all instances on one host, and for no other; of IPv6 for all on one network of
    64 bits (RFC 4291, 2.5.1), in which every host may have as many addresses as it likes."""
    where = address_key(instance)
    return where[:_SITE_BYTES] if len(where) == IPV6_ADDRESS_BYTES else where[:-2]


def host_of(address: Address) -> bytes:
    """That of the host with this address."""
    return host_key(make_instance(0, address))


def host_keys(instances: Iterable[Instance]) -> list[bytes]:
    """The same for many, in a third of the time."""
    return [one[1:-2] if len(one) == INSTANCE_BYTES else host_key(one) for one in instances]


def is_instance(data: bytes) -> bool:
    """These bytes are those of an instance; which types and addresses there are says the spec."""
    return len(data) == INSTANCE_BYTES or is_wide_instance(data)


def is_wide_instance(data: bytes) -> bool:
    """These bytes are those of a wide instance."""
    if not WIDE_BYTES_MIN <= len(data) <= WIDE_BYTES_MAX:
        return False
    name, where = data[2 : 2 + data[1]], data[2 + data[1] :]
    if not name:
        return is_ipv6_key(where)
    return (
        data[0] == NAMED and is_name(name) and (len(where) == ADDRESS_BYTES or is_ipv6_key(where))
    )


def instances_in(data: bytes) -> Iterator[Instance]:
    """The instances of the spec that stand one behind the other in `data`."""
    for at in range(0, len(data), INSTANCE_BYTES):
        yield Instance(data[at : at + INSTANCE_BYTES])


def address_columns(instances: Sequence[Instance]) -> list[bytes]:
    """For each of an address's bytes a column: that byte of each of the instances, which are of one
    family."""
    rows = b"".join(instances)
    if len(rows) == INSTANCE_BYTES * len(instances):
        return [rows[place::INSTANCE_BYTES] for place in range(1, INSTANCE_BYTES)]
    rows = b"".join(map(address_key, instances))
    size = len(rows) // len(instances)
    return [rows[place::size] for place in range(size)]


def from_columns(types: bytes, addresses: Sequence[bytes]) -> list[Instance]:
    """The instances of these types at these addresses, which are given as columns."""
    return cast(list[Instance], [*rows_from((types, *addresses))])  # a call for each takes longer


def rows_from(columns: Sequence[bytes]) -> Iterator[bytes]:
    """What stands in columns of one length, row by row."""
    rows = bytearray(len(columns) * len(columns[0]))
    for place, column in enumerate(columns):
        rows[place :: len(columns)] = column
    return chain.from_iterable(struct.iter_unpack(f"{len(columns)}s", rows))


def is_on_host(instance: Instance, address: Address) -> bool:
    """An instance listens on the host of this address."""
    return address_of(instance)[0] == address[0]


def is_loopback(ip: str) -> bool:
    """`ip` means the host that reads it, whichever that is: 127.0.0.0/8, or ::1."""
    return ip.startswith(f"{LOOPBACK}.") or ip == LOOPBACK_IPV6


def is_on_loopback(instance: Instance) -> bool:
    """An instance's address is a loopback one."""
    if is_ipv6(instance):
        return instance[-IPV6_ADDRESS_BYTES:-2] == _LOOPBACK_KEY
    return instance[-ADDRESS_BYTES] == LOOPBACK


def describe_address(address: Address) -> str:
    """`ip:port`, or `[ip]:port` of IPv6 (RFC 3986, 3.2.2), as people and flags write it."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def describe_service(service: Service) -> str:
    """A service for a log line: `type 2`, or `billing`."""
    return f"type {service}" if isinstance(service, int) else service


def describe(instance: Instance) -> str:
    """One instance for a log line: `type 2 at 127.0.0.1:4242`."""
    return f"{describe_service(service_of(instance))} at {describe_address(address_of(instance))}"
