"""Stop a process with SIGSTOP, and return once it has stopped."""

import os
import signal
import time
from pathlib import Path

PATIENCE = 10.0
"""Seconds a busy machine may take to run each thread once more."""

STOPPED = {"T", "t"}


def stop(pid: int) -> None:
    """SIGSTOP. The signal is only sent by then: a thread goes on until the kernel next looks at
    it, which on a busy host is long enough for a server with several to answer once more."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + PATIENCE
    while set(states(pid)) - STOPPED:
        assert time.monotonic() < until, f"process {pid} does not stop: {states(pid)}"
        time.sleep(0.001)


def states(pid: int) -> list[str]:
    """The state of each of its threads, a letter as in proc(5)."""
    stats = [(one / "stat").read_text() for one in Path(f"/proc/{pid}/task").iterdir()]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]
