"""Runs of bare look-ups and of their answers, as they lie one behind the other in a burst.

A look-up without a trailer is two bytes and its answer seven (eight as the programs of 2016 want
it), so that many are read and written by a few slices, with no frame in between. The tests compare
them with `encode`, frame by frame.
"""

from collections.abc import Sequence

from prr.wire.address import INSTANCE_BYTES, Instance
from prr.wire.codec import encode
from prr.wire.frames import Lookup

LOOKUP_BYTES = len(encode(Lookup(0)))
LOOKUP_CODE = encode(Lookup(0))[:1]

FOUND_BYTES = INSTANCE_BYTES
"""A Found: its code stands where an instance has its type."""

FOUND_INSTANCE_BYTES = 1 + INSTANCE_BYTES

_FOUND_CODE = b"\x03"


def encode_found_run(instances: Sequence[Instance]) -> bytes:
    """A Found for each of `instances`, one behind the other."""
    run = bytearray(b"".join(instances))
    run[::FOUND_BYTES] = _FOUND_CODE * len(instances)
    return bytes(run)


def encode_found_instance_run(instances: Sequence[Instance]) -> bytes:
    """A FoundInstance for each of `instances`, one behind the other."""
    return _FOUND_CODE + _FOUND_CODE.join(instances) if instances else b""
