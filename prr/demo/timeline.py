"""The demo's timeline: what happened when, and how soon what followed."""

import re
import time
from collections.abc import Callable

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+:\d+")


class Timeline:
    """Tells events, in seconds from the start, and what followed, in ms from the last event."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started_at = time.monotonic()
        self._event_at = self._started_at
        self._names: dict[str, str] = {}

    def introduce(self, address: str, name: str) -> None:
        """From now on write `name` for `address`."""
        self._names[address] = name

    def event(self, text: str) -> None:
        """Something happens, now."""
        self._event_at = time.monotonic()
        self._say(f"{self._event_at - self._started_at:.3f} s  {text}")

    def after(self, moment: float, text: str) -> None:
        """Something followed."""
        named = _ADDRESS.sub(lambda found: self._names.get(found[0], found[0]), text)
        self._say(f"    + {self.milliseconds(moment):5.1f} ms  {named}")

    def remark(self, text: str) -> None:
        """Something that has no moment of its own."""
        self._say(f"    {text}")

    def milliseconds(self, moment: float) -> float:
        """How long after the last event `moment` was."""
        return 1000 * (moment - self._event_at)
