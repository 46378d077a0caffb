"""What is in doubt, and asking it: leases, rechecks, and the verifications under way.

What becomes of them is in `lifecycle`.
"""

from collections.abc import Collection
from itertools import islice
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.config import Limits
from prr.core.deadlines import Deadlines
from prr.core.effects import Effect, Event, Report
from prr.core.liveness.just_asked import JustAsked
from prr.core.liveness.newcomers import Newcomers
from prr.core.liveness.phases import OWN_END, WAITS
from prr.core.liveness.probes import Verifications
from prr.core.liveness.rechecks import Rechecks
from prr.core.liveness.second_opinion import SecondOpinions
from prr.core.liveness.suspicions import Suspicions
from prr.core.liveness.together import asked_together
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.trust import NO_KEYS, Trust
from prr.wire.instance import Address, Instance, address_of, has_name
from prr.wire.particulars import asked_at
from prr.wire.version import NO_START

TOGETHER = 32
"""Of the disputed, so many begin to be asked in one tick, some 40 us each: half as long as a page
takes in which they are said to be gone."""


class Leases(Deadlines[Instance]):
    """When each instance that is watched here is to be asked again, and whether it was ever heard
    here: a binder vouches for no more than that. It does so until the lease ends, even if a peer
    says meanwhile that another binder owns it: that may be a lie."""

    def __init__(self) -> None:
        super().__init__()
        self._unheard: set[Instance] = set()  # some of the rows
        self._handed_over: set[Instance] = set()  # likewise; others of them

    def vouches_for(self, instance: Instance) -> bool:
        """It was heard here."""
        return instance in self and instance not in self._unheard

    def set_all(self, keys: Collection[Instance], when: float) -> None:
        """These were heard just now, and are due at `when` (seconds)."""
        self._unheard.difference_update(keys)
        self._handed_over.difference_update(keys)
        super().set_all(keys, when)

    def entrust(self, instance: Instance, when: float) -> None:
        """It was not heard, but nobody else asks it: it is due at `when` (seconds), unless it has
        a lease from when it was."""
        self._handed_over.discard(instance)
        if instance not in self:
            self._unheard.add(instance)
            super().set(instance, when)

    def hand_over(self, instance: Instance) -> None:
        """Another binder owns it: it is vouched for until its lease ends if it was heard here, and
        not asked then. No error if it has no lease here."""
        if self.vouches_for(instance):
            self._handed_over.add(instance)
        else:
            self.cancel(instance)

    def is_handed_over(self, instance: Instance) -> bool:
        """Another binder asks it."""
        return instance in self._handed_over

    def put_off(self, instance: Instance, when: float) -> None:
        """It was due, and is again at `when` (seconds)."""
        super().set(instance, when)

    def cancel(self, key: Instance) -> None:
        """It is not watched here. No error if it was not."""
        self._unheard.discard(key)
        self._handed_over.discard(key)
        super().cancel(key)


class Doubts:
    """The instances of one binder that are to be asked, now or at a deadline.

    `leases` has a row for each instance that is at home here, as long as it answers; `rechecks` one
    for each that could be neither cleared nor evicted. In `urgent` stand those whose removal is
    disputed, until there is room to ask them. All are as large as the table at most.
    """

    def __init__(
        self,
        versioned: VersionedDirectory,
        peers: Peers,
        limits: Limits,
        rng: Random,
        trust: Trust = NO_KEYS,
    ) -> None:
        self.leases = Leases()
        self.urgent: dict[Instance, None] = {}
        self.opinions = SecondOpinions(versioned.identity, peers, rng)
        self.verifications = Verifications(limits.verifications, self.opinions, rng, trust)
        self.rechecks = Rechecks(self.verifications, limits.verifications)
        self.newcomers = Newcomers(limits, rng)
        self.just_asked = JustAsked()
        self.suspicions = Suspicions()
        self._places = limits.verifications
        self._held_max = limits.instances
        self._known_max = limits.instances + 2 * limits.removals + limits.verifications
        self._versioned = versioned
        self._directory = versioned.directory

    def sizes(self) -> dict[str, tuple[int, int]]:
        """For each container with a limit how many entries it has, and how many it may have."""
        return {
            **self.verifications.sizes(),
            **self.newcomers.sizes(),
            **self.suspicions.sizes(),
            "just asked": self.just_asked.size,
            "leases": (len(self.leases), self._known_max),
            "leases due": self.leases.size,
            "rechecks": (len(self.rechecks), self._known_max + self._held_max),
            **self.rechecks.sizes(),
            "opinions owed": (len(self.opinions), self._known_max),
        }

    def hear(self, instances: Collection[Instance], now: float, lease: float) -> None:
        """These have spoken for themselves: they have a lease of so many seconds."""
        self.leases.set_all(instances, now + lease)
        self.note_heard(instances, now)

    def note_heard(self, instances: Collection[Instance], now: float) -> None:
        """These were heard, wherever their leases are watched."""
        if (heard := self._directory.heard) is not None:
            heard.note(instances, now)

    def clear(self, instance: Instance) -> None:
        """No reason is left to doubt an instance that is there."""
        if instance not in self.newcomers:  # who have to answer, whoever speaks for them
            self.verifications.cancel(instance)
        self.opinions.forget(instance)
        self.suspicions.end(instance)
        self.rechecks.cancel(instance)
        self.urgent.pop(instance, None)
        self._directory.trust(instance)

    def are_undoubted(self, instances: Collection[Instance]) -> bool:
        """There is nothing of any of them that `clear` would end."""
        ones = set(instances)  # so that it is the smaller one whose rows are looked at
        return (
            ones.isdisjoint(self.verifications)
            and self.opinions.has_none_of(ones)
            and self.suspicions.told_none_of(ones)
            and self.rechecks.has_none_of(ones)
            and self.urgent.keys().isdisjoint(ones)
        )

    def verify(
        self,
        instance: Instance,
        now: float,
        start: int | None = None,
        accuser: Address | None = None,
        questions: int = OWN_END,
        particulars: bytes = b"",
    ) -> list[Effect]:
        """Ask an instance, there or gone, whether it lives; later, if there is no room now. One
        that has not answered yet is asked no more than it may be. `particulars` are those that it
        has said just now, or had until then; without any, those that it is held with."""
        if instance in self.newcomers:
            questions = min(questions, self.newcomers.left(instance, instance in self._directory))
        if instance in self.verifications:
            if self.verifications.is_over(instance):
                self._verify_later(instance, now + WAITS[-1], particulars)
            return []
        if questions <= 0:
            self.newcomers.ask_again(instance, now)
            return []
        if not self._has_room(instance, accuser):
            self._verify_later(instance, now, particulars)  # as soon as there is room
            return []
        # What it is held at, though that may be disputed.
        last = self._directory.version(instance) or self._directory.removal(instance)
        known = last.start if last else NO_START
        if start is None:
            start = NO_START if self._may_be_new(instance) else known
        with_nonce = known != NO_START or has_name(instance) or self._is_ours_at(instance)
        is_urgent = self._directory.is_disputed(instance)
        particulars = particulars or self._directory.particulars(instance)
        probe = self.verifications.begin(
            instance, start, with_nonce, now, accuser, questions, is_urgent, particulars
        )
        self.newcomers.count(instance, 1)
        return [Report(Event.ASKED, instance, "the first question"), probe]

    def whom_to_ask(self, instance: Instance, now: float) -> list[Address]:
        """The binders whose opinion is wanted before silence counts: none where one waits for
        ours, or has said already that the instance is gone."""
        is_there = instance in self._directory and not self._directory.is_disputed(instance)
        if not is_there or instance in self.newcomers or self.opinions.is_asked(instance):
            return []
        return self.opinions.choose(instance, now)

    def release(self, instance: Instance) -> None:
        """Another binder owns its lease now."""
        if instance in self.newcomers:  # one question alone, which is open, proves nothing
            self.newcomers.forget(instance)
            self.verifications.cancel(instance)
            self.leases.cancel(instance)  # nor is it vouched for: it has never answered
        else:
            self.leases.hand_over(instance)

    def verify_bare(self, instance: Instance, now: float) -> list[Effect]:
        """Ask an instance so that a legacy program can answer."""
        if not self.verifications.asks_for(instance, NO_START):
            self.verifications.cancel(instance)
        return self.verify(instance, now, start=NO_START)

    @property
    def may_prove(self) -> bool:
        """Newcomers leave half of the places to others."""
        return len(self.verifications) <= self._places // 2 and not self.verifications.busy

    @property
    def has_room_for_urgent(self) -> bool:
        """The first of the disputed can be asked now."""
        return bool(self.urgent) and self.verifications.has_room_for_disputed

    def verify_urgent(self, now: float) -> list[Effect]:
        """Ask some of the disputed, if there is room."""
        effects: list[Effect] = []
        for instance in [*islice(self.urgent, TOGETHER)]:
            if not self.has_room_for_urgent:
                break
            del self.urgent[instance]
            if self._directory.is_disputed(instance):
                effects += self.verify(instance, now)
        return asked_together(effects)

    def verify_later(self, instance: Instance, when: float) -> None:
        """Only what is known here: a stranger must not fill the memory with what is not. Removals
        may be forgotten before that, so what is gone has room for as many as can be known."""
        has_room = instance in self._directory or len(self.rechecks) < self._known_max
        if self.may_live(instance) and has_room:
            self.rechecks.set(instance, when)

    def _verify_later(self, instance: Instance, when: float, particulars: bytes) -> None:
        """Whose agent says that it is gone is not asked later: nothing would tell any more where to
        ask, and an agent subscribes again by itself."""
        has_agent = asked_at(instance, particulars) != address_of(instance)
        if instance in self._directory or not has_agent:
            self.verify_later(instance, when)

    def may_live(self, instance: Instance) -> bool:
        """It is there, or was heard here lately, or is a legacy server that fell silent."""
        removal = self._directory.removal(instance)
        was_silent = removal is not None and not removal.has_start
        is_there = instance in self._directory or instance in self._versioned.returning
        return is_there or instance in self.leases or was_silent

    def _has_room(self, instance: Instance, accuser: Address | None) -> bool:
        if self._directory.is_disputed(instance):
            return self.verifications.has_room_for_disputed
        return self.verifications.has_room(instance, accuser)

    def _may_be_new(self, instance: Instance) -> bool:
        """Whoever is there now need not be whose start is known: a bare answer will do."""
        return self._versioned.is_back_unproven(instance) or instance in self._versioned.returning

    def _is_ours_at(self, instance: Instance) -> bool:
        """At the same address runs, or ran, a server of ours: it can be asked for its types."""
        versions = map(self._directory.version, self._directory.at_address(instance))
        return any(version is not None and version.has_start for version in versions)
