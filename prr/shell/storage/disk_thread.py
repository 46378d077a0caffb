"""Calls that wait for a disk, made by a thread while the greenlets go on; one at a time."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent
import gevent.lock
from gevent.hub import get_hub

from prr.shell.storage.state_meta import Damaged, Failing

_P = ParamSpec("_P")
_T = TypeVar("_T")


GATHER = 0.02
"""Seconds for which changes are gathered at most: a commit takes half a millisecond of the
processor, however small it is, and 10 us for each change."""

_LAST = -2  # libev's lowest priority


def gather() -> None:
    """Let all that is ready go first, more changes among it: a single one is not kept waiting."""
    with gevent.Timeout(GATHER, False):  # type: ignore[arg-type]  # False: end quietly
        gevent.idle(_LAST)


class DiskThread:
    """Has a thread of gevent's pool make the calls."""

    def __init__(self) -> None:
        self._turn = gevent.lock.Semaphore()

    def do(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What the call returns, or raises, once it has; this greenlet waits for it."""

        def attempt() -> tuple[_T | None, Exception | None]:
            try:
                return call(*args, **kwargs), None
            except (Damaged, Failing) as error:  # the pool would tell the hub before us
                return None, error

        with self._turn:
            result, error = get_hub().threadpool.apply(attempt)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]
