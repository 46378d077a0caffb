"""Who may subscribe: the quotas that an instance has to meet which is not known to be there.

They are those of the binder with which it subscribes. What peers say is bound by the size of the
directory alone: binders that refused each other's instances would never agree.
"""

from collections import Counter
from collections.abc import Sequence

from prr.config import Limits
from prr.core.effects import Event, Report
from prr.core.liveness.doubts import Doubts
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import Instance
from prr.wire.particulars import credential_of

TYPES_MAX = 32
"""Services that one address may give: a process of the spec gives one, a busy one a handful; and a
stranger who names one after the other gets no further."""

_WHY = {
    Event.OVER_QUOTA: "too many from its host have not answered yet",
    Event.FLOODED: "too many of all hosts have not answered yet",
    Event.HOST_FULL: "its host has as many instances as it may",
    Event.CREDENTIAL_FULL: "as many as may have subscribed with its credential",
}


class Admission:
    """The quotas of one binder for those that subscribe."""

    def __init__(self, versioned: VersionedDirectory, doubts: Doubts, limits: Limits) -> None:
        self._identity = versioned.identity
        self._directory = versioned.directory
        self._leases = doubts.leases
        self._newcomers = doubts.newcomers
        self._limits = limits

    def refusal(
        self, instance: Instance, particulars: bytes, now: float, is_proved: bool = False
    ) -> Report | None:
        """Why an instance may not subscribe, with these particulars; None if it may. One that has
        answered, and is owned or was heard here, may always; so may one that `is_proved` to be
        there, if it is not one too many."""
        version = self._directory.version(instance)
        if version is None and len(self._directory.at_address(instance)) >= TYPES_MAX:
            why = f"its address has {TYPES_MAX} services already"
            return Report(Event.OVER_QUOTA, instance, why)
        over = None if version else self.over(instance, credential_of(particulars))
        if over is not None:
            return Report(over, instance, _WHY[over])
        is_at_home = version is not None and version.owner == self._identity
        is_known = is_at_home or self._leases.vouches_for(instance)
        if is_proved or (is_known and instance not in self._newcomers):
            return None
        return self._newcomer_refusal(instance, version is not None, now)

    def refusals(
        self, instances: Sequence[Instance], are_new: bool, now: float
    ) -> list[Report | None]:
        """The same for those of a run, which have no particulars: they are all owned here, or
        nothing is known of them (`are_new`) and their hosts have room."""
        if not are_new:
            newcomers = self._newcomers
            if newcomers.has_none_of(instances):
                return [None] * len(instances)
            return [
                self._newcomer_refusal(one, True, now) if one in newcomers else None
                for one in instances
            ]
        found = self._newcomers.admit_all(instances, now)
        return [
            None if over is None else Report(over, one, _WHY[over])
            for one, over in zip(instances, found, strict=True)
        ]

    def over(self, instance: Instance, credential: bytes) -> Event | None:
        """The quota over which an instance would be that comes into the directory, as its host has
        so many, or so many have subscribed with its credential; None if there is none."""
        limits, directory = self._limits, self._directory
        if directory.count_of_host(instance) >= limits.instances_per_host:
            return Event.HOST_FULL
        if credential and directory.count_of_credential(credential) >= (
            limits.instances_per_credential
        ):
            return Event.CREDENTIAL_FULL
        return None

    def have_room(self, instances: Sequence[Instance], particulars: Sequence[bytes]) -> bool:
        """The hosts of instances that are not in the directory may have all of them, and so may the
        credentials in their particulars."""
        limits, directory = self._limits, self._directory
        coming = Counter(map(credential_of, filter(None, particulars)))
        return directory.count_of_fullest_host(instances) <= limits.instances_per_host and all(
            directory.count_of_credential(one) + count <= limits.instances_per_credential
            for one, count in coming.items()
            if one
        )

    def _newcomer_refusal(self, instance: Instance, is_there: bool, now: float) -> Report | None:
        over = self._newcomers.admit(instance, is_there, now)
        return None if over is None else Report(over, instance, _WHY[over])
