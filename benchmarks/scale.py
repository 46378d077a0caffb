"""What an instance costs in memory and in time, with a thousand of them and with a million.

    python -m benchmarks.scale
    python -m benchmarks.scale --size 1000 --size 10000 --json

Two binders' cores without sockets, all instances of one type, which is the worst case for its
turns: every instance subscribes with the first, whose words are given as bytes to the second.
Each size has a process of its own. `subscribe` measures a real binder's memory.
"""

import os
import sys
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from random import Random
from typing import TypeAlias

from benchmarks.arguments import Trouble, amount, command
from benchmarks.figures import Figures
from benchmarks.proc import resident_kib
from prr.config import Limits
from prr.core.binder import Binder
from prr.core.effects import Send
from prr.shell.garbage_collection import collect_seldom
from prr.wire.codec import Codec
from prr.wire.frames import Alive, Frame, ListRequest, Removed, Role, Subscribe
from prr.wire.instance import Address, canonical, make_instance
from prr.wire.messages import Announcement, DigestRequest
from prr.wire.particulars import Particulars, encode_particulars

_BINDER, _SERVER = Codec(Role.BINDER), Codec(Role.SERVER)

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LIMITS = Limits(instances=1 << 21, newcomers=1 << 21)
"""Twice the default, of which peers' words may fill 94%: the second binder learns all by them. They
subscribe in no time, and none is ever asked."""

CHUNK = 500
"""Operations between two readings of the clock, so that the clock is not what is measured."""

SAMPLE = 2_000
"""Lookups, and changes with a lookup after each: enough for a mean to 1%."""

REMOVED_MAX = 100_000
"""Removals at most: all instances, unless there are more."""

SIZE_LIMIT = 300.0
"""Seconds for one size: a million takes a minute or so."""

RICH_SIZE = 100_000
"""Instances with a name and tags at most."""

TAGS_BYTES = 100

Said: TypeAlias = Callable[[int], tuple[Frame, Address]]
"""What the server of a number says, and from where."""

TYPE = 1
FIRST: Address = ("127.0.0.1", 2222)
SECOND: Address = ("127.0.0.1", 2223)
NOW = 1.0


class Pair:
    """Two binders' cores, and the time each operation has taken."""

    def __init__(self) -> None:
        collect_seldom()  # as a node does
        self._empty_kib = _own_kib()
        self.first = _binder(1, SECOND)
        self.second = _binder(2, FIRST)
        self.took: defaultdict[str, list[float]] = defaultdict(list)  # microseconds each

    def change(self, name: str, numbers: range, say: Said) -> None:
        """Tell the first binder what each server of these says, and the second what that says of
        them."""
        for start in range(numbers.start, numbers.stop, CHUNK):
            said = [say(number) for number in numbers[start - numbers.start :][:CHUNK]]
            data = [(_SERVER.encode(frame), source) for frame, source in said]
            effects = self._time(name, self.first, data)
            told = [
                (_BINDER.encode(effect.frame), FIRST)
                for effect in effects
                if isinstance(effect, Send) and effect.target == SECOND
            ]
            if len(told) < len(said):
                raise Trouble(f"{len(said)} changes, but the other binder was told {len(told)}")
            self._time(f"replicate_{name}", self.second, told)

    def look_up(self, name: str, count: int) -> None:
        """Look up so often, one at a time."""
        types = bytes((TYPE,))
        began = time.perf_counter()
        for _ in range(count):
            _BINDER.found_run(self.first.look_up(types))
        self.took[name].append(1e6 * (time.perf_counter() - began) / count)

    def bytes_each(self, size: int) -> int:
        """The bytes that each of so many instances takes."""
        return round(1024 * (_own_kib() - self._empty_kib) / 2 / size)

    def means(self, left: int) -> Figures:
        """The microseconds that each operation took. Raises Trouble unless both binders know so
        many instances now."""
        known = [len(binder.directory) for binder in (self.first, self.second)]
        if known != [left, left]:
            raise Trouble(f"of {left} instances the binders know {known}")
        return {f"{name}_us": round(sum(t) / len(t), 2) for name, t in self.took.items()}

    def _time(self, name: str, binder: Binder, data: Sequence[tuple[bytes, Address]]) -> list:
        """The effects of some datagrams."""
        effects = []
        began = time.perf_counter()
        for datagram, source in data:
            effects += binder.handle(_BINDER.decode(datagram), source, NOW)
        self.took[name].append(1e6 * (time.perf_counter() - began) / len(data))
        return effects


def measure_size(size: int) -> Figures:
    """Microseconds for each operation, and bytes an instance, with so many of them."""
    pair = Pair()
    pair.change("register", range(size), lambda number: (Subscribe(TYPE), _address(number)))
    held = pair.bytes_each(size)
    pair.look_up("look_up", SAMPLE)
    leaving, last = min(SAMPLE, size // 4), min(size, REMOVED_MAX)
    for number in range(leaving):  # each takes the turns that lie ready back
        pair.change("change", range(number, number + 1), _removal)
        pair.look_up("look_up_after_a_change", 1)
    pair.change("remove", range(leaving, last), _removal)
    figures = pair.means(size - last)
    del figures["change_us"], figures["replicate_change_us"]
    return {
        "bytes_per_instance": held,
        **figures,
        "register_all_s": round(figures["register_us"] * size / 1e6, 3),
        f"slowest_{CHUNK}_removals_ms": round(max(pair.took["remove"]) * CHUNK / 1000, 1),
    }


def measure_rich(size: int) -> Figures:
    """The memory and the time that an instance takes which is all that one can be: of a service
    with a name, at an IPv6 address, with TAGS_BYTES of tags. All give one service."""
    pair = Pair()
    knows = DigestRequest(binder=2, digest=bytes(8), full=bytes(8))  # more than numbers
    pair.first.handle(ListRequest(trailer=knows), SECOND, NOW)
    pair.change("named", range(size), _rich)
    return {"instances": size, "bytes_per_instance": pair.bytes_each(size), **pair.means(size)}


def _measure(parsed: Namespace) -> Figures:
    """Measure each size in a process of its own; none is begun when the `seconds` are over."""
    sizes, ends_at = parsed.size or SIZES, time.monotonic() + parsed.seconds
    result: Figures = {}
    for size in sizes:
        late = result and time.monotonic() > ends_at
        skipped = f"skipped: {parsed.seconds:g} s were over"
        result[f"{size:,}"] = skipped if late else _afresh(measure_size, size)
    rows = [row for row in result.values() if isinstance(row, dict)]
    grown = {key: (rows[-1][key], value) for key, value in rows[0].items() if value}
    result["last / first"] = {key: round(last / first, 1) for key, (last, first) in grown.items()}
    result["named, IPv6, tags"] = _afresh(measure_rich, min(RICH_SIZE, max(sizes)))
    return result


def _afresh(measure: Callable[[int], Figures], size: int) -> Figures:
    with get_context("spawn").Pool(1) as fresh:  # Python gives little memory back
        return fresh.apply_async(measure, (size,)).get(SIZE_LIMIT)


def _binder(identity: int, peer: Address) -> Binder:
    return Binder(frozenset(), (peer,), identity, Random(identity), limits=LIMITS)


def _address(number: int) -> Address:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 4242


def _removal(number: int) -> tuple[Removed, Address]:
    return Removed(make_instance(TYPE, _address(number))), _address(number)


def _rich(number: int) -> tuple[Alive, Address]:
    """A subscription of a server with a name, an IPv6 address and tags, those of each its own."""
    tag = f"{number:0{TAGS_BYTES - len('build=')}}"
    said = encode_particulars(Particulars(tags={"build": tag}))
    address = canonical(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"), 4242
    return Alive(trailer=Announcement.of_server("billing", 9, particulars=said)), address


def _own_kib() -> int:
    return resident_kib([os.getpid()]) or 0


SIZE = amount("--size", None, SIZES[-1], "instances; repeat it", least=SIZES[0], repeats=True)
main = command("scale", __doc__, 60.0, _measure, SIZE)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
