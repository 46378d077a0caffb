"""The processes of a benchmark: heard through a file, since whoever read their logs from a pipe
would want a core, of which there are but two; and ended with an `ExitStack`."""

import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from tempfile import TemporaryFile
from typing import TypeVar

import gevent

from benchmarks.arguments import ROOT, Trouble
from prr.demo.processes import PROGRAM, die_with_parent, plain_environment
from prr.text import parse_peer
from prr.wire.instance import Address

LIMIT = 20.0
"""Seconds for whatever is waited for, unless it is said otherwise: a Java machine on a busy host
needs some to be ready."""

PAUSE = 0.02
"""Seconds between two looks whether something is so: to look may cost what is measured."""

LINES_PAUSE = 0.002
"""Seconds between two looks at what a process has written: how exact it is when it did."""

_T = TypeVar("_T")


def until(is_so: Callable[[], _T], what: str, limit: float = LIMIT, pause: float = PAUSE) -> _T:
    """What `is_so` returns once that is true; an OSError is as good as false. Raises Trouble, which
    says `what`, if it takes longer than `limit` seconds."""
    ends_at = time.monotonic() + limit
    while time.monotonic() < ends_at:
        with suppress(OSError):
            if found := is_so():
                return found
        gevent.sleep(pause)
    raise Trouble(f"{what} within {limit:g} s")


class Started:
    """A process, which `stack` kills."""

    def __init__(
        self,
        stack: ExitStack,
        *command: object,
        folder: Path = ROOT,
        core: int | None = None,
        **environment: str,
    ) -> None:
        """Start `command` in `folder`, on `core` if there is one, with `environment` beside this
        one's. Raises OSError."""

        def prepare() -> None:
            die_with_parent()
            if core is not None:
                os.sched_setaffinity(0, {core})

        self.name = os.path.basename(str(command[0]))
        self._log = stack.enter_context(TemporaryFile())  # noqa: SIM115
        self._process = Popen(
            [str(word) for word in command],
            stdin=DEVNULL,
            stdout=self._log,
            stderr=STDOUT,
            cwd=folder,
            env=plain_environment() | environment,
            preexec_fn=prepare,
        )
        self.pid = self._process.pid
        self.kill = self._process.kill
        stack.callback(self._process.wait)
        stack.callback(self.kill)
        self._lines: list[str] = []
        self._read = 0  # bytes of those lines

    def lines(self) -> list[str]:
        """What it has written so far."""
        written = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, self._read)
        whole = written[: written.rfind(b"\n") + 1]
        self._read += len(whole)
        self._lines += whole.decode(errors="replace").splitlines()
        return self._lines

    def wait_for(self, pattern: str, limit: float = LIMIT) -> re.Match[str]:
        """Where it has written such a line. Raises Trouble: it ended, or took too long."""
        read = 0

        def find() -> re.Match[str] | None:
            nonlocal read
            lines = self.lines()[read:]
            read += len(lines)
            return next(filter(None, (re.search(pattern, line) for line in lines)), None)

        return self.until(find, "it was not ready", limit, LINES_PAUSE)

    def until(
        self, is_so: Callable[[], _T], what: str, limit: float = LIMIT, pause: float = PAUSE
    ) -> _T:
        """As `until`. Raises Trouble if it has ended and that is not so."""

        def is_so_yet() -> _T:
            has_ended = self._process.poll() is not None
            found = is_so()
            if has_ended and not found:
                raise self._end()
            return found

        return until(is_so_yet, f"{self.name}: {what}", limit, pause)

    def finish(self, limit: float) -> list[str]:
        """What it has written, once it has ended. Raises Trouble unless that was in time, and with
        exit code 0."""
        until(lambda: self._process.poll() is not None, f"{self.name}: it did not end", limit)
        if self._process.returncode:
            raise self._end()
        return self.lines()

    def _end(self) -> Trouble:
        return Trouble(f"{self.name} ended: {(self.lines() or ['it said nothing'])[-1]}")


class Node(Started):
    """A node of ours."""

    def __init__(self, stack: ExitStack, *arguments: object) -> None:
        super().__init__(stack, sys.executable, *PROGRAM, *arguments)
        self.name = f"the {arguments[0]}"

    @cached_property
    def address(self) -> Address:
        """Where it listens, once it does."""
        return parse_peer(self.wait_for(r" listening on (\S+)")[1])
