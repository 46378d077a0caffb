"""What operators have done who have shown who they are by other means than a seal: over HTTP, or by
changing the keyring."""

from collections.abc import Collection

from prr.core.complaints import Complaints
from prr.core.effects import Effect
from prr.core.gate import Gate
from prr.core.replication.draining import Draining
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.step import step
from prr.wire.frames import Complaint
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import Address
from prr.wire.particulars import credential_of


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

    @step
    def revoke(self, ids: Collection[str], now: float) -> list[Effect]:
        """Ask all that have subscribed with credentials of these ids, and are owned here: what they
        answer proves nothing any more, and so they go."""
        directory = self._versioned.directory
        gone = {one.encode() for one in ids if directory.count_of_credential(one.encode())}
        effects: list[Effect] = []
        for instance in [*directory] if gone else ():
            credential = credential_of(directory.particulars(instance))
            version = directory.version(instance)
            if credential in gone and version and version.owner == self._versioned.identity:
                why = f"the credential {credential.decode()} is revoked"
                effects += self._complaints.blame(instance, why, now)
        return effects
