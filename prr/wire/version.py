"""Versions: which of two updates about one instance is the newer one.

A version is (counter, owner, start), compared in that order. `counter` follows the newest one its
binder has seen (Lamport 1978), so that what was decided later, knowing the earlier, is newer.
`owner` is the identity of the binder that decided; it breaks ties, and that binder is the owner of
the instance's lease. `start` is the incarnation: the number that one of our servers draws when it
starts; NO_START where none is known, and LEFT for one that left.

Counters are serial numbers (RFC 1982): they lie on a circle, and of two the one is newer that lies
less than half a turn ahead. So none is the last one: whatever a faulty peer says, the next honest
decision is newer. The price is that three may be newer than each other in a circle; then whoever is
asked last prevails, until the lease owner decides anew.

The lowest 16 bits of a counter are the run: they tell a binder's process from those before it,
which had the same identity. A run never uses another run's counters, whatever it used and told its
peers before it was killed, and whether or not its disk worked.
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from operator import itemgetter
from typing import NamedTuple, NoReturn

from prr.wire.instance import INSTANCE_BYTES, Instance

COUNTER_MAX = 2**64 - 1
IDENTITY_MAX = 2**64 - 1
START_MAX = 2**32 - 1

NO_START = 0
"""The `start` of an instance that has said none: perhaps a legacy (2016) server."""

LEFT = 1
"""The `start` in the removal of an instance that deregistered before its start was known; and of
one that subscribed again after a removal and has not answered yet. No server draws it."""

FIRST_START = 2
"""The lowest that one draws."""

_LAYOUT = struct.Struct("<QQI")
_END = struct.Struct("<QI")
VERSION_BYTES = _LAYOUT.size
OWNER = slice(8, 16)
"""Where an encoded version has its owner."""

_FROM_OWNER = itemgetter(slice(OWNER.start, None))

REMOVAL_BYTES = INSTANCE_BYTES + VERSION_BYTES


RUN_BITS = 16
"""Bits of a counter that hold its run. The other 48 count decisions: at ten thousand a second they
go halfway round in 446 years."""

_TURN = 1 << 64
_HALF = 1 << 63
_RUN = (1 << RUN_BITS) - 1


class Version(NamedTuple):
    """Which update about an instance it is: by whom, and how late. `is_newer` compares them."""

    counter: int
    owner: int
    start: int

    @property
    def has_start(self) -> bool:
        """A start number is known, or that it left: it subscribes again by itself, if it is back. A
        legacy server that was gone without leaving does not."""
        return self.start != NO_START

    @property
    def is_unproven(self) -> bool:
        """Of one that is there: it subscribed again after it had left, and has not answered yet."""
        return self.start == LEFT

    # The order of a tuple would be wrong.

    def __lt__(self, other: object) -> NoReturn:
        raise TypeError("versions have no order of their own: ask is_newer")

    def __le__(self, other: object) -> NoReturn:
        self.__lt__(other)

    def __gt__(self, other: object) -> NoReturn:
        self.__lt__(other)

    def __ge__(self, other: object) -> NoReturn:
        self.__lt__(other)


def is_newer(version: Version, other: Version) -> bool:
    """The first one prevails over the other. Of two that differ exactly one does."""
    if version.counter != other.counter:
        return is_later(version.counter, other.counter)
    return (version.owner, version.start) > (other.owner, other.start)


def is_later(counter: int, other: int) -> bool:
    """The first counter is ahead of the other by less than half a turn. At exactly half a turn,
    where RFC 1982 does not decide, the greater number is."""
    ahead = (counter - other) % _TURN
    return 0 < ahead < _HALF or (ahead == _HALF and counter > other)


def counter_after(counter: int, run: int) -> int:
    """The next counter of a run (16 bits): later than `counter`, by less than two to the 17th."""
    return ((counter | _RUN) + 1 + run) % _TURN


def version_after(
    counter: int, run: int, owner: int, start: int, latest: Version | None
) -> Version:
    """The next one of an owner, and of a run (16 bits) of its: later than `counter`, and newer than
    `latest`, unless these lie half a turn apart."""
    version = Version(counter_after(counter, run), owner, start)
    if latest is not None and not is_newer(version, latest):
        return version._replace(counter=counter_after(latest.counter, run))
    return version


def counters_after(counter: int, run: int, count: int) -> list[int]:
    """The next `count` counters of a run (16 bits), each later than the one before."""
    first, step = counter_after(counter, run), 1 << RUN_BITS
    return [one % _TURN for one in range(first, first + count * step, step)]


def of_run(counter: int, run: int) -> int:
    """A counter with the run (16 bits) put in the place of its own."""
    return counter & ~_RUN | run


def run_of(counter: int) -> int:
    """The run of a counter, 16 bits."""
    return counter & _RUN


def next_run(counter: int) -> int:
    """Where the run after that of `counter` begins."""
    return (counter + 1) % _TURN


RECENT = 256
"""Versions that are remembered decoded, 60 kB: what one frame sets off reads the same one often."""


def encode_version(version: Version) -> bytes:
    """Its 20 bytes: counter, owner and start, little-endian."""
    return _LAYOUT.pack(*version)


def encode_all(counters: Sequence[int], owner: int, starts: Sequence[int]) -> list[bytes]:
    """The same for many versions of one owner."""
    pairs = zip(counters, starts, strict=True)
    return [_LAYOUT.pack(counter, owner, start) for counter, start in pairs]


def encode_version_end(owner: int, start: int) -> bytes:
    """The last 12 of these bytes: whose it is, and of which process."""
    return _END.pack(owner, start)


def encode_version_ends(owner: int, starts: Iterable[int]) -> list[bytes]:
    """The same for many processes."""
    return [*map(_END.pack, repeat(owner), starts)]


def ends_of(words: Iterable[bytes]) -> list[bytes]:
    """What stands in each, which begins with an encoded version, from its owner on."""
    return [*map(_FROM_OWNER, words)]


def encode_versions(versions: list[Version]) -> bytes:
    """The versions of a list's instances, in their order."""
    return b"".join(_LAYOUT.pack(*version) for version in versions)


@lru_cache(maxsize=RECENT)
def decode_version(data: bytes) -> Version:
    """The version in the first 20 bytes."""
    return Version._make(_LAYOUT.unpack_from(data))


def encode_owner(owner: int) -> bytes:
    """An owner as it stands in an encoded version."""
    return owner.to_bytes(8, "little")


def decode_owner(data: bytes) -> int:
    """The owner that stands so in an encoded version."""
    return int.from_bytes(data, "little")


def owner_in(data: bytes) -> int:
    """The owner of an encoded version."""
    return decode_owner(data[OWNER])


def decode_versions(data: bytes) -> list[Version]:
    """The versions in a multiple of 20 bytes."""
    assert len(data) % VERSION_BYTES == 0
    return [Version(*values) for values in _LAYOUT.iter_unpack(data)]


def encode_removals(removals: list[tuple[Instance, Version]]) -> bytes:
    """Instances that are gone, each with its removal's version: 27 bytes each."""
    return b"".join(instance + _LAYOUT.pack(*version) for instance, version in removals)


def decode_removals(data: bytes) -> list[tuple[Instance, Version]]:
    """The removals in a multiple of 27 bytes."""
    assert len(data) % REMOVAL_BYTES == 0
    rows = range(0, len(data), REMOVAL_BYTES)
    return [
        (
            Instance(data[at : at + INSTANCE_BYTES]),
            Version(*_LAYOUT.unpack_from(data, at + INSTANCE_BYTES)),
        )
        for at in rows
    ]
