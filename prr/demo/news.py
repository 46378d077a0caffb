"""What happens during the demo, and what ends it."""

import signal
from typing import TypeAlias

from prr.client.errors import PrrError
from prr.demo.processes import Process
from prr.record import record


class Failed(Exception):
    """The demo cannot go on; the text says why."""


class Interrupted(Exception):
    """A signal ends the demo."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number  # as a shell reports it


@record
class Line:
    """What a node logged, without its time and level; None when it has ended."""

    moment: float
    process: Process
    text: str | None


@record
class Failure:
    """A call that failed."""

    moment: float
    error: PrrError


@record
class Key:
    """A key that was pressed."""

    pressed: str


News: TypeAlias = Line | Failure | Key | BaseException
"""An exception among the news ends the demo."""
