"""Which instances are drained, and until when: what operators said of them, that is not over yet.

An instance has the last word on it among its particulars, which are replicated and kept. Here it is
remembered beside them, so that it outlives what its server says next, its leave and its return. A
binder counts from when it hears a word; the first one at the end says so to the others. One that is
put back before is remembered likewise, until the drain would have ended: who comes with that knows
less.
"""

from collections.abc import Iterable, Iterator

from prr.core.deadlines import Deadlines
from prr.core.directory.directory import Directory
from prr.core.effects import DrainRow
from prr.wire.drain import decode_drain, drain_in, with_drain
from prr.wire.instance import Instance
from prr.wire.particulars import DRAIN_SECONDS_MAX

DRAINS_MAX = 1024
"""Drains at once, 200 kB: a hall of hosts, and no operator has more in mind. Peers may tell of one
more for each instance that is held."""


class Drains:
    """Those of one binder. `now` is in seconds, of a clock that never goes back."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._words: dict[Instance, bytes] = {}
        self._ended: dict[Instance, bytes] = {}  # before their time, the oldest first
        self._ends = Deadlines[Instance]()
        self._has_changed = False

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, instance: Instance) -> bool:
        """It is drained, or was drained until now or longer, and put back before."""
        return instance in self._words or instance in self._ended

    def has_none_of(self, instances: Iterable[Instance]) -> bool:
        """The same of none of `instances`."""
        return self._words.keys().isdisjoint(instances) and self._ended.keys().isdisjoint(instances)

    def __iter__(self) -> Iterator[DrainRow]:
        for instance, word in (self._words | self._ended).items():
            ends_at = self._ends.due_at(instance)
            assert ends_at is not None
            yield instance, word, ends_at

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Of each container how many entries it has, and how many it may have."""
        return {
            "drains": (len(self), DRAINS_MAX + len(self._directory)),
            "drains put back": (len(self._ended), DRAINS_MAX),
            "drains due": self._ends.size,
        }

    def take_change(self) -> bool:
        """Something has changed since this was asked last."""
        has_changed, self._has_changed = self._has_changed, False
        return has_changed

    def word(self, instance: Instance) -> bytes:
        """The last word on an instance, encoded; b"": there was none, or none is known."""
        held = drain_in(self._directory.particulars(instance))
        return max(self._remembered(instance), held)

    def seconds_left(self, instance: Instance, now: float) -> float | None:
        """How long it is still drained; None if it is not."""
        return self._seconds_left(instance, now) if instance in self._words else None

    def ends_at(self, instance: Instance) -> float | None:
        """Until when it is drained (seconds); None if it is not."""
        return self._ends.due_at(instance) if instance in self._words else None

    def beside(self, instance: Instance, said: bytes | None) -> bytes:
        """The particulars of an instance that says this of itself, or, None, what it did."""
        if said is None:
            said = self._directory.particulars(instance)
        return with_drain(said, self.word(instance))

    def heard(self, instance: Instance, said: bytes, now: float) -> bytes:
        """The particulars of an instance that has these at a peer."""
        word = self.word(instance)
        if not said and not word:
            return b""
        last = max(drain_in(said), word)
        self.note(instance, last, now)
        return with_drain(said, last)

    def note(self, instance: Instance, word: bytes, now: float, left: float | None = None) -> None:
        """`word` is the last one on an instance, to be remembered for `left` seconds. None: as
        before if it is known; else as long as it says; if it puts back, for the rest of the drain,
        since until then there may be a binder that knows of the drain alone."""
        if left is None and word == self._remembered(instance):
            return
        seconds = decode_drain(word).seconds
        if left is None:
            left = seconds or self._seconds_left(instance, now)
        self._forget(instance)
        if left is None or (seconds and len(self) >= DRAINS_MAX + len(self._directory)):
            return
        if not seconds and len(self._ended) >= DRAINS_MAX:
            self._forget(next(iter(self._ended)))
        (self._words if seconds else self._ended)[instance] = word
        self._ends.set(instance, now + min(left, seconds or DRAIN_SECONDS_MAX))
        self._has_changed = True

    def deadline(self) -> float | None:
        """When the first one is over; None if there is none."""
        return self._ends.first()

    def pop_over(self, now: float) -> Instance | None:
        """Forget one whose time is over by `now`; None if there is none."""
        instance = self._ends.pop_due(now)
        if instance is not None:
            self._forget(instance)
        return instance

    def _remembered(self, instance: Instance) -> bytes:
        return self._words.get(instance) or self._ended.get(instance, b"")

    def _seconds_left(self, instance: Instance, now: float) -> float | None:
        ends_at = self._ends.due_at(instance)
        return None if ends_at is None else max(ends_at - now, 0.0)

    def _forget(self, instance: Instance) -> None:
        if self._words.pop(instance, None) or self._ended.pop(instance, None):
            self._ends.cancel(instance)
            self._has_changed = True
