"""DNS over TCP (RFC 7766): several queries a connection, which are answered in their order."""

import socket
from collections import OrderedDict
from collections.abc import Callable

import gevent
import gevent.socket
from gevent.hub import get_hub
from gevent.lock import Semaphore

from prr.shell.dns.answers import TCP_BYTES_MAX
from prr.shell.dns.queries import QUERY_BYTES_MAX

CONNECTIONS_MAX = 128
"""At once, some 20 kB each. Beyond, the one goes from which no query has come for longest: whoever
holds many, and says nothing, keeps nobody out."""

IDLE = 10.0
"""Seconds in which a query must have come since the one before, and its answer must have gone: what
RFC 7766, 6.2.3, calls a few seconds."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try, where the process has no file descriptor left."""

PRIORITY = -2
"""Of whatever is done for DNS: libev's lowest. A query has its turn when all others had theirs."""

_LENGTH_BYTES = 2


class Streams:
    """The connections of all listening sockets of one port."""

    def __init__(self, answer: Callable[[bytes, int], bytes | None]) -> None:
        """`answer` has those of `Answers.answer`."""
        self._answer = answer
        self._one = Semaphore(1)
        self._open: OrderedDict[object, gevent.Greenlet[..., None]] = OrderedDict()

    @property
    def size(self) -> tuple[int, int]:
        """How many connections there are, and how many there may be."""
        return len(self._open), CONNECTIONS_MAX

    def listen(self, listening: socket.socket) -> None:
        """Accept connections as long as the process runs, one each time that all others had their
        turn."""
        with gevent.socket.socket(fileno=listening.detach()) as accepting:
            while True:
                _wait_for_turn()
                try:
                    opened, _ = accepting.accept()
                except OSError:
                    gevent.sleep(ACCEPT_PAUSE)
                else:
                    self._take(opened)

    def _take(self, opened: gevent.socket.socket) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            _, oldest = self._open.popitem(last=False)
            oldest.kill(block=False)
        serving = gevent.Greenlet(self._serve, opened)
        self._open[serving] = serving
        serving.start()

    def _serve(self, opened: gevent.socket.socket) -> None:
        me = gevent.getcurrent()
        try:
            while True:
                with gevent.Timeout(IDLE):
                    self._serve_next(opened)
                if me in self._open:
                    self._open.move_to_end(me)
        except (OSError, EOFError, gevent.Timeout):
            pass
        finally:
            self._open.pop(me, None)
            opened.close()

    def _serve_next(self, opened: gevent.socket.socket) -> None:
        """Raises OSError or EOFError when there is nothing more to do here."""
        size = int.from_bytes(_read(opened, _LENGTH_BYTES), "big")
        if size > QUERY_BYTES_MAX:
            raise EOFError
        query = _read(opened, size)
        with self._one:  # or each of them would answer one before a lookup has its turn
            _wait_for_turn()
            answer = self._answer(query, TCP_BYTES_MAX)
        if answer is None:
            raise EOFError
        opened.sendall(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)


def _read(opened: gevent.socket.socket, count: int) -> bytes:
    """So many bytes. Raises EOFError if they do not come any more."""
    data = b""
    while len(data) < count:
        more = opened.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _wait_for_turn() -> None:
    """Let all others run that are ready."""
    hub = get_hub()
    turn = hub.loop.timer(0)
    turn.priority = PRIORITY  # type: ignore[attr-defined]  # the stubs lack it
    try:
        hub.wait(turn)
    finally:
        turn.close()
