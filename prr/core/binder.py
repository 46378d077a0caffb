"""The binder: what to do about each frame, and when time passes.

The rules are in the folders `liveness` and `replication`, and in `subscriptions`; here is which of
them a frame goes to. Who may say what is a column of the frame table.
"""

from collections.abc import Sequence
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from typing import Any

from prr.config import Limits, WireForm
from prr.core.claims import sender_of
from prr.core.control import answer_program
from prr.core.deadlines import earliest
from prr.core.directory.digests import Entry
from prr.core.directory.directory import Directory
from prr.core.effects import DrainRow, Effect, Event, Outcome, Probe, Report, Stop, stray
from prr.core.inspection import BinderInspection
from prr.core.liveness.detector import Detector
from prr.core.liveness.runs import Subscribers
from prr.core.lookups import Lookups
from prr.core.printable import complaint_of
from prr.core.replication.draining import Draining
from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.peers import PEERS_MAX, Peer, Peers
from prr.core.replication.sync import Sync
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.restoring import Restoring
from prr.core.status import lease_of, status_of, summary_of
from prr.core.step import persisted, step
from prr.core.subscriptions import Subscriptions
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Unknown,
)
from prr.wire.instance import Address, Instance, describe_address
from prr.wire.messages import (
    AgentAnnouncement,
    Announcement,
    NamedPresence,
    Opinion,
    OpinionRequest,
    Presence,
    Search,
    Started,
)
from prr.wire.questions import Asked
from prr.wire.subscription_runs import SubscriptionRun

LEASE = 15.0
"""Seconds after which an instance that was not heard is asked whether it lives. Shorter finds the
dead that nobody calls sooner, and asks those that do not renew 1/LEASE times a second each."""


class Binder:
    """One binder's decisions. A call runs to its end without waiting for anything, and so cannot be
    interleaved with another: there are no locks. Every rule may meet the same frame twice."""

    def __init__(
        self,
        own_ips: frozenset[str],
        peers: tuple[Address, ...],
        identity: int,
        rng: Random,
        wire: WireForm = WireForm.SPEC,
        limits: Limits | None = None,
        lease: float = LEASE,
        expects_peers: bool = False,
        keeps: bool = False,
        counter: int = 0,
    ) -> None:
        """`own_ips` are the addresses of its host: who has one of them, or a loopback one, is a
        local. With `expects_peers` more of them may be added soon.

        `identity` tells this binder from all others (64 bits); `lease` is in seconds. With `keeps`
        it has a store: it says what to persist, confirms what is persisted, and denies nothing
        before it is started, since it learns first what was kept. `counter` is no earlier than any
        that an earlier process with this identity has used, and of a run of its own.
        """
        assert len(peers) <= PEERS_MAX
        limits = limits or Limits()
        self._own_ips = own_ips
        self._expects_peers = expects_peers
        self._is_started = not keeps
        self._peers = Peers(peers)
        self._versioned = VersionedDirectory(identity, limits, self._peers, own_ips)
        self._detector = Detector(self._versioned, self._peers, limits, lease, rng)
        self._draining = Draining(self._versioned, keeps)
        self._peer_updates = PeerUpdates(self._versioned, self._detector, self._draining)
        self._lookups = Lookups(self._versioned.directory)
        self._subscriptions = Subscriptions(self._versioned, self._detector, keeps)
        self._sync = Sync(self._versioned, self._peers, wire)
        self._restoring = Restoring(self._versioned, self._detector)
        self._versioned.resume(counter)
        if keeps:
            self.directory.note_changes()

    @property
    def directory(self) -> Directory:
        """What it knows; to be read only."""
        return self._versioned.directory

    @property
    def peers(self) -> Peers:
        """Whom it knows; to be read only."""
        return self._peers

    @property
    def identity(self) -> int:
        """What tells it from all others."""
        return self._versioned.identity

    @property
    def is_ready(self) -> bool:
        """It has heard its disk and its peers, or waited long enough for them."""
        return self._is_started and self._sync.is_synced

    def inspect(self) -> BinderInspection:
        """What it holds, for tests; to be read only."""
        return BinderInspection(self._versioned, self._detector, self._sync, self._peers)

    def summary(self, now: float) -> str:
        """How it is, and whom it hears, in one line; see `status`."""
        return summary_of(self._versioned, self._peers, self.is_ready, now)

    def status(self, now: float) -> dict[str, Any]:
        """The same, as plain data."""
        return status_of(self._versioned, self._detector, self._peers, self.is_ready, now)

    def lease(self, instance: Instance, now: float) -> dict[str, Any]:
        """Who watches an instance, and how long its lease goes on, as plain data."""
        return lease_of(self._versioned, self._detector, self._peers, instance, now)

    @step
    def learn(self, present: list[Entry], gone: list[Entry], now: float) -> list[Effect]:
        """Take over what a store kept, each instance once. Before `start`, and while it serves."""
        self._restoring.learn(present, gone, now)
        return []

    @step
    def start(self, now: float, drains: Sequence[DrainRow] = ()) -> list[Effect]:
        """Begin: ask every peer for its list, and answer who asked before, if there is none. The
        `drains` that were kept go on."""
        self._is_started = True
        effects = self._draining.resume(drains, now)
        return effects + self._sync.start(now, self._expects_peers) + self._answer_waiting()

    @step
    def add_peer(self, peer: Address, now: float) -> list[Effect]:
        """One more peer, which was named, or whose name could be resolved, only now."""
        was_wide = self._versioned.reach.is_wide
        effects = self._sync.add_peer(peer, now)
        if self._versioned.reach.is_wide and not was_wide:
            effects += self._subscriptions.widened(now)
        return effects

    def remove_peer(self, peer: Address) -> None:
        """One peer less: a stranger from now on, whose words stay. No error if it was none."""
        self._sync.remove_peer(peer)

    @step
    def stop(self, now: float) -> list[Effect]:
        """Stop gracefully. The other binders go on; nobody has to be told."""
        return [Stop(True, "by signal")]

    def look_up(self, types: bytes) -> list[Instance]:
        """For each of `types` the instance whose turn it is, NOBODY for a type that has none.

        The short way for a burst: what `handle` would answer, without the frames. They end at the
        first lookup that has to wait, since the type is not known yet: that one is for `handle`.
        """
        return self._lookups.find(types, self.is_ready)

    def look_up_asked(self, asked: Sequence[Asked]) -> list[Instance]:
        """The same for lookups that say more than a number."""
        return self._lookups.find_asked(asked, self.is_ready)

    def subscribe_run(self, run: SubscriptionRun, now: float) -> tuple[int, list[Effect]]:
        """The short way for a burst: what `handle` would do about the first of a run, as many as
        are certainly alike. How many, and what follows; 0: the first is for `handle`."""
        ones = Subscribers(run.instances, run.starts, run.renewals, now, run.is_bare)
        count, effects = self._subscriptions.subscribe_run(ones)
        return count, persisted(self, effects)

    @step
    def handle(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        """Decide about a frame that `source` sent."""
        peer = self._peers.get(source)
        heard = [] if peer is None else self._sync.heard(peer, frame, now)
        match sender_of(frame, source, peer is not None, self._own_ips):
            case Role.CLIENT:
                return heard + self._handle_client(frame, source, now)
            case Role.SERVER:
                return heard + self._handle_server(frame, source, now)
            case Role.BINDER:
                assert peer is not None
                return heard + self._handle_peer(frame, peer, now)
            case None:
                return [*heard, stray(frame, source)]

    def _handle_client(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        match frame:
            case Lookup():
                return self._lookups.answer(frame, source, self.is_ready)
            case Complaint():
                return self._complaint(frame, source, now)
            case ListRequest():
                return answer_program(self._versioned, self._draining, frame, source, now)
            case _:
                raise AssertionError(f"no rule for {frame} of a client")

    def _handle_server(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        match frame:
            case Subscribe() if source[1] != 0:  # else nobody can be reached there
                return self._subscriptions.subscribe(frame, source, now)
            case Alive(trailer=Search(types=types, start=start, particulars=particulars)):
                # A server asks whether this binder is ours: a legacy one drops the frame.
                said = Started(start=start, particulars=particulars)
                asking = Subscribe(types[0], trailer=said)
                return self._handle_server(asking, source, now)
            case Alive(trailer=Announcement() as said) if source[1] != 0:
                return self._subscriptions.announced(said, source, now)
            case Alive(trailer=AgentAnnouncement() as said) if source[1] != 0:
                return self._subscriptions.announced_by_agent(said, source, now)
            case Subscribe() | Alive():
                return [stray(frame, source)]
            case Removed(instance=instance):
                if not self.is_ready and instance not in self.directory:
                    return []  # it cannot say that this one is gone; another binder may
                return self._subscriptions.withdrawn(frame, source, now)
            case _:
                raise AssertionError(f"no rule for {frame} of a server")

    def _handle_peer(self, frame: Frame, peer: Peer, now: float) -> list[Effect]:
        match frame:
            case ListRequest():
                return self._sync.answer(frame, peer, now)
            case ServiceList():
                return self._merge(frame, peer, now)
            case Added():
                return self._peer_updates.added(frame, peer, now)
            case Removed():
                return self._peer_updates.removed(frame, peer, now)
            case Complaint(instance=instance, trailer=OpinionRequest(nonce=nonce)):
                if instance not in self.directory:
                    return []  # it is no witness
                return self._detector.ask_for_peer(instance, peer.address, nonce, now)
            case Alive(trailer=Opinion() | Presence() | NamedPresence() as said):
                return self._detector.opinion(peer.address, said.nonce, True, now)
            case Unknown(trailer=Opinion(nonce=nonce)):
                return self._detector.opinion(peer.address, nonce, False, now)
            case _:
                raise AssertionError(f"no rule for {frame} of a binder")

    @step
    def probed(self, probe: Probe, outcome: Outcome, now: float) -> list[Effect]:
        """Hear what became of a Probe."""
        return self._detector.probed(probe, outcome, now)

    @step
    def answered_all(self, instances: Sequence[Instance], now: float) -> list[Effect]:
        """Hear which of those of a ProbeAll have answered."""
        return self._detector.first_questions.answered(instances, now)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return earliest(
            self._detector.deadline(), self._sync.deadline(), self._versioned.deadline()
        )

    @step
    def tick(self, now: float) -> list[Effect]:
        """Do what is due by `now`. Safe to call too often."""
        effects = self._sync.tick(now) + self._answer_waiting() + self._detector.tick(now)
        return effects + self._draining.tick(now) + self._versioned.tick(now)

    def _answer_waiting(self) -> list[Effect]:
        """Answer those who had to wait, once the peers have told what they know."""
        return self._lookups.answer_waiting() if self.is_ready else []

    def _complaint(self, frame: Complaint, source: Address, now: float) -> list[Effect]:
        if (instance := frame.instance) not in self.directory:
            return [Report(Event.NOT_HELD, "a complaint", describe_address(source))]
        why = complaint_of(frame, source)
        passed = [] if source in self._peers else self._peer_updates.pass_on(instance, why, now)
        return passed or self._detector.accuse(instance, why, now, source)

    def _merge(self, frame: ServiceList, peer: Peer, now: float) -> list[Effect]:
        news, refused, effects = self._peer_updates.merge(frame, peer, now)
        effects += self._sync.merged(frame, peer, news, refused, now)
        return effects + self._answer_waiting()
