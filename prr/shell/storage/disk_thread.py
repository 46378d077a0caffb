"""Calls that wait for a disk, made by a thread while the greenlets go on; one at a time."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent.lock
from gevent.hub import get_hub

from prr.shell.storage.state_meta import Damaged, Failing

_P = ParamSpec("_P")
_T = TypeVar("_T")


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
