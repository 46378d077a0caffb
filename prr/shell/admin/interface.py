"""What the process that serves HTTP may ask a binder: a method for each of CALLS.

What is read comes as it is kept; how it is shown is not the binder's business. Whoever wants
something changed is judged here: the process has no keys.
"""

import logging
import time
from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

import gevent
import gevent.event
import msgpack

from prr.core.directory.listed import listed
from prr.core.effects import Event
from prr.shell.admin.authorizer import Authorizer
from prr.shell.admin.calls import PART_BYTES, Changed, Row
from prr.shell.admin.turns import Turns
from prr.shell.binder_node import BinderNode
from prr.shell.loop_lag import LoopLag
from prr.wire.frames import Complaint, Frame, ServiceList
from prr.wire.inquiries import DrainQuery, TextPart
from prr.wire.instance import Address, Instance, Service, describe, is_wide
from prr.wire.messages import Reason
from prr.wire.questions import Asked
from prr.wire.trailer import Drained, Question

LOOKS = 8
"""Instances and buckets looked at between two turns of others, 20 us."""

ROWS_IN_PART = 16
"""Rows that are sent together: 50 us of work, 8 kB at most."""

DISK_LIMIT = 2.0
"""Seconds in which a change has to be on disk, to be confirmed."""

REASONS_FRESH = 0.1
"""Seconds for which is not looked again why the binder is not well, which takes a millisecond of a
large one: anybody may ask for that."""

_NO_PORT = 0
"""Of who asks over HTTP: it is nobody's, who sends datagrams."""

_log = logging.getLogger("prr")


class Interface:
    """That of one binder."""

    def __init__(
        self, node: BinderNode, lag: LoopLag, authorizer: Authorizer, turns: Turns
    ) -> None:
        feed = node.core.directory.feed
        assert feed is not None  # who has HTTP is watched
        self._node, self._core, self._directory = node, node.core, node.core.directory
        self.feed = feed
        """What changes."""
        self._lag = lag
        self._authorizer = authorizer
        self._turns = turns
        self._reasons: tuple[float, list[str]] = (-REASONS_FRESH, [])

    # Answered at once.

    def standing(self) -> list[object]:
        """A number that is another one whenever something has changed; one that is also whenever
        instances were heard, or change their owner; and whether every lookup can be answered."""
        heard = self._directory.heard
        noted = self.feed.noted + (0 if heard is None else heard.noted)
        return [self.feed.last, noted, self._core.is_ready]

    def ready(self) -> list[object]:
        """Whether it can, and why it is not well."""
        now = time.monotonic()
        if now - self._reasons[0] >= REASONS_FRESH:
            self._reasons = now, self._node.status()["degraded"]
        return [self._core.is_ready, self._reasons[1]]

    def lookup(self, service: Service, zone: str) -> list[object]:
        """The instance whose turn it is, None if there is none; and whether that is certain."""
        found = self._node.look_up(Asked(service, zone, wide=True))
        return [found, self._core.is_ready]

    def operator(self, token: str | None, source: str) -> str | None:
        """Who asks, if that is an operator."""
        return self._authorizer.operator(token, source)

    def counts(self) -> list[object]:
        """What the metrics need beside the status and the services."""
        counts = {metric.name: count for metric, count in self._node.counts().items()}
        lag = [self._lag.counts, self._lag.seconds]
        return [counts, self._node.queue_drops(), lag, len(self._directory)]

    # Answered in parts, a part whenever there is time.

    def status(self) -> Iterator[bytes]:
        """How the binder is, as `prr status` shows it, in msgpack."""
        yield from _parts_of(self._node.status())

    def why(self, instance: Instance) -> Iterator[bytes]:
        """What is known of an instance, as `prr why` shows it, in msgpack."""
        yield from _parts_of(self._node.why(instance))

    def services(
        self, limit: int, after: Service | None
    ) -> Generator[list[object], None, Service | None]:
        """The first services from behind one of them, each with how many instances it has in each
        state; at last the one to go on behind, None at the end."""
        found = self._turns.in_slices(self._services(after))
        last: Service | None = None
        rows: list[object] = []
        for count, one in enumerate(islice(found, limit + 1)):
            if count == limit:
                yield rows
                return last
            up, suspect = self._directory.count(one)
            rows.append((one, up, self._directory.count_drained(one), suspect))
            last = one
            if len(rows) == ROWS_IN_PART:
                yield rows
                rows = []
        yield rows
        return None

    def instances(
        self, service: Service, limit: int, after: Instance | None
    ) -> Generator[list[object], None, Instance | None]:
        """The first instances of a service from behind one of them; at last the one to go on
        behind, None at the end. Who goes on sees each that was held all the while exactly once."""
        found = self._turns.in_slices(self._walk(service, after))
        count, last, heard = 0, after, self._directory.heard
        rows: list[object] = []
        for one in found:
            if one is None or (state := listed(self._directory, one)) is None:
                continue  # it is gone: others have their turns meanwhile
            if count == limit:
                yield rows
                return last
            heard_at = None if heard is None else heard.at(one)
            rows.append(Row(one, state, heard_at, self._core.lease(one)))
            last = one
            count += 1
            if len(rows) == ROWS_IN_PART:
                yield rows
                rows = []
        yield rows
        return None

    # Answered once it is done, and kept.

    def complain(self, token: str | None, source: str, instance: Instance, why: bytes) -> str:
        """An operator says that an instance does not work: it is asked."""
        operator = self._authorizer.operator(token, source)
        if operator is None:
            return Changed.DENIED
        if instance not in self._directory:
            return Changed.NOT_HELD
        complaint = Complaint(instance, trailer=Reason(error=why) if why else None)
        reports = self._node.operate(complaint, _source(source), lambda _: None)  # no answer
        if any(one.event is Event.OVER_COMPLAINTS for one in reports):
            return Changed.DROPPED
        _log.info("complaint about %s by %s over HTTP", describe(instance), operator)
        return Changed.TAKEN

    def drain(
        self,
        token: str | None,
        source: str,
        instance: Instance,
        seconds: int,
        why: bytes,
        last: bool,
    ) -> str:
        """An operator takes an instance out of turn for some seconds, 0: puts it back. What is
        asked goes into the core as the frame that the command sends: there is one rule."""
        operator = self._authorizer.operator(token, source)
        if operator is None:
            return Changed.DENIED
        asking_for = DrainQuery(
            question=Question.DRAIN,
            seconds=seconds,
            text=why,
            cursor=None if is_wide(instance) else instance,
            instance=instance if is_wide(instance) else None,
            last=1 if last else None,
        )
        became = self._answer(asking_for, _source(source))
        if became in (Drained.DONE, Drained.GONE):
            what = f"drained for {seconds} s" if seconds else "no longer drained"
            _log.info("%s %s by %s over HTTP", describe(instance), what, operator)
        return became

    def _answer(self, asking_for: DrainQuery, source: Address) -> str:
        """What the core says to it, once that is on disk, if there is one."""
        heard: gevent.event.AsyncResult[Frame] = gevent.event.AsyncResult()
        self._node.operate(asking_for, source, heard.set)
        try:
            answer = heard.get(timeout=DISK_LIMIT)
        except gevent.Timeout:
            return Changed.LATE
        assert isinstance(answer, ServiceList)
        assert isinstance(answer.trailer, TextPart)
        return Drained(answer.trailer.text.decode())

    def _services(self, after: Service | None) -> Iterator[Service]:
        """The services from behind one of them, looked up a few at a time: others have their turns
        meanwhile."""
        while found := self._directory.services(LOOKS, after):
            yield from found
            after = found[-1]

    def _walk(self, service: Service, after: Instance | None) -> Iterator[Instance | None]:
        """The instances of a service behind one of them, in a fixed order, and None now and then:
        among many of other services it may take a while to come upon one."""
        cursor, offset = after or b"", 0
        while True:
            found, following = self._directory.page_of(service, cursor, offset, LOOKS)
            yield from found
            yield None
            if following is None:
                return
            cursor, offset = b"", following


def _parts_of(said: dict[str, Any]) -> Iterator[bytes]:
    data = msgpack.packb(said)
    for at in range(0, len(data), PART_BYTES):
        yield data[at : at + PART_BYTES]


def _source(ip: str) -> Address:
    """Who asks, as the core has it; it says so in the history."""
    return ip, _NO_PORT
