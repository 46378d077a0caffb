"""The first question to newcomers, where many are due at once: a herd.

Intuition: most of a herd are there, and say so. So they are asked together, from one socket. Each
question has a nonce, and an answer counts only with it, and only while the newcomer is what it was
when it was asked. Whoever does not answer that way is asked again in time, like any other newcomer,
from a socket of its own: a legacy (2016) server too, which knows no nonce.
"""

from collections import deque
from collections.abc import Sequence
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.answers import ANY_START
from prr.core.deadlines import earliest
from prr.core.effects import Effect, Event, ProbeAll, Report, ReportAll
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.evictions import Evictions
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.phases import LAGGED, WAITS
from prr.core.liveness.probes import LATE
from prr.core.liveness.states import Case, Trigger
from prr.core.liveness.together import FEW
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.first_questions import NONCES
from prr.wire.instance import Instance, address_key, address_of, has_name
from prr.wire.particulars import asked_at
from prr.wire.version import (
    LEFT,
    OWNER,
    VERSION_BYTES,
    encode_owner,
    encode_version_end,
)

OPEN_MAX = 1 << 14
"""Newcomers that have been asked together and not answered: some 500 sockets, 3 MB."""

SILENT_MAX = 16
"""Of those that did not answer, so many are seen to in one tick."""


class FirstQuestions:
    """The newcomers of one binder that are asked together."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        doubts: Doubts,
        evictions: Evictions,
        lifecycle: Lifecycle,
        lease: float,
        rng: Random,
    ) -> None:
        """`lease` is in seconds."""
        self._directory = versioned.directory
        self._doubts = doubts
        self._evictions = evictions
        self._lifecycle = lifecycle
        self._lease = lease
        self._rng = rng
        self._owner = encode_owner(versioned.identity)
        self._back = encode_version_end(versioned.identity, LEFT)
        self._open: dict[Instance, bytes] = {}  # at which version, encoded
        self._ends: deque[tuple[float, list[Instance]]] = deque()
        self._put_off: deque[tuple[float, list[Instance]]] = deque()  # of these, for LATE, once
        self._has_more = False  # than one tick has seen to

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        return {"first questions": (len(self._open), OPEN_MAX)}

    def ask(self, newcomers: Sequence[Instance], now: float) -> tuple[list[Instance], list[Effect]]:
        """Ask those of `newcomers`, which are due, that may be asked together; none if they are
        few. The others, and what follows."""
        ones = self._undoubted(self._doubts.newcomers.unasked(newcomers))
        rows = zip(ones, self._directory.words(ones), strict=True)
        first = dict[bytes, tuple[Instance, bytes]]()  # at each address
        for one, word in rows:
            if self._may_join(one, word):
                first.setdefault(address_key(one), (one, word[:VERSION_BYTES]))
        chosen = dict(first.values())
        if len(chosen) < FEW or len(self._open) + len(chosen) > OPEN_MAX:
            return [*newcomers], []
        ones = [*chosen]
        self._open |= chosen
        self._doubts.newcomers.count_first(ones)
        self._ends.append((now + WAITS[-1], [*ones]))
        told = ReportAll(Event.ASKED, ones, "the first question")
        nonces = self._rng.choices(NONCES, k=len(ones))
        asked = ProbeAll(ones, nonces, [ANY_START] * len(ones), WAITS[-1])
        return [one for one in newcomers if one not in chosen], [told, asked]

    def answered(self, instances: Sequence[Instance], now: float) -> list[Effect]:
        """These have answered: what the table says of one that is up, for all of them."""
        at, newcomers = self._open, self._doubts.newcomers
        asked = [one for one in dict.fromkeys(instances) if one in at and one in newcomers]
        asked = self._undoubted(asked)
        rows = zip(asked, self._directory.words(asked), strict=True)
        there = [one for one, word in rows if word.startswith(at[one])]
        for one in there:
            del at[one]
        newcomers.answered_all(there, now)
        self._evictions.release_all(there)
        self._doubts.hear(there, now, self._lease)
        return []

    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        return earliest(*(ends[0][0] for ends in (self._ends, self._put_off) if ends))

    def tick(self, now: float) -> list[Effect]:
        """See to some of those that have not answered in time. If this is late, this binder itself
        was stopped: what they have answered is to be heard first."""
        effects: list[Effect] = []
        while self._ends and not self._has_more and now - self._ends[0][0] > LATE:
            self._put_off.append((now + LATE, self._ends.popleft()[1]))
            effects = [Report(Event.LATE, "", LAGGED)]
        left = SILENT_MAX
        for ends in (self._put_off, self._ends):
            while ends and ends[0][0] <= now and left:
                asked = ends[0][1]
                while asked and left:
                    one = asked.pop()
                    if self._open.pop(one, None) is not None and self._is_silent(one):
                        left -= 1
                        case = Case(Trigger.SILENT_ALONE, one, now, "it did not answer a question")
                        effects += self._lifecycle.on(case)
                if not asked:
                    ends.popleft()
        self._has_more = not left
        return effects

    def _is_silent(self, one: Instance) -> bool:
        """Nothing has become of it meanwhile, and it is not asked by itself."""
        return one in self._doubts.newcomers and one not in self._doubts.verifications

    def _undoubted(self, instances: list[Instance]) -> list[Instance]:
        """Those that are in turn, and in no doubt but that they are newcomers."""
        doubts, directory = self._doubts, self._directory
        if doubts.are_undoubted(instances) and directory.in_turn(instances) == len(instances):
            return instances
        return [
            one
            for one in instances
            if doubts.are_undoubted((one,)) and not directory.is_suspect(one)
        ]

    def _may_join(self, one: Instance, word: bytes) -> bool:
        """One that is held with this word has subscribed here, and what it is asked has no name in
        it. No agent answers for it: its address shows who answers."""
        if word[OWNER] != self._owner or word.startswith(self._back, OWNER.start) or has_name(one):
            return False
        return len(word) == VERSION_BYTES or asked_at(one, word[VERSION_BYTES:]) == address_of(one)
