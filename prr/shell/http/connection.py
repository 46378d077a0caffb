"""One request whose line and headers have come: its body, and its answer.

gevent.pywsgi reads and writes HTTP; what it leaves open is closed here: how long an answer may take
to be made and taken, how long a body may be, and that no error of a client, or of ours, goes
further than its own connection.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from io import BytesIO
from typing import Any, cast

import gevent
from gevent.pywsgi import Input, WSGIHandler

from prr.shell.http.asked import BODY_BYTES_MAX
from prr.shell.http.problems import refusal

ANSWER_LIMIT = 30.0
"""Seconds in which an answer has to be made and taken, and what was sent along has to come."""

_log = logging.getLogger("prr")


class Received:
    """A request as pywsgi reads it: its head, which has come, and its body as it comes. What
    follows them is left in the kernel, for the next request."""

    closed = False
    """It can always be read."""

    def __init__(self, sock: Any, head: bytes) -> None:  # noqa: ANN401 gevent's
        self._socket = sock
        self.readline = BytesIO(head).readline
        self.waits_since: float | None = None
        """Part of the body is waited for, since then."""

    def read(self, most: int) -> bytes:
        """So many bytes of the body; fewer if there are no more."""
        body = bytearray()
        self.waits_since = time.monotonic()
        while len(body) < most and (part := self._socket.recv(most - len(body))):
            body += part
        self.waits_since = None
        return bytes(body)

    def has_passed(self, count: int) -> bool:
        """So many bytes that nobody wants have come, and are passed over."""
        with suppress(OSError):  # no more are there
            while count and (part := os.read(self._socket.fileno(), count)):
                count -= len(part)
        return count == 0


class Body(Input):
    """A request's body, of which no more is read than whoever answers asks for: nobody waits for
    what nobody wants, and if it has not come by then that ends the connection."""

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return (self.content_length or 0) - self.position

    def _discard(self) -> None:
        """Nothing, where pywsgi reads what is left, however long that takes to come."""


class Connection(WSGIHandler):
    """A connection for as long as it has one request answered."""

    def __init__(self, sock: Any, address: Any, server: Any, head: bytes) -> None:  # noqa: ANN401
        self._received = Received(sock, head)
        self._body = Body(cast(Any, self._received), 0)
        super().__init__(sock, address, server, rfile=self._received)  # type: ignore[call-arg]
        self._dropped: Callable[[str], None] = server.dropped
        self._sends_since: float | None = None

    @property
    def waits_since(self) -> float | None:
        """Since when its request's body is waited for, or nothing of its answer has been taken;
        None if neither is so."""
        return self._received.waits_since or self._sends_since

    @property
    def is_sending(self) -> bool:
        """Its answer is waiting to be taken."""
        return self._sends_since is not None

    def serve(self) -> bool:
        """Answer the request; whether another may follow. Raises OSError if the client is gone."""
        limit = gevent.Timeout.start_new(ANSWER_LIMIT)
        try:
            result = self.handle_one_request()
            if isinstance(result, tuple):  # what is wrong with it
                _, answer = result
                self.socket.sendall(answer)
            return result is True and self._received.has_passed(self._body.left)
        except gevent.Timeout:
            self._dropped("too slow")
            return False
        finally:
            limit.close()
            self.environ = None  # which holds this connection in turn

    def get_environ(self) -> dict[str, Any]:
        """The headers are read: what the application is told of them."""
        environ: dict[str, Any] = super().get_environ()
        environ["prr.connection"] = self.give_away
        length = self.content_length or 0
        if length > BODY_BYTES_MAX or "HTTP_TRANSFER_ENCODING" in environ:  # nobody wants all that
            self.close_connection = True
            length = 0
        is_asked_for = environ.get("HTTP_EXPECT") == "100-continue"
        told = self.socket if is_asked_for else None
        self._body = Body(cast(Any, self._received), length, socket=told)
        self.wsgi_input = environ["wsgi.input"] = self._body
        environ["wsgi.input_terminated"] = True  # also where pywsgi sees a WebSocket: it is none
        return environ

    def read_request(self, raw_requestline: str) -> Any:  # noqa: ANN401 the stubs are wrong
        """The request's head. Raises ValueError unless it is one to whoever else reads it, too: of
        what Python's parser cuts short the rest would be taken for the next request."""
        is_read = super().read_request(raw_requestline)
        if not raw_requestline.isascii():  # RFC 3986: it is written with percent signs
            raise ValueError("a path that is none")
        lengths = self.headers.get_all("content-length", [])
        if self.headers.defects or self.headers.get_payload() or len(lengths) > 1:
            raise ValueError("headers that are none")
        if not all(length.isascii() and length.isdigit() for length in lengths):
            raise ValueError("a length that is none")
        return is_read

    def _sendall(self, data: bytes) -> None:
        with memoryview(data) as whole:
            at = 0
            while at < len(whole):
                self._sends_since = time.monotonic()
                at += self.socket.send(whole[at:])
        self._sends_since = None
        self.response_length += len(data)

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
        if isinstance(error, HTTPException):  # too many of them
            self._dropped("headers too long")
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return str(int(status)), refusal(status, f"{error}; send less")
        self._dropped("not HTTP")
        return "400", refusal(HTTPStatus.BAD_REQUEST, "that is not a valid HTTP request")

    def log_request(self) -> None:
        """The metrics count them."""
