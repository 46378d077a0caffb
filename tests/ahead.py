"""What other processes compute while the tests wait: simulated runs, and tests that only compute.

The marks `ahead` and `elsewhere` say what. All of it is begun with the session, for the tests that
were selected, in as many processes as there are processors, which take only the time that is left.
"""

import gc
import multiprocessing
import os
import pickle
import warnings
from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

import pytest

NICENESS = 19
"""They take no time from a test of real nodes, which may look at the clock."""

YOUNG_OBJECTS = 50_000
"""Objects after which Python searches for garbage: a run makes few circles, and ends soon."""

LIMIT = 600.0
"""Seconds to wait for a result while no other comes either: a process that was killed never gives
its own. On a busy machine all of them together take longer."""


class Ahead:
    """The processes, and what they were asked to compute."""

    def __init__(self, items: list[pytest.Item]) -> None:
        """Begin: with whole tests in their order, then with what others need. Of that, what has
        few arguments comes first, as each takes long."""
        self._pool: Any = None
        self._results: dict[tuple[Any, ...], Any] = {}
        self._finished = 0
        for item in items:
            if is_elsewhere(item):
                arguments = {"test": item.obj, "parameters": _parameters(item)}
                self._begin(item.nodeid, _run, arguments)
        marks = [mark for item in items for mark in item.iter_markers("ahead")]
        for function, arguments in sorted((mark.args for mark in marks), key=_length):
            for argument in arguments:
                self._begin((function, argument), function, {"seed": argument})

    def results(self, item: pytest.Item) -> list[Any]:
        """What the mark `ahead` of a test names, in order. Raises what a function raised."""
        (mark,) = item.iter_markers("ahead")
        function, arguments = mark.args
        return [self._result(self._results[function, argument]) for argument in arguments]

    def finish(self, item: pytest.Item) -> None:
        """See to the end of a test that runs elsewhere. If it failed, it is run here too, since
        pytest explains only what fails here."""
        try:
            self._result(self._results[item.nodeid])
        except Exception:
            _run(item.obj, _parameters(item))
            raise

    def close(self) -> None:
        """End them."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def _begin(self, key: Any, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        if key in self._results:
            return
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(initializer=_stand_back)
        self._results[key] = self._pool.apply_async(
            function, kwds=arguments, callback=self._count, error_callback=self._count
        )

    def _count(self, _: Any) -> None:
        """Another result has come."""
        self._finished += 1

    def _result(self, expected: Any) -> Any:
        """Wait for it. Raises TimeoutError if it does not come."""
        while not expected.ready():
            finished = self._finished
            expected.wait(LIMIT)
            if not expected.ready() and self._finished == finished:
                break
        return expected.get(0)


def is_elsewhere(item: pytest.Item) -> bool:
    """A test that is marked so, and needs nothing of this process: no fixture but `monkeypatch`,
    which patches where it runs, and no function that has no name."""
    if item.get_closest_marker("elsewhere") is None:
        return False
    find = item.session._fixturemanager.getfixturedefs  # a parameter alone has none
    fixtures = {name for name in item.fixturenames if find(name, item)}
    return fixtures <= {"_ahead", "request", "monkeypatch"} and _can_travel(_parameters(item))


def is_late(item: pytest.Item) -> bool:
    """A test that is to be waited for last."""
    return is_elsewhere(item) or item.get_closest_marker("ahead") is not None


def _parameters(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec else {}


def _run(test: Callable[..., None], parameters: dict[str, Any]) -> None:
    """Run a whole test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if "monkeypatch" in signature(test).parameters:
            parameters = {**parameters, "monkeypatch": monkeypatch}
        try:
            test(**parameters)
        except pytest.fail.Exception as error:  # no Exception: it would end the process
            raise AssertionError(str(error)) from error


def _can_travel(parameters: dict[str, Any]) -> bool:
    try:
        pickle.dumps(parameters)
    except (AttributeError, TypeError, pickle.PicklingError):
        return False
    return True


def _length(arguments: tuple[Callable[..., Any], Iterable[Any]]) -> int:
    return len(list(arguments[1]))


def _stand_back() -> None:
    os.nice(NICENESS)
    gc.set_threshold(YOUNG_OBJECTS)
    warnings.simplefilter("error")  # as pytest has it
