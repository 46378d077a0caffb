"""The last word about each instance: deciding it, and taking over what others decided."""

from enum import Enum, auto

from prr.config import Limits
from prr.core.effects import Effect, Send
from prr.core.peers import Kind, Peers
from prr.core.registry import Added as Adding
from prr.core.registry import Registry
from prr.wire.address import Instance
from prr.wire.frames import Added, Removed
from prr.wire.trailer import Trailer
from prr.wire.versions import COUNTER_MAX, Version, encode_version

LEAP_MAX = 1 << 32
"""How far beyond the highest counter seen a peer's may be. Decades of changes, and two thousand
million lies before a peer gone mad has used up the counters."""


class News(Enum):
    """What became of a peer's word."""

    ADDED = auto()  # an instance that was not there
    CHANGED = auto()  # a newer word about one that is
    REMOVED = auto()
    OLD = auto()  # we knew as much, or better
    REFUSED = auto()  # no room, or a version from the future


class Members:
    """The registry, and the rules by which its versions rise."""

    def __init__(self, identity: int, limits: Limits, peers: Peers) -> None:
        self.identity = identity
        self.registry = Registry(limits)
        self._peers = peers
        self._counter = 0

    def add(self, instance: Instance, start: int, learned: bool = False) -> Adding:
        """Decide that an instance is there, and that this binder is its home."""
        return self.registry.add(instance, self.next_version(start), learned)

    def remove(self, instance: Instance, start: int, now: float) -> list[Effect]:
        """Decide that an instance is gone, and tell the others."""
        version = self.next_version(start)
        self.registry.remove(instance, version, now)
        return [
            Send(Removed(instance, trailer=self._trailer(peer.kind, version)), peer.address)
            for peer in self._peers.all()
        ]

    def tell_added(self, instance: Instance) -> list[Effect]:
        """Tell the others about an instance that is there."""
        version = self.registry.table.version(instance)
        assert version is not None
        return [
            Send(Added(instance, trailer=self._trailer(peer.kind, version)), peer.address)
            for peer in self._peers.all()
        ]

    def take_over(self, instance: Instance, version: Version, is_there: bool, now: float) -> News:
        """Hear another binder's word. The highest version wins, whoever says it, however often."""
        if version.counter > min(self._counter + LEAP_MAX, COUNTER_MAX - LEAP_MAX):
            return News.REFUSED
        latest = self.registry.latest(instance)
        if latest is not None and version <= latest:
            return News.OLD
        if not is_there:
            self._counter = max(self._counter, version.counter)
            known = self.registry.remove(instance, version, now)
            return News.REMOVED if known else News.OLD
        adding = self.registry.add(instance, version, learned=True)
        if adding is Adding.FULL:
            return News.REFUSED
        self._counter = max(self._counter, version.counter)
        return News.ADDED if adding is Adding.NEW else News.CHANGED

    @property
    def counter(self) -> int:
        """The highest counter used or seen here."""
        return self._counter

    def resume(self, counter: int) -> None:
        """Go on where an earlier process with this identity ended: `counter` is no less than any
        that it used."""
        self._counter = max(self._counter, counter)

    def next_version(self, start: int) -> Version:
        """The version of a decision made here: higher than any that was seen."""
        self._counter += 1
        return Version(self._counter, self.identity, start)

    def _trailer(self, kind: Kind, version: Version) -> Trailer | None:
        """Versions are for those who have shown that they read trailers."""
        if kind is not Kind.OURS:
            return None
        return Trailer(binder=self.identity, versions=encode_version(version))
