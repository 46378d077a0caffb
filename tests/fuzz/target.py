"""What a target is: a reader, what has to hold of it, and good input."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

RUNS = 1_000_000
"""Runs of a target that only computes."""

RUNS_OF_MANY_LINES = 200_000
"""Runs of one that reads a file of a hundred lines each time, which takes milliseconds."""

RUNS_ON_DISK = 20_000
"""Runs of one that opens a database each time, which takes milliseconds."""


@dataclass(frozen=True)
class Target:
    """One reader. `takes` is called with any bytes, and returns whether its reader took them: a run
    is to see that it does both, take and refuse. `good` makes input that it takes, `runs` are those
    of a long test."""

    name: str
    takes: Callable[[bytes], bool]
    good: Callable[[], list[bytes]]
    runs: int = RUNS

    def corpus(self) -> list[bytes]:
        """Good input, and what was found since: a line of hex digits for each."""
        file = CORPUS / f"{self.name}.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        found = [bytes.fromhex(line) for line in lines if not line.startswith("#")]
        return list(dict.fromkeys([*self.good(), *found]))
