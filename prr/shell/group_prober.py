"""The questions that go out together, many from one socket: to newcomers, and to what is disputed.

To open and to close a socket takes longer than ten lookups, so a herd that comes shares some.
Whoever is asked from one knows its port, and could answer in another's name: so each question has
a nonce of 16 bits, and a socket to which much comes that is no answer is closed, before anybody
could try more than a few hundred of them. Who has not answered by then is asked again, from a
socket of its own.
"""

import socket
from collections.abc import Callable
from itertools import compress
from operator import not_
from typing import TypeAlias

from gevent.hub import get_hub

from prr.core.effects import ProbeAll
from prr.shell.prober import LINGER
from prr.shell.udp.mailer import Mailer
from prr.wire.codec import Codec
from prr.wire.first_questions import ANSWER_CODE, first_question
from prr.wire.instance import Instance, address_keys, is_ipv6

JUNK_MAX = 256
"""Datagrams that are no answer: whoever sends so many, each with another nonce, has guessed right
once in 250 times."""

_READ = 1  # libev's mask

_Follow: TypeAlias = Callable[["_Group"], None]


class _Group:
    """One socket for each family, and those asked from them that have not answered."""

    def __init__(self, asked: ProbeAll, mailer: Mailer, hear: _Follow, expire: _Follow) -> None:
        self.asked = asked
        self._mailer = mailer
        self._sockets: list[socket.socket] = []
        rows = [*zip(asked.nonces, asked.instances, asked.starts, strict=True)]
        keys, of_ipv6 = address_keys(asked.instances), [*map(is_ipv6, asked.instances)]
        self.waiting: dict[bytes, tuple[int, Instance, int]] = dict(zip(keys, rows, strict=True))
        self.junk = 0
        self.is_late = False
        """The time for answers is up."""
        self._ask([*compress(rows, map(not_, of_ipv6))], socket.AF_INET)
        self._ask([*compress(rows, of_ipv6)], socket.AF_INET6)
        self._hear = hear
        self._readable = [get_hub().loop.io(one.fileno(), _READ) for one in self._sockets]
        self.listen()
        self._timer = get_hub().loop.timer(asked.wait + LINGER)
        self._timer.start(expire, self)

    def listen(self) -> None:
        """Say when something has come."""
        for readable in self._readable:
            readable.start(self._hear, self)

    def rest(self) -> None:
        """Say it no more: it is known."""
        for readable in self._readable:
            readable.stop()

    def _ask(self, rows: list[tuple[int, Instance, int]], family: socket.AddressFamily) -> None:
        if not rows:
            return
        try:
            asking = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError:  # as if all of them were lost
            return
        self._sockets.append(asking)
        nonces, instances, _ = zip(*rows, strict=True)
        self._mailer.send(asking, [*map(first_question, nonces)], instances)

    @property
    def is_over(self) -> bool:
        """Nothing more is to be heard from it."""
        return not self.waiting or self.junk >= JUNK_MAX

    def answers(self, codec: Codec) -> list[Instance]:
        """Who has answered, of those whose answers are there."""
        found = []
        for asking in self._sockets:
            for data, source in self._mailer.receive(asking, ANSWER_CODE):
                one = self.waiting.get(source)
                if one is not None and codec.is_first_answer(data, *one):
                    found.append(one[1])
                    del self.waiting[source]
                else:
                    self.junk += 1
                if self.is_over:
                    return found
        return found

    def close(self) -> None:
        self._timer.stop()
        self._timer.close()
        self.rest()
        for readable in self._readable:
            readable.close()
        for one in self._sockets:
            one.close()


class GroupProber:
    """Asks, and listens."""

    def __init__(self, tell: Callable[[ProbeAll, list[Instance]], None], codec: Codec) -> None:
        """`tell` is called from the loop itself and must not wait."""
        self._tell = tell
        self._codec = codec
        self._mailer = Mailer()
        self._groups: dict[_Group, None] = {}
        self._ready: dict[_Group, None] = {}  # those to which something has come, or which are late
        self._turn = get_hub().loop.timer(0)

    def ask(self, asked: ProbeAll) -> None:
        """Ask once, and listen. Never waits; silence is told to nobody."""
        self._groups[_Group(asked, self._mailer, self._has_come, self._expire)] = None

    def close(self) -> None:
        """Listen to nobody any more."""
        self._turn.close()
        for group in self._groups:
            group.close()
        self._groups.clear()

    def _has_come(self, group: _Group) -> None:
        group.rest()
        if not self._ready:
            self._turn.start(self._hear_next)
        self._ready[group] = None

    def _expire(self, group: _Group) -> None:
        """If this is late, an answer may lie there all the same."""
        group.is_late = True
        self._has_come(group)

    def _hear_next(self) -> None:
        """Hear the one that has been ready for longest: a group of 64, half a millisecond. After a
        pause of the network answers come to all of them at once, and lookups would wait for a tenth
        of a second."""
        group = next(iter(self._ready))
        del self._ready[group]
        self._hear(group)
        if self._ready:
            self._turn.start(self._hear_next)

    def _hear(self, group: _Group) -> None:
        if answered := group.answers(self._codec):
            self._tell(group.asked, answered)
        if group.is_over or group.is_late:
            del self._groups[group]
            group.close()
        else:
            group.listen()
