"""The program that an agent runs: one process, whose parent it stays."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import gevent
from gevent import subprocess

from prr.shell.parent_death import end_with_parent

NOT_STARTED = 127
"""The status of what could not be started, as a shell has it."""

OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables by which systemd talks to the agent: the program would answer in its place."""


class Process:
    """Starts a program, passes it signals, and tells when it ends.

    It has the agent's standard streams, and is the first of a process group of its own: what a
    terminal sends the agent, such as SIGINT, reaches it only from there. An agent that is killed
    can send it nothing more: the kernel does, SIGTERM, so that it ends as it would otherwise. Were
    it to go on, no binder would know of it, and its port would be taken for its successor.
    """

    def __init__(self, command: Sequence[str], tell: Callable[[int], None]) -> None:
        """`tell` hears its exit code, or 128 and the number of the signal that killed it."""
        self._command = list(command)
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. There must be none."""
        environment = {key: value for key, value in os.environ.items() if key not in OURS}
        ends = partial(end_with_parent, signal.SIGTERM)
        try:
            self._process = subprocess.Popen(
                self._command, env=environment, process_group=0, preexec_fn=ends
            )
        except OSError:
            gevent.spawn(self._tell, NOT_STARTED)
            return
        gevent.spawn(self._wait, self._process)

    def signal(self, number: int) -> None:
        """Pass it a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and all of its process group."""
        if self._process is not None and self._process.poll() is None:
            _kill_group(self._process)

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        """What is left of its process group would have its port, as nginx's workers do when their
        master is killed. No other has its number while there are any, nor, soon, if there are
        none: the kernel gives away the others first."""
        status = process.wait()
        _kill_group(process)
        self._tell(status if status >= 0 else 128 - status)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
