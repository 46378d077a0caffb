"""Instances that have subscribed here and have not answered yet: perhaps nobody is there.

Anybody can send a subscription with a forged source. So what it brings to that address is counted:
the confirmation, at most three questions, and a fourth one late, for legacy programs that were
cut off just then. An answer, which nobody can forge who does not see the question, ends it.
"""

from collections.abc import Iterator
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.deadlines import Deadlines
from prr.core.liveness.quotas import CONFIRMATION, Quotas
from prr.wire.instance import Instance, host_key

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

    def __init__(self, size: int, rng: Random) -> None:
        """At most `size` at a time."""
        self._size = size
        self._asked: dict[Instance, int] = {}
        self._due: Deadlines[Instance] = Deadlines()
        self._quotas = Quotas(rng.randbytes(16))

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._asked

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._asked)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        return {"newcomers": (len(self), self._size), "newcomers due": self._due.size}

    def admit(self, instance: Instance, is_there: bool, now: float) -> bool:
        """It subscribes, for the first time or again; False if it is to be ignored, since too many
        from its host have not answered, or too many at all.

        Only one that is gone, and has been asked all it is asked, begins anew.
        """
        asked = self._asked.get(instance)
        goes_on = asked is not None and (is_there or asked < QUESTIONS)
        if asked is None and len(self._asked) >= self._size:
            return False
        if not self._quotas.take(host_key(instance), CONFIRMATION if goes_on else 1.0, now):
            return False
        if not goes_on:
            self._asked[instance] = 0
            self._due.set(instance, now + PAUSES[0])
        return True

    def is_unasked(self, instance: Instance) -> bool:
        """It is a newcomer that has not been asked yet."""
        return self._asked.get(instance) == 0

    def left(self, instance: Instance, is_there: bool) -> int:
        """How many questions it may still be asked."""
        return QUESTIONS + (0 if is_there else LATE_QUESTIONS) - self._asked[instance]

    def count(self, instance: Instance, questions: int) -> None:
        """So many questions more go out, or did not after all. No error if it is no newcomer."""
        if instance in self._asked:
            self._asked[instance] += questions

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
        if instance in self._asked:
            self._quotas.give_back(host_key(instance), 1.0, now)
            self.forget(instance)

    def forget(self, instance: Instance) -> None:
        """It is nothing to be asked here any more. No error if it is no newcomer."""
        self._asked.pop(instance, None)
        self._due.cancel(instance)

    def deadline(self) -> float | None:
        """When the next one is to be asked."""
        return self._due.first()

    def pop_due(self, now: float) -> Instance | None:
        """One that is to be asked by `now`; None if none is."""
        return self._due.pop_due(now)
