"""What the rows of the lifecycle table may require. Reading changes nothing."""

from prr.core.liveness.admission import Admission
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.evictions import Evictions
from prr.core.liveness.lease_owners import LeaseOwners
from prr.core.liveness.states import Case, Trigger
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.drain import own_particulars
from prr.wire.particulars import credential_of
from prr.wire.version import NO_START


class Guards:
    """The guards of one binder: a method for each `Guard`."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        peers: Peers,
        doubts: Doubts,
        owners: LeaseOwners,
        evictions: Evictions,
        admission: Admission,
    ) -> None:
        self._versioned = versioned
        self._directory = versioned.directory
        self._peers = peers
        self._doubts = doubts
        self._owners = owners
        self._evictions = evictions
        self._admission = admission

    # About what it says.

    def says_start(self, case: Case) -> bool:
        """It says that it is one of ours, or a peer does."""
        return case.start != NO_START

    def says_same(self, case: Case) -> bool:
        """It says what is known already, at the binder that owns its lease."""
        is_same = self.same_start(case) and not self.owned_elsewhere(case)
        held = self._directory.particulars(case.instance)
        return is_same and own_particulars(held) == case.particulars

    def same_start(self, case: Case) -> bool:
        """It is the process that is held."""
        version = self._directory.version(case.instance)
        return version is not None and version.start == case.start

    def unproven_says_start(self, case: Case) -> bool:
        """It is held again after it had left, has not answered, and says that it is one of ours."""
        return self.unproven(case) and self.says_start(case)

    # About what a peer says.

    def no_room_to_learn(self, case: Case) -> bool:
        """Peers may fill most of the directory, but not all of it."""
        return not self._directory.has_room(case.instance, learned=True)

    def said_ours(self, case: Case) -> bool:
        """This binder is said to own its lease: it forgot, or that is a lie."""
        return case.version is not None and case.version.owner == self._versioned.identity

    def said_unproven(self, case: Case) -> bool:
        """Its owner is asking whether it is there at all."""
        return case.version is not None and case.version.is_unproven

    def said_ours_unproven(self, case: Case) -> bool:
        """Both."""
        return self.said_ours(case) and self.said_unproven(case)

    def vouched_for(self, case: Case) -> bool:
        """It is there, was heard here within a lease, and has left no question open since: a peer
        that says it is gone has to be right before it is believed."""
        is_heard = self._doubts.leases.vouches_for(case.instance) and not self.newcomer(case)
        return is_heard and case.instance in self._directory

    def owner_heard(self, case: Case) -> bool:
        """The binder that owns its lease is a peer of ours that has been heard lately."""
        version = self._directory.version(case.instance)
        return version is not None and (
            self._versioned.peer_that_is(version.owner, case.now) is not None
        )

    def suspected_lately(self, case: Case) -> bool:
        """A peer has said lately that it suspects it, or peers suspect too many."""
        return not self._doubts.suspicions.may_hear(case.instance, case.now)

    def peers_know(self, case: Case) -> bool:
        """A peer has said lately that it suspects it, or wants our opinion on it."""
        return self.peer_decides(case) or self.suspected_lately(case)

    # About asking it.

    def has_lease(self, case: Case) -> bool:
        """It was heard here lately, or nobody else asks it."""
        return case.instance in self._doubts.leases

    def being_asked(self, case: Case) -> bool:
        """A verification of it is under way, or its last question is still open."""
        return case.instance in self._doubts.verifications

    def just_asked(self, case: Case) -> bool:
        """It was asked a moment ago, since somebody complained."""
        return self._doubts.just_asked.has(case.instance, case.now)

    def waits(self, case: Case) -> bool:
        """Or it is to be asked at a time that is set."""
        return self.being_asked(case) or case.instance in self._doubts.rechecks

    def no_place(self, case: Case) -> bool:
        """Whoever accuses it has no place left for a verification."""
        return not self._doubts.verifications.has_room(case.instance, case.by)

    def gone_for_good(self, case: Case) -> bool:
        """It is gone, and nothing says that it may live."""
        return not self._doubts.may_live(case.instance)

    def peer_decides(self, case: Case) -> bool:
        """A peer waits for this binder's opinion."""
        return self._doubts.opinions.is_asked(case.instance)

    def accused_silent(self, case: Case) -> bool:
        """A complaint has begun this verification, whose first question went unanswered."""
        return self._doubts.verifications.is_accused_silent(case.instance)

    # About newcomers.

    def newcomer(self, case: Case) -> bool:
        """It has subscribed here, and has never answered."""
        return case.instance in self._doubts.newcomers

    def questions_left(self, case: Case) -> bool:
        """A newcomer may be asked once more."""
        is_there = case.instance in self._directory
        return self.newcomer(case) and self._doubts.newcomers.left(case.instance, is_there) > 0

    def no_questions_left(self, case: Case) -> bool:
        """A newcomer has been asked all that it may be asked."""
        return self.newcomer(case) and not self.questions_left(case)

    def askable(self, case: Case) -> bool:
        """A newcomer may be asked once more, and may live."""
        return self.questions_left(case) and self._doubts.may_live(case.instance)

    def cut_off(self, case: Case) -> bool:
        """This binder has peers, hears none, and cannot tell a newcomer's silence from theirs."""
        return self.newcomer(case) and self._peers.none_is_heard(case.now)

    def newcomer_with_start(self, case: Case) -> bool:
        """A newcomer says that it is one of ours."""
        return self.newcomer(case) and self.has_start(case)

    # About versions and owners.

    def has_start(self, case: Case) -> bool:
        """It is held with its start number, or as one that had left."""
        version = self._directory.version(case.instance)
        return version is not None and version.has_start

    def removal_has_start(self, case: Case) -> bool:
        """It is said to be gone, or gone, with its start number, or as one that left."""
        removal = self._directory.removal(case.instance)
        return removal is not None and removal.has_start

    def unproven(self, case: Case) -> bool:
        """It is held again after it had left, and has not answered."""
        return self._versioned.is_back_unproven(case.instance)

    def handed_over(self, case: Case) -> bool:
        """Another binder asks it."""
        return self._doubts.leases.is_handed_over(case.instance)

    def owned_elsewhere(self, case: Case) -> bool:
        """Another binder owns its lease."""
        version = self._directory.version(case.instance)
        return version is not None and version.owner != self._versioned.identity

    def orphaned(self, case: Case) -> bool:
        """The binder that owns its lease has been silent for a lease."""
        version = self._directory.version(case.instance)
        return version is not None and self._owners.is_orphaning(version.owner, case.now)

    def no_room(self, case: Case) -> bool:
        """It may not be held here, whether it subscribes or answers though it is gone."""
        credential = credential_of(case.particulars)
        is_over = self._admission.over(case.instance, credential) is not None
        return is_over or not self._versioned.can_hold(case.instance)

    def limited(self, case: Case) -> bool:
        """Too many have been evicted for their silence."""
        return not self._evictions.may_go(case.trigger is Trigger.SILENT, case.now)
