"""What is computed while other tests wait: simulated runs, by processes that take what is left.

A test says what it needs with a mark, and gets it from the fixture `ahead`:

    @pytest.mark.ahead(run, range(300))
    def test_it(ahead):
        results = ahead  # run(0), run(1), ...

All of it is begun with the session, for the tests that were selected.
"""

import gc
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest

NICENESS = 19
"""They take no time from a test of real nodes, which may look at the clock."""

YOUNG_OBJECTS = 50_000
"""Objects after which Python searches for garbage: a run makes few circles, and ends soon."""


class Ahead:
    """The processes, and what they were asked to compute."""

    def __init__(self, items: list[pytest.Item]) -> None:
        """Begin with what the marks of `items` name; where it is little, that takes long, and
        comes first."""
        marks = [mark for item in items for mark in item.iter_markers("ahead")]
        self._pool: Any = None
        self._results: dict[tuple[Callable[[Any], Any], Any], Any] = {}
        if marks:
            self._pool = multiprocessing.get_context("spawn").Pool(initializer=_stand_back)
        for mark in sorted(marks, key=lambda mark: len(mark.args[1])):
            function, arguments = mark.args
            for argument in arguments:
                if (function, argument) not in self._results:
                    result = self._pool.apply_async(function, (argument,))
                    self._results[function, argument] = result

    def results(self, item: pytest.Item) -> list[Any]:
        """What the mark of a test names, in order. Raises what a function raised."""
        (mark,) = item.iter_markers("ahead")
        function, arguments = mark.args
        return [self._results[function, argument].get() for argument in arguments]

    def close(self) -> None:
        """End them."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()


def _stand_back() -> None:
    os.nice(NICENESS)
    gc.set_threshold(YOUNG_OBJECTS)
