"""What a store has kept: taken over into what a binder knows, a batch at a time, while it serves.

A batch costs what its size costs and no more, however many came before it.
"""

from prr.core.directory.digests import Entry
from prr.core.liveness.detector import Detector
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.drain import drain_in, with_drain
from prr.wire.instance import Instance
from prr.wire.version import VERSION_BYTES, decode_version


class Restoring:
    """Takes over what is newer than what the binder knows already."""

    def __init__(self, versioned: VersionedDirectory, detector: Detector) -> None:
        self._versioned = versioned
        self._detector = detector

    def learn(self, present: list[Entry], gone: list[Entry], now: float) -> None:
        """`present` are instances that were there, `gone` removals; each instance once at most.

        An instance that this binder may not hand out (see `reach`) is deregistered instead.
        """
        if self._versioned.reach.is_wide:  # else a million are not asked about one by one
            present = self._without_excluded(present, now)
        restored, known = self._versioned.directory.restore(present)
        for instance, word, _, _ in known:
            # It was heard of while the store was read, though not always the newest.
            self._take_over(instance, word, now)
            self._drain(instance, drain_in(word[VERSION_BYTES:]), now)
        self._note_drains(present, now)
        self._detector.restored(restored, now)
        for instance, version, _, _ in gone:
            if not self._versioned.directory.restore_removal(instance, version, now):
                self._versioned.take_over(instance, decode_version(version), False, now)

    def _drain(self, instance: Instance, said: bytes, now: float) -> None:
        """What an operator said of one that has been heard since counts all the same."""
        drains, directory = self._versioned.drains, self._versioned.directory
        if instance in directory and said > drains.word(instance):
            drains.note(instance, said, now)
            directory.describe(instance, with_drain(directory.particulars(instance), said))

    def _note_drains(self, present: list[Entry], now: float) -> None:
        """What operators said of them counts on, or from now where its end is not known."""
        for instance, word, _, _ in present:
            if len(word) > VERSION_BYTES and self._versioned.directory.is_drained(instance):
                self._versioned.drains.note(instance, self._versioned.drains.word(instance), now)

    def _without_excluded(self, present: list[Entry], now: float) -> list[Entry]:
        """Those that may be handed out; the others are deregistered."""
        there: list[Entry] = []
        for entry in present:
            if self._versioned.reach.excludes(entry[0]):
                self._deregister(entry, now)
            else:
                there.append(entry)
        return there

    def _deregister(self, entry: Entry, now: float) -> None:
        """One on loopback, kept while only this host was told: it is gone, for its peers too."""
        instance, version = entry[0], decode_version(entry[1])
        self._take_over(instance, entry[1], now)
        gone = self._versioned.next_version(instance, version.start)
        self._versioned.directory.remove(instance, gone, now)

    def _take_over(self, instance: Instance, word: bytes, now: float) -> None:
        version, particulars = decode_version(word), word[VERSION_BYTES:]
        self._versioned.take_over(instance, version, True, now, particulars)
