"""Which instances are drained, and until when: what operators said of them, that is not over yet.

An instance has the last word on it among its particulars, which are replicated and kept. Here it is
remembered beside them, so that it outlives what its server says next, its leave and its return. A
binder counts from when it hears a word; the first one at the end says so to the others.
"""

from collections.abc import Iterator

from prr.core.deadlines import Deadlines
from prr.core.directory.directory import Directory
from prr.core.effects import DrainRow
from prr.wire.drain import decode_drain, drain_in, with_drain
from prr.wire.instance import Instance

DRAINS_MAX = 1024
"""Drains at once, 200 kB: a hall of hosts, and no operator has more in mind. Peers may tell of one
more for each instance that is held."""


class Drains:
    """Those of one binder. `now` is in seconds, of a clock that never goes back."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._words: dict[Instance, bytes] = {}
        self._ends = Deadlines[Instance]()
        self._has_changed = False

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._words

    @property
    def size(self) -> tuple[int, int]:
        """How many there are, and how many there may be."""
        return len(self), DRAINS_MAX + len(self._directory)

    @property
    def due_size(self) -> tuple[int, int]:
        """Of what says when they end: see `Deadlines.size`."""
        return self._ends.size

    def take_change(self) -> bool:
        """Something has changed since this was asked last."""
        has_changed, self._has_changed = self._has_changed, False
        return has_changed

    def __iter__(self) -> Iterator[DrainRow]:
        for instance, word in self._words.items():
            ends_at = self._ends.due_at(instance)
            assert ends_at is not None
            yield instance, word, ends_at

    def word(self, instance: Instance) -> bytes:
        """The last word on an instance, encoded; b"": there was none, or none is known."""
        held = drain_in(self._directory.particulars(instance))
        return max(self._words.get(instance, b""), held)

    def seconds_left(self, instance: Instance, now: float) -> float | None:
        """How long it is still drained; None if it is not."""
        ends_at = self._ends.due_at(instance)
        return None if ends_at is None else max(ends_at - now, 0.0)

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
        """`word` is the last one on an instance, and ends in `left` seconds; None: as it says, or,
        of one that is known, as it did."""
        if left is None and word == self._words.get(instance, b""):
            return
        seconds = decode_drain(word).seconds
        if not seconds:
            self.forget(instance)
        elif instance in self._words or len(self) < self.size[1]:
            self._words[instance] = word
            self._ends.set(instance, now + (seconds if left is None else min(left, seconds)))
            self._has_changed = True

    def forget(self, instance: Instance) -> None:
        """It is not drained any more."""
        if self._words.pop(instance, None) is not None:
            self._ends.cancel(instance)
            self._has_changed = True

    def deadline(self) -> float | None:
        """When the first one ends; None if there is none."""
        return self._ends.first()

    def pop_over(self, now: float) -> Instance | None:
        """Forget one whose time is over by `now`; None if there is none."""
        instance = self._ends.pop_due(now)
        if instance is not None:
            del self._words[instance]
            self._has_changed = True
        return instance
