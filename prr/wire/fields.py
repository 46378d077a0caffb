"""The kinds of field a frame is made of: how each is read, written and named in the document."""

from collections.abc import Callable
from typing import Any

from prr.record import record
from prr.wire.errors import MalformedFrame
from prr.wire.instance import (
    ADDRESS_BYTES,
    INSTANCE_BYTES,
    NO_ADDRESS,
    NOWHERE,
    Address,
    Instance,
    decode_address,
    encode_address,
    instances_in,
    is_instance,
    is_ipv6_address,
    is_wide,
)

MESSAGE_BYTES_MAX = 255  # its length is one unsigned byte
LIST_INSTANCES_MAX = 100  # a legacy (2016) program has 702 bytes and a signed count for it


@record
class Field:
    """One field: the frame's attribute, its layout in words, and its codec.

    `read(data, start)` gives the value and where the next field starts; MalformedFrame if the
    datagram ends first. `write(value)` gives the bytes.
    """

    attribute: str
    layout: str
    read: Callable[[bytes, int], tuple[Any, int]]
    write: Callable[[Any], bytes]


def _take(data: bytes, start: int, size: int) -> tuple[bytes, int]:
    end = start + size
    if end > len(data):
        raise MalformedFrame(f"{len(data)} bytes where the fields need {end}")
    return data[start:end], end


def _read_byte(data: bytes, start: int) -> tuple[int, int]:
    taken, end = _take(data, start, 1)
    return taken[0], end


def _write_byte(value: int) -> bytes:
    return bytes((value,))


def _read_address(data: bytes, start: int) -> tuple[Address, int]:
    taken, end = _take(data, start, ADDRESS_BYTES)
    return decode_address(taken), end


def _write_address(address: Address) -> bytes:
    return NO_ADDRESS if is_ipv6_address(address) else encode_address(address)


def _read_instance(data: bytes, start: int) -> tuple[Instance, int]:
    taken, end = _take(data, start, INSTANCE_BYTES)
    return Instance(taken), end


def _write_instance(instance: Instance) -> bytes:
    assert is_instance(instance)
    return NOWHERE if is_wide(instance) else instance


def _read_message(data: bytes, start: int) -> tuple[bytes, int]:
    size, start = _read_byte(data, start)
    return _take(data, start, size)


def _write_message(message: bytes) -> bytes:
    assert len(message) <= MESSAGE_BYTES_MAX
    return bytes((len(message),)) + message


def _read_instances(data: bytes, start: int) -> tuple[tuple[Instance, ...], int]:
    count, start = _read_byte(data, start)
    taken, end = _take(data, start, count * INSTANCE_BYTES)
    return tuple(instances_in(taken)), end


def _write_instances(instances: tuple[Instance, ...]) -> bytes:
    assert len(instances) <= LIST_INSTANCES_MAX and not any(map(is_wide, instances))
    return bytes((len(instances),)) + b"".join(instances)


TYPE = Field("type", "type", _read_byte, _write_byte)
ADDRESS = Field("address", "ip, port", _read_address, _write_address)
INSTANCE = Field("instance", "type, ip, port", _read_instance, _write_instance)
MESSAGE = Field("message", "length, message", _read_message, _write_message)
INSTANCES = Field("instances", "count, count x (type, ip, port)", _read_instances, _write_instances)
