"""What servers say of themselves: subscriptions, renewals and leaves, and what is answered."""

from prr.core.effects import Confirm, Effect, Event, Report, Send
from prr.core.members import Members
from prr.core.registry import Added as Adding
from prr.core.watch import Watch
from prr.wire.address import Address, Instance, make_instance, type_of
from prr.wire.frames import Frame, Removed, Subscribe, Subscribed
from prr.wire.trailer import Trailer
from prr.wire.versions import LEFT

EXCLUDED = (
    "a loopback address means nothing to other hosts, which may be told here; "
    "let the server listen on this host's address, and name this binder by it"
)
"""Why a server on loopback is refused, and what to do about it."""


class Subscriptions:
    """The rules of one binder for the servers that speak to it."""

    def __init__(self, members: Members, watch: Watch, keeps: bool) -> None:
        """`keeps`: an answer goes out once what it says is on disk."""
        self._members = members
        self._registry = members.registry
        self._watch = watch
        self._keeps = keeps

    def subscribe(self, frame: Subscribe, source: Address, now: float) -> list[Effect]:
        """A server says that it is there."""
        instance = make_instance(frame.type, source)
        if self._members.reach.excludes(instance):
            return [Report(Event.REFUSED, instance, EXCLUDED)]
        start = (frame.trailer.start or 0) if frame.trailer else 0
        version = self._registry.table.version(instance)
        removal = self._registry.table.removal(instance)
        if version is None and removal is not None and removal.start:
            return self._watch.readmit(instance, now)
        effects: list[Effect] = []
        if version is None or (version.home, version.start) != (self._members.identity, start):
            if self._members.add(instance, start) is Adding.FULL:
                why = f"{len(self._registry)} instances are held, which is the limit"
                return [Report(Event.REFUSED, instance, why)]
            effects += self._members.tell_added(instance)
            if version is None:
                effects.append(Report(Event.SUBSCRIBED, instance, "it said so itself"))
            if version is None or version.start != start:
                effects += self._doubt_others_at(instance, start, now)
        self._watch.spoke(instance, now)
        # An empty trailer is all that fits into what a stranger may get, and says enough.
        trailer = Trailer() if frame.trailer else None
        return [*effects, self._promise(Subscribed(trailer=trailer), instance, source)]

    def withdrawn(self, instance: Instance, source: Address, now: float) -> list[Effect]:
        """A server says that it is gone."""
        effects: list[Effect] = []
        version = self._registry.table.version(instance)
        if version is not None or self._registry.table.removal(instance) is None:
            # Told to the others even if it is not held here: one of them may.
            start = (version.start if version else 0) or LEFT
            effects += self._members.remove(instance, start, now)
        if version is not None:
            effects.append(Report(Event.WITHDRAWN, instance, "it said so itself"))
        effects += self._watch.left(instance, now)
        # The answer goes out in any case: the first one may have been lost.
        return [*effects, self._promise(Removed(instance), instance, source)]

    def widened(self, now: float) -> list[Effect]:
        """Other hosts may be told from now on: what is on loopback has to go."""
        effects: list[Effect] = []
        held, _ = self._registry.table.instances(b"", len(self._registry))
        for instance in filter(self._members.reach.excludes, held):
            version = self._registry.table.version(instance)
            assert version is not None
            self._watch.clear(instance)
            self._watch.release(instance)
            effects += self._members.remove(instance, version.start, now)
            effects.append(Report(Event.REMOVED, instance, EXCLUDED))
        return effects

    def _doubt_others_at(self, instance: Instance, start: int, now: float) -> list[Effect]:
        """Another type at the same address may be what ran there before."""
        effects: list[Effect] = []
        for other in self._registry.table.at_address(instance):
            version = self._registry.table.version(other)
            same_process = bool(start) and version is not None and version.start == start
            if other != instance and not same_process:
                why = f"type {type_of(instance)} subscribed from its address"
                effects += self._watch.accuse(other, why, now)
        return effects

    def _promise(self, frame: Frame, instance: Instance, source: Address) -> Effect:
        """An answer on which `instance` relies: what it says must be on disk, if that is kept."""
        return Confirm(instance, frame, source) if self._keeps else Send(frame, source)
