"""The check that is a program of its own: it works if that exits with 0."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress

import gevent
import gevent.os
from gevent import subprocess

from prr.shell.agent.checks import CheckFailed

TAIL_BYTES = 200
"""Bytes of its output that are kept, the last ones: they go into the log and to the binders."""

READ_BYTES = 4096

REAP_WAIT = 1.0
"""Seconds within which a process that was killed is gone, unless it hangs in the kernel."""

OUTPUT_WAIT = 0.1
"""Seconds for which output is read of one that has ended: somebody else may hold its pipe open."""


class ExecCheck:
    """Runs a program, in a session of its own, of which nothing is left afterwards."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._left: subprocess.Popen[bytes] | None = None  # killed, and not gone yet

    def try_it(self) -> str:
        if self._left is not None and self._left.poll() is None:
            hanging = f"the last one, process {self._left.pid}, cannot be killed"
            raise CheckFailed(f"{self._command[0]}: {hanging}")
        output, theirs = os.pipe()
        gevent.os.make_nonblocking(output)
        try:
            status, tail = self._run(output, theirs)
        finally:
            os.close(output)
        said = _last_line(tail)
        if status != 0:
            how = f"exit code {status}" if status > 0 else f"killed by signal {-status}"
            raise CheckFailed(f"{self._command[0]}: {how}" + (f" ({said})" if said else ""))
        return said or f"{self._command[0]}: exit code 0"

    def _run(self, output: int, theirs: int) -> tuple[int, bytes]:
        """Its status, and the end of its output, which it writes to `theirs`."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        tail = bytearray()
        reading = gevent.spawn(_read, output, tail)
        try:
            status = process.wait()
        finally:  # it is over, or its time is: nothing that it has started stays
            _kill_all(process)
            reading.join(OUTPUT_WAIT)
            reading.kill()
            self._reap(process)
        return status, bytes(tail)

    def _reap(self, process: "subprocess.Popen[bytes]") -> None:
        try:
            process.wait(REAP_WAIT)
        except subprocess.TimeoutExpired:
            self._left = process


def _kill_all(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _read(output: int, tail: bytearray) -> None:
    while data := gevent.os.nb_read(output, READ_BYTES):
        tail += data
        del tail[:-TAIL_BYTES]


def _last_line(tail: bytes) -> str:
    lines = tail.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
