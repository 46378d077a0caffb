"""Instances that have subscribed here and have not answered yet: perhaps nobody is there.

Anybody can send a subscription with a forged source. So what it brings to that address is counted:
the confirmation, at most three questions, and a fourth one late, for legacy programs that were
cut off just then. An answer, which nobody can forge who does not see the question, ends it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.config import Limits
from prr.core.deadlines import Deadlines
from prr.core.effects import Event
from prr.core.liveness.quotas import Quotas
from prr.wire.instance import Instance, host_keys

CREDIT = 1536.0
"""New instances of one source that may wait for their first answer: a host that starts a thousand
services within a second, and some. Each may bring its address five datagrams."""

REPAYMENT = 10.0
"""Credit that a source gets back each second although nothing answered: what an address that never
says a word gets in the long run is five times as many datagrams a second, all binders together
ask it."""

CONFIRMATION = 0.2
"""What one more confirmation to an address that has not answered costs: one datagram of five."""

QUESTIONS = 3
"""Questions to one that is there: if none of them is answered, it goes."""

LATE_QUESTIONS = 1
"""Questions to one that is gone again."""

PAUSES = (0.5, 1.5, 3.0)
"""Seconds from the subscription to the first question, and between the questions, if nobody
complains: a legacy program answers none before it is confirmed, and the path of one that has just
been started may be cut for a moment."""

LATE_PAUSE = 30.0
"""Seconds from the last of them to the late one."""


class Newcomers:
    """Counts what each has been asked, and says when it is to be asked next."""

    def __init__(self, limits: Limits, rng: Random) -> None:
        """At most `limits.newcomers` at a time."""
        self._size = limits.newcomers
        self._asked: dict[Instance, int] = {}
        self._accounts: dict[Instance, int] = {}  # of the same: that of its host
        self._due: Deadlines[Instance] = Deadlines()
        self._quotas = Quotas(rng.randbytes(16), CREDIT, REPAYMENT)
        self._in_all = Quotas(b"", limits.newcomers, limits.newcomers_per_second, accounts=1)
        self.came_at = -math.inf
        """When the last one was let in; in seconds."""

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._asked

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._asked)

    def has_none_of(self, instances: Iterable[Instance]) -> bool:
        """None of `instances` is one."""
        return not self._asked or self._asked.keys().isdisjoint(instances)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        return {"newcomers": (len(self), self._size), "newcomers due": self._due.size}

    def admit(self, instance: Instance, is_there: bool, now: float) -> Event | None:
        """It subscribes, for the first time or again; None if it may, or which quota does not let
        it: too many of its host, or of all, have not answered.

        Only one that is gone, and has been asked all it is asked, begins anew.
        """
        asked = self._asked.get(instance)
        if asked is not None and (is_there or asked < QUESTIONS):
            (may,) = self._quotas.take_all([self._accounts[instance]], CONFIRMATION, now)
            return None if may else Event.OVER_QUOTA
        return self._begin_all([instance], now)[0]

    def admit_all(self, instances: Sequence[Instance], now: float) -> list[Event | None]:
        """The same for many, all different, that are not there."""
        if self.has_none_of(instances):
            return self._begin_all(instances, now)
        return [self.admit(one, False, now) for one in instances]

    def _begin_all(self, instances: Sequence[Instance], now: float) -> list[Event | None]:
        accounts, count = [*map(self._quotas.account, host_keys(instances))], len(instances)
        are_few = len(self._asked) + count <= self._size
        if not are_few or not self._in_all.take(b"", count, now):
            rows = zip(instances, accounts, strict=True)
            return [self._begin_one(one, account, now) for one, account in rows]
        may = self._quotas.take_all(accounts, 1.0, now)
        self._in_all.give_back(b"", may.count(False), now)
        self._begin([*compress(instances, may)], [*compress(accounts, may)], now)
        return [None if one else Event.OVER_QUOTA for one in may]

    def _begin_one(self, instance: Instance, account: int, now: float) -> Event | None:
        if self._quotas.take_all([account], 1.0, now) == [False]:
            return Event.OVER_QUOTA
        is_full = instance not in self._asked and len(self._asked) >= self._size
        if is_full or not self._in_all.take(b"", 1.0, now):
            self._quotas.give_back_all([account], 1.0, now)
            return Event.FLOODED
        self._begin([instance], [account], now)
        return None

    def _begin(self, instances: Sequence[Instance], accounts: Sequence[int], now: float) -> None:
        self._asked.update(dict.fromkeys(instances, 0))
        self._accounts.update(zip(instances, accounts, strict=True))
        self._due.set_all(instances, now + PAUSES[0])
        self.came_at = now

    def unasked(self, instances: Iterable[Instance]) -> list[Instance]:
        """Those that are newcomers and have not been asked yet."""
        return [one for one in instances if self._asked.get(one) == 0]

    def left(self, instance: Instance, is_there: bool) -> int:
        """How many questions it may still be asked."""
        return QUESTIONS + (0 if is_there else LATE_QUESTIONS) - self._asked[instance]

    def count(self, instance: Instance, questions: int) -> None:
        """So many questions more go out, or did not after all. No error if it is no newcomer."""
        if instance in self._asked:
            self._asked[instance] += questions

    def count_first(self, instances: Iterable[Instance]) -> None:
        """The first question goes out to each of many, which are newcomers."""
        self._asked.update(dict.fromkeys(instances, 1))

    def ask_again(self, instance: Instance, now: float) -> None:
        """It has not answered a question, and may be asked another one, or given up, in time."""
        if instance not in self._due:
            self._due.set(instance, now + PAUSES[min(self._asked[instance], QUESTIONS - 1)])

    def put_off(self, instance: Instance, now: float) -> None:
        """It was due, and is still to be asked as soon as possible."""
        self._due.set(instance, now)

    def ask_late(self, instance: Instance, now: float) -> None:
        """It is gone, and may be asked once more."""
        self._due.set(instance, now + LATE_PAUSE)

    def answered(self, instance: Instance, now: float) -> None:
        """It is there. No error if it is no newcomer."""
        self.answered_all([instance], now)

    def answered_all(self, instances: Iterable[Instance], now: float) -> None:
        """The same for many, all different."""
        there = [one for one in instances if one in self._asked]
        self._quotas.give_back_all([self._accounts[one] for one in there], 1.0, now)
        self._in_all.give_back(b"", len(there), now)
        for one in there:
            del self._asked[one], self._accounts[one]
        self._due.cancel_all(there)

    def forget(self, instance: Instance) -> None:
        """It is nothing to be asked here any more. No error if it is no newcomer."""
        self._asked.pop(instance, None)
        self._accounts.pop(instance, None)
        self._due.cancel(instance)

    def deadline(self) -> float | None:
        """When the next one is to be asked."""
        return self._due.first()

    def pop_due(self, now: float, most: int) -> list[Instance]:
        """The first that are to be asked by `now`, `most` at most."""
        return self._due.pop_all_due(now, most)
