"""Suspicions: a binder tells its peers at once which instance it has good reason to doubt.

An instance that has refused a question, or left the first one after a complaint unanswered, is
dead more often than not, but the verdict takes longer. Meanwhile the peers hand out others, as the
binder itself does. A suspicion holds for a moment and ends by itself, so that a peer which is
wrong, or lies, keeps nobody out of turn for long. SWIM spreads suspicions likewise (Das et al.,
2002, 4.2), but there they end in death unless they are refuted; here only the verdict of a
verification evicts. What a peer suspects is not told on, but a binder that has heard the instance
within its lease asks it, and says so to all if it answers.
"""

from collections.abc import Iterable

from prr.core.deadlines import Deadlines
from prr.wire.instance import Instance
from prr.wire.version import Version

SUSPICION = 2.0
"""Seconds for which a peer's suspicion holds: a verification takes 1.5 s if nobody answers."""

PAUSE = 10.0
"""Seconds from one suspicion to the next of the same instance that is told, or taken up: who
suspects a living one without end has it out of turn for a fifth of the time at most."""

SUSPICIONS_MAX = 4096
"""Instances suspected within PAUSE, 0.5 MB each way: four hosts of a thousand services. Beyond it
none is told, or taken up, and each binder finds out by itself."""


class _Recent:
    """What was suspected in the last PAUSE seconds, the oldest first."""

    def __init__(self) -> None:
        self._rows: dict[Instance, tuple[float, Version | None]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def has_none_of(self, instances: Iterable[Instance]) -> bool:
        """None of `instances` is one of them."""
        return self._rows.keys().isdisjoint(instances)

    def has_room(self, instance: Instance, now: float) -> bool:
        """It is none of them, and one more can be remembered."""
        while self._rows:
            oldest = next(iter(self._rows))
            if now - self._rows[oldest][0] < PAUSE:
                break
            del self._rows[oldest]
        return instance not in self._rows and len(self._rows) < SUSPICIONS_MAX

    def add(self, instance: Instance, now: float, version: Version | None = None) -> None:
        """One more, for which there is room; `version` is what `take_version` gives."""
        self._rows[instance] = now, version

    def take_version(self, instance: Instance) -> Version | None:
        """The version that an instance was added with, once."""
        when, version = self._rows.get(instance, (0.0, None))
        if version is not None:
            self._rows[instance] = when, None
        return version


class Suspicions:
    """Those that one binder has told its peers, and those that they have told it."""

    def __init__(self) -> None:
        self._told = _Recent()
        self._heard = _Recent()
        self._ends: Deadlines[Instance] = Deadlines()  # of those heard that hold

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        return {
            "suspicions told": (len(self._told), SUSPICIONS_MAX),
            "suspicions heard": (len(self._heard), SUSPICIONS_MAX),
            "suspicions": (len(self._ends), SUSPICIONS_MAX),
            "suspicions due": self._ends.size,
        }

    # Told.

    def tell(self, instance: Instance, version: Version, now: float) -> bool:
        """An instance, held at `version`, is in doubt: the peers are to be told. False if they
        were lately, or of too many."""
        may_tell = self._told.has_room(instance, now)
        if may_tell:
            self._told.add(instance, now, version)
        return may_tell

    def take_back(self, instance: Instance, version: Version) -> bool:
        """An instance has answered, or is heard: the peers are to be told, since they suspect it,
        told here at this very version or elsewhere. Else they learn of a newer one, or know."""
        was_told = self._told.take_version(instance) == version
        return was_told or instance in self._ends

    def told_none_of(self, instances: Iterable[Instance]) -> bool:
        """There is nothing to take back about any of `instances`."""
        return self._told.has_none_of(instances)

    # Heard.

    def may_hear(self, instance: Instance, now: float) -> bool:
        """A peer's suspicion may be taken up: there was none lately, and they are not too many."""
        return self._heard.has_room(instance, now)

    def hear(self, instance: Instance, now: float) -> None:
        """A peer suspects an instance, which is out of turn from now on. It may be heard."""
        self._heard.add(instance, now)
        self._ends.set(instance, now + SUSPICION)

    def __contains__(self, instance: Instance) -> bool:
        """It is out of turn on a peer's word."""
        return instance in self._ends

    def end(self, instance: Instance) -> None:
        """It is so no longer, or not on a peer's word. No error if it was not."""
        self._ends.cancel(instance)

    def deadline(self) -> float | None:
        """When the next one ends; None if none does."""
        return self._ends.first()

    def pop_due(self, now: float) -> Instance | None:
        """One that ends by `now`; None if none does."""
        return self._ends.pop_due(now)
