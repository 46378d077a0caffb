"""Background work for a binder: subscriptions, and verifications that time out."""

import math
import time
from collections.abc import Callable
from itertools import count

import gevent
from gevent.pool import Group

from benchmarks.fleet import Fleet
from benchmarks.tally import Load
from prr.wire.instance import Instance

PAUSE = 0.005
"""Seconds by which a complaint follows its subscription, since the binder takes complaints last."""

VERIFICATION = 1.0
"""Seconds a lone binder takes to find that an instance is silent."""

CYCLE = 1.05
"""Seconds between two complaints about one instance: time for it to be found silent, and some."""

WARM_UP = 2 * CYCLE
"""Seconds after which as many verifications are under way as are meant to be."""

RESERVE = 10.0
"""Seconds beyond those of the load for which there are subscribers: it takes a while to start."""

ACCUSERS = 100
"""Addresses that complaints come from in turn: a binder has bounds for what comes from one."""

NEW_NET, SILENT_NET, ACCUSERS_NET = 64, 32, 33


class Background:
    """Subscriptions at a rate, and a number of verifications under way, until it is closed.

    The subscribers are new ones each time, and answer the one question that a new one is asked. The
    silent ones subscribe, are complained about, never answer, and subscribe again once that is
    found. But for that question nothing is read here: it is nearly the same work for the sender
    whether there is a binder or a sink.
    """

    def __init__(self, load: Load) -> None:
        self.subscribed: set[Instance] = set()
        self._target = load.sink or load.targets[0]
        self._tasks = Group()
        rate = load.subscriptions_per_second
        silent = math.ceil(load.verifications * CYCLE / VERIFICATION)
        self._new = Fleet(math.ceil(rate * (load.seconds + RESERVE)), load.types, NEW_NET)
        self._silent = Fleet(silent, load.types, SILENT_NET)
        self._accusers = Fleet(ACCUSERS, b"\0", ACCUSERS_NET)
        if rate:
            self._tasks.spawn(self._pace, rate, self._subscribe_new)
        if silent:
            self._tasks.spawn(self._pace, silent / CYCLE, self._accuse_next)
            gevent.sleep(WARM_UP)

    @property
    def instances(self) -> set[Instance]:
        """All that subscribe sooner or later."""
        return {*self._new.instances(), *self._silent.instances()}

    def close(self) -> None:
        """End it, and give the ports back."""
        self._tasks.kill()
        for fleet in (self._new, self._silent, self._accusers):
            fleet.close()

    def _pace(self, rate: float, act: Callable[[int], None]) -> None:
        """Do it so often a second, each time at its moment or late."""
        began_at = time.perf_counter()
        for number in count():
            gevent.sleep(max(0.0, began_at + number / rate - time.perf_counter()))
            act(number)

    def _subscribe_new(self, number: int) -> None:
        list(self._new.hear())
        if number < self._new.count:
            self._subscribe(self._new, number)

    def _subscribe(self, fleet: Fleet, number: int) -> None:
        fleet.send(number, fleet.first(number), self._target)
        self.subscribed.add(fleet.instance(number))

    def _accuse_next(self, number: int) -> None:
        self._tasks.spawn(self._accuse, number)

    def _accuse(self, number: int) -> None:
        silent = number % self._silent.count
        self._subscribe(self._silent, silent)
        gevent.sleep(PAUSE)
        complaint = b"\4" + self._silent.instance(silent)
        self._accusers.send(number % ACCUSERS, complaint, self._target)
