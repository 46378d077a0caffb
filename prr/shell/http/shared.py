"""One question for all who want to know the same at once."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import gevent
import gevent.event

PAUSE = 0.02
"""Seconds between two questions: so the binder has fifty a second at most. To be woken for one that
comes alone costs it 0.1 ms, as a lookup does."""

_T = TypeVar("_T")


class Shared(Generic[_T]):
    """Asks a question for many. Each is told what was answered after he had come."""

    def __init__(self, ask: Callable[[], _T]) -> None:
        self._ask = ask
        self._next: gevent.event.AsyncResult[_T] | None = None
        self._asked_at = -PAUSE

    def __call__(self) -> _T:
        """The answer. Raises what asking raises."""
        if (answer := self._next) is None:
            answer = self._next = gevent.event.AsyncResult()
            gevent.spawn(self._ask_next, answer)
        return cast(_T, answer.get())

    def _ask_next(self, answer: "gevent.event.AsyncResult[_T]") -> None:
        if (rest := self._asked_at + PAUSE - time.monotonic()) > 0:
            gevent.sleep(rest)
        self._next = None  # whoever comes now comes too late for this answer
        self._asked_at = time.monotonic()
        try:
            answer.set(self._ask())
        except Exception as error:
            answer.set_exception(error)
