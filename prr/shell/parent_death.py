"""Has a child process end with its parent, however that ends."""

import ctypes
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(number: int) -> None:
    """In a child, before it executes a program: have the kernel send it signal `number` when the
    thread that forked it is gone. Its own children are not concerned, and what has other rights
    (setuid) loses it. Elsewhere than on Linux it does nothing."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)
