"""A program on a terminal of its own, as a person would run it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import Self

from prr.demo.processes import plain_environment
from tests.nodes import NODE, PATIENCE, ROOT

ROWS, COLUMNS = 30, 100
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
"""What a program writes to hide the cursor, and to show it again."""


class Terminal:
    """Runs node.py with `arguments` until the `with` block ends."""

    def __init__(self, *arguments: str, rows: int = ROWS, columns: int = COLUMNS, **variables: str):
        self._screen, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **variables}
        without = {name: text for name, text in plain_environment().items() if name != "NO_COLOR"}
        self.before = termios.tcgetattr(self._screen)
        self.process = subprocess.Popen(
            [sys.executable, *NODE, *arguments],
            cwd=ROOT,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=without | environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C goes to it
        )
        os.close(inner)
        self.written = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._screen)

    @property
    def text(self) -> str:
        """All that it has written so far, without what only says where and in which colour."""
        return _ESCAPE.sub("", self.written)

    @property
    def settings(self) -> list:
        """How the terminal is set."""
        return termios.tcgetattr(self._screen)

    def press(self, keys: str) -> None:
        """Press some keys."""
        os.write(self._screen, keys.encode())

    def read(self, seconds: float) -> bool:
        """Take what it writes; False if there is no more to come."""
        if select.select([self._screen], [], [], seconds)[0]:
            try:
                more = os.read(self._screen, 1 << 16)
            except OSError:  # nobody has the other side any more
                return False
            self.written += more.decode(errors="replace")
        return True

    def wait_for(self, pattern: str, seconds: float = 2 * PATIENCE) -> None:
        """Until it has written what matches `pattern`."""
        ends_at = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert self.read(0.1) and time.monotonic() < ends_at, self.text[-3000:]

    def end(self, seconds: float = 2 * PATIENCE) -> int:
        """Until it has ended; its exit code."""
        ends_at = time.monotonic() + seconds
        while self.read(0.1) and self.process.poll() is None:
            assert time.monotonic() < ends_at, self.text[-3000:]
        while self.read(0.0) and select.select([self._screen], [], [], 0)[0]:
            pass
        return self.process.wait(PATIENCE)
