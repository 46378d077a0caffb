"""Safety: what no binder may do, whatever the network does. Checked at every single step.

A Ledger belongs to one binder process and sees each datagram, question and effect of it. What it
says of the world outside it takes from Truth, which the processes write as things happen.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from prr.core.effects import Effect, Event, Probe, Report
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.runs import Runs, Subscribers
from prr.core.liveness.states import Case, Row
from prr.core.pacing import LEASE
from prr.wire.frames import (
    Alive,
    Found,
    FoundInstance,
    Frame,
    Lookup,
    Removed,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
)
from prr.wire.instance import (
    Address,
    Instance,
    address_of,
    describe,
    describe_address,
    is_ipv6,
    is_ipv6_address,
    make_instance,
    service_of,
)
from prr.wire.messages import AgentAnnouncement, Announcement, Opinion
from prr.wire.query import Query
from prr.wire.questions import Asked, asked_by
from tests.sim import adapter
from tests.sim.drains import DrainLedger, Said
from tests.sim.proofs import Sealed, SealedLedger, excused, let_in
from tests.sim.trace import one_line
from tests.sim.turns import passed_over
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.processes import BinderProcess, ServerProcess

STRANGER_BYTES = 8
"""Bytes a node that is no peer gets at most, in one datagram for each one it sent."""

IPV6_BYTES = 30
"""Bytes of an answer at an IPv6 address, and at least of the question."""

VICTIMS = "10.0.7."
"""Hosts in whose name others speak, and which never say a word."""

PER_SUBSCRIPTION = 5
"""Datagrams that a subscription brings to an address that never answers, all binders together and
whoever complains at which of them."""

WITHDRAWAL_GRACE = 10.0
"""Seconds after which no binder hands out what has taken its leave, where nothing is lost."""

SYNC_SILENCE = 0.95
"""Seconds in which a new binder that has heard no peer denies nothing (a little under the
second it has, for the clocks)."""

QUESTIONS_MIN = 2
QUESTIONS_APART = 0.02
"""Questions before an eviction, and seconds between the first and the last of them; unless an
answer came, which may say that another service listens there now."""

QUESTIONS_MAX = 6
"""Questions in one verification, refusals or not, and however late the binder is: three of its own,
and one each time that it waits for opinions. Those that could not be sent do not count."""

ASKED_WINDOW = 1.0
ASKED_MAX = 12
"""Questions that one instance may get from one binder within these seconds, whoever complains and
however often: four times for complaints, where an answer may be lost each time, and for whatever
else it is asked about."""

REFUSALS = frozenset({Event.OVER_QUOTA, Event.FLOODED, Event.HOST_FULL, Event.CREDENTIAL_FULL})
"""What is said of a subscription that is over a quota."""

LAG_ALLOWED = 0.2
"""Seconds a verdict may be late before the binder has to doubt itself: a question's timeout."""

SILENCED_WINDOW = 5.0
SILENCED_MIN = 4
SILENCED_SHARE = 0.5
"""A binder that within these seconds evicts at least so many that live, for their silence, and
this share of its table, is itself what is cut off."""

OUT_WINDOW = 10.0
OUT_MAX = 4.0
"""Of these seconds, those for which one that lives, and is in reach, may be out of turn, however
many complain or suspect it: a peer's suspicion holds for 2, and an answer ends a verification."""

PEER_SILENCE = 5.0
PEER_SILENCE_EACH = 3.0
"""Seconds for which one of few peers is not heard, or one of many, before it may be called lost."""

PEER_GRACE = 4.0
"""Seconds more after which it must be called lost, by a binder that runs."""

LOOK_EVERY = 50
"""Steps between two looks at whether a silence is told."""

SETTLED = 3.0
SETTLED_LAB2016 = 8.0
"""Seconds for which nothing has changed before a binder can be blamed for asking nobody else. Those
that look like binders of 2016 ask each other with a trailer only after 5 s: until then none knows
that there is another of ours to be asked."""


_run = Lifecycle.run


def _run_and_compare(self: Lifecycle, row: Row, case: Case) -> list[Effect]:
    """A binder goes through a row of the lifecycle table: what the row says has come true."""
    said = row.after or self.state_of(case.instance)
    effects = _run(self, row, case)
    if (is_so := self.state_of(case.instance)) is not said:
        name = describe(case.instance)
        raise Violation(f"{name} is {is_so} after {case.trigger}, where its row says {said}")
    return effects


Lifecycle.run = _run_and_compare  # type: ignore[method-assign]


_run_all = Runs.run


def _run_all_and_compare(
    self: Runs, row: Row, run: Subscribers, confirm: Callable[[], Effect]
) -> list[Effect]:
    """A run goes through a row: it is the one that holds for each, and has come true for each."""
    for number, one in enumerate(run.instances):
        if (right := self.lifecycle.row_for(run.case(number))) is not row:
            raise Violation(f"{describe(one)} is taken for {row.why!r}, and is {right.why!r}")
    effects = _run_all(self, row, run, confirm)
    for one in run.instances:
        if (is_so := self.lifecycle.state_of(one)) is not row.after:
            raise Violation(f"{describe(one)} is {is_so} after a run, not {row.after}")
    return effects


Runs.run = _run_all_and_compare  # type: ignore[method-assign]


def is_announcement(frame: Frame) -> bool:
    """A server subscribes whose service has a name, or which has a key."""
    return isinstance(frame, Alive) and isinstance(frame.trailer, Announcement | AgentAnnouncement)


@dataclass(slots=True)
class Truth:
    """What is really so."""

    up: dict[Instance, ServerProcess] = field(default_factory=dict)
    subscribed: set[Instance] = field(default_factory=set)  # ever
    forged: Counter[Address] = field(default_factory=Counter)
    """Datagrams that victims may get for what was said in their name, less those they got."""
    left_at: dict[Instance, float] = field(default_factory=dict)  # acknowledged, not come back
    drains: dict[Instance, Said] = field(default_factory=dict)
    drain_words: dict[bytes, BinderProcess] = field(default_factory=dict)  # of operators, to whom
    sealed: Sealed = field(default_factory=Sealed)

    def speaker(self, instance: Instance) -> Address:
        """Where an instance speaks from: at another port, if an agent does so for it."""
        server = self.up.get(instance)
        return address_of(instance) if server is None else server.speaks_from


@dataclass(slots=True)
class Question:
    """One question to an instance, and what is really known of its fate; the binder's clock."""

    serial: int
    moment: float  # when it was asked, in the world's time
    asked_at: float
    ends_at: float
    to_newcomer: bool  # who has not answered this binder yet, and goes if it never does
    answered: bool = False  # the answer reached the binder's host in time
    waited: bool = False  # there it waited, because the binder was paused
    refused: bool = False


class Ledger:
    """What one binder process has seen and done, and the rules it must keep."""

    def __init__(self, binder: BinderProcess) -> None:
        self._binder = binder
        self._truth = binder.cluster.truth
        self._peers = frozenset(binder.cluster.peers_of(binder.address))
        self._started_at = binder.now
        self._lookup: Lookup | None = None
        self._open: defaultdict[Address, list[Asked]] = defaultdict(list)  # lookups not answered
        self._source: Address | None = None
        self._heard_peer = not self._peers or binder.finds_peers
        self.answers_as_of: float | None = None
        """When what is answered now was asked; None: now."""
        self._credit: Counter[Address] = Counter()  # datagrams that may go to strangers
        self._longest: dict[Address, int] = {}  # what one sent that was longest, in bytes
        # Whose leave was acknowledged here, and who have not been named since.
        self._left: dict[Instance, ServerProcess | None] = {}
        self._questions: dict[str, list[Question]] = {}
        self._asked_at: defaultdict[Instance, deque[float]] = defaultdict(deque)
        self._steps = 0
        self.drains = DrainLedger(binder)
        self.sealed = SealedLedger(binder)
        self._peer_heard: dict[str, float] = {}  # by address
        self._peers_of_ours: set[str] = set()
        self.has_told_twin = False
        self._peers_lost: set[str] = set()
        # When those last spoke here that have not fallen silent since.
        self._heard: dict[Instance, float] = {}
        # When living instances were out of turn, from and to; the last time may go on.
        self._out: defaultdict[Instance, deque[list[float]]] = defaultdict(deque)
        self._is_out: set[Instance] = set()
        self._silenced: deque[float] = deque()  # when living instances were evicted for silence

    # What happens.

    def received(self, frame: Frame, source: Address, data: bytes) -> None:
        """A datagram is about to be handled."""
        self._allow_for(frame, source)
        self._source = source
        self.sealed.received(source, data)
        self._lookup = frame if isinstance(frame, Lookup) else None
        if isinstance(frame, Lookup):
            is_wide = isinstance(frame.trailer, Query) and frame.trailer.wide is not None
            can_take = is_wide and frame.trailer.size >= IPV6_BYTES  # what is skipped is no room
            self._open[source].append(asked_by(frame)._replace(wide=can_take))
        if source not in self._peers:
            self._credit[source] += 1
            self._longest[source] = max(len(data), self._longest.get(source, STRANGER_BYTES))
        if self._left:
            named = [i for i in self._left if i in data or source == self._truth.speaker(i)]
            for instance in named:
                del self._left[instance]

    def hears_of(self, instances: Iterable[Instance]) -> None:
        """A store that others share says something of these."""
        for instance in instances:
            self._left.pop(instance, None)

    def let_in(self, frame: Frame, source: Address, data: bytes) -> None:
        """A datagram has been handled: it counts as a peer's if it is certain that it is one."""
        if source not in self._peers:
            return
        name = describe_address(source)
        if let_in().peer is None:
            peer = self._binder.core.peers.get(source)  # None: not found yet
            is_heard = peer is not None and peer.heard_at == self._binder.now
            if is_heard and self._peer_heard.get(name) != self._binder.now:
                raise Violation(f"{self._name}: hears {name} in what it does not believe")
            return
        self.sealed.let_in(source, data)
        self._heard_peer = self._heard_peer or isinstance(frame, ServiceList)
        self._peer_heard[name] = self._binder.now
        if frame.trailer and frame.trailer.binder is not None:
            self._peers_of_ours.add(name)

    def sent(self, frame: Frame, target: Address, data: bytes) -> None:
        """A datagram is about to be sent from the binder's own socket."""
        self._check_victim(target)
        if target not in self._peers:
            self._check_stranger(frame, target, data)
        self.sealed.sent(frame, target, data)
        if isinstance(frame, Found):
            is_at_once = self._is_at_once(target)
            self._check_read(asked := self._answered(target), frame.address)
            self._check_found(found := make_instance(asked.service, frame.address))
            self._check_turn(asked, found, is_at_once)
        elif isinstance(frame, FoundInstance):
            self._check_found(frame.instance)
        elif isinstance(frame, Unknown) and not isinstance(frame.trailer, Opinion):
            self._check_unknown(self._answered(target))
        elif isinstance(frame, Subscribed):
            for instance in (i for i in self._truth.up if self._truth.speaker(i) == target):
                if adapter.is_newcomer(self._binder.core, instance):
                    self._heard.pop(instance, None)  # it is vouched for once it has answered
                elif adapter.owns(self._binder.core, instance):  # else it was released meanwhile
                    asked_at = self.answers_as_of
                    self._heard[instance] = self._binder.now if asked_at is None else asked_at
        elif isinstance(frame, Removed) and target == self._truth.speaker(frame.instance):
            self._acknowledges_leave(frame.instance)

    def _acknowledges_leave(self, instance: Instance) -> None:
        """It is gone from here, unless it has returned while that was written to disk, for which it
        may take several attempts."""
        self._heard.pop(instance, None)
        if not self._binder.answers_late or not adapter.holds(self._binder.core, instance):
            self._left[instance] = self._truth.up.get(instance)

    def asked(self, probe: Probe) -> Question:
        """A question is about to be sent."""
        self._check_victim(probe.at)
        if probe.instance not in self._truth.subscribed and not self._forged:
            raise Violation(
                f"{self._name}: asks {describe(probe.instance)}, which never subscribed"
            )
        now = self._binder.now
        is_newcomer = adapter.is_newcomer(self._binder.core, probe.instance)
        ends_at = now + probe.wait
        question = Question(probe.serial, self._binder.world.now, now, ends_at, is_newcomer)
        asked = self._questions.setdefault(describe(probe.instance), [])
        if asked and asked[-1].serial != probe.serial and not is_newcomer:
            asked.clear()
        asked.append(question)
        if (count := sum(one.serial == probe.serial for one in asked)) > QUESTIONS_MAX:
            name = describe(probe.instance)
            raise Violation(f"{self._name}: asks {name} {count} times in one verification")
        if len(asked) > 1 and not any(one.answered for one in asked):
            self._heard.pop(probe.instance, None)  # it is not vouched for any more
        self._check_flooded(probe.instance)
        return question

    def _forget_heard(self, report: Report) -> None:
        for one in report.instances:
            self._heard.pop(one, None)

    def reported(self, report: Report) -> None:
        """The core reports something, and says why."""
        if not report.why:
            raise Violation(f"{self._name}: {report.event} {report.subject}, and nobody knows why")
        if report.event is Event.EVICTED:
            self._forget_heard(report)
            self._check_evicted(report.subject)
        elif report.event is Event.REMOVED:
            self._forget_heard(report)  # it refused, if a peer's word did not do
        elif report.event is Event.VERIFIED:
            self._questions.pop(report.subject, None)
        elif report.event in REFUSALS:
            self._check_refused(report.instances[0])
        elif report.event is Event.TWIN:
            self.has_told_twin = True
        elif report.event is Event.PEER_LOST:
            self._check_lost(report.subject)
        elif report.event is Event.PEER_BACK:
            self._peers_lost.remove(report.subject)

    def answered(self, instance: Instance) -> None:
        """An instance answered a question. One that had come back may be held again, and so may
        one that never left: what was acknowledged was a late copy."""
        server = self._truth.up.get(instance)
        if server is not None and not (server.leaving and self._left.get(instance) is server):
            self._left.pop(instance, None)

    def vouched_for(self) -> list[Instance]:
        """Those held here that live, have answered, and were heard here within a lease, whoever
        is said to own it now."""
        since, up = self._binder.now - LEASE, self._truth.up
        return [
            instance
            for instance, heard_at in self._heard.items()
            if heard_at > since
            and up[instance].running
            and not up[instance].leaving
            and adapter.holds(self._binder.core, instance)
            and not adapter.is_newcomer(self._binder.core, instance)
        ]

    def compare_vouched(self, vouched: list[Instance], source: Address, data: bytes) -> None:
        """What `source` said has been handled: no word of another takes one of `vouched` away."""
        for instance in (i for i in vouched if not adapter.holds(self._binder.core, i)):
            if not self.sealed.is_own(instance, source, data):
                raise Violation(
                    f"{self._name}: drops {describe(instance)}, heard here, on another's word"
                )

    def compare(self, before: object, what: str) -> None:
        """A frame was handled twice in a row; `before` is what was held after the first time. Of
        three words about one instance in one frame, each may be newer than the one before."""
        if (
            not self._binder.cluster.options.hostile
            and adapter.snapshot(self._binder.core) != before
        ):
            raise Violation(f"{self._name}: a second {what} changed the registry")

    def bounded(self) -> None:
        """A step is over: every table is within its limit."""
        if self._steps % LOOK_EVERY == 0:
            self._check_silence_is_told()
        self._steps += 1
        self.drains.stepped()
        self.sealed.stepped()
        cluster = self._binder.cluster
        if cluster.options.all_in_reach and not cluster.network.was_ever_cut:
            self._check_in_turn()
        for name, (size, limit) in adapter.sizes(self._binder.core).items():
            if size > limit:
                raise Violation(f"{self._name}: {name} has {size} entries of {limit}")

    # The rules.

    def _allow_for(self, frame: Frame, source: Address) -> None:
        """What is said in a victim's name may bring it something, what is said about it may not."""
        forged = self._truth.forged
        if source[0].startswith(VICTIMS):
            subscribes = isinstance(frame, Subscribe) or is_announcement(frame)
            forged[source] += PER_SUBSCRIPTION if subscribes else 1

    def _check_victim(self, target: Address) -> None:
        if not target[0].startswith(VICTIMS):
            return
        self._truth.forged[target] -= 1
        if self._truth.forged[target] < 0 and self._binder.cluster.options.binders_go_on:
            raise Violation(f"{self._name}: floods {target}, in whose name others speak")

    def _check_stranger(self, frame: Frame, target: Address, data: bytes) -> None:
        self._credit[target] -= 1
        if self._credit[target] < 0:
            raise Violation(f"{self._name}: {one_line(frame)} to a stranger who sent nothing")
        if len(data) > (most := self._longest[target]):
            what = f"{len(data)} bytes ({type(frame).__name__})"
            raise Violation(f"{self._name}: {what} to a stranger, who gets {most}")

    def _check_found(self, instance: Instance) -> None:
        """The instance has subscribed some time, and did not take its leave right here."""
        name = describe(instance)
        if self._forged:
            return
        if instance not in self._truth.subscribed:
            raise Violation(f"{self._name}: hands out {name}, which never subscribed")
        # From the acknowledgement on, until any datagram from the instance itself or from
        # anybody that carries its seven bytes: a late copy of its subscription may be taken for
        # a new one, and news from a peer may be older than the leave.
        if instance in self._left:
            raise Violation(f"{self._name}: hands out {name}, whose leave it acknowledged")
        left_at = self._truth.left_at.get(instance)
        reliable = self._binder.cluster.options.reliable
        if reliable and left_at is not None:
            is_shy = self._binder.cluster.options.lab2016  # those may not have met before
            ago = self._binder.world.now - left_at
            if ago - (LEASE if is_shy else 0.0) > WITHDRAWAL_GRACE:
                raise Violation(f"{self._name}: hands out {name}, which left {ago:.1f} s ago")

    def _check_read(self, asked: Asked, found: Address) -> None:
        """Who reads six bytes of an address gets no more."""
        if is_ipv6_address(found) and not asked.wide:
            what = f"{describe_address(found)} to who can take no IPv6 address"
            raise Violation(f"{self._name}: hands out {what}")

    def _check_turn(self, asked: Asked, found: Instance, is_at_once: bool) -> None:
        """Who has no turn is named only where nobody has one; what had to wait was decided before
        other things of the same step."""
        if is_at_once and (wrong := passed_over(self._binder.core, asked, found)):
            raise Violation(f"{self._name}: names {wrong}")

    def _answered(self, target: Address) -> Asked:
        """The lookup that is answered: this one, or the first that had to wait."""
        types = self._open[target]
        if not types:
            raise Violation(f"{self._name}: answers a lookup that nobody made")
        return types.pop(-1 if self._is_at_once(target) else 0)

    def _is_at_once(self, target: Address) -> bool:
        """The lookup that is being handled is answered."""
        return self._lookup is not None and target == self._source

    def _check_unknown(self, asked: Asked) -> None:
        if not self._heard_peer and self._binder.now - self._started_at < SYNC_SILENCE:
            raise Violation(f"{self._name}: denies a service before it has heard its peers")
        if self._binder.sharing is not None and not self._binder.sharing.has_read:
            raise Violation(f"{self._name}: denies a service before it has read its store")
        for instance, server in self._truth.up.items():
            is_asked_for = service_of(instance) == asked.service and server.running
            is_asked_for = is_asked_for and (asked.wide or not is_ipv6(instance))
            if is_asked_for and adapter.holds(self._binder.core, instance):
                raise Violation(f"{self._name}: denies a type, but holds {describe(instance)}")

    def _check_evicted(self, name: str) -> None:
        """What lives is evicted only for refusals, or for a silence that the network made."""
        questions = self._questions.pop(name, [])
        if not any(question.answered for question in questions):
            if len(questions) < QUESTIONS_MIN:
                raise Violation(f"{self._name}: evicts {name} after too few questions")
            if questions[-1].asked_at - questions[0].asked_at < QUESTIONS_APART:
                raise Violation(f"{self._name}: evicts {name} after too short a time")
        server, last = self._living(name), questions[-1]
        if server is None or server.started_at > last.moment or self._forged:
            return
        late = self._binder.now - last.ends_at
        if last.answered and not (last.waited and late <= LAG_ALLOWED):
            raise Violation(f"{self._name}: evicts {name}, which lives and has answered it")
        if not last.to_newcomer and not any(question.refused for question in questions):
            self._check_silenced(name)
            self._check_second_opinion(name, server)

    def _check_flooded(self, instance: Instance) -> None:
        """Whoever complains brings an instance so many questions at most."""
        now, asked_at = self._binder.now, self._asked_at[instance]
        asked_at.append(now)
        while asked_at[0] <= now - ASKED_WINDOW:
            asked_at.popleft()
        if len(asked_at) > ASKED_MAX and not self._binder.cluster.options.hostile:
            what = f"{describe(instance)} {len(asked_at)} times within {ASKED_WINDOW:g} s"
            raise Violation(f"{self._name}: asks {what}")

    def _check_refused(self, instance: Instance) -> None:
        """A quota is for new ones: one that lives, has answered and is owned here may renew."""
        core, server = self._binder.core, self._truth.up.get(instance)
        is_known = adapter.owns(core, instance) and adapter.is_proved(core, instance)
        if server is not None and server.running and is_known:
            raise Violation(f"{self._name}: does not let {describe(instance)} renew, which it owns")

    def _check_silenced(self, name: str) -> None:
        now, silenced = self._binder.now, self._silenced
        silenced.append(now)
        while silenced[0] < now - SILENCED_WINDOW:
            silenced.popleft()
        held = len(self._binder.core.directory) + len(silenced)
        if len(silenced) >= SILENCED_MIN and len(silenced) > SILENCED_SHARE * held:
            what = f"{len(silenced)} of {held} that live, {name} the last"
            raise Violation(f"{self._name}: evicts {what}, instead of doubting itself")

    def _check_second_opinion(self, name: str, server: ServerProcess) -> None:
        """If each of its peers could have been asked, and could have asked: why was none?"""
        cluster = self._binder.cluster
        settled = SETTLED_LAB2016 if cluster.options.lab2016 else SETTLED
        if cluster.all_could_ask(self._binder, server, settled):
            raise Violation(f"{self._name}: evicts {name}, which each of its peers can reach")

    @property
    def _patience(self) -> float:
        return max(PEER_SILENCE, PEER_SILENCE_EACH * len(self._binder.core.peers))

    def _check_in_turn(self) -> None:
        """Nobody keeps one that lives out of turn for long."""
        now, core = self._binder.world.now, self._binder.core
        for instance, server in self._truth.up.items():
            since = max(server.started_at, now - OUT_WINDOW)
            is_there = server.running and not server.leaving
            is_there = is_there and not excused(self._binder.cluster, service_of(instance))
            is_out = is_there and adapter.is_out_of_turn(core, instance)
            if not is_out or not adapter.is_proved(core, instance):
                self._is_out.discard(instance)
                continue
            spans = self._out[instance]
            if instance not in self._is_out:
                spans.append([now, now])
                self._is_out.add(instance)
            spans[-1][1] = now
            while spans[0][1] < since:
                spans.popleft()
            out = sum(end - max(begin, since) for begin, end in spans)
            if out > OUT_MAX:
                what = f"{describe(instance)} out of turn for {out:.1f} s, which lives"
                raise Violation(f"{self._name}: has {what}")

    def _check_lost(self, name: str) -> None:
        """Nothing was heard of it, and nothing of it waits to be heard."""
        if self._binder.now - self._peer_heard.get(name, -inf) < self._patience:
            raise Violation(f"{self._name}: calls {name} lost, which it hears")
        is_attacked = self._binder.cluster.options.attacked > 0
        waiting = map(describe_address, self._binder.waiting_sources())
        if name in waiting and not is_attacked:
            raise Violation(f"{self._name}: calls {name} lost, whose words wait in its queue")
        self._peers_lost.add(name)

    def _check_silence_is_told(self) -> None:
        binder = self._binder
        if binder.paused or binder.world.now - binder.changed_at < PEER_GRACE:
            return
        for name in sorted(self._peers_of_ours):
            silent_for = binder.now - self._peer_heard[name]
            if silent_for > self._patience + PEER_GRACE and name not in self._peers_lost:
                what = f"not heard {name} for {silent_for:.1f} s, and does not say so"
                raise Violation(f"{self._name}: has {what}")

    def _living(self, name: str) -> ServerProcess | None:
        for instance, server in self._truth.up.items():
            if server.running and describe(instance) == name:
                return server
        return None

    @property
    def _name(self) -> str:
        return self._binder.name

    @property
    def _forged(self) -> bool:
        """Damaged bytes have passed for sound ones in this run, or a peer of ours is hostile: what
        subscribed is unsure."""
        cluster = self._binder.cluster
        is_stolen = cluster.options.stolen == "server"
        return cluster.network.forged > 0 or cluster.options.hostile > 0 or is_stolen
