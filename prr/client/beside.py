"""Runs a node in a program's own process: beside whatever else it does, or alone for a while.

In a gevent program the node has greenlets, elsewhere a thread, with an event loop of its own.
"""

import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import gevent.monkey
import gevent.socket
from gevent.hub import get_hub

from prr.client.errors import CannotServe
from prr.client.exchange import sockets_here
from prr.core.effects import Stop
from prr.shell.node import Node

PAUSE = 0.001
"""Seconds between two looks of a greenlet that waits for the beginning, or the end."""

STOP_LIMIT = 15.0
"""Seconds for a node to leave: all of its binders may be silent, a second each, and what is under
way has five. After that its event loop does not run any more."""

_T = TypeVar("_T")

_log = logging.getLogger("prr")


class Beside:
    """Runs one node, once."""

    def __init__(self) -> None:
        self._has_greenlets = False
        self._process = 0
        self._thread: threading.Thread | None = None
        self._leave: Callable[[], object] | None = None
        self._lock = threading.Lock()  # held while another thread calls it
        self._opened: Future[None] = Future()
        self._begun: Future[Stop | None] = Future()
        self._over: Future[Stop] = Future()

    def start(self, open_: Callable[[], Node[Any]]) -> None:
        """Open a node and run it beside other work. Returns when it is open.

        Raises what `open_` raises, CannotServe if this was called before.
        """
        self._claim()
        self._has_greenlets = sockets_here() is gevent.socket or gevent.monkey.is_module_patched(
            "threading"
        )
        if self._has_greenlets:
            gevent.spawn(self._run, open_)
        else:
            self._thread = threading.Thread(target=self._run, args=(open_,), daemon=True)
            self._thread.start()
        self._wait(self._opened)

    def run(self, open_: Callable[[], Node[Any]]) -> Stop:
        """Open a node and run it here, in the main thread, until it stops or a signal stops it.

        Raises what `open_` raises, CannotServe if this was called before.
        """
        self._claim()
        node = open_()
        with _signals_as_before():
            self._serve(node, node.run)
        return self._over.result()

    def wait_until_ready(self) -> Stop | None:
        """Returns when the node can do its work; or with what it has come to instead."""
        try:
            return self._wait(self._begun)
        except BaseException:  # whoever waited does not any more
            self._ask_to_leave()
            raise

    def stop(self) -> None:
        """Have the node leave gracefully. Returns when it is over; at once where the node's own
        thread asks, or another process than the one that has it. No error if it is over already.

        Raises CannotServe if it does not end within STOP_LIMIT.
        """
        if not self._ask_to_leave() or threading.current_thread() is self._thread:
            return
        try:
            self._wait(self._over, STOP_LIMIT)
            if self._thread is not None:  # its event loop must not outlive the program
                self._thread.join(STOP_LIMIT)
        except TimeoutError as error:
            why = f"it did not stop within {STOP_LIMIT:g} s; does a handler block its thread?"
            raise CannotServe(why) from error

    def _claim(self) -> None:
        if self._process:
            raise CannotServe("it has been started before; make another one")
        self._process = os.getpid()

    def _ask_to_leave(self) -> bool:
        """False if there is nothing to wait for."""
        if os.getpid() != self._process:
            return False
        with self._lock:
            leave, self._leave = self._leave, None
            if leave is not None:
                leave()
        return leave is not None

    def _run(self, open_: Callable[[], Node[Any]]) -> None:
        try:
            node = open_()
            self._serve(node, node.serve_beside)
        except BaseException as error:  # whoever waits has to be told, whatever it is
            if self._opened.done():
                _log.error("a service of this program is over: %r", error)
            for waited in (self._opened, self._begun, self._over):
                if not waited.done():
                    waited.set_exception(error)
        finally:
            atexit.unregister(self.stop)
            if not self._has_greenlets:
                get_hub().destroy(destroy_loop=True)

    def _serve(self, node: Node[Any], serve: Callable[[], Stop]) -> None:
        wake = get_hub().loop.async_()  # what another thread may call
        wake.start(lambda: gevent.spawn(node.leave))
        self._leave = wake.send
        atexit.register(self.stop)
        node.on_ready(lambda: self._begun.set_result(None))
        self._opened.set_result(None)
        try:
            stop = serve()
        finally:
            with self._lock:
                self._leave = None
                wake.close()
            atexit.unregister(self.stop)
        self._over.set_result(stop)
        if not self._begun.done():
            self._begun.set_result(stop)

    def _wait(self, for_: Future[_T], limit: float | None = None) -> _T:
        if self._has_greenlets:
            with gevent.Timeout(limit, TimeoutError):
                while not for_.done():
                    gevent.sleep(PAUSE)
        return for_.result(limit)


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """What signals and errors of greenlets do afterwards is what they did before."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    errors = get_hub().SYSTEM_ERROR
    try:
        yield
    finally:
        get_hub().SYSTEM_ERROR = errors
        for number, handler in before.items():
            if handler is not None:  # else it was not set by Python
                signal.signal(number, handler)
