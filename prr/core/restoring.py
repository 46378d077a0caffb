"""What a store has kept: taken over into what a binder knows, a batch at a time, while it serves.

A batch costs what its size costs and no more, however many came before it.
"""

from collections.abc import Iterable

from prr.core.directory.digests import Entry
from prr.core.liveness.detector import Detector
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.version import decode_version


class Restoring:
    """Takes over what is newer than what the binder knows already."""

    def __init__(self, versioned: VersionedDirectory, detector: Detector) -> None:
        self._versioned = versioned
        self._detector = detector

    def learn(self, present: Iterable[Entry], gone: Iterable[Entry], now: float) -> None:
        """`present` are instances that were there, `gone` removals; each instance once at most.

        An instance that this binder may not hand out (see `reach`) is deregistered instead.
        """
        excludes = self._versioned.reach.excludes
        excluded, there = list[Entry](), list[Entry]()
        for entry in present:
            (excluded if excludes(entry[0]) else there).append(entry)
        for entry in excluded:
            self._deregister(entry, now)
        restored, known = self._versioned.directory.restore(there)
        for instance, version, _, _ in known:
            # It was heard of while the store was read, though not always the newest.
            self._versioned.take_over(instance, decode_version(version), True, now)
        self._detector.restored(restored, now)
        for instance, version, _, _ in gone:
            if not self._versioned.directory.restore_removal(instance, version, now):
                self._versioned.take_over(instance, decode_version(version), False, now)

    def _deregister(self, entry: Entry, now: float) -> None:
        """One on loopback, kept while only this host was told: it is gone, for its peers too."""
        instance, version = entry[0], decode_version(entry[1])
        self._versioned.take_over(instance, version, True, now)
        gone = self._versioned.next_version(instance, version.start)
        self._versioned.directory.remove(instance, gone, now)
