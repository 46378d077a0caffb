"""What clients complain about: an instance that does not answer them, and so is asked."""

from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.config import Limits
from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Event, Report
from prr.core.liveness.detector import Detector
from prr.core.liveness.quotas import Quotas
from prr.core.printable import complaint_of
from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.peers import Peers
from prr.core.vain import not_held
from prr.wire.frames import Complaint
from prr.wire.instance import Address, Instance, describe_address, host_of

NOBODY: Address = ("0.0.0.0", 0)
"""Who accuses where nobody does."""


class Complaints:
    """The rules of one binder for those who complain."""

    def __init__(
        self,
        directory: Directory,
        detector: Detector,
        peers: Peers,
        peer_updates: PeerUpdates,
        limits: Limits,
        rng: Random,
    ) -> None:
        self._directory = directory
        self._peers = peers
        self._detector = detector
        self._peer_updates = peer_updates
        self._quotas = Quotas(
            rng.randbytes(16), limits.complaints_per_host, limits.complaints_per_second
        )

    def complaint(self, frame: Complaint, source: Address, now: float) -> list[Effect]:
        """Somebody says that an instance does not answer: it, or its lease owner, is asked. A peer
        passes on what it was told, and no more of it than its own quotas let in."""
        if (instance := frame.instance) not in self._directory:
            return [not_held(source)]
        why = complaint_of(frame, source)
        if source in self._peers:
            return self._detector.accuse(instance, why, now, source)
        if not self._quotas.take(host_of(source), 1.0, now):
            return [Report(Event.OVER_COMPLAINTS, "a complaint", describe_address(source))]
        passed = self._peer_updates.pass_on(instance, why, now)
        return passed or self._detector.accuse(instance, why, now, source)

    def blame(self, instance: Instance, why: str, now: float) -> list[Effect]:
        """Ask an instance, as if somebody had complained about it."""
        return self._detector.accuse(instance, why, now, NOBODY)
