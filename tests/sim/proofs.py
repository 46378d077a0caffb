"""What must hold where everybody has to prove who he is, whoever listens and says what he likes.

Each word of a peer counts once at a binder, and only if that peer has said it to this one. Nothing
is held that nobody subscribed who may. In a network that is sound
but for the attacker, what lives is never removed, what is dead is not held for longer than it would
be anyhow, and every lookup gets an answer; the answer is always one that a binder gave.

Who has stolen a server's credential can say about its service what he likes, and about no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from prr.config import Require
from prr.core.gate import Entry, Gate
from prr.core.outcomes import Answered, FoundService, NoBinder, NoService, UnknownService
from prr.core.pacing import LEASE
from prr.wire.frames import Found, FoundInstance, Frame, Removed, Subscribed, Unknown
from prr.wire.instance import Address, Instance, Service, address_of, describe, is_ipv6, service_of
from prr.wire.proofs import Again
from prr.wire.version import Version
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.processes import BinderProcess, ClientProcess

DEAD_MAX = LEASE + 3.0
"""Seconds for which what has ended may be held: its lease, and the time to ask it."""

SETTLED = 3.0
"""Seconds after its start from which a server is there for certain."""

ACQUAINTED = 10.0
"""Seconds from which binders that look like legacy ones tell each other of all there is."""

LOOK_EVERY = 20
"""Steps between two looks for what is dead."""

_enter = Gate.enter
_last: list[Entry] = []


def _enter_and_note(self: Gate, frame: Frame, source: Address) -> Entry:
    _last[:] = [_enter(self, frame, source)]
    return _last[0]


Gate.enter = _enter_and_note  # type: ignore[method-assign]


def let_in() -> Entry:
    """What the gate of a binder made of the last frame."""
    return _last[0]


class Word(NamedTuple):
    """Whose it is, to whom, when the process started that said it, and when that did."""

    source: Address | None
    target: Address | None
    started_at: float
    said_at: float


NEVER = Word(None, None, 0.0, 0.0)
"""What nobody has said."""


@dataclass(slots=True)
class Sealed:
    """What was really said, and by whom."""

    words: dict[bytes, Word] = field(default_factory=dict)
    """Of binders and servers."""
    named: defaultdict[Address, set[Address | None]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """What binders have answered, by whom they answered: addresses, None for an unknown service."""
    ended_at: dict[Instance, float] = field(default_factory=dict)


def excused(cluster: Cluster, service: Service) -> bool:
    """Somebody has stolen a credential of this service: anything may become of it."""
    return cluster.options.stolen == "server" and service == cluster.options.types[0]


def _named(frame: Found | FoundInstance | Unknown) -> Address | None:
    """Whom an answer to a lookup names; None if nobody."""
    match frame:
        case Found(address=address):
            return address
        case FoundInstance(instance=instance):
            return address_of(instance)
    return None


class SealedLedger:
    """What one binder process has made of what it heard."""

    def __init__(self, binder: BinderProcess) -> None:
        self._binder = binder
        self._cluster = binder.cluster
        options = self._cluster.options
        self._is_on = options.require is Require.ON and not options.has_lab_servers
        self._is_strict = self._is_on and options.is_calm
        self._let_in: set[bytes] = set()
        self._confirmed: set[bytes] = set()
        self._left: set[bytes] = set()  # what was said by those that left
        self._latest: dict[Address, float] = {}
        self._held: dict[Instance, Version | None] = {}
        self._source: Address | None = None
        self._data = b""
        self._changed_at: dict[Instance, float] = {}  # when what is held changed its version
        self._steps = 0

    def received(self, source: Address, data: bytes) -> None:
        """A datagram is about to be handled."""
        self._source, self._data = source, data

    def sent(self, frame: Frame, target: Address, data: bytes) -> None:
        """A datagram is about to be sent."""
        sealed = self._cluster.truth.sealed
        if isinstance(frame, Found | FoundInstance | Unknown):
            sealed.named[target].add(_named(frame))
        here = self._cluster.as_peer(self._binder.address)
        binder = self._binder
        sealed.words[data] = Word(here, target, binder.started_at, binder.world.now)
        if self._is_on and isinstance(frame, Subscribed) and target == self._source:
            self._check_confirmed(target)

    def _check_confirmed(self, server: Address) -> None:
        """What is confirmed has been said by whoever is told so, to this binder, and once."""
        if self._cluster.options.stolen == "server":
            return
        if not self._is_said_here(self._data, server):
            self._violated(f"confirms to {server[0]} what that has not said to it")
        if self._data in self._confirmed:
            self._violated(f"confirms twice what {server[0]} said once")
        self._confirmed.add(self._data)

    def is_own(self, instance: Instance, source: Address, data: bytes) -> bool:
        """On this word an instance is dropped: it has said so itself, here and once, though maybe
        before it was started again."""
        if not self._is_on:
            return source == self._speaker(instance)
        if self._is_excused(instance):
            return True
        is_first = data not in self._left
        self._left.add(data)
        return is_first and self._is_said_here(data, self._speaker(instance))

    def _is_said_here(self, data: bytes, server: Address) -> bool:
        """This server has really said it, to this binder."""
        word = self._word(data)
        return word.source == server and word.target in self._cluster.addresses_of(self._binder)

    def _word(self, data: bytes) -> Word:
        return self._cluster.truth.sealed.words.get(data, NEVER)

    def let_in(self, source: Address, data: bytes) -> None:
        """A word of a peer is believed."""
        if not self._is_on:
            return
        word = self._word(data)
        if (word.source, word.target) != (source, self._cluster.as_peer(self._binder.address)):
            self._violated(f"believes what {source[0]} never said to it")
        if data in self._let_in:
            self._violated(f"believes twice what {source[0]} said once")
        if word.started_at < self._latest.get(source, word.started_at):
            self._violated(f"believes what an earlier process of {source[0]} said")
        self._let_in.add(data)
        self._latest[source] = word.started_at

    def stepped(self) -> None:
        """A step is over."""
        if not self._is_on:
            return
        directory = self._binder.core.directory
        held = {instance: directory.version(instance) for instance in directory}
        for instance in held.keys() - self._held.keys():
            if instance not in self._cluster.truth.subscribed and not self._is_excused(instance):
                self._violated(f"holds {describe(instance)}, which nobody subscribed who may")
        for instance in sorted(dict(held.items() ^ self._held.items())):
            self._check_is_new(instance)
        if self._is_strict:
            for instance in self._held.keys() - held.keys():
                self._check_dropped(instance)
            self._steps += 1
            if self._steps % LOOK_EVERY == 0:
                self._check_dead(held.keys())
        self._source, self._held = None, held

    def _check_is_new(self, instance: Instance) -> None:
        """It has changed: not by what it said itself before it changed here last, which may be what
        an earlier process of it has said."""
        word, changed_at = self._word(self._data), self._changed_at.get(instance, 0.0)
        self._changed_at[instance] = self._binder.world.now
        is_own = word.source == self._source == self._speaker(instance)
        if is_own and word.said_at < changed_at < self._binder.world.now:
            self._violated(f"changes {describe(instance)} by what it said before the last change")

    def _speaker(self, instance: Instance) -> Address:
        return self._cluster.truth.speaker(instance)

    def _is_excused(self, instance: Instance) -> bool:
        return excused(self._cluster, service_of(instance))

    def _check_dropped(self, instance: Instance) -> None:
        now, server = self._binder.world.now, self._cluster.truth.up.get(instance)
        if server is None or not server.running or server.leaving:
            return
        if now - server.started_at > SETTLED and not self._is_excused(instance):
            self._violated(f"drops {describe(instance)}, which lives")

    def _check_dead(self, held: Set[Instance]) -> None:
        now = self._binder.world.now
        for instance, ended_at in self._cluster.truth.sealed.ended_at.items():
            is_over = instance in held and now - ended_at > DEAD_MAX
            if is_over and not self._is_excused(instance):
                self._violated(f"holds {describe(instance)}, dead for {now - ended_at:.1f} s")

    def _violated(self, what: str) -> None:
        raise Violation(f"{self._binder.name}: {what}")


def check_answer(cluster: Cluster, name: str, frame: Frame, data: bytes, server: Address) -> None:
    """What a server with a key takes for a binder's answer one has said to it."""
    is_answer = isinstance(frame, Subscribed | Removed) or isinstance(frame.trailer, Again)
    is_said = cluster.truth.sealed.words.get(data, NEVER).target == server
    if is_answer and not is_said and cluster.options.require is Require.ON:
        raise Violation(f"{name}: believes what no binder said to it")


def check_outcome(cluster: Cluster, client: ClientProcess) -> None:
    """What a client got at last, if it has a key: a binder has told it so."""
    if cluster.options.require is not Require.ON or not client.codec.has_keys:
        return
    outcome = client.core.outcome
    named = set().union(*(cluster.truth.sealed.named[line] for line in client.lines))
    match outcome:
        case FoundService(address=address) | Answered(address=address):
            is_told = address in named
        case NoService(address=address):
            is_told = address in named
        case UnknownService():
            is_told = None in named
        case _:
            is_told = True
    if not is_told:
        raise Violation(f"{client.name}: takes {outcome} from who is no binder")
    acquainted = ACQUAINTED if cluster.options.lab2016 else SETTLED
    if not cluster.options.is_calm or cluster.world.now < acquainted:
        return
    if isinstance(outcome, NoBinder):
        raise Violation(f"{client.name}: hears no binder, all of which answer")
    if isinstance(outcome, UnknownService) and (there := _there(cluster, client)):
        raise Violation(f"{client.name}: is told of nobody, where {describe(there)} is")


def _there(cluster: Cluster, client: ClientProcess) -> Instance | None:
    """One that has been there for certain, and that the client could take."""
    since = min(cluster.world.now, client.started_at) - SETTLED
    for instance, server in cluster.truth.up.items():
        is_asked_for = service_of(instance) == client.type
        is_asked_for = is_asked_for and (client.takes_ipv6 or not is_ipv6(instance))
        is_there = server.running and not server.leaving and server.started_at < since
        if is_asked_for and is_there and not excused(cluster, client.type):
            return instance
    return None
