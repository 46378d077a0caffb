"""First subscriptions that wait for their turn: a herd's, taken out of the kernel's queue in time.

Intuition: the kernel needs some 800 bytes for a datagram of two, and holds ten thousand; a herd is
fifty thousand within a second, and who was dropped says it again after ever longer pauses. So they
are taken at a few microseconds each, and wait here, each once however often it is said, until the
binder comes to them. Who came first is served first, and who has waited too long not at all.
"""

import socket
import time
from collections import deque

from prr.config import Limits
from prr.core.liveness.newcomers import CREDIT
from prr.shell.udp.headers import BURST_MAX, HEADER_BYTES, LENGTH_AT
from prr.shell.udp.mmsg import RECEIVE_BYTES, Burst
from prr.shell.udp.names import names_of
from prr.wire.forms import FORM_OF
from prr.wire.frames import Subscribe
from prr.wire.instance import Instance, address_columns, service_of

WAIT_MAX = 0.5
"""Seconds for which one waits: half of the time for which a server asks one binder, and says it
three times more. Then it asks another one, or later, and would be let in for nothing."""

WAITING_MAX = Limits().newcomers
"""First subscriptions that wait at an address, 12 MB: more newcomers are not let in either. What
comes beyond them stays in the kernel's queue, and costs nothing if that is full."""

WAITING_OF_HOST_MAX = int(CREDIT)
"""Of these, that one host may have: its quota lets in no more."""

LOOKED_AT_MAX = 1024
"""Of those that may have waited too long, how many are looked at in a turn: half a millisecond."""

BURSTS_MAX = 4
"""Bursts taken in a turn, half a millisecond: a hundred thousand datagrams a second, as a turn
takes two while many subscribe."""

_BYTES = 2
_CODE = FORM_OF[Subscribe].code


class Backlog(Burst):
    """The bursts of a socket of first subscriptions: what is received is not what came last, but
    what has waited longest. A burst is handed out as it came if nobody has to wait for it, or if
    anything else is in it."""

    def __init__(self, bound: socket.socket, most: int) -> None:
        """Bursts of `most` (1 to BURST_MAX) are handed out."""
        super().__init__(bound)
        self._most_out = most
        # When they came, and then names, each with a type behind it. Some may wait no more.
        self._line = deque[tuple[float, deque[bytes]]]()
        self._waiting = set[bytes]()
        self._of_host: dict[bytes, int] = {}  # how many are in the line
        self._length = 0  # of the line, in all
        self._is_next = False  # the line, whatever comes
        self._leaving = names_of(bound, 1)
        self.dropped = 0
        """Those that waited too long, or of whose host too many did."""

    @property
    def has_more(self) -> bool:
        """See `Received`."""
        return bool(self._line)

    def receive(self) -> int:
        """See `Received`."""
        bursts, self._is_next = 0 if self._is_next else BURSTS_MAX, False
        now = time.monotonic()
        for _ in range(bursts):
            if self._length > WAITING_MAX - BURST_MAX:
                break
            count = super().receive()
            if self._nobody_waits_for(count) or self.alike(0, _BYTES, ((0, _CODE),)) < count:
                self._is_next = self.has_more  # or who sends junk would keep all waiting
                return count
            self._keep(count, now)
            if not self.is_full:
                break
        return self._lay_out(self._take(now))

    def _nobody_waits_for(self, count: int) -> bool:
        """So many are all that lay in the kernel's queue, and can be handed out in one go."""
        return count <= self._most_out and not (self.is_full or self._line)

    def forget(self, instance: Instance) -> None:
        """This one leaves: if its first subscription waits, it is in vain."""
        columns, service = address_columns([instance]), service_of(instance)
        if isinstance(service, int) and len(columns) == len(self._leaving.places):
            self._leaving.write(columns)
            self._waiting.discard(bytes(self._leaving.row) + bytes((service,)))

    def _keep(self, count: int, now: float) -> None:
        """Have those that have come wait, but for those that do already."""
        waiting, of_host, host_at = self._waiting, self._of_host, self._names.host
        types, ones = self.column(0, count, 1), deque[bytes]()
        for number, name in enumerate(self._names.each(count)):
            one, host = name + types[number : number + 1], name[host_at]
            if one not in waiting:
                theirs = of_host.get(host, 0)
                if theirs < WAITING_OF_HOST_MAX:
                    of_host[host] = theirs + 1
                    waiting.add(one)
                    ones.append(one)
                else:
                    self.dropped += 1
        if ones:
            self._line.append((now, ones))
            self._length += len(ones)

    def _take(self, now: float) -> list[bytes]:
        """Those that have waited longest, but not too long. They wait no more."""
        taken = list[bytes]()
        for _ in range(min(LOOKED_AT_MAX, self._length)):
            came_at, one = self._next()
            if one in self._waiting:
                self._waiting.remove(one)
                if now - came_at > WAIT_MAX:
                    self.dropped += 1
                    continue
                taken.append(one)
                if len(taken) == self._most_out:
                    break
        return taken

    def _next(self) -> tuple[float, bytes]:
        """The first in the line, which leaves it, and when it came."""
        came_at, ones = self._line[0]
        one = ones.popleft()
        if not ones:
            self._line.popleft()
        self._length -= 1
        host = one[self._names.host]
        theirs = self._of_host.pop(host)
        if theirs > 1:
            self._of_host[host] = theirs - 1
        return came_at, one

    def _lay_out(self, ones: list[bytes]) -> int:
        """As the kernel would have, had they come now."""
        count = self._count = len(ones)
        if count:
            self._names.put([one[:-1] for one in ones])
            data_end, headers_end = count * RECEIVE_BYTES, count * HEADER_BYTES
            self._data[:data_end:RECEIVE_BYTES] = bytes((_CODE,)) * count
            self._data[1:data_end:RECEIVE_BYTES] = b"".join([one[-1:] for one in ones])
            for at, byte in enumerate(_BYTES.to_bytes(4, "little"), LENGTH_AT):
                self._headers[at:headers_end:HEADER_BYTES] = bytes((byte,)) * count
        return count
