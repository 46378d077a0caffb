"""What an instance costs in memory and in time, with a thousand of them and with a million.

    python -m benchmarks.scale
    python -m benchmarks.scale --size 1000 --size 10000 --json

Two binders' cores without sockets, all instances of one type, which is the worst case for its
turns: every instance subscribes with the first, whose words are given as bytes to the second.
Each size has a process of its own. A real binder's memory is measured beside.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from multiprocessing import get_context
from random import Random

from benchmarks.arguments import Flag, Trouble, parser_for, run
from benchmarks.fleet import Fleet
from benchmarks.proc import resident_kib
from benchmarks.processes import Node
from prr.config import Limits
from prr.core.binder import Binder
from prr.core.effects import Effect, Send
from prr.shell.garbage_collection import collect_seldom
from prr.wire.codec import Codec
from prr.wire.frames import Alive, ListRequest, Removed, Role, Subscribe
from prr.wire.instance import Address, canonical, make_instance
from prr.wire.messages import Announcement, DigestRequest
from prr.wire.particulars import Particulars, encode_particulars

_BINDER, _SERVER = Codec(Role.BINDER), Codec(Role.SERVER)

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SIZE = Flag("--size", None, SIZES[-1], "instances; repeat it", least=SIZES[0], repeats=True)
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

PROCESS_SIZE = 50_000
"""Instances that a real binder is given: some seconds' work for the one who subscribes them."""

FLEET_NET = 64

TYPE = 1
FIRST: Address = ("127.0.0.1", 2222)
SECOND: Address = ("127.0.0.1", 2223)
NOW = 1.0


class Pair:
    """Two binders' cores, and the time each operation has taken."""

    def __init__(self) -> None:
        collect_seldom()  # as a node does
        self._empty_bytes = _resident_bytes(os.getpid())
        self.first = _binder(1, SECOND)
        self.second = _binder(2, FIRST)
        self.took: dict[str, list[float]] = {}

    def register(
        self, size: int, name: str, server: Callable[[int], tuple[Subscribe | Alive, Address]]
    ) -> dict[str, float]:
        """Have so many servers subscribe; the bytes that each takes."""
        for start in range(0, size, CHUNK):
            numbers = range(start, min(start + CHUNK, size))
            self.change([server(number) for number in numbers], name)
        if len(self.second.directory) != size:
            known = len(self.second.directory)
            raise Trouble(f"the second binder knows {known} instances of {size}")
        taken = _resident_bytes(os.getpid()) - self._empty_bytes
        return {"bytes_per_instance": round(taken / 2 / size)}

    def change(
        self, frames: Sequence[tuple[Subscribe | Removed | Alive, Address]], name: str
    ) -> None:
        """Give the first binder some frames, and the second what it says of them."""
        received = [(_SERVER.encode(frame), source) for frame, source in frames]
        effects: list[Effect] = []

        def hear() -> None:
            for data, source in received:
                effects.extend(self.first.handle(_BINDER.decode(data), source, NOW))

        self._time(name, hear, len(received))
        told = [
            _BINDER.encode(effect.frame)
            for effect in effects
            if isinstance(effect, Send) and effect.target == SECOND
        ]
        if len(told) < len(received):
            raise Trouble(f"{len(received)} changes, but the other binder was told {len(told)}")

        def learn() -> None:
            for data in told:
                self.second.handle(_BINDER.decode(data), FIRST, NOW)

        self._time(f"replicate_{name}", learn, len(told))

    def look_up(self, name: str, count: int) -> None:
        """Look up so often, one at a time."""
        types = bytes((TYPE,))

        def ask() -> None:
            for _ in range(count):
                _BINDER.found_run(self.first.look_up(types))

        self._time(name, ask, count)

    def mean(self, name: str) -> float:
        """Microseconds that an operation took."""
        return sum(self.took[name]) / len(self.took[name])

    def means(self) -> dict[str, float]:
        """All of them."""
        return {f"{name}_us": round(self.mean(name), 2) for name in self.took}

    def _time(self, name: str, act: Callable[[], None], count: int) -> None:
        began = time.perf_counter()
        act()
        took = (time.perf_counter() - began) / count
        self.took.setdefault(name, []).append(1e6 * took)


def measure_size(size: int) -> dict[str, float]:
    """Microseconds for each operation, and bytes an instance, with so many of them."""
    pair = Pair()
    held = pair.register(size, "register", lambda n: (Subscribe(TYPE), _address(n)))
    pair.look_up("look_up", SAMPLE)
    leaving = min(SAMPLE, size // 4)
    for number in range(leaving):  # each takes the turns that lie ready back
        pair.change([(_removal(number), _address(number))], "change")
        pair.look_up("look_up_after_a_change", 1)
    last = min(size, REMOVED_MAX)
    for start in range(leaving, last, CHUNK):
        numbers = range(start, min(start + CHUNK, last))
        pair.change([(_removal(number), _address(number)) for number in numbers], "remove")
    if len(pair.first.directory) != size - last or len(pair.second.directory) != size - last:
        raise Trouble("not all that left are gone")
    figures = pair.means()
    del figures["change_us"], figures["replicate_change_us"]
    slowest = max(pair.took["remove"]) * CHUNK / 1000
    return {
        **held,
        **figures,
        "register_all_s": round(pair.mean("register") * size / 1e6, 3),
        f"slowest_{CHUNK}_removals_ms": round(slowest, 1),
    }


def measure_rich(size: int) -> dict[str, float]:
    """The memory and the time that an instance takes which is all that one can be: of a service
    with a name, at an IPv6 address, with TAGS_BYTES of tags. All give one service."""
    pair = Pair()
    knows = DigestRequest(binder=2, digest=bytes(8), full=bytes(8))  # more than numbers
    pair.first.handle(ListRequest(trailer=knows), SECOND, NOW)
    held = pair.register(size, "named", lambda n: (_rich(n), _ipv6_address(n)))
    return {"instances": size, **held, **pair.means()}


def measure(sizes: Sequence[int], seconds: float) -> dict[str, object]:
    """Measure each size in a process of its own; none is begun when `seconds` are over.

    Raises Trouble when a binder does not do what it should.
    """
    ends_at = time.monotonic() + seconds
    result: dict[str, object] = {}
    for size in sizes:
        late = result and time.monotonic() > ends_at
        skipped = f"skipped: {seconds:g} s were over"
        result[f"{size:,}"] = skipped if late else _afresh(measure_size, size)
    result["named, IPv6, tags"] = _afresh(measure_rich, min(RICH_SIZE, max(sizes)))
    result["a binder's process"] = _measure_process(min(PROCESS_SIZE, max(sizes)))
    return result


def _afresh(measure_: Callable[[int], dict[str, float]], size: int) -> dict[str, float]:
    with get_context("spawn").Pool(1) as fresh:  # Python gives little memory back
        return fresh.apply_async(measure_, (size,)).get(SIZE_LIMIT)


def _measure_process(size: int) -> dict[str, float]:
    """The memory of a real binder."""
    with ExitStack() as stack, closing(Fleet(size, bytes((TYPE,)), FLEET_NET)) as servers:
        binder = Node(stack, "binder", "--listen=127.0.0.1:0")
        at = binder.address
        before = _resident_bytes(binder.pid)
        began = time.perf_counter()
        servers.say(servers.first, at)
        took = time.perf_counter() - began
        after = _resident_bytes(binder.pid)
    return {
        "instances": size,
        "empty_kib": before // 1024,
        "full_kib": after // 1024,
        "bytes_per_instance": round((after - before) / size),
        "subscribe_and_confirm_us": round(1e6 * took / size, 1),
    }


def _binder(identity: int, peer: Address) -> Binder:
    return Binder(frozenset(), (peer,), identity, Random(identity), limits=LIMITS)


def _address(number: int) -> Address:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 4242


def _removal(number: int) -> Removed:
    return Removed(make_instance(TYPE, _address(number)))


def _rich(number: int) -> Alive:
    """A subscription of a server with a name and tags, those of each its own."""
    tag = f"{number:0{TAGS_BYTES - len('build=')}}"
    said = encode_particulars(Particulars(tags={"build": tag}))
    return Alive(trailer=Announcement.of_server("billing", 9, particulars=said))


def _ipv6_address(number: int) -> Address:
    return canonical(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"), 4242


def _resident_bytes(pid: int) -> int:
    kib = resident_kib([pid])
    if kib is None:
        raise Trouble("the memory of a process is not to be found under /proc")
    return 1024 * kib


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parser = parser_for("scale", __doc__, 60.0, SIZE)
    return run(parser, lambda parsed: measure(parsed.size or SIZES, parsed.seconds), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
