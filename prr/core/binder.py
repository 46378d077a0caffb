"""The binder: what to do about each frame, and when time passes."""

from typing import assert_never

from prr.config import WireForm
from prr.core.effects import Effect, Event, Outcome, Probe, Report, Send, Stop
from prr.core.registry import Added as Adding
from prr.core.registry import Registry
from prr.core.replication import PEERS_MAX, SYNC_WAIT, PeerSync
from prr.core.verification import Verdict, Verifications
from prr.wire.address import (
    Address,
    Instance,
    address_of,
    describe,
    describe_address,
    make_instance,
)
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import (
    Added,
    Complaint,
    Found,
    FoundInstance,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
)
from prr.wire.trailer import Trailer


class Binder:
    """One binder's decisions.

    A call runs to its end without waiting for anything, and so cannot be interleaved with
    another: there are no locks. Every rule may meet the same frame twice.
    """

    def __init__(
        self,
        own_ips: frozenset[str],
        peers: tuple[Address, ...] = (),
        wire: WireForm = WireForm.SPEC,
        expects_peers: bool = False,
    ) -> None:
        """`own_ips` are the addresses of its host: who has one of them, or a loopback one, is a
        local. With `expects_peers` more of them may be added soon.
        """
        assert len(peers) <= PEERS_MAX
        self._own_ips = own_ips
        self._expects_peers = expects_peers
        self._peers = dict.fromkeys(peers)  # a set that keeps its order
        self._wire = wire
        self._registry = Registry()
        self._verifications = Verifications()
        self._sync = PeerSync()
        self._sync_until: float | None = None

    @property
    def registry(self) -> Registry:
        """What it knows; to be read only."""
        return self._registry

    def start(self, now: float) -> list[Effect]:
        """Begin: ask every peer for its list."""
        if self._peers or self._expects_peers:
            self._sync_until = now + SYNC_WAIT
        return [self._sync.ask(peer, now) for peer in self._peers]

    def add_peer(self, peer: Address, now: float) -> list[Effect]:
        """One more peer, whose name could only be resolved now."""
        if peer in self._peers:
            return []
        assert len(self._peers) < PEERS_MAX
        self._peers[peer] = None
        return [self._sync.ask(peer, now)]

    def stop(self, now: float) -> list[Effect]:
        """Leave in good order. The other binders go on; nobody has to be told."""
        return [Stop(True, "asked to stop")]

    def handle(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        """Decide about a frame that `source` sent."""
        match frame:
            case Lookup(type=type_):
                return self._look_up(type_, source)
            case Complaint(instance=instance):
                return self._complaint(instance, source, now)
            case Subscribe(type=type_):
                return self._subscribe(type_, source)
            case ListRequest():
                return self._list(frame, source)
            case ServiceList():
                return self._merge(frame, source, now)
            case Added(instance=instance):
                return self._added(instance, source)
            case Removed(instance=instance):
                return self._removed(instance, source)
            case _:
                return _out_of_place(frame, source)

    def probed(self, probe: Probe, outcome: Outcome, now: float) -> list[Effect]:
        """Hear what became of a Probe."""
        verdict = self._verifications.probed(probe, outcome, now)
        if verdict is not None:
            return self._judge(verdict)
        return []

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        pending = (self._sync_until, self._sync.deadline(), self._verifications.deadline())
        return min((when for when in pending if when is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due by `now`. Safe to call too often."""
        effects = self._sync.tick(now)
        if self._sync_until is not None and now >= self._sync_until:
            why = f"no peer's list within {SYNC_WAIT:g} s; serving what subscribes here"
            effects += self._synced(why)
        probes, verdicts = self._verifications.tick(now)
        effects += probes
        for verdict in verdicts:
            effects += self._judge(verdict)
        return effects

    # The rules, in the order of the frame table.

    def _look_up(self, type_: int, source: Address) -> list[Effect]:
        instance = self._registry.next(type_)
        if instance is None:
            # Before it has heard its peers a binder does not know what does not exist.
            return [Send(Unknown(), source)] if self._sync_until is None else []
        if self._wire is WireForm.LAB2016:
            return [Send(FoundInstance(instance), source)]
        return [Send(Found(address_of(instance)), source)]

    def _complaint(self, instance: Instance, source: Address, now: float) -> list[Effect]:
        if instance not in self._registry:
            return [Report(Event.NOT_HELD, describe(instance), describe_address(source))]
        if instance in self._verifications:
            return []
        why = f"{describe_address(source)} could not reach it"
        if self._verifications.full:
            why += "; too many verifications under way, this one has to be asked for again"
            return [Report(Event.UNVERIFIED, describe(instance), why)]
        self._registry.suspect(instance)
        probe = self._verifications.begin(instance, now)
        return [Report(Event.COMPLAINT, describe(instance), why), probe]

    def _subscribe(self, type_: int, source: Address) -> list[Effect]:
        if source[1] == 0:  # nobody can be reached there
            return [Report(Event.OUT_OF_PLACE, describe_address(source), "subscribed from port 0")]
        instance = make_instance(type_, source)
        match self._registry.add(instance):
            case Adding.NEW:
                effects: list[Effect] = self._tell_peers(Added(instance))
                effects.append(Report(Event.SUBSCRIBED, describe(instance), "it said so itself"))
                return [*effects, Send(Subscribed(), source)]
            case Adding.KNOWN:
                self._exonerate(instance)
                return [Send(Subscribed(), source)]
            case Adding.FULL:
                why = f"{len(self._registry)} instances are held, which is the limit"
                return [Report(Event.REFUSED, describe(instance), why)]
            case never:
                assert_never(never)

    def _list(self, frame: ListRequest, source: Address) -> list[Effect]:
        is_peer = source in self._peers
        if not is_peer and source[0] not in self._own_ips and not source[0].startswith("127."):
            return _out_of_place(frame, source)
        asked = frame.trailer or Trailer()
        page, cursor = self._registry.page(asked.cursor or b"", LIST_INSTANCES_MAX)
        # A trailer goes to whoever sent one, and to a peer, who may be one of ours.
        needs_one = frame.trailer is not None or (is_peer and cursor is not None)
        trailer = Trailer(cursor=cursor, nonce=asked.nonce) if needs_one else None
        return [Send(ServiceList(tuple(page), trailer=trailer), source)]

    def _merge(self, frame: ServiceList, source: Address, now: float) -> list[Effect]:
        if source not in self._peers:
            return _out_of_place(frame, source)
        effects: list[Effect] = []
        for instance in frame.instances:
            effects += self._learn(instance, source)
        effects += self._sync.heard(source, frame, now)
        if not self._sync.awaits(source) and self._sync_until is not None:
            effects += self._synced(f"{len(self._registry)} instances known")
        return effects

    def _added(self, instance: Instance, source: Address) -> list[Effect]:
        if source not in self._peers:
            return [Report(Event.OUT_OF_PLACE, describe(instance), describe_address(source))]
        return self._learn(instance, source)

    def _removed(self, instance: Instance, source: Address) -> list[Effect]:
        if source == address_of(instance):
            # The answer goes out even if it was not held: the first one may have been lost.
            effects = self._withdraw(instance)
            return [*effects, Send(Removed(instance), source)]
        if source not in self._peers:
            return [Report(Event.OUT_OF_PLACE, describe(instance), describe_address(source))]
        if not self._forget(instance):
            return []
        why = f"peer {describe_address(source)} says so"
        return [Report(Event.REMOVED, describe(instance), why)]

    # What the rules are made of.

    def _judge(self, verdict: Verdict) -> list[Effect]:
        name = describe(verdict.instance)
        if verdict.alive:
            self._registry.trust(verdict.instance)
            return [Report(Event.VERIFIED, name, verdict.why)]
        self._forget(verdict.instance)
        effects = self._tell_peers(Removed(verdict.instance))
        return [*effects, Report(Event.EVICTED, name, verdict.why)]

    def _learn(self, instance: Instance, source: Address) -> list[Effect]:
        match self._registry.add(instance):
            case Adding.NEW:
                why = f"peer {describe_address(source)} says so"
                return [Report(Event.LEARNED, describe(instance), why)]
            case Adding.KNOWN:
                return []
            case Adding.FULL:
                why = f"{len(self._registry)} instances are held, which is the limit"
                return [Report(Event.REFUSED, describe(instance), why)]
            case never:
                assert_never(never)

    def _withdraw(self, instance: Instance) -> list[Effect]:
        effects = self._tell_peers(Removed(instance))  # even if it was not held: another may
        if not self._forget(instance):
            return effects
        return [*effects, Report(Event.WITHDRAWN, describe(instance), "it said so itself")]

    def _exonerate(self, instance: Instance) -> None:
        """It just spoke for itself: no need to go on asking."""
        self._verifications.cancel(instance)
        self._registry.trust(instance)

    def _forget(self, instance: Instance) -> bool:
        self._verifications.cancel(instance)
        return self._registry.remove(instance)

    def _tell_peers(self, frame: Frame) -> list[Effect]:
        return [Send(frame, peer) for peer in self._peers]

    def _synced(self, why: str) -> list[Effect]:
        self._sync_until = None
        return [Report(Event.SYNCED, "this binder", why)]


def _out_of_place(frame: Frame, source: Address) -> list[Effect]:
    return [Report(Event.OUT_OF_PLACE, type(frame).__name__, describe_address(source))]
