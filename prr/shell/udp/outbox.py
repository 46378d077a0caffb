"""Sends single datagrams, and keeps track of what cannot be sent."""

import errno
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from prr.core.metrics import Metric
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.mmsg import Received
from prr.wire.found import AnswerRun
from prr.wire.instance import (
    Address,
    Instance,
    address_of,
    describe_address,
    is_ipv6,
    is_ipv6_address,
)

UNREACHABLE_MAX = 64
"""Targets remembered as unreachable, so that each is logged once and not at every datagram."""

WAITING_MAX = 1024
"""Requests that wait for room to send; the answers beyond are lost, as UDP may lose them."""

_log = logging.getLogger("prr")


class Outbox:
    """Sends, waits for room, and remembers whom it cannot reach."""

    def __init__(
        self, lanes: Sequence[Datagrams], step_aside: Callable[[], None], counts: Counter[Metric]
    ) -> None:
        """What is sent leaves from the first of `lanes` that is of the target's family.

        `step_aside` is called before a greenlet waits; `counts` tells what was lost."""
        self._lanes = {lane.is_ipv6: lane for lane in reversed(lanes)}
        self._step_aside = step_aside
        self._counts = counts
        self._unreachable: set[Address] = set()
        self._waiting = 0

    def send(self, data: bytes, target: Address) -> None:
        """Send `data` to `target`, when there is room. Raises nothing."""
        try:
            lane = self._lane(is_ipv6_address(target))
            while not lane.send(data, target):
                if self._waiting >= WAITING_MAX:
                    self._counts[Metric.SEND_DROPS] += 1
                    return
                self._wait(lane)
        except OSError as error:
            self._counts[Metric.SEND_ERRORS] += 1
            self._now_unreachable(target, error)
            return
        if target in self._unreachable:
            self._unreachable.remove(target)
            _log.info("reachable again %s", describe_address(target))

    def answer(self, burst: Received, at: int, answers: AnswerRun) -> None:
        """Send the senders of a burst, from `at` on, a run of answers, which leaves from the socket
        that the burst came to. What there is no room for goes out alone, when there is."""
        try:
            sent = burst.answer(at, answers)
        except OSError:  # whatever it is, it is dealt with where one is sent alone
            sent = 0
        if sent == answers.count:
            return
        sources = [burst.source(at + number) for number in range(answers.count)]
        for answer, target in [*zip(answers.datagrams(), sources, strict=True)][sent:]:
            self.send(answer, target)

    def send_all(self, data: bytes, instances: Sequence[Instance]) -> None:
        """Send `data` to each of `instances`, all of the spec, when there is room. It raises
        nothing."""
        sent = 0
        while sent < len(instances):
            some = instances[sent : sent + BURST_MAX]
            send = partial(Datagrams.send_all, data=data, instances=some)
            sent += self._sent(send, data, some[0])

    def send_each(self, datagrams: Sequence[bytes], instances: Sequence[Instance]) -> None:
        """The same with a datagram for each of them, which are of one family."""
        sent = 0
        while sent < len(instances):
            some, data = instances[sent : sent + BURST_MAX], datagrams[sent : sent + BURST_MAX]
            send = partial(Datagrams.send_each, datagrams=data, instances=some)
            sent += self._sent(send, data[0], some[0])

    def _sent(self, send: Callable[[Datagrams], int], first: bytes, to: Instance) -> int:
        """How many are sent of those that a lane sends together; or the first alone."""
        try:
            went = send(self._lane(is_ipv6(to)))
        except OSError:  # whatever it is, it is dealt with where one is sent alone
            went = 0
        if not went:
            self.send(first, address_of(to))
        return max(1, went)

    def _lane(self, is_ipv6: bool) -> Datagrams:
        """OSError if there is none of that family."""
        lane = self._lanes.get(is_ipv6)
        if lane is None:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return lane

    def _wait(self, lane: Datagrams) -> None:
        self._step_aside()
        self._waiting += 1
        try:
            lane.wait_to_send()
        finally:
            self._waiting -= 1

    def _now_unreachable(self, target: Address, error: OSError) -> None:
        if target not in self._unreachable and len(self._unreachable) < UNREACHABLE_MAX:
            self._unreachable.add(target)
            _log.warning("unreachable %s: %s", describe_address(target), error.strerror)
