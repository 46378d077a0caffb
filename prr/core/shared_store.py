"""What a store says that several binders share: updates, which may be anybody's, and who is there.

An update counts as if its owner had said it in a frame; as a rule it has, some milliseconds before.
"""

from collections.abc import Sequence

from prr.core.effects import Effect, Event, Report, Update
from prr.core.gate import Gate
from prr.core.replication.news import News
from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.step import step
from prr.wire.instance import Instance

_WHO = "the store"
_SAYS = "the store says so"

REPORTED_MAX = 16
"""Updates of one call that are reported one by one, as those of a moment are. Of more, as after a
time without the store, it is said how many they were."""


class SharedStore:
    """The words of one binder's store."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        gate: Gate,
        peers: Peers,
        peer_updates: PeerUpdates,
        is_awaited: bool,
    ) -> None:
        """`is_awaited`: there is one, and without it the binder does not know what is missing."""
        self._versioned = versioned
        self._peers = peers
        self._gate = gate
        self._peer_updates = peer_updates
        self.is_awaited = is_awaited

    def has_read(self) -> None:
        """All that is there has been heard, and what has not is not there. Those who wait for that
        are answered by the next tick."""
        self.is_awaited = False

    def register(self, identities: frozenset[int], is_current: bool) -> None:
        """These binders are looked after there; see `Peers.register`."""
        self._peers.register(identities, is_current)

    @step
    def heard(self, updates: Sequence[tuple[Instance, Update]], now: float) -> list[Effect]:
        """Hear what the store has of some instances: what is newer than what is known is taken
        over, and what is heard here and said to be gone is asked."""
        effects: list[Effect] = []
        heard: list[News] = []
        if len(updates) > REPORTED_MAX:
            heard += [News.ADDED] * self._peer_updates.learn_new(updates)
        for instance, update in updates[len(heard) :]:
            if update.is_present and self._versioned.reach.excludes(instance):
                effects.append(Report(Event.EXCLUDED, "an instance", _SAYS))
                continue
            news, follows = self._peer_updates.take_over(instance, update, _WHO, now)
            if news is News.REMOVED:
                effects.append(Report(Event.REMOVED, instance, _SAYS))
            elif news is News.ADDED and len(updates) <= REPORTED_MAX:
                effects.append(Report(Event.LEARNED, instance, _SAYS))
            effects += follows
            heard.append(news)
        if len(updates) > REPORTED_MAX and (added := heard.count(News.ADDED)):
            effects.append(Report(Event.LEARNED, f"{added} instances", _SAYS))
        if refused := heard.count(News.REFUSED):
            why = "no room for what the store says"
            effects.append(Report(Event.REFUSED, f"{refused} instances", why))
        return effects
