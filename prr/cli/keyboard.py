"""Single keys from the terminal, as they are pressed."""

import os
import sys
import termios
import tty
from typing import Any, Self


def has_keys() -> bool:
    """stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


class Keys:
    """Within the `with` block the terminal hands over each key at once, and does not show it.
    Ctrl-C and the like remain signals. Only where `has_keys`."""

    def __enter__(self) -> Self:
        self.descriptor = sys.stdin.fileno()
        self._before: list[Any] = termios.tcgetattr(self.descriptor)
        tty.setcbreak(self.descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._before)

    def read(self) -> str:
        """The key that has been pressed; "" when the terminal is gone. Waits for one."""
        try:
            return os.read(self.descriptor, 1).decode("ascii", "replace")
        except OSError:
            return ""
