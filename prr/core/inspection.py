"""What a core holds, for whoever checks it from outside: the tests, and the simulator.

To be read only. No rule of the core reads it, and nothing else says what is inside.
"""

from collections.abc import Mapping

from prr.core.directory.results import DirectorySnapshot
from prr.core.liveness.detector import Detector
from prr.core.replication.peers import PEERS_MAX, Peers
from prr.core.replication.sync import Sync
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import Address, Instance


class BinderInspection:
    """One binder. Each property is a copy, made when it is read."""

    def __init__(
        self, versioned: VersionedDirectory, detector: Detector, sync: Sync, peers: Peers
    ) -> None:
        self._versioned = versioned
        self._doubts = detector.doubts
        self._first_questions = detector.first_questions
        self._sync = sync
        self._peers = peers

    @property
    def directory(self) -> DirectorySnapshot:
        """What it holds and remembers."""
        return self._versioned.directory.inspect()

    @property
    def counter(self) -> int:
        """No earlier than any counter it has used or seen."""
        return self._versioned.counter

    @property
    def drains(self) -> Mapping[Instance, bytes]:
        """The last words of operators that it remembers, whether it holds the instances or not."""
        return {instance: word for instance, word, _ in self._versioned.drains}

    @property
    def returning(self) -> frozenset[Instance]:
        """Those that a legacy program says are there, though they are gone here."""
        return frozenset(self._versioned.returning)

    @property
    def newcomers(self) -> frozenset[Instance]:
        """Those that have subscribed and have not answered yet."""
        return frozenset(self._doubts.newcomers)

    @property
    def verifications(self) -> Mapping[Instance, bool]:
        """Those that are being verified; True once only an open question is left of that."""
        return {one: self._doubts.verifications.is_over(one) for one in self._doubts.verifications}

    @property
    def opinions_owed(self) -> Mapping[Instance, frozenset[Address]]:
        """The peers that wait for its second opinion, by instance."""
        return self._doubts.opinions.owed()

    @property
    def rounds(self) -> Mapping[Address, int]:
        """The rounds of anti-entropy under way: how many questions are open, by peer."""
        return self._sync.rounds()

    @property
    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """For each container with a limit how many entries it has, and how many it may have."""
        return {
            "peers": (len(self._peers), PEERS_MAX),
            **self._versioned.drains.sizes,
            **self._versioned.directory.sizes(),
            **self._doubts.sizes(),
            **self._first_questions.sizes(),
            **self._sync.sizes(),
        }
