"""A UDP socket, waited for with gevent."""

import select
import socket
import struct
from collections.abc import Sequence

import gevent
from gevent.hub import get_hub

from prr.shell.udp.alike_sender import AlikeSender
from prr.shell.udp.backlog import Backlog
from prr.shell.udp.each_sender import EachSender
from prr.shell.udp.mmsg import has_mmsg, received_by
from prr.shell.udp.names import address_from
from prr.shell.udp.steering import SINGLE_LANE, Lane
from prr.wire.instance import Address, Instance, address_of

PAUSE = 0.005
"""Seconds in which more may come together. To be woken, receive, decide and send costs a binder as
much for one that renews as for ten or twenty: of five thousand a second as many come in it. Nobody
notices: a server that hears nothing asks again after a tenth of a second."""

_READ, _WRITE = 1, 2  # libev's masks

_SO_MEMINFO = 55
_DROPS_AT = 32  # the ninth of its numbers of 4 bytes


class Datagrams:
    """One of the node's own sockets, its bursts and its waiters."""

    def __init__(self, bound: socket.socket, lane: Lane = SINGLE_LANE) -> None:
        """`lane` says how it stands to the other sockets of its node, if there are any."""
        bound.setblocking(False)
        self._socket = bound
        self.holds = lane.holds
        self.is_of_peers, self.is_short = lane.is_of_peers, lane.is_short
        self._backlog = Backlog(bound, lane.burst) if lane.has_backlog and has_mmsg() else None
        self.burst = self._backlog or received_by(bound, lane.burst)
        self._alike = AlikeSender(bound) if has_mmsg() and not self.is_ipv6 else None
        self._each = EachSender(bound) if has_mmsg() else None
        self.steps, self.bursts = lane.steps, lane.bursts
        self._lets_more_come = False
        self._hub = get_hub()
        self._readable = self._hub.loop.io(bound.fileno(), _READ)
        self._readable.priority = lane.priority  # type: ignore[attr-defined]  # the stubs lack it
        self._turn = self._hub.loop.timer(0)
        self._turn.priority = lane.priority  # type: ignore[attr-defined]

    @property
    def is_ipv6(self) -> bool:
        """It sends to IPv6 addresses, and to no others."""
        return self._socket.family == socket.AF_INET6

    @property
    def address(self) -> Address:
        """Where the socket is bound."""
        return address_from(self._socket.getsockname())

    @property
    def dropped(self) -> int:
        """Datagrams that were dropped because nobody read them in time, by the kernel (SO_MEMINFO)
        or by the backlog."""
        numbers = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS_AT + 4)
        (dropped,) = struct.unpack_from("I", numbers, _DROPS_AT)
        return int(dropped) + (self._backlog.dropped if self._backlog else 0)

    def forget(self, instance: Instance) -> None:
        """This one leaves: a first subscription of it that waits is in vain."""
        if self._backlog is not None:
            self._backlog.forget(instance)

    def has_waiting(self) -> bool:
        """There is something to receive."""
        polling = select.poll()
        polling.register(self._socket, select.POLLIN)
        return self.burst.has_more or bool(polling.poll(0))

    def let_more_come(self) -> None:
        """Several that are alike came at a time: before the next wait, let more come together."""
        self._lets_more_come = True

    def wait(self) -> None:
        """Let the others run until there is something to receive. The hub's own `wait` takes 1 us
        longer, to notice who is woken for another reason; a reader then finds nothing, and waits
        again."""
        if self._lets_more_come and not (self.burst.is_full or self.burst.has_more):
            gevent.sleep(PAUSE)
        self._lets_more_come = False
        watcher = self._turn if self.burst.has_more else self._readable
        watcher.start(gevent.getcurrent().switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()

    def wait_for_turn(self) -> None:
        """Let the others run that are ready."""
        self._hub.wait(self._turn)

    def send(self, data: bytes, target: Address) -> bool:
        """Send one datagram; False if that has to wait. OSError if it cannot be sent at all."""
        try:
            self._socket.sendto(data, target)
        except BlockingIOError:
            return False
        return True

    def send_all(self, data: bytes, instances: Sequence[Instance]) -> int:
        """Send a datagram to each of BURST_MAX instances at most; how many went. OSError if it
        cannot be sent to the first, or that has to wait."""
        if self._alike is None:
            self._socket.sendto(data, address_of(instances[0]))
            return 1
        return self._alike.send(data, instances)

    def send_each(self, datagrams: Sequence[bytes], instances: Sequence[Instance]) -> int:
        """The same with a datagram for each of them, which are of this socket's family."""
        if self._each is None:
            self._socket.sendto(datagrams[0], address_of(instances[0]))
            return 1
        return self._each.send(datagrams, instances)

    def wait_to_send(self) -> None:
        """Let the others run until there is room to send. Any number may wait at once."""
        hub = get_hub()
        writable = hub.loop.io(self._socket.fileno(), _WRITE)
        try:
            hub.wait(writable)
        finally:
            writable.close()

    def close(self) -> None:
        """Release the port."""
        self._readable.close()
        self._turn.close()
        self._socket.close()
