"""A million random and mutated datagrams for each role: nothing breaks, grows or talks too much."""

import resource
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import ClassVar, get_args

import pytest

from prr.core import client, deadlines, ring
from prr.core.binder import Binder
from prr.core.effects import Effect, Event, Outcome, Probe, Report, Send, Stop
from prr.core.registry import Registry
from prr.core.server import Server
from prr.core.verification import Verifications
from prr.wire.address import address_of, type_of
from prr.wire.codec import decode, encode
from prr.wire.errors import MalformedFrame
from prr.wire.frames import (
    TABLE,
    Added,
    Complaint,
    FoundInstance,
    Frame,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
)
from tests.cores import at, forms_for, random_frame

DATAGRAMS = 1_000_000
DATAGRAMS_MIN = 100_000
SECONDS = 4.0  # a slow machine stops before the million
GROWTH_MAX = 20_000_000  # bytes by which the second half may swell the process
INSTANCES_MAX, VERIFICATIONS_MAX = 50, 8  # few, so that every table is full most of the time

POOL = [at(number % 3, f"10.0.1.{number % 20}", 4000 + number % 2) for number in range(60)]
OWN = POOL[0]
PEERS = tuple((f"10.0.0.{number}", 2222) for number in (2, 3, 4))
STRANGERS = [("10.9.0.1", 1), ("10.9.0.2", 65535), ("0.0.0.0", 0), ("127.0.0.1", 5000)]
SOURCES = [*PEERS * 10, *STRANGERS, *map(address_of, POOL)]
OUTCOMES = list(Outcome)


def corpus(rng: Random, role: Role) -> list[bytes]:
    """Good datagrams of every form, most of them such as `role` receives."""
    forms = [*TABLE, *forms_for(role) * 4]
    frames = [random_frame(rng, form) for form in forms for _ in range(10)]
    return [encode(known(frame, rng)) for frame in frames]


def known(frame: Frame, rng: Random) -> Frame:
    """The frame, about instances and types that are likely to be known."""
    match frame:
        case Lookup() | Subscribe():
            return replace(frame, type=rng.randrange(4))
        case FoundInstance() | Complaint() | Added() | Removed():
            return replace(frame, instance=rng.choice(POOL))
        case ServiceList():
            return replace(frame, instances=tuple(rng.choices(POOL, k=rng.randrange(9))))
        case _:
            return frame


def mutate(data: bytes, rng: Random) -> bytes:
    """Half of the time the datagram itself, else one that is near it, or that is noise."""
    kind = rng.getrandbits(4)
    if kind < 8 or not data:
        return data
    if kind < 12:
        where = int(rng.random() * len(data))
        return data[:where] + rng.randbytes(1) + data[where + 1 :]
    if kind == 12:
        return data[: int(rng.random() * len(data))]
    if kind == 13:
        return data + rng.randbytes(rng.getrandbits(3))
    if kind == 14:
        return data + b"\xc1" + bytes((0x80 | rng.getrandbits(2),)) + rng.randbytes(6)
    return rng.randbytes(rng.getrandbits(rng.getrandbits(3)))


def resident_bytes() -> int:
    """The memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Target:
    """A core under fire, and what was seen to happen to it."""

    role: Role
    everything: ClassVar[set[object]]  # what must have happened, or the fire was too weak

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.seen: set[object] = set()
        self.now = 0.0
        self.renew()

    def renew(self) -> None:
        """A new core, started."""
        raise NotImplementedError

    def handle(self, frame: Frame) -> None:
        """Let the core have a frame, from somebody."""
        raise NotImplementedError

    def check(self) -> None:
        """Nothing has outgrown its limit."""
        raise NotImplementedError

    def more(self) -> list[bytes]:
        """Good datagrams that fit what the core knows now."""
        return []

    def act(self, effects: list[Effect]) -> None:
        """Take notice of what the core does; what it sends must be fit to be sent."""
        for effect in effects:
            if isinstance(effect, Send):
                encode(effect.frame)
            elif isinstance(effect, Report):
                self.seen.add(effect.event)


class BinderUnderFire(Target):
    """A binder, its peers and strangers; some of its questions are answered, early or late."""

    role = Role.BINDER
    everything: ClassVar = set(Event) - {
        *(Event.CONFIRMED, Event.NO_CONFIRMATION, Event.FOUND),  # other roles'
        Event.PEER_SILENT,  # these peers are all but silent
    }

    def renew(self) -> None:
        self._core = Binder(frozenset(), PEERS)
        self._asked: list[Probe] = []
        self.act(self._core.start(self.now))

    def handle(self, frame: Frame) -> None:
        source = pick(SOURCES, self.rng)
        effects = self._core.handle(frame, source, self.now)
        self.act(effects)
        if source not in PEERS:
            answers = [one for one in effects if isinstance(one, Send) and one.target == source]
            assert len(answers) <= 1
        if self._asked and self.rng.getrandbits(3) == 0:
            probe = self._asked.pop(self.rng.randrange(len(self._asked)))
            self.act(self._core.probed(probe, pick(OUTCOMES, self.rng), self.now))
        if (deadline := self._core.deadline()) is not None and deadline <= self.now:
            self.act(self._core.tick(self.now))

    def act(self, effects: list[Effect]) -> None:
        super().act(effects)
        self._asked += [effect for effect in effects if isinstance(effect, Probe)]
        del self._asked[:-20]

    def more(self) -> list[bytes]:
        held, _ = self._core.registry.page(b"", 10 * INSTANCES_MAX)
        strange = [encode(Removed(one)) for one in held if one not in POOL]
        return strange + [encode(Complaint(one)) for one in held]

    def check(self) -> None:
        core, registry = self._core, self._core.registry
        held, cursor = registry.page(b"", 10 * INSTANCES_MAX)
        assert len(held) == len(registry) <= INSTANCES_MAX
        assert cursor is None
        assert registry._suspects <= set(held)
        rings = [*registry._in_turn.values(), *registry._suspect_turns.values()]
        assert sum(map(len, rings)) == len(held)
        for one in rings:
            assert len(one._queue) <= 2 * len(one) + ring._GONE_MIN
        rows = core._verifications._rows
        assert len(rows) <= VERIFICATIONS_MAX
        assert {one for one, row in rows.items() if not row.is_over} <= set(held)
        assert set(core._sync._rows) <= set(PEERS)
        assert len(core._verifications._deadlines._heap) <= limit_of_heap(VERIFICATIONS_MAX)
        assert len(core._sync._deadlines._heap) <= limit_of_heap(len(PEERS))


def limit_of_heap(rows: int) -> int:
    """Entries in a heap of deadlines, stale ones included."""
    return 2 * rows + deadlines._STALE_MIN


class ServerUnderFire(Target):
    """A server, and the next one when it has stopped; now and then it is told to leave."""

    role = Role.SERVER
    everything: ClassVar = {Event.CONFIRMED, Event.NO_CONFIRMATION, True, False}

    def renew(self) -> None:
        seen_at = dict.fromkeys(PEERS, address_of(OWN))
        self._core = Server(type_of(OWN), seen_at, self.rng)
        self.act(self._core.start(self.now))

    def handle(self, frame: Frame) -> None:
        self.act(self._core.handle(frame, pick(SOURCES, self.rng), self.now))
        if self.rng.getrandbits(6) == 0:
            self.act(self._core.stop(self.now))
        self.act(self._core.tick(self.now))

    def act(self, effects: list[Effect]) -> None:
        super().act(effects)
        for effect in effects:
            if isinstance(effect, Stop):
                self.seen.add(effect.in_order)
                self.renew()

    def more(self) -> list[bytes]:
        return [encode(Removed(OWN))] * 50

    def check(self) -> None:
        assert sorted(self._core._binders) == sorted(PEERS)
        assert len(self._core._left_to_ask) <= len(PEERS)


class ClientUnderFire(Target):
    """A client, and the next one when its exchange is over."""

    role = Role.CLIENT
    everything: ClassVar = {Event.FOUND, *get_args(client.Outcome)}

    def renew(self) -> None:
        message = pick((None, b"hello"), self.rng)
        self._core = client.Client(self.rng.getrandbits(2), message, PEERS, self.rng)
        self.act(self._core.start(self.now))

    def handle(self, frame: Frame) -> None:
        core = self._core
        is_service = core._service is not None and self.rng.getrandbits(2)
        source = core._service if is_service else pick(SOURCES, self.rng)
        self.act(core.handle(frame, source, self.now))
        if self.rng.getrandbits(4) == 0:
            self.act(core.refused(source, self.now))
        self.act(core.tick(self.now))
        if core.outcome is not None:
            assert core.deadline() is None
            self.seen.add(type(core.outcome))
            self.renew()

    def check(self) -> None:
        assert sorted(self._core._binders) == sorted(PEERS)


def pick(choices, rng: Random):
    """One of them; faster than rng.choice."""
    return choices[int(rng.random() * len(choices))]


def fire(target: Target, rng: Random, ends_at: float, most: int) -> tuple[int, int]:
    """Send datagrams until the time is over: how many, and how many of them were frames."""
    always = corpus(rng, target.role)
    frames = 0
    for number in range(most):
        if number % 4096 == 0:
            target.check()
            good = always + target.more()
            if time.monotonic() >= ends_at:
                return number, frames
        target.now += 0.001 if rng.random() < 0.99 else 1.0
        try:
            frame = decode(mutate(pick(good, rng), rng), target.role)
        except MalformedFrame:
            continue
        frames += 1
        target.handle(frame)
    return most, frames


@pytest.mark.parametrize("made", [BinderUnderFire, ServerUnderFire, ClientUnderFire])
def test_a_million_datagrams_break_nothing(made, monkeypatch):
    registry = partial(Registry, instances_max=INSTANCES_MAX)
    verifications = partial(Verifications, rows_max=VERIFICATIONS_MAX)
    monkeypatch.setattr("prr.core.binder.Registry", registry)
    monkeypatch.setattr("prr.core.binder.Verifications", verifications)
    monkeypatch.setattr("prr.core.registry.BUCKETS", 16)  # few, as the instances are
    rng = Random(2016)
    target = made(rng)
    starts_at = time.monotonic()
    first, _ = fire(target, rng, starts_at + SECONDS / 2, DATAGRAMS // 2)
    resident = resident_bytes()
    second, frames = fire(target, rng, starts_at + SECONDS, DATAGRAMS // 2)
    print(f"{made.role}: {first + second} datagrams, of the second half {frames} were frames")
    assert first + second >= DATAGRAMS_MIN
    assert frames > second / 4
    assert target.everything <= target.seen
    assert resident_bytes() - resident < GROWTH_MAX
