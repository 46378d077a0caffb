"""What servers say of themselves: subscriptions, renewals and leaves, and what is answered."""

from prr.core.directory.directory import Added as Adding
from prr.core.effects import Confirm, Effect, Event, Report, Send
from prr.core.liveness.detector import Detector
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.frames import Frame, Removed, Subscribe, Subscribed
from prr.wire.instance import Address, Instance, make_instance
from prr.wire.messages import Plain, Started
from prr.wire.version import LEFT

EXCLUDED = (
    "a loopback address means nothing to other hosts, which may ask this binder; "
    "have the server listen on this host's address, and give it this binder's by --binder"
)
"""Why a server on loopback is refused, and what to do about it."""

TYPES_MAX = 32
"""Types that one address may give: a process of the spec gives one, a busy one a handful; and a
stranger who names all of them in turn gets no further."""


class Subscriptions:
    """The rules of one binder for the servers that speak to it."""

    def __init__(self, versioned: VersionedDirectory, detector: Detector, keeps: bool) -> None:
        """`keeps`: an answer goes out once what it says is on disk."""
        self._versioned = versioned
        self._directory = versioned.directory
        self._detector = detector
        self._keeps = keeps

    def subscribe(self, frame: Subscribe, source: Address, now: float) -> list[Effect]:
        """A server says that it is there."""
        instance = make_instance(frame.type, source)
        if self._versioned.reach.excludes(instance):
            return [Report(Event.REFUSED, instance, EXCLUDED)]
        start = frame.trailer.start if isinstance(frame.trailer, Started) else 0
        version = self._directory.version(instance)
        removal = self._directory.removal(instance)
        if version is None and len(self._directory.at_address(instance)) >= TYPES_MAX:
            why = f"its address has {TYPES_MAX} types already"
            return [Report(Event.OVER_QUOTA, instance, why)]
        is_at_home = version is not None and version.owner == self._versioned.identity
        if not self._detector.admits(instance, is_at_home, now):
            why = "too many from its host, or in all, have not answered yet"
            return [Report(Event.OVER_QUOTA, instance, why)]
        had_left = removal is not None and removal.start
        if had_left or self._versioned.is_back_unproven(instance):
            if start or self._directory.is_disputed(instance):
                return self._detector.readmit(instance, now)
            return self._take_back(instance, source, now)
        effects: list[Effect] = []
        known = (version.owner, version.start) if version and not removal else None
        if known != (self._versioned.identity, start):
            if self._versioned.add(instance, start) is Adding.FULL:
                why = f"{len(self._directory)} instances are held, which is the limit"
                return [Report(Event.REFUSED, instance, why)]
            effects += self._versioned.tell_added(instance, is_news=version is None)
            if version is None:
                effects.append(Report(Event.SUBSCRIBED, instance, "self-reported"))
            if version is None or version.start != start:
                effects += self._detector.doubt_others_at(instance, start, now)
        self._detector.spoke(instance, now)
        # An empty trailer is all that fits into what a stranger may get, and says enough.
        trailer = None if frame.trailer is None else Plain()
        return [*effects, self._promise(Subscribed(trailer=trailer), instance, source)]

    def _take_back(self, instance: Instance, source: Address, now: float) -> list[Effect]:
        """One that had left subscribes like a new server, or that is a late copy: what it is shows
        when it is asked. A legacy server answers only once it is confirmed. Until it answers it
        serves only if its type has no other, and is gone when it does not."""
        is_new = instance not in self._directory
        if is_new and self._versioned.add(instance, LEFT) is Adding.FULL:
            why = f"{len(self._directory)} instances are held, which is the limit"
            return [Report(Event.REFUSED, instance, why)]
        # Not once it is on disk: the question must not overtake this.
        return [Send(Subscribed(), source), *self._detector.returned(instance, now)]

    def withdrawn(self, instance: Instance, source: Address, now: float) -> list[Effect]:
        """A server says that it is gone.

        If it is not held here, nothing is remembered and nobody is told: whoever never was would
        push the real removals out of memory. Who holds it asks it when its lease runs out.
        """
        effects: list[Effect] = []
        version = self._directory.version(instance)
        if version is not None:
            effects += self._versioned.remove(instance, version.start or LEFT, now)
            effects.append(Report(Event.WITHDRAWN, instance, "self-reported"))
        if self._directory.removal(instance) is not None:
            effects += self._detector.left(instance, now)
        # The answer goes out in any case: the first one may have been lost.
        return [*effects, self._promise(Removed(instance), instance, source)]

    def widened(self, now: float) -> list[Effect]:
        """Other hosts may be told from now on: what is on loopback has to go."""
        effects: list[Effect] = []
        for instance in list(filter(self._versioned.reach.excludes, self._directory)):
            version = self._directory.version(instance)
            assert version is not None
            self._detector.clear(instance)
            self._detector.release(instance)
            effects += self._versioned.remove(instance, version.start, now)
            effects.append(Report(Event.REMOVED, instance, EXCLUDED))
        return effects

    def _promise(self, frame: Frame, instance: Instance, source: Address) -> Effect:
        """An answer on which `instance` relies: what it says must be on disk, if that is kept."""
        return Confirm(instance, frame, source) if self._keeps else Send(frame, source)
