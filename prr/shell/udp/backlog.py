"""First subscriptions that wait for their turn: a herd's, taken out of the kernel's queue in time.

Intuition: the kernel needs some 800 bytes for a datagram of two, and holds ten thousand; a herd is
fifty thousand within a second, and who was dropped says it again after ever longer pauses. So they
are taken at a few microseconds each, and wait here, each once however often it is said, until the
binder comes to them. Who came first is served first.
"""

import socket
from collections import deque

from prr.config import Limits
from prr.core.liveness.newcomers import CREDIT
from prr.shell.udp.headers import BURST_MAX, HEADER_BYTES, LENGTH_AT
from prr.shell.udp.mmsg import RECEIVE_BYTES, Burst
from prr.wire.forms import FORM_OF
from prr.wire.frames import Subscribe

WAITING_MAX = Limits().newcomers
"""First subscriptions that wait, 12 MB: more newcomers are not let in either. What comes beyond
them stays in the kernel's queue, and costs nothing if that is full."""

WAITING_OF_HOST_MAX = int(CREDIT)
"""Of these, that one host may have: its quota lets in no more."""

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
        self._line: deque[bytes] = deque()  # names, each with a type behind it
        self._waiting: set[bytes] = set()  # the same
        self._of_host: dict[bytes, int] = {}  # how many of the same
        self._is_next = False  # the line, whatever comes
        self.refused = 0
        """Those of hosts of which too many waited."""

    @property
    def has_more(self) -> bool:
        """See `Received`."""
        return bool(self._line)

    def receive(self) -> int:
        """See `Received`."""
        bursts, self._is_next = 0 if self._is_next else BURSTS_MAX, False
        for _ in range(bursts):
            if len(self._line) > WAITING_MAX - BURST_MAX:
                break
            count = super().receive()
            is_served_at_once = count <= self._most_out and not self._line
            if is_served_at_once or self.alike(0, _BYTES, ((0, _CODE),)) < count:
                self._is_next = self.has_more  # or who sends junk would keep all waiting
                return count
            self._keep(count)
            if not self.is_full:
                break
        return self._lay_out(self._take())

    def _keep(self, count: int) -> None:
        """Have those that have come wait, but for those that do already."""
        waiting, of_host, host_at = self._waiting, self._of_host, self._names.host
        types = self.column(0, count, 1)
        for number, name in enumerate(self._names.each(count)):
            one, host = name + types[number : number + 1], name[host_at]
            if one not in waiting:
                theirs = of_host.get(host, 0)
                if theirs < WAITING_OF_HOST_MAX:
                    of_host[host] = theirs + 1
                    waiting.add(one)
                    self._line.append(one)
                else:
                    self.refused += 1

    def _take(self) -> list[bytes]:
        """Those that have waited longest, who wait no more."""
        ones = [self._line.popleft() for _ in range(min(self._most_out, len(self._line)))]
        self._waiting.difference_update(ones)
        for one in ones:
            host = one[self._names.host]
            theirs = self._of_host.pop(host)
            if theirs > 1:
                self._of_host[host] = theirs - 1
        return ones

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
