"""Nodes as real processes: started, listened to, killed, and none of them left behind."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gevent
from gevent.subprocess import DEVNULL, PIPE, Popen, check_output

from prr.shell.parent_death import end_with_parent

_NODE = Path(__file__).parents[2] / "node.py"
PROGRAM = [str(_NODE)] if _NODE.exists() else ["-P", "-m", "prr"]
"""What a node's Python runs: the file in a clone of the repository, else the installed package."""

die_with_parent = partial(end_with_parent, signal.SIGKILL)
"""For the child: have it killed when the parent is gone, however it went."""


class Process:
    """One node in a process of its own. Leaving the `with` block kills it.

    A greenlet hands every line of its stderr to `hear(process, line)`, and None once it is over:
    the node never waits for a reader.
    """

    def __init__(
        self, name: str, arguments: list[str], hear: "Callable[[Process, str | None], None]"
    ) -> None:
        """Start a node with `arguments`; `name` is what the demo calls it. Raises OSError."""
        self.name = name
        self.address = ""
        """Where it listens, ip:port; known once its first line is heard."""
        self.last_line = ""
        self.killed = False
        self._hear = hear
        self._popen = Popen(
            [sys.executable, *PROGRAM, *arguments],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            text=True,
            errors="replace",
            env=plain_environment(),
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, who sees to the rest
            preexec_fn=die_with_parent,
        )
        assert self._popen.stderr is not None
        self._stderr = self._popen.stderr
        self._reader = gevent.spawn(self._read)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reader.join()
        self._stderr.close()

    @property
    def exit_code(self) -> int | None:
        """What it left with, minus the signal's number if it was one; None while it runs."""
        code: int | None = self._popen.poll()
        return code

    def kill(self) -> None:
        """SIGKILL: it cannot tell anybody. No error if it has ended already."""
        self.killed = True
        self._popen.kill()

    def _read(self) -> None:
        for line in self._stderr:
            self.last_line = line.rstrip("\n")
            if not self.address:
                self.address = self.last_line.rpartition(" listening on ")[2]
            self._hear(self, self.last_line)
        self._popen.wait()
        self._hear(self, None)


def run_command(arguments: list[str]) -> str:
    """What a command such as `why` prints."""
    return check_output([sys.executable, *PROGRAM, *arguments], text=True, env=plain_environment())


def plain_environment() -> dict[str, str]:
    """The environment without the caller's PRR_ settings: a node has its arguments only."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PRR_")}
