"""One connection: a request's line, headers and body within bounds of size and time.

gevent.pywsgi reads and writes HTTP; what it leaves open is closed here: how long a request may take
to arrive and an answer to be taken, how long headers and bodies may be, and that no error of a
client, or of ours, goes further than its own connection.
"""

import logging
import os
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from io import BytesIO
from typing import Any, cast

import gevent
from gevent.pywsgi import Input, WSGIHandler

from prr.shell.http.asked import BODY_BYTES_MAX
from prr.shell.http.problems import MEDIA_TYPE, problem_text
from prr.shell.http.turns import Turns

HEAD_BYTES_MAX = 8192
"""Of a request's first line and its headers together."""

HEAD_LIMIT = 10.0
"""Seconds in which they have to come, from the answer before or the connection's begin."""

ANSWER_LIMIT = 30.0
"""Seconds in which an answer has to be made and taken, and what was sent along has to come."""

LINES_AT_ONCE = 16
"""Of a request's headers, that are read before others have their turn: they may all have come."""

PART_BYTES = 16384
"""Of an answer, that are sent before others have their turn: 20 us of work."""

_log = logging.getLogger("prr")


class HeadTooLong(ValueError):
    """More comes before the body than there is room for."""


class HeadReader:
    """The bytes of a connection: those before a body are counted."""

    def __init__(self, opened: Any, turns: Turns) -> None:  # noqa: ANN401 what makefile returns
        self._opened = opened
        self._turns = turns
        self._lines = 0
        self._left: int | None = HEAD_BYTES_MAX

    @property
    def closed(self) -> bool:
        return bool(self._opened.closed)

    def begin(self) -> None:
        """A request begins."""
        self._left = HEAD_BYTES_MAX

    def begin_body(self) -> None:
        """Its headers are read."""
        self._left = None

    def readline(self, most: int = -1) -> bytes:
        if self._left is None:
            return bytes(self._opened.readline(most))
        line = bytes(self._opened.readline(self._left + 1))
        self._lines += 1
        if self._lines % LINES_AT_ONCE == 0:
            self._turns.give_way()
        self._left -= len(line)
        if self._left < 0:
            raise HeadTooLong(f"more than {HEAD_BYTES_MAX} bytes of headers")
        return line

    def read(self, most: int = -1) -> bytes:
        return bytes(self._opened.read(most))

    def close(self) -> None:
        self._opened.close()


class Connection(WSGIHandler):
    """The requests of one connection, one after the other."""

    def __init__(self, sock: Any, address: Any, server: Any) -> None:  # noqa: ANN401 gevent's
        self._head = HeadReader(sock.makefile("rb", 1024), server.turns)
        super().__init__(sock, address, server, rfile=self._head)  # type: ignore[call-arg]  # stubs
        self._dropped: Callable[[str], None] = server.dropped
        self._turns: Turns = server.turns
        self.waits = False
        """No request has come in full that is not answered."""
        self._limit: gevent.Timeout | None = None

    def handle(self) -> None:
        """Serve until either side has had enough, or has to be waited for too long."""
        try:
            super().handle()
        except gevent.Timeout:
            self._dropped("too slow")
        finally:
            self._end_limit()

    def handle_one_request(self) -> Any:  # noqa: ANN401 pywsgi's
        self._head.begin()
        self.waits = True
        self._begin_limit(HEAD_LIMIT)
        try:
            self._turns.give_way()
            return super().handle_one_request()
        except HeadTooLong as error:  # in the first line, where pywsgi does not expect it
            return self._handle_client_error(error)

    def get_environ(self) -> dict[str, Any]:
        """The headers are read: what the application is told of them."""
        self._head.begin_body()
        self.waits = False
        self._begin_limit(ANSWER_LIMIT)
        self._turns.give_way()
        environ: dict[str, Any] = super().get_environ()
        environ["prr.connection"] = self.give_away
        too_long = (self.content_length or 0) > BODY_BYTES_MAX
        if too_long or "HTTP_TRANSFER_ENCODING" in environ:  # nobody is going to read all that
            self.close_connection = True
            self.wsgi_input = environ["wsgi.input"] = Input(cast(Any, BytesIO()), 0)
        return environ

    def run_application(self) -> None:
        self._turns.give_way()
        super().run_application()

    def _sendall(self, data: bytes) -> None:
        with memoryview(data) as whole:
            for at in range(0, len(data), PART_BYTES):
                self._turns.give_way()
                super()._sendall(whole[at : at + PART_BYTES])  # type: ignore[misc]  # stubs

    def give_away(self) -> socket.socket:
        """The socket itself, for somebody else to write to from now on."""
        self.close_connection = True
        return socket.socket(fileno=os.dup(self.socket.fileno()))

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:  # noqa: ANN401 pywsgi's
        """Of a bug, or since the time is over: the process goes on."""
        self.close_connection = True
        if isinstance(error, gevent.Timeout):
            self._dropped("too slow")
        elif not isinstance(error, OSError | gevent.GreenletExit):  # the latter made room
            _log.error("bug in the HTTP server", exc_info=(kind, error, trace))

    def _handle_client_error(self, error: Exception) -> tuple[str, bytes]:
        if isinstance(error, HeadTooLong | HTTPException):  # the latter: too many of them
            self._dropped("headers too long")
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return str(int(status)), refusal(status, f"{error}; send less")
        self._dropped("not HTTP")
        return "400", refusal(HTTPStatus.BAD_REQUEST, "that is not a valid HTTP request")

    def log_request(self) -> None:
        """The metrics count them."""

    def _begin_limit(self, seconds: float) -> None:
        self._end_limit()
        self._limit = gevent.Timeout.start_new(seconds)

    def _end_limit(self) -> None:
        if self._limit is not None:
            self._limit.close()
            self._limit = None


def refusal(status: HTTPStatus, detail: str) -> bytes:
    """A whole answer, for whom the application never sees."""
    body = problem_text(status, detail).encode()
    head = f"HTTP/1.1 {int(status)} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
    return head.encode() + body
