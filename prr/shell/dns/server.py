"""Answers DNS beside a binder's lookups, and after them: a query at a time, when all others had
their turn."""

import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import gevent

from prr.shell.dns.answers import Answers
from prr.shell.dns.budgets import Budgets
from prr.shell.dns.queries import UDP_BYTES_MAX
from prr.shell.dns.streams import PRIORITY, Streams
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.reader import Reader
from prr.shell.udp.steering import Lane
from prr.shell.worker_pool import WorkerPool

LANE = Lane(PRIORITY, BURST_MAX, 1, "DNS queries")

CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")

_CODE_AT, _CODE = 3, 0x0F
_FLAGS_AT, _IS_TRUNCATED = 2, 0x02


class DnsServer:
    """One port."""

    def __init__(
        self,
        answers: Answers,
        datagrams: Sequence[socket.socket],
        streams: Sequence[socket.socket],
    ) -> None:
        """The sockets of UDP, and those of TCP that listen; see `open_port`."""
        self._answers = answers
        self._budgets = Budgets()
        self._counts: Counter[str] = Counter()
        self._lanes = [Datagrams(one, LANE) for one in datagrams]
        workers = WorkerPool()
        self._readers = [Reader(lane, workers, self._serve_next) for lane in self._lanes]
        self._streams = Streams(self._answer)
        self._listening = streams

    def start(self) -> None:
        """Serve as long as the process runs."""
        for reader in self._readers:
            reader.start()
        for one in self._listening:
            gevent.spawn(self._streams.listen, one)

    def status(self) -> dict[str, Any]:
        """How many answers there were with each code, and what became of others."""
        dropped = sum(lane.dropped for lane in self._lanes)
        connections, _ = self._streams.size
        return {**+self._counts, "dropped by the kernel": dropped, "connections": connections}

    def _answer(self, data: bytes, most: int) -> bytes | None:
        answer = self._answers.answer(data, most)
        if answer is None:
            self._counts["ignored"] += 1
            return None
        self._counts[CODES[answer[_CODE_AT] & _CODE]] += 1
        self._counts["truncated"] += bool(answer[_FLAGS_AT] & _IS_TRUNCATED)
        return answer

    def _serve_next(self, reader: Reader) -> None:
        """Answer the next datagram of a burst. What cannot be sent is asked for again."""
        burst, at = reader.datagrams.burst, reader.at
        reader.at += 1
        query, source = burst.datagram(at), burst.source(at)
        now, budget = time.monotonic(), self._budgets.of(source)
        is_spent = budget is not None and self._budgets.is_spent(budget, now)
        answer = self._answer(query, 0 if is_spent else UDP_BYTES_MAX)
        if answer is None:
            return
        if budget is not None and len(answer) > len(query):
            self._budgets.spend(budget, len(answer) - len(query), now)
        try:
            sent = reader.datagrams.send(answer, source)
        except OSError:
            sent = False
        self._counts["unsent"] += not sent
