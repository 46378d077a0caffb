"""A million random and mutated datagrams for each role: nothing breaks, grows or talks too much."""

import resource
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import ClassVar, get_args

import pytest

from prr.config import Limits
from prr.core import client, deadlines
from prr.core.agent.agent import QUESTIONS_MAX, Agent
from prr.core.agent.effects import Check, Launch
from prr.core.agent.health import CheckPolicy, Health
from prr.core.agent.program import Program, ProgramPolicy
from prr.core.binder import Binder
from prr.core.effects import Effect, Event, Outcome, Probe, ProbeAll, Report, Send, Stop
from prr.core.liveness.first_questions import FEW
from prr.core.server import Server
from prr.wire.errors import MalformedFrame
from prr.wire.forms import TABLE
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    FoundInstance,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Unknown,
)
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import address_of, service_of
from prr.wire.trailer import Question
from prr.wire.version import encode_removals, encode_version, encode_versions
from tests.cores import (
    at,
    behind,
    decode,
    encode,
    forms_for,
    one_by_one,
    random_frame,
    random_version,
    sent,
)

pytestmark = pytest.mark.elsewhere

DATAGRAMS = 1_000_000
GROWTH_MAX = 20_000_000  # bytes by which the second half may swell the process
INSTANCES_MAX, REMOVALS_MAX, VERIFICATIONS_MAX = 50, 20, 8  # few: every table is full, mostly
LIMITS = Limits(
    INSTANCES_MAX,
    removals=REMOVALS_MAX,
    newcomers=10,
    newcomers_per_second=0.1,
    instances_per_host=2,
    complaints_per_host=2,
    complaints_per_second=0.1,
    verifications=VERIFICATIONS_MAX,
)

POOL = [at(number % 3, f"10.0.1.{number % 20}", 4000 + number % 2) for number in range(60)]
OWN = POOL[0]
PEERS = tuple((f"10.0.0.{number}", 2222) for number in (2, 3, 4))
STRANGERS = [("10.9.0.1", 1), ("10.9.0.2", 65535), ("0.0.0.0", 0), ("127.0.0.1", 5000)]
SOURCES = [*PEERS * 10, *STRANGERS, *map(address_of, POOL)]
WITHOUT_PEERS = [source for source in SOURCES if source not in PEERS]
QUIET_EVERY, QUIET_LASTS = 120.0, 30.0  # seconds: then no peer is heard, long enough to be lost
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


def between_binders(rng: Random) -> list[bytes]:
    """What binders of ours tell each other, about instances that are likely to be known."""
    frames: list[Frame] = []
    for _ in range(200):
        versions = [random_version(rng) for _ in range(4)]
        own = {"binder": rng.choice((1, 2, 3, 4)), "nonce": rng.randrange(200)}
        word = {**own, "versions": encode_version(versions[0])}
        frames += [behind(kind(rng.choice(POOL)), **word) for kind in (Added, Removed)]
        instances = rng.sample(POOL, 4)
        page = {
            "group": rng.choice((None, *range(64))),
            "buckets": rng.choice((None, 2**64 - 1)),
            "cursor": rng.choice((None, rng.choice(POOL))),
            "versions": encode_versions(versions),
            "removals": encode_removals(list(zip(rng.sample(POOL, 4), versions, strict=True))),
        }
        page = {key: value for key, value in page.items() if value is not None}
        frames.append(behind(ServiceList(tuple(instances)), **own, **page))
        digests = {"digest": rng.randbytes(8), "digests": rng.randbytes(512)}
        frames.append(behind(ServiceList(()), **own, **digests))
    return [encode(frame) for frame in frames]


def an_operators(rng: Random) -> Frame:
    """Drain an instance that is likely to be known, or do so no longer."""
    seconds, last = rng.choice((0, 1, 60)), rng.choice((None, 1))
    asked = {"question": Question.DRAIN, "seconds": seconds, "last": last, "text": b"why"}
    trailer = DrainQuery(cursor=pick(POOL, rng), nonce=rng.getrandbits(63), **asked)
    return ListRequest(trailer=trailer)


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
        for effect in one_by_one(effects):
            if isinstance(effect, Send):
                encode(effect.frame)
            elif isinstance(effect, Report):
                self.seen.add(effect.event)


class BinderUnderFire(Target):
    """A binder, its peers and strangers; some of its questions are answered, early or late."""

    role = Role.BINDER
    everything: ClassVar = set(Event) - {
        *(Event.CONFIRMED, Event.NO_CONFIRMATION, Event.FOUND),  # other roles'
        *(Event.CHECK_PASSED, Event.CHECK_FAILED, Event.FLAPPING, Event.ENDED),  # an agent's
        *(Event.CALL_FAILED, Event.CALL_DROPPED),  # of a program behind a server
        Event.PEER_SILENT,  # these peers are all but silent
        Event.BRAKE,  # there is always another binder to ask
        Event.OVER_QUOTA,  # it takes more of them
        Event.CREDENTIAL_FULL,  # nobody has any
        Event.EXCLUDED,  # all of these are on one host
        *(Event.UNPROVED, Event.NOT_BELIEVED, Event.REPLAYED),  # it has no keys
    }

    def renew(self) -> None:
        self._core = Binder(frozenset(), PEERS, 1, self.rng, limits=LIMITS, lease=2.0)
        self._asked: list[Probe] = []
        self._questions: list[Send] = []
        self._told = between_binders(self.rng)
        self.act(self._core.start(self.now))

    def handle(self, frame: Frame) -> None:
        is_quiet = self.now % QUIET_EVERY < QUIET_LASTS
        source = pick(WITHOUT_PEERS if is_quiet else SOURCES, self.rng)
        if self._questions and not is_quiet and self.rng.getrandbits(2) == 0:
            question = self._questions.pop()  # a peer's answer, to the nonce that was asked for
            source = question.target
            said = frame.trailer.values() if frame.trailer else {"binder": 2}
            said.pop("group", None)
            asked = question.frame.trailer.values()
            repeated = {key: asked[key] for key in ("nonce", "group") if key in asked}
            frame = behind(frame, **(said | repeated))
        if self.rng.getrandbits(6) == 0:  # an operator, on the binder's own host
            frame, source = an_operators(self.rng), STRANGERS[-1]
        effects = self._core.handle(frame, source, self.now)
        self.act(effects)
        if source not in PEERS:
            answers = [to for _, to in sent(effects) if to == source]
            assert len(answers) <= 1
        if self._asked and self.rng.getrandbits(3) == 0:
            probe = self._asked.pop(self.rng.randrange(len(self._asked)))
            self.act(self._core.probed(probe, pick(OUTCOMES, self.rng), self.now))
        if (deadline := self._core.deadline()) is not None and deadline <= self.now:
            self.act(self._core.tick(self.now))

    def act(self, effects: list[Effect]) -> None:
        super().act(effects)
        self._asked += [effect for effect in effects if isinstance(effect, Probe)]
        for together in (effect for effect in effects if isinstance(effect, ProbeAll)):
            answered = self.rng.sample(together.instances, self.rng.randrange(FEW))
            self.act(self._core.answered_all(together, answered, self.now))
        del self._asked[:-20]
        asked = [effect for effect in effects if isinstance(effect, Send)]
        self._questions += [one for one in asked if one.frame.trailer and one.target in PEERS]
        del self._questions[:-20]

    def more(self) -> list[bytes]:
        held, _ = self._core.directory.instances(b"", 10 * INSTANCES_MAX)
        strange = [encode(Removed(one)) for one in held if one not in POOL]
        opinions = [encode(Alive()), encode(Unknown())] * 20
        complaints = [encode(Complaint(one)) for one in held]
        versions = {one: encode_version(self._core.directory.version(one)) for one in held}
        suspicions = [
            encode(behind(Added(one), binder=2, versions=version, doubt=1))
            for one, version in versions.items()
        ]
        return strange + complaints + suspicions + opinions + self._told

    def check(self) -> None:
        core, directory = self._core, self._core.directory
        held, cursor = directory.instances(b"", 10 * INSTANCES_MAX)
        assert len(held) == len(directory) <= INSTANCES_MAX
        assert cursor is None
        check_turns(directory, held)
        seen = core.inspect()
        gone = sum(not is_there for _, is_there, _ in seen.directory.updates.values())
        removals = [seen.sizes[name][0] for name in ("removals", "wide removals")]
        assert gone <= sum(removals)
        assert max(removals) <= REMOVALS_MAX
        assert {name: size for name, size in seen.sizes.items() if size[0] > size[1]} == {}
        assert 0 <= seen.counter < 2**64
        assert len(seen.verifications) <= VERIFICATIONS_MAX
        known = INSTANCES_MAX + 2 * REMOVALS_MAX + VERIFICATIONS_MAX
        assert seen.sizes["leases"][1] == seen.sizes["opinions owed"][1] == known
        assert set().union(*seen.opinions_owed.values()) <= set(PEERS)
        held_back = (core.status(self.now)["brake"] or {}).get("held_back", 0)
        assert held_back <= INSTANCES_MAX
        assert set(seen.rounds) <= set(PEERS)
        assert all(questions <= 65 for questions in seen.rounds.values())
        assert seen.sizes["verifications due"][0] <= limit_of_heap(VERIFICATIONS_MAX)
        assert seen.sizes["leases due"][0] <= limit_of_heap(known)
        assert seen.sizes["questions due"][0] <= limit_of_heap(65 * len(PEERS))


def check_turns(directory, held) -> None:
    """Everybody has one turn, and the rings are not much longer than that."""
    seen = directory.inspect()
    assert seen.suspects <= set(held)
    in_turn = [one for service in directory.services() for one in directory.instances_of(service)]
    assert sorted(in_turn) == sorted(held)


def limit_of_heap(rows: int) -> int:
    """Entries in a heap of deadlines, stale ones included."""
    return 2 * rows + deadlines._STALE_MIN


class ServerUnderFire(Target):
    """A server, and the next one when it has stopped; now and then it is told to leave."""

    role = Role.SERVER
    everything: ClassVar = {Event.CONFIRMED, Event.NO_CONFIRMATION, True, False}

    def renew(self) -> None:
        seen_at = dict.fromkeys(PEERS, address_of(OWN))
        self._core = Server(service_of(OWN), seen_at, self.rng)
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
        assert sorted(self._core.inspect().binders) == sorted(PEERS)
        assert len(self._core.inspect().left_to_ask) <= len(PEERS)


class AgentUnderFire(Target):
    """An agent whose checks pass and fail and whose program ends, and the next one when it has
    stopped."""

    role = Role.SERVER
    everything: ClassVar = {
        *(Event.CHECK_PASSED, Event.CHECK_FAILED, Event.FLAPPING, Event.ENDED),
        *(Event.CONFIRMED, Event.NO_CONFIRMATION, Event.WITHDRAWN, True),
    }

    def renew(self) -> None:
        seen_at = dict.fromkeys(PEERS, address_of(OWN))
        self._is_running = self._is_checking = False
        self._core = Agent(
            "agent",
            lambda: Server(service_of(OWN), seen_at, self.rng),
            Health("agent", CheckPolicy(interval=0.1, failures=2)),
            Program(ProgramPolicy(restart=True)),
        )
        self.act(self._core.start(self.now))

    def handle(self, frame: Frame) -> None:
        self.act(self._core.handle(frame, pick(SOURCES, self.rng), self.now))
        if self._is_checking and self.rng.getrandbits(4) == 0:
            self._is_checking = False
            self.act(self._core.checked(self.rng.random() < 0.8, "words", self.now))
        if self._is_running and self.rng.getrandbits(10) == 0:
            self._is_running = False
            self.act(self._core.exited(self.rng.getrandbits(8), self.now))
        if self.rng.getrandbits(12) == 0:
            self.act(self._core.stop(self.now))
        self.act(self._core.tick(self.now))

    def act(self, effects: list) -> None:
        super().act(effects)
        assert len(sent(effects)) <= QUESTIONS_MAX + 2
        for effect in effects:
            if isinstance(effect, Check):
                assert not self._is_checking  # one at a time
                self._is_checking = True
            elif isinstance(effect, Launch):
                assert not self._is_running
                self._is_running = True
            elif isinstance(effect, Stop):
                self.seen.add(effect.in_order)
                self.renew()

    def more(self) -> list[bytes]:
        return [encode(Removed(OWN))] * 50

    def check(self) -> None:
        assert self._core.summary(self.now)


class ClientUnderFire(Target):
    """A client, and the next one when its exchange is over."""

    role = Role.CLIENT
    everything: ClassVar = {Event.FOUND, *get_args(client.Outcome)}

    def renew(self) -> None:
        message = pick((None, b"hello"), self.rng)
        hedge = self.rng.getrandbits(1) == 1
        self._core = client.Client(
            self.rng.getrandbits(2), message, PEERS, self.rng, self.rng.random(), hedge
        )
        self.act(self._core.start(self.now))

    def handle(self, frame: Frame) -> None:
        core = self._core
        services = core.inspect().services
        is_service = services and self.rng.getrandbits(2)
        source = pick(services if is_service else SOURCES, self.rng)
        self.act(core.handle(frame, source, self.now))
        if self.rng.getrandbits(4) == 0:
            self.act(core.refused(source, self.now))
        self.act(core.tick(self.now))
        if core.outcome is not None:
            assert core.deadline() is None
            self.seen.add(type(core.outcome))
            self.renew()

    def check(self) -> None:
        assert sorted(self._core.inspect().binders) == sorted(PEERS)


def pick(choices, rng: Random):
    """One of them; faster than rng.choice."""
    return choices[int(rng.random() * len(choices))]


def fire(target: Target, rng: Random, count: int) -> int:
    """Send so many datagrams; how many of them were frames."""
    always = corpus(rng, target.role)
    frames = 0
    for number in range(count):
        if number % 4096 == 0:
            target.check()
            good = always + target.more()
        target.now += 0.001 if rng.random() < 0.99 else 1.0
        try:
            frame = decode(mutate(pick(good, rng), rng), target.role)
        except MalformedFrame:
            continue
        frames += 1
        target.handle(frame)
    target.check()
    return frames


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (BinderUnderFire, 26_000),
        (ServerUnderFire, 30_000),
        (AgentUnderFire, 20_000),
        (ClientUnderFire, 20_000),
        pytest.param(BinderUnderFire, 40_000, marks=pytest.mark.smoke),
        pytest.param(ServerUnderFire, 200_000, marks=pytest.mark.smoke),
        pytest.param(AgentUnderFire, 80_000, marks=pytest.mark.smoke),
        pytest.param(ClientUnderFire, 200_000, marks=pytest.mark.smoke),
        *(
            pytest.param(made, DATAGRAMS, marks=pytest.mark.slow)
            for made in (BinderUnderFire, ServerUnderFire, AgentUnderFire, ClientUnderFire)
        ),
    ],
)
def test_a_million_datagrams_break_nothing(made, count):
    rng = Random(2016)
    target = made(rng)
    fire(target, rng, count // 2)
    resident = resident_bytes()
    frames = fire(target, rng, count // 2)
    assert frames > count / 8
    assert target.everything <= target.seen
    assert resident_bytes() - resident < GROWTH_MAX
