"""Sockets to binders, kept from one lookup to the next: opening one costs more than to ask.

An answer names no question, and the network may deliver a copy of one at any time. So a socket is
kept for lookups of one service, and only if one question was asked on it and answered once.
"""

import os
import socket
import threading
import weakref
from collections import deque
from typing import TypeAlias

from prr.wire.instance import Address, Service

KEPT_MAX = 8
"""Sockets kept for one service at one binder: as many lookups as usually run at a time."""

SOCKETS_MAX = 256
"""Sockets kept in all: a quarter of the files that a process may usually open. Those not used for
the longest time go first."""

STALE_MAX = 8
"""Datagrams thrown away before a socket is thrown away itself."""

Use: TypeAlias = tuple[Address, Service]
"""A binder, and the service it is asked for."""


class KeptSockets:
    """Those of one client. Safe to share between threads; a process that is forked has none."""

    def __init__(self) -> None:
        self._by_use: dict[Use, deque[socket.socket]] = {}  # the one used last at the end
        self._count = 0
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._by_use)
        _all.add(self)

    def take(self, use: Use) -> socket.socket | None:
        """A connected socket with nothing in it; None if none is kept."""
        while True:
            with self._lock:
                kept = self._by_use.get(use)
                if not kept:
                    return None
                opened = kept.popleft()
                self._count -= 1
            if _is_empty(opened):
                return opened
            opened.close()

    def give_back(self, use: Use, opened: socket.socket) -> None:
        """Keep a socket on which one question was answered once, or close it."""
        with self._lock:
            kept = self._by_use.pop(use) if use in self._by_use else deque()
            self._by_use[use] = kept
            kept.append(opened)
            self._count += 1
            surplus = kept.popleft() if len(kept) > KEPT_MAX else self._oldest()
            if surplus is not None:
                self._count -= 1
        if surplus is not None:
            surplus.close()

    def forget(self) -> None:
        """Close all of them."""
        _close_all(self._by_use)
        self._count = 0
        self._lock = threading.Lock()  # the one in a forked process may be held for ever

    def _oldest(self) -> socket.socket | None:
        """One too many, of the use that is longest ago."""
        while self._count > SOCKETS_MAX:
            use = next(iter(self._by_use))
            if kept := self._by_use[use]:
                return kept.popleft()
            del self._by_use[use]
        return None


def _is_empty(opened: socket.socket) -> bool:
    """Nothing is left in a socket; what was is thrown away."""
    try:
        for _ in range(STALE_MAX):
            opened.recv(1)
    except BlockingIOError:
        return True
    except OSError:  # refused meanwhile
        pass
    return False


def _close_all(by_use: dict[Use, deque[socket.socket]]) -> None:
    for kept in by_use.values():
        while kept:
            kept.popleft().close()
    by_use.clear()


_all: "weakref.WeakSet[KeptSockets]" = weakref.WeakSet()


def _forget_in_child() -> None:
    """Answers to parent and child would be mixed up."""
    for one in _all:
        one.forget()


os.register_at_fork(after_in_child=_forget_in_child)
