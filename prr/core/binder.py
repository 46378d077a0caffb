"""The binder: what to do about each frame, and when time passes.

The rules are in the folders `liveness` and `replication`, and in `subscriptions`; here is which of
them a frame goes to. Who may say what is a column of the frame table.
"""

from collections.abc import Sequence
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from typing import Any

from prr.config import LIMITS, Limits, WireForm
from prr.core.complaints import Complaints
from prr.core.control import Programs
from prr.core.deadlines import earliest
from prr.core.directory.digests import Entry
from prr.core.directory.directory import Directory
from prr.core.directory.reach import Reach
from prr.core.effects import DrainRow, Effect, Outcome, Probe, ProbeAll, Stop, stray
from prr.core.gate import Gate, answered
from prr.core.inspection import BinderInspection
from prr.core.lease import Lease
from prr.core.liveness.detector import Detector
from prr.core.lookups import Lookups
from prr.core.operators import Operators
from prr.core.pacing import LEASE
from prr.core.replication.draining import Draining
from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.peers import Peer, Peers
from prr.core.replication.sync import Sync
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.restoring import Restoring
from prr.core.sealed_runs import SealedRuns
from prr.core.shared_store import SharedStore
from prr.core.status import lease_of, status_of, summary_of
from prr.core.step import persisted, step
from prr.core.subscriptions import Subscriptions
from prr.core.trust import NO_KEYS, Trust
from prr.core.vain import Vain
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
from prr.wire.instance import Address, Instance
from prr.wire.messages import (
    AgentAnnouncement,
    Announcement,
    NamedPresence,
    Opinion,
    OpinionRequest,
    Presence,
    Search,
)
from prr.wire.questions import Asked
from prr.wire.subscription_runs import SubscriptionRun


class Binder:
    """One binder's decisions. A call never waits, so there are no locks. Every rule may meet the
    same frame twice."""

    def __init__(
        self,
        own_ips: frozenset[str],
        peers: tuple[Address, ...],
        identity: int,
        rng: Random,
        wire: WireForm = WireForm.SPEC,
        limits: Limits = LIMITS,
        lease: float = LEASE,
        expects_peers: bool = False,
        keeps: bool = False,
        counter: int = 0,
        trust: Trust = NO_KEYS,
        is_watched: bool = False,
        shares_store: bool = False,
    ) -> None:
        """`own_ips` are its host's addresses: who has one, or a loopback one, is local. With
        `expects_peers` more may be added soon. `identity` (64 bits) tells it from all others,
        `lease` is in seconds. With `keeps` it has a store, and denies nothing before it is started;
        `shares_store`: which others have, too. `counter` is no earlier than any that an earlier
        process with this identity used, and of a run of its own. `trust`: what others have to
        prove; with a keyring nobody may foresee what `rng` draws. `is_watched`: has a feed."""
        self._expects_peers, self._is_started, self._peers = expects_peers, not keeps, Peers(peers)
        reach = Reach(own_ips, self._peers, shares_store)
        self._versioned = VersionedDirectory(identity, limits, self._peers, reach, is_watched)
        self._detector = Detector(self._versioned, self._peers, limits, lease, rng, trust)
        self._draining, self._lookups = Draining(self._versioned, keeps), Lookups(self.directory)
        self._peer_updates = PeerUpdates(self._versioned, self._detector, self._draining)
        others = self._peers, self._peer_updates
        self._complaints = Complaints(self.directory, self._detector, *others, limits, rng)
        self._gate = Gate(trust, self._peers, own_ips, identity, rng)
        self.vain = Vain(self.directory, self._peers, self._gate)
        self._subscriptions = Subscriptions(self._versioned, self._detector, self._gate, keeps)
        self._programs = Programs(self._versioned, self._draining, self._gate)
        self.sealed_runs = SealedRuns(self._versioned, self._detector, self._gate, self._peers)
        self.operators = Operators(self._versioned, self._gate, self._draining, self._complaints)
        self.shared_store = SharedStore(self._versioned, self._gate, *others, shares_store)
        self._sync = Sync(self._versioned, self._peers, wire)
        self._restoring = Restoring(self._versioned, self._detector)
        self._versioned.resume(counter, keeps)

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
    def is_serving(self) -> bool:
        """It answers about what it knows, and waits for nothing but a store that others share."""
        return self._is_started and self._sync.is_synced

    @property
    def is_ready(self) -> bool:
        """It has heard its store and its peers, or waited long enough for these."""
        return self.is_serving and not self.shared_store.is_awaited

    def inspect(self) -> BinderInspection:
        """What it holds, for tests; to be read only."""
        return BinderInspection(self._versioned, self._detector, self._sync, self._peers)

    def summary(self, now: float) -> str:
        """How it is, and whom it hears, in one line; see `status`."""
        return summary_of(self._versioned, self._peers, self.is_ready, now)

    def status(self, now: float) -> dict[str, Any]:
        """The same, as plain data."""
        return status_of(self._versioned, self._detector, self._peers, self.is_ready, now)

    def lease(self, instance: Instance) -> Lease:
        """Who watches an instance, and until when its lease goes on."""
        return lease_of(self._versioned, self._detector, self._peers, instance)

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
        self._gate.forget(peer)

    @step
    def stop(self, now: float) -> list[Effect]:
        """Stop gracefully. The other binders go on; nobody has to be told."""
        return [Stop(True, "by signal")]

    def look_up(self, types: bytes) -> list[Instance]:
        """For each of `types` the instance whose turn it is, NOBODY for a type that has none: what
        `handle` would answer, without the frames, up to the first lookup that has to wait."""
        return self._lookups.find(types, self.is_ready) if self._gate.trust.takes_lookups else []

    def look_up_asked(self, asked: Sequence[Asked], is_proved: bool = False) -> list[Instance]:
        """The same for lookups that say more than a number, or have proved seals (`is_proved`)."""
        if is_proved or self._gate.trust.takes_lookups:
            return self._lookups.find_asked(asked, self.is_ready)
        return []

    def subscribe_run(self, run: SubscriptionRun, now: float) -> tuple[int, list[Effect]]:
        """The short way for a burst: what `handle` would do about the first of a run, as many as
        are certainly alike. How many, and what follows; 0: the first is for `handle`. For those
        under a seal there are `sealed_runs`."""
        if not self._gate.trust.takes_words:
            return 0, []
        count, effects = self._subscriptions.subscribe_run(run, now)
        return count, persisted(self, effects)

    @step
    def handle(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        """Decide about a frame that `source` sent."""
        entry = self._gate.enter(frame, source)
        effects, peer = entry.effects, entry.peer
        if peer is not None:
            effects = self._sync.heard(peer, frame, now) + effects
        match entry.role:
            case Role.CLIENT:
                effects += answered(self._handle_client(frame, source, now), source, frame.seal)
            case Role.SERVER:
                effects += answered(self._handle_server(frame, source, now), source, frame.seal)
            case Role.BINDER:
                assert peer is not None
                effects += self._handle_peer(frame, peer, now)
        return effects

    def _handle_client(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        match frame:
            case Lookup():
                return self._lookups.answer(frame, source, self.is_ready)
            case Complaint():
                return self._complaints.complaint(frame, source, now)
            case ListRequest():
                return self._programs.answer(frame, source, now)
            case _:
                raise AssertionError(f"no rule for {frame} of a client")

    def _handle_server(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        match frame:
            case Subscribe() | Alive() if source[1] == 0:  # nobody can be reached there
                return [stray(frame, source)]
            case Subscribe():
                return self._subscriptions.subscribe(frame, source, now)
            case Alive(trailer=Search() as said):
                return self._subscriptions.searched(said, source, now)
            case Alive(trailer=Announcement() as said):
                return self._subscriptions.announced(said, source, now)
            case Alive(trailer=AgentAnnouncement() as said):
                return self._subscriptions.announced_by_agent(said, source, now, frame.seal)
            case Alive():
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
    def answered_all(self, asked: ProbeAll, ones: Sequence[Instance], now: float) -> list[Effect]:
        """Hear which of those of a ProbeAll have answered."""
        return self._detector.answered_all(asked, ones, now)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return earliest(*(one.deadline() for one in (self._detector, self._sync, self._versioned)))

    @step
    def tick(self, now: float) -> list[Effect]:
        """Do what is due by `now`. Safe to call too often."""
        effects = self._sync.tick(now) + self._answer_waiting() + self._detector.tick(now)
        return effects + self._draining.tick(now) + self._versioned.tick(now)

    def _answer_waiting(self) -> list[Effect]:
        return self._lookups.answer_waiting() if self.is_ready else []

    def _merge(self, frame: ServiceList, peer: Peer, now: float) -> list[Effect]:
        news, refused, effects = self._peer_updates.merge(frame, peer, now)
        return effects + self._sync.merged(frame, peer, news, refused, now) + self._answer_waiting()
