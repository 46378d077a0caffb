"""stdin, stdout and stderr, even where the caller has closed them."""

import os
import sys

from prr.cli.exits import NO_OUTPUT


class OutputLost(Exception):
    """stdout cannot be written to. The text says why; it is empty if its reader is gone."""


def open_standard_streams() -> None:
    """Open descriptors 0 to 2, so that no socket gets one, and let both outputs take any text."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # the lowest free descriptor is this one; writing to 1 must fail
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
        getattr(sys, name).reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print data to stdout, now. Raises OutputLost."""
    try:
        print(text, flush=True)
    except BrokenPipeError as error:  # its reader has had enough, as `head` has
        raise OutputLost from error
    except OSError as error:
        raise OutputLost(error.strerror) from error


def give_up_output(error: OutputLost) -> int:
    """Report on stderr why the output is lost, unless its reader is gone; returns the exit code."""
    if str(error):
        print(f"prr: cannot write to stdout: {error}", file=sys.stderr)
    # What Python still holds for stdout would fail once more when it exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return NO_OUTPUT


def in_one_line(text: str) -> str:
    """`text` with unprintable characters escaped: it stays one line, and harmless to a terminal."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)
