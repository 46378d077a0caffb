"""The binder, as the process that serves its HTTP sees it: what it can be asked, and what it tells.

It has its reasons when it does not answer: so every question has a time limit, and there are never
many at once. When it is gone, there is nothing left to do.
"""

import itertools
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import gevent
import msgpack
from gevent.lock import Semaphore
from gevent.queue import Queue

from prr.shell.admin.calls import (
    MESSAGE_BYTES_MAX,
    NEWS,
    Answer,
    Kind,
    Malformed,
    News,
    Refusal,
    Row,
    Settings,
    news_from,
    read_answer,
    read_settings,
    row_from,
    service_from,
    write,
)
from prr.shell.http.asked import Who
from prr.shell.http.problems import bug, busy
from prr.wire.instance import Instance, Service

CALLS_MAX = 256
"""Questions under way: two for each connection. Those beyond are not asked."""

PARTS_MAX = 1024
"""Parts of an answer that wait to be read: four times as many as the longest has."""

CALL_LIMIT = 25.0
"""Seconds in which the binder has to answer. Of a list it makes a few rows whenever it has time."""


class Standing(NamedTuple):
    """How the binder stands."""

    changed: int
    """Another one whenever something has changed."""
    noted: int
    """Another one also whenever instances were heard, or change their owner."""
    is_ready: bool
    """It can answer every lookup."""


class Count(NamedTuple):
    """A service, and how many instances it has in each state."""

    service: Service
    up: int
    drained: int
    suspect: int


class Counts(NamedTuple):
    """What the metrics need beside the status and the services."""

    metrics: dict[str, int]
    queue_drops: dict[str, int]
    lag: tuple[list[int], float]
    instances: int


class Binder:
    """Asks one binder, and hears what it tells."""

    def __init__(self, channel: socket.socket) -> None:
        """`channel` is one of gevent's. Raises Malformed."""
        self._channel = channel
        self._hear: Callable[[list[News]], None] = lambda news: None
        self._sending = Semaphore(1)
        self._numbers = itertools.count(NEWS + 1)
        self._open: dict[int, Queue[Answer]] = {}
        self.settings: Settings = read_settings(channel.recv(MESSAGE_BYTES_MAX))
        self.needs_token = self.settings.needs_token

    def on_news(self, hear: Callable[[list[News]], None]) -> None:
        """Have `hear` called with changes as they are told."""
        self._hear = hear

    def run(self) -> None:
        """Read what it says, until it is gone. Raises Malformed, or OSError."""
        while data := self._channel.recv(MESSAGE_BYTES_MAX):
            answer = read_answer(data)
            if answer.number == NEWS:
                self._hear([news_from(one) for one in answer.payload])
            elif (asked := self._open.get(answer.number)) is not None:
                if len(asked) > PARTS_MAX:
                    raise Malformed("an answer without end")
                asked.put_nowait(answer)

    def standing(self) -> Standing:
        """How it stands now."""
        return Standing(*self._ask("standing"))

    def ready(self) -> tuple[bool, list[str]]:
        """Whether it can answer every lookup, and why it is not well."""
        is_ready, reasons = self._ask("ready")
        return is_ready, reasons

    def counts(self) -> Counts:
        """What it has counted."""
        return Counts(*self._ask("counts"))

    def status(self) -> dict[str, Any]:
        """All that it knows of itself."""
        return self._text("status")

    def why(self, instance: Instance) -> dict[str, Any]:
        """What it knows of an instance."""
        return self._text("why", instance)

    def lookup(self, service: Service, zone: str) -> tuple[Instance | None, bool]:
        """The instance whose turn it is, None if there is none; and whether that is certain."""
        found, is_ready = self._ask("lookup", service, zone)
        return found, is_ready

    def services(
        self, limit: int, after: Service | None, take: Callable[[Count], None]
    ) -> Service | None:
        """Have `take` called with services from behind one of them; where to go on, None at the
        end."""

        def take_all(rows: list[Any]) -> None:
            for service, *counts in rows:
                take(Count(service_from(service), *counts))

        following = self._ask("services", limit, after, take=take_all)
        return None if following is None else service_from(following)

    def instances(
        self, service: Service, limit: int, after: Instance | None, take: Callable[[Row], None]
    ) -> Instance | None:
        """Have `take` called with instances of a service, likewise."""

        def take_all(rows: list[Any]) -> None:
            for row in rows:
                take(row_from(row))

        following: Instance | None = self._ask("instances", service, limit, after, take=take_all)
        return following

    def operator(self, who: Who) -> str | None:
        """What its log calls whoever asks; None: no operator."""
        name: str | None = self._ask("operator", *who)
        return name

    def complain(self, who: Who, instance: Instance, why: bytes) -> str:
        """Say that an instance does not work; what became of that, as Changed says it."""
        return str(self._ask("complain", *who, instance, why))

    def drain(self, who: Who, instance: Instance, seconds: int, why: bytes, last: bool) -> str:
        """Take an instance out of turn for some seconds, 0: put it back; what became of that, as
        Changed says it, or Drained."""
        return str(self._ask("drain", *who, instance, seconds, why, last))

    def _text(self, name: str, *arguments: object) -> dict[str, Any]:
        parts: list[bytes] = []
        self._ask(name, *arguments, take=parts.append)
        said: dict[str, Any] = msgpack.unpackb(b"".join(parts), strict_map_key=False)
        return said

    def _ask(
        self, name: str, *arguments: object, take: Callable[[Any], None] = lambda part: None
    ) -> Any:  # noqa: ANN401 whatever this call is answered with
        """The answer; `take` is called with each part before the last one. Raises Problem."""
        if len(self._open) >= CALLS_MAX:
            raise busy("too much is asked at once; ask again in a second")
        number = next(self._numbers)
        asked = self._open[number] = Queue()
        late = busy(f"the binder has not answered for {CALL_LIMIT:g} s; its log may say why")
        try:
            with gevent.Timeout(CALL_LIMIT, late):
                with self._sending:
                    self._channel.send(write((number, name, arguments)))
                while (answer := asked.get()).kind is Kind.PART:
                    take(answer.payload)
        finally:
            del self._open[number]
        if answer.kind is Kind.REFUSED:
            if answer.payload == Refusal.BUSY:
                raise busy("the binder has too much to do; ask again in a second")
            raise bug()
        return answer.payload
