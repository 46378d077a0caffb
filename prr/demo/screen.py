"""Where the demo is shown: line by line, or as a panel that is redrawn (`panel`)."""

import os
import sys
from enum import Enum
from importlib.util import find_spec
from typing import Protocol, Self

from prr.cli.output import say
from prr.demo.traffic import Traffic


class State(Enum):
    """How a node is, as far as the demo knows."""

    STARTING = "starting"
    UP = "up"
    KILLED = "killed"


class Screen(Protocol):
    """What shows the demo, within its `with` block."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """Some lines of the story."""

    def act(self, title: str) -> None:
        """Another act begins."""

    def show(self, name: str, state: State) -> None:
        """A node, `binder 1` or `server A of type 1`, is like this now."""

    def follow(self, traffic: Traffic) -> None:
        """Show what the clients see, from now on."""


class Plain:
    """Line by line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """See `Screen`."""
        say(text)

    def act(self, title: str) -> None:
        """See `Screen`."""
        say(f"Act {title}")

    def show(self, name: str, state: State) -> None:
        """The timeline says so."""

    def follow(self, traffic: Traffic) -> None:
        """The timeline counts."""


def takes_panels() -> bool:
    """stdout is a terminal that can be drawn on, nobody minds, and rich is there to do so."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in (None, "", "dumb")
        and sys.stdout.encoding.lower() == "utf-8"
        and find_spec("rich") is not None
    )
