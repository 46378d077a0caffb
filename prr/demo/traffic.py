"""The demo's clients: some call services, others only look them up. Both keep count."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent

from prr.client.api import Client
from prr.client.errors import PrrError, ServiceDidNotAnswer
from prr.wire.instance import Address

CALLERS = 4
CALL_PAUSE = 0.005
"""Seconds between two calls of one client."""

ASKERS = 4
ASK_PAUSE = 0.002
"""Seconds between two lookups of one client."""


@dataclass(slots=True)
class Tally:
    """What the clients have seen. A wrong answer is a binder's that names a dead server."""

    calls: int = 0
    slowest_call: float = 0.0  # seconds, of those that were answered
    lookups: int = 0
    wrong: int = 0  # of the lookups
    unanswered: int = 0  # of the lookups: no binder answered
    failed: int = 0  # of the calls
    last_wrong_at: float | None = None  # in a lookup, or behind a failed call

    @property
    def trouble(self) -> int:
        """How often something went wrong."""
        return self.wrong + self.unanswered + self.failed

    def __add__(self, other: "Tally") -> "Tally":
        """What both have seen, one after the other."""
        last = self.last_wrong_at if other.last_wrong_at is None else other.last_wrong_at
        return Tally(
            calls=self.calls + other.calls,
            slowest_call=max(self.slowest_call, other.slowest_call),
            lookups=self.lookups + other.lookups,
            wrong=self.wrong + other.wrong,
            unanswered=self.unanswered + other.unanswered,
            failed=self.failed + other.failed,
            last_wrong_at=last,
        )


class Traffic:
    """Clients at work in this process, a greenlet each, from start to stop."""

    def __init__(
        self, binders: list[str], types: list[int], trouble: Callable[[BaseException], None]
    ) -> None:
        """`trouble` is given what a failed call or lookup raised (a PrrError), and any unexpected
        exception."""
        self.dead: set[Address] = set()
        self.tally = Tally()
        self._taken = Tally()
        self._client = Client(binders)
        self._types = types
        self._trouble = trouble
        self._greenlets: list[gevent.Greenlet[[], None]] = []

    def start(self) -> None:
        """Let the clients begin."""
        self._greenlets = [gevent.spawn(self._keep_calling) for _ in range(CALLERS)]
        self._greenlets += [gevent.spawn(self._keep_asking) for _ in range(ASKERS)]
        for greenlet in self._greenlets:
            greenlet.link_exception(self._broken)

    def stop(self) -> None:
        """End the clients, whatever they are doing."""
        gevent.killall(self._greenlets)

    @property
    def total(self) -> Tally:
        """The tally since the start."""
        return self._taken + self.tally

    def take(self) -> Tally:
        """The tally since it was last taken."""
        taken, self.tally = self.tally, Tally()
        self._taken += taken
        return taken

    def _keep_calling(self) -> None:
        while True:
            gevent.sleep(CALL_PAUSE)
            started_at = time.monotonic()
            try:
                self._client.call(random.choice(self._types), b"hello")
            except PrrError as error:
                self.tally.failed += 1
                if isinstance(error, ServiceDidNotAnswer):
                    self.tally.last_wrong_at = time.monotonic()
                self._trouble(error)
            else:
                took = time.monotonic() - started_at
                self.tally.slowest_call = max(self.tally.slowest_call, took)
            self.tally.calls += 1

    def _keep_asking(self) -> None:
        while True:
            gevent.sleep(ASK_PAUSE)
            self.tally.lookups += 1
            try:
                address = self._client.lookup(random.choice(self._types))
            except PrrError as error:
                self.tally.unanswered += 1
                self._trouble(error)
                continue
            if address in self.dead:
                self.tally.wrong += 1
                self.tally.last_wrong_at = time.monotonic()

    def _broken(self, greenlet: "gevent.Greenlet[[], None]") -> None:
        assert greenlet.exception is not None
        self._trouble(greenlet.exception)
