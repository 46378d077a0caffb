"""What operators have done who have shown who they are by other means than a seal: over HTTP."""

from prr.core.complaints import Complaints
from prr.core.effects import Effect
from prr.core.gate import Gate
from prr.core.replication.draining import Draining
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.step import step
from prr.wire.frames import Complaint
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import Address


class Operators:
    """Those of one binder."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        gate: Gate,
        draining: Draining,
        complaints: Complaints,
    ) -> None:
        self._versioned = versioned
        self._gate = gate
        self._draining = draining
        self._complaints = complaints

    @step
    def do(self, what: Complaint | DrainQuery, source: Address, now: float) -> list[Effect]:
        """Do what one says, who is answered at `source`."""
        if isinstance(what, Complaint):
            return self._complaints.complaint(what, source, now)
        return self._draining.asked(what, source, now)
