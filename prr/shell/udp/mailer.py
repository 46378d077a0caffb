"""Many datagrams at once, from and to sockets that come and go: the buffers are made once."""

import socket
from collections.abc import Iterator, Sequence
from itertools import chain

from prr.shell.udp.each_sender import EachSender
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.mmsg import RECEIVE_BYTES, Received, has_mmsg, received_by
from prr.wire.instance import Instance, address_of, rows_from


class Mailer:
    """Sends and receives for one socket after the other, of either family."""

    def __init__(self) -> None:
        self._senders: dict[int, EachSender] = {}  # by family
        self._bursts: dict[int, Received] = {}

    def send(
        self, bound: socket.socket, datagrams: Sequence[bytes], instances: Sequence[Instance]
    ) -> None:
        """Send to each of the instances, which are of the socket's family, its datagram. What
        cannot be sent is as if it were lost."""
        sent = 0
        while sent < len(instances):
            rest = slice(sent, sent + BURST_MAX)
            try:
                sent += max(1, self._send(bound, datagrams[rest], instances[rest]))
            except OSError:
                sent += 1

    def _send(
        self, bound: socket.socket, datagrams: Sequence[bytes], instances: Sequence[Instance]
    ) -> int:
        if not has_mmsg():
            return bound.sendto(datagrams[0], address_of(instances[0])) and 1
        if (sender := self._senders.get(bound.family)) is None:
            sender = self._senders[bound.family] = EachSender(bound)
        sender.turn_to(bound)
        return sender.send(datagrams, instances)

    def receive(self, bound: socket.socket, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        """What has come, BURST_MAX datagrams at most, each with who sent it, an encoded address. It
        is there until the next call, and read faster where all of it begins with `first`, one byte.
        """
        if (burst := self._bursts.get(bound.family)) is None:
            burst = self._bursts[bound.family] = received_by(bound)
        burst.turn_to(bound)
        try:
            count = burst.receive()
        except OSError:  # the network says what silence says
            count = 0
        if not count:
            return iter(())
        rows = [*burst.rows(0, first, 1, RECEIVE_BYTES)]
        others = map(burst.datagram, range(len(rows), count))
        return zip(chain(rows, others), rows_from(burst.address_columns(0, count)), strict=True)
