"""The first questions to newcomers, many from one socket.

To open and to close a socket takes longer than ten lookups, so a herd that comes shares some.
Whoever is asked from one knows its port, and could answer in another's name: so each question has
a nonce of 16 bits, and a socket to which much comes that is no answer is closed, before anybody
could try more than a few hundred of them. Who has not answered by then is asked again, from a
socket of its own.
"""

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from gevent.hub import get_hub

from prr.addresses import family_of
from prr.core.effects import ProbeAll
from prr.shell.prober import LINGER
from prr.shell.udp.mmsg import RECEIVE_BYTES
from prr.shell.udp.names import address_from
from prr.wire.codec import Codec
from prr.wire.first_questions import first_question
from prr.wire.instance import Address, Instance, address_of

JUNK_MAX = 256
"""Datagrams that are no answer: whoever sends so many, each with another nonce, has guessed right
once in 250 times."""

READ_MAX = 64
"""Datagrams read from a socket before others have their turn."""

HEARD_MAX = 4
"""Groups heard in one turn of the loop, 64 answers, 1 ms: after a pause of the network those of all
come at once, and lookups would wait for a third of a second."""

_READ = 1  # libev's mask


class _Group:
    """One socket for each family, and those asked from them that have not answered."""

    def __init__(self, asked: ProbeAll, hear: Callable[["_Group"], None]) -> None:
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self.waiting: dict[Address, tuple[Instance, int]] = {}
        self.ends_at = time.monotonic() + asked.wait + LINGER
        self.junk = 0
        for instance, nonce in zip(asked.instances, asked.nonces, strict=True):
            address = address_of(instance)
            self.waiting[address] = instance, nonce
            try:
                self._socket(family_of(address)).sendto(first_question(nonce), address)
            except OSError:  # as if it were lost
                continue
        self._hear = hear
        self._readable = [get_hub().loop.io(one.fileno(), _READ) for one in self._sockets.values()]
        self.listen()

    def listen(self) -> None:
        """Say when something has come."""
        for readable in self._readable:
            readable.start(self._hear, self)

    def rest(self) -> None:
        """Say it no more: it is known."""
        for readable in self._readable:
            readable.stop()

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            self._sockets[family] = socket.socket(family, kind)
        return self._sockets[family]

    @property
    def is_over(self) -> bool:
        """Nothing more is to be heard from it."""
        return not self.waiting or self.junk >= JUNK_MAX

    def answers(self, codec: Codec) -> list[Instance]:
        """Who has answered, of those whose answers are there."""
        found = []
        for data, source in self._received():
            instance, nonce = self.waiting.get(source, (None, 0))
            if instance is not None and codec.is_first_answer(data, nonce, instance):
                found.append(instance)
                del self.waiting[source]
            else:
                self.junk += 1
            if self.is_over:
                break
        return found

    def _received(self) -> Iterator[tuple[bytes, Address]]:
        for one in self._sockets.values():
            for _ in range(READ_MAX):
                try:
                    data, name = one.recvfrom(RECEIVE_BYTES)
                except OSError:
                    break
                yield data, address_from(name)

    def close(self) -> None:
        self.rest()
        for readable in self._readable:
            readable.close()
        for one in self._sockets.values():
            one.close()


class GroupProber:
    """Asks, and listens."""

    def __init__(self, tell: Callable[[list[Instance]], None], codec: Codec) -> None:
        """`tell` is called from the loop itself and must not wait."""
        self._tell = tell
        self._codec = codec
        self._groups: dict[_Group, None] = {}
        self._ready: dict[_Group, None] = {}  # those to which something has come
        self._ends: deque[_Group] = deque()  # all wait for the same time
        self._sweep_at: Any = None
        self._turn = get_hub().loop.timer(0)

    def ask(self, asked: ProbeAll) -> None:
        """Ask once, and listen. Never waits; silence is told to nobody."""
        group = _Group(asked, self._has_come)
        self._groups[group] = None
        self._ends.append(group)
        self._see_to_ends()

    def close(self) -> None:
        """Listen to nobody any more."""
        self._turn.close()
        if self._sweep_at is not None:
            self._sweep_at.close()
        for group in self._groups:
            group.close()
        self._groups.clear()

    def _has_come(self, group: _Group) -> None:
        group.rest()
        if not self._ready:
            self._turn.start(self._hear_some)
        self._ready[group] = None

    def _hear_some(self) -> None:
        """Hear some of those that are ready, the one that has waited longest first."""
        self._hear([*islice(self._ready, HEARD_MAX)])
        if self._ready:
            self._turn.start(self._hear_some)

    def _hear(self, groups: Sequence[_Group]) -> None:
        answered = []
        for group in groups:
            answered += group.answers(self._codec)
            self._ready.pop(group, None)
            if group.is_over:
                self._end(group)
            else:
                group.listen()
        if answered:
            self._tell(answered)

    def _end(self, group: _Group) -> None:
        if group in self._groups:
            del self._groups[group]
            self._ready.pop(group, None)
            group.close()

    def _see_to_ends(self) -> None:
        if self._sweep_at is None and self._ends:
            pause = max(0.0, self._ends[0].ends_at - time.monotonic())
            self._sweep_at = get_hub().loop.timer(pause)
            self._sweep_at.start(self._sweep)

    def _sweep(self) -> None:
        self._sweep_at.close()
        self._sweep_at = None
        now = time.monotonic()
        for _ in range(HEARD_MAX):
            if not self._ends or self._ends[0].ends_at > now:
                break
            group = self._ends.popleft()
            if group in self._groups:  # were we late, an answer may lie there all the same
                self._hear([group])
                self._end(group)
        self._see_to_ends()
