"""Input near to good input, from a seed."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

LENGTH_MAX = 1400
"""Bytes: as long as a datagram of ours at most, and long enough for any line or table."""

TELLING = (
    b"\0",
    b"\xff",
    b"\xc1",
    b"\x80",
    b"\xc4",
    b"\xcf" + b"\xff" * 8,
    b"\n",
    b'"',
    b"{",
    b"%",
)
"""Bytes that mean something to one of the readers."""


def inputs(good: Sequence[bytes], count: int, rng: Random) -> Iterator[bytes]:
    """All `good` ones, and so many that are near to some of them."""
    yield from good
    for _ in range(count):
        data = rng.choice(good)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = rng.choice(_CHANGES)(data, good, rng)
        yield data[:LENGTH_MAX]


def _place(data: bytes, rng: Random) -> int:
    return rng.randrange(len(data) + 1)


def _replace_byte(data: bytes, good: Sequence[bytes], rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _flip_bit(data: bytes, good: Sequence[bytes], rng: Random) -> bytes:
    at = _place(data, rng)
    return (
        data[:at]
        + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
        + (data[at + 1 :])
    )


def _insert(data: bytes, good: Sequence[bytes], rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.choice((*TELLING, rng.randbytes(rng.randrange(1, 9)))) + data[at:]


def _cut(data: bytes, good: Sequence[bytes], rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 8, len(data))) :]


def _repeat(data: bytes, good: Sequence[bytes], rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at : at + rng.randrange(1, 17)] * rng.choice((2, 3, 40)) + data[at:]


def _splice(data: bytes, good: Sequence[bytes], rng: Random) -> bytes:
    other = rng.choice(good)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


_CHANGES: tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...] = (
    _replace_byte,
    _flip_bit,
    _insert,
    _cut,
    _repeat,
    _splice,
)
