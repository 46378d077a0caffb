"""Accepts connections, as many as there is room for, and says so to the others."""

import errno
import logging
import math
import os
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from operator import itemgetter
from typing import Any, cast

import gevent
from gevent.pywsgi import WSGIServer

from prr.shell.http.connection import Connection
from prr.shell.http.problems import refusal
from prr.shell.http.waiting_room import WaitingRoom, hang_up

CONNECTIONS_MAX = 128
"""Connections at once, watchers not counted, 40 kB each while it is answered. One more takes the
place of the one that has waited longest for a request, for its body, or for its answer to be taken;
if there is none it is refused."""

PATIENCE = 1.0
"""Seconds for which nobody has to give its place away who takes nothing of its answer."""

FILES_KEPT = 64
"""Descriptors that are no connections: the log, the event loop, modules that are loaded late."""

FILES_WANTED = 4096
"""Descriptors that the process is to have, if the system lets it."""

SEND_BUFFER = 131072
"""Bytes of an answer that the kernel is asked to hold: a page of some hundred rows."""

ACCEPTED_AT_ONCE = 8
ACCEPT_PAUSE = 0.02
"""Connections that are accepted, and seconds until the next: 400 a second. Answering one is half a
millisecond of work, and the processor is not HTTP's alone."""

PAUSE = 0.1
"""Seconds for which nobody is accepted when there is no descriptor even to refuse one."""

_NO_ROOM = refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; ask again in a second")

_log = logging.getLogger("prr")


class Listener(WSGIServer):
    """The HTTP server's sockets."""

    max_accept = 1  # in one turn of the loop

    def __init__(
        self,
        listening: socket.socket,
        application: Callable[..., Any],
        most: int,
        dropped: Callable[[str], None],
    ) -> None:
        """Serves on `listening`, one of gevent's, from `start` on, `most` connections at a time.
        `dropped` is called with why a connection is ended."""
        self.dropped = dropped
        self._most = most
        self._accepted = 0  # since the last pause
        self._room = WaitingRoom(self._serve, dropped)
        self._served: dict[Connection, gevent.Greenlet[..., None]] = {}
        self._spare = os.open(os.devnull, os.O_RDONLY)
        super().__init__(
            listening,
            application,
            log=None,
            error_log=None,
            handler_class=Connection,
            environ={"SERVER_NAME": listening.getsockname()[0]},  # else it asks the resolver
        )

    def __len__(self) -> int:
        return len(self._room) + len(self._served)

    def do_read(self) -> Any:  # noqa: ANN401 gevent's: None, as nothing is left to be done
        """Accept one connection. Whatever the system says, the process goes on."""
        try:
            descriptor, address = self.socket._accept()  # type: ignore[attr-defined]  # as gevent
            self._count_accepted()
            taken = socket.socket(self.family, socket.SOCK_STREAM, 0, descriptor)
            taken.setblocking(False)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            if len(self) >= self._most:
                self._make_room()
            if len(self) < self._most:
                self._enter(taken, address)
            else:
                self.dropped("no room")
                hang_up(taken, _NO_ROOM)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._refuse_one()
                self._count_accepted()
            elif error.errno not in (errno.ECONNABORTED, errno.EAGAIN):
                self._rest(PAUSE)

    def close(self) -> None:
        """Listen no more, and end what is open."""
        super().close()
        self._room.close()
        for greenlet in [*self._served.values()]:
            greenlet.kill(block=False)
        self._give_back_spare()

    def _enter(self, taken: socket.socket, address: tuple[str, int]) -> None:
        """Have a connection wait for a request. An epoll has a limit, too: it is hung up then."""
        try:
            self._room.enter(taken, address)
        except OSError:
            self.dropped("connection lost")
            hang_up(taken)

    def _serve(self, taken: socket.socket, address: tuple[str, int], head: bytes) -> None:
        """A request has come on a connection: answer it, in a greenlet of its own."""
        opened = gevent.socket.socket(taken.family, taken.type, taken.proto, taken.detach())
        connection = Connection(opened, address, self, head)
        self._served[connection] = gevent.spawn(self._answer, connection)

    def _answer(self, connection: Connection) -> None:
        opened, goes_on = connection.socket, False
        try:
            goes_on = connection.serve()
        except OSError:
            self.dropped("connection lost")
        except Exception:
            _log.exception("bug in the HTTP server: this connection alone is over")
        finally:
            self._served.pop(connection, None)
            taken = socket.socket(opened.family, opened.type, opened.proto, opened.detach())
            if goes_on and self.started:
                self._enter(taken, cast(Any, connection.client_address))  # stubs
            else:
                hang_up(taken)

    def _make_room(self) -> None:
        """End who has waited longest: for a request, its body, or its answer to be taken."""
        patient = time.monotonic() - PATIENCE
        since, oldest = min(
            (
                (one.waits_since, one)
                for one in self._served
                if one.waits_since is not None and (one.waits_since < patient or not one.is_sending)
            ),
            key=itemgetter(0),
            default=(math.inf, None),
        )
        if self._room.waits_since <= since:
            self._room.make_room()
        if len(self) >= self._most and oldest is not None:
            self.dropped("idle, for one more")
            self._served.pop(oldest).kill(block=False)  # it ends next, and its place is free

    def _refuse_one(self) -> None:
        """No descriptor is left: with the spare one somebody is told."""
        self._give_back_spare()
        try:
            descriptor, _ = self.socket._accept()  # type: ignore[attr-defined]  # as gevent does
            with socket.socket(fileno=descriptor) as taken:
                taken.setblocking(False)
                taken.send(_NO_ROOM)
        except OSError:  # whoever needed that descriptor was faster, or nobody is there any more
            self._rest(PAUSE)
        self.dropped("no descriptor")
        self._take_spare()

    def _take_spare(self) -> None:
        try:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self._rest(PAUSE)

    def _give_back_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _count_accepted(self) -> None:
        self._accepted += 1
        if self._accepted == ACCEPTED_AT_ONCE:
            self._accepted = 0
            self._rest(ACCEPT_PAUSE)

    def _rest(self, seconds: float) -> None:
        """Accept nobody for a moment, or the loop does nothing else."""
        self.stop_accepting()
        self._timer = self.loop.timer(seconds)
        self._timer.start(self._accept_again)

    def _accept_again(self) -> None:
        if self.started:
            self.start_accepting()
            if self._spare < 0:
                self._take_spare()


def room_for_connections() -> int:
    """How many connections there may be, watchers included, so that the process always has some
    descriptors left. Raises the limit for them as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(soft - FILES_KEPT, 16)
