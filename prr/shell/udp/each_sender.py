"""To each of many a datagram of its own: one system call."""

import socket
from collections.abc import Sequence

from prr.shell.udp.gso_sender import GsoSender
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.names import names_of
from prr.wire.found import answer_run
from prr.wire.instance import Instance, address_columns


class EachSender:
    """Sends from one socket to instances of its family."""

    def __init__(self, bound: socket.socket) -> None:
        self._names = names_of(bound, BURST_MAX)
        self._sender = GsoSender(bound, self._names)

    def turn_to(self, bound: socket.socket) -> None:
        """From now on send from this socket, which is of the same family."""
        self._sender.turn_to(bound)

    def send(self, datagrams: Sequence[bytes], instances: Sequence[Instance]) -> int:
        """Send to each of the instances, BURST_MAX at most, its datagram; how many went.

        Raises OSError if the first cannot be sent; BlockingIOError if there is no room.
        """
        self._names.write(address_columns(instances))
        return self._sender.send(0, answer_run(datagrams))
