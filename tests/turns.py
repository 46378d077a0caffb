"""The loop of this process: for a test whose subject runs in it."""

import time
from collections.abc import Callable

import gevent
from gevent.hub import get_hub

from tests.nodes import PATIENCE


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Let the loop go on until `condition()` is true; fail after `seconds`."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {condition}"
        gevent.sleep(0.001)


def go_on(seconds: float) -> None:
    """Let the loop go on for so long. It counts from when its turn began, which may have been long
    ago, in another test."""
    get_hub().loop.update_now()
    gevent.sleep(seconds)
