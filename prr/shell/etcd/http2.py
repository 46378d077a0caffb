"""One HTTP/2 connection to a server of etcd, which has all that a binder asks of it at once.

h2 has the protocol: it is kept up, and only says what is to be sent for what has come, so that
greenlets wait here and nowhere else. What a server sends is bounded by the windows below, and
headers and frames by h2; other greenlets have their turn whatever comes.
"""

import time
from contextlib import suppress
from socket import SHUT_RDWR
from ssl import SSLContext

import gevent
from gevent import socket
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.events import Event as H2Event
from h2.exceptions import H2Error, TooManyStreamsError
from h2.settings import SettingCodes

from prr.config import HostPort
from prr.shell.etcd.connect import SILENCE, connect, is_set_within
from prr.wire.instance import describe_address

STREAM_WINDOW = 1 << 20
"""Bytes of one answer that may have come and not been read: a page of keys, on its way at once."""

WINDOW = 8 * STREAM_WINDOW
"""Bytes of all answers: two transactions, the registration, a page, the watch, and some to spare.
So none waits for another one that is not read."""

CLOSED_KEPT = 1000
"""Streams that have ended and are known as such, while more of them may be on its way."""

BLOCK = 1 << 14
"""Bytes that are taken in at a time, a frame of data: of empty frames, which none sends, 50 ms."""

SHOWN_MAX = 80
"""Bytes that are shown of an answer that is none of an etcd's."""

_SETTINGS = b"\4"
"""The kind of the first frame of HTTP/2, its fourth byte."""

_ALERT = b"\x15\x03"
"""What TLS says to whom it does not understand begins with these."""

_CONFIGURATION = H2Configuration(
    client_side=True,
    # What is sent is written below, and of what comes two or three are looked at.
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class _H2(H2Connection):
    MAX_CLOSED_STREAMS = CLOSED_KEPT


class Stream:
    """One request, and what has come in answer."""

    has_said_all = False
    """The request is whole."""

    has_ended = False
    """So is the answer."""

    def __init__(self, connection: "Connection", number: int) -> None:
        self.number = number
        self.headers: dict[bytes, bytes] = {}
        """Of the answer, and what trails it."""
        self._connection = connection
        self._data = bytearray()
        self._unread = 0  # bytes of the windows
        self._why = ""  # it has failed
        self._heard = Event()

    def read(self) -> bytes:
        """What has come since, once something has; nothing if the answer has ended.

        Raises TimeoutError after SILENCE, and ConnectionError if the stream has failed.
        """
        while not (self._data or self.is_over):
            self._heard.clear()
            if not is_set_within(SILENCE, self._heard):
                self._connection.see_silence()
                raise TimeoutError
        if self._why:
            raise ConnectionError(self._why)
        data = bytes(self._data)
        self._data.clear()
        unread, self._unread = self._unread, 0
        self._connection.acknowledge(self, unread)
        return data

    def close(self) -> None:
        """Nobody reads any more. The server is told with the next request."""
        self._connection.forget(self, self._unread)

    def fail(self, why: str) -> None:
        """Whoever reads it gets ConnectionError, unless all of the answer has come."""
        if not self.is_over:
            self._why = why
            self._heard.set()

    @property
    def is_over(self) -> bool:
        """Nothing more comes."""
        return self.has_ended or bool(self._why)

    def hear(self, event: H2Event) -> None:
        """This has come."""
        match event:
            case DataReceived():
                self._data += event.data or b""
                self._unread += event.flow_controlled_length or 0
            case ResponseReceived() | TrailersReceived():
                self.headers.update(event.headers or ())
            case StreamEnded():
                self.has_ended = True
            case StreamReset():
                self.fail(f"it has given up the request ({event.error_code!r})")
        self._heard.set()


class Connection:
    """Ends when the server ends it, or does not keep to the protocol."""

    def __init__(self, endpoint: HostPort, tls: SSLContext | None) -> None:
        """`tls` None: in the clear. Raises OSError."""
        self.is_open = True
        self._why = ""
        self._heard_at = time.monotonic()  # some of an answer
        self._authority = describe_address(endpoint).encode()
        self._is_secure = tls is not None
        self._first = b""  # bytes that came
        self._streams: dict[int, Stream] = {}
        self._window = Event()  # it may have grown
        self._sending = BoundedSemaphore()
        self._h2 = _H2(_CONFIGURATION)
        self._h2.initiate_connection()
        self._h2.update_settings(
            {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW}
        )
        self._h2.increment_flow_control_window(WINDOW - self._h2.inbound_flow_control_window)
        self._socket = connect(endpoint, tls)
        self._reader = gevent.spawn(self._run)

    def open(self, headers: list[tuple[bytes, bytes]], body: bytes, is_all: bool) -> Stream:
        """Ask for something: the `headers` of a POST beside those of HTTP, and its body, which may
        go on, unless it `is_all`. Raises OSError."""
        if not self.is_open:
            raise ConnectionError(self._why)
        scheme = b"https" if self._is_secure else b"http"
        first = [(b":method", b"POST"), (b":scheme", scheme), (b":authority", self._authority)]
        try:
            stream = Stream(self, self._h2.get_next_available_stream_id())
            self._h2.send_headers(stream.number, first + headers)
            self._streams[stream.number] = stream
            try:
                self._send_body(stream, body, is_all)
            except BaseException:
                stream.close()
                raise
        except TooManyStreamsError as error:
            raise ConnectionError("it takes no more requests at once") from error
        except H2Error as error:  # such as after 2^30 requests, which are all there can be
            self._end(f"no more requests: {_text(error)}")
            raise ConnectionError(f"no more requests: {_text(error)}") from error
        return stream

    def acknowledge(self, stream: Stream, size: int) -> None:
        """So many bytes were read, and as many more may come. Raises OSError."""
        if size and self.is_open:
            self._h2.acknowledge_received_data(size, stream.number)
            self._send()

    def forget(self, stream: Stream, unread: int) -> None:
        """Whatever comes for this one is of no use, and so are so many bytes that have come."""
        del self._streams[stream.number]
        if not self.is_open:
            return
        with suppress(H2Error):  # the server has ended it
            if unread:  # of the window of all, too
                self._h2.acknowledge_received_data(unread, stream.number)
            if not (stream.has_said_all and stream.has_ended):
                self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)

    def see_silence(self) -> None:
        """Somebody has waited for SILENCE: end it, unless others were answered meanwhile."""
        if time.monotonic() >= self._heard_at + SILENCE:
            self._end("it is silent")

    def close(self) -> None:
        """End it, and all its streams."""
        self._end("the connection was closed")
        self._reader.join()

    def _send_body(self, stream: Stream, body: bytes, is_all: bool) -> None:
        """As much at a time as the server takes, until it has said all that it will."""
        at, ends_at = 0, time.monotonic() + SILENCE
        while at < len(body) and not stream.is_over:
            room = self._h2.local_flow_control_window(stream.number)
            size = min(room, self._h2.max_outbound_frame_size, len(body) - at)
            if size > 0:
                stream.has_said_all = is_all and at + size == len(body)
                self._h2.send_data(stream.number, body[at : at + size], stream.has_said_all)
                at += size
                continue
            self._window.clear()  # before others have their turn, who may hear that it has grown
            self._send()
            if not is_set_within(max(ends_at - time.monotonic(), 0.0), self._window):
                self._end("it takes nothing more")
                raise TimeoutError(self._why)
        if self.is_open:
            self._send()

    def _send(self) -> None:
        """Whole frames, in their order, whoever sends them. Raises OSError."""
        with self._sending:
            if not (data := self._h2.data_to_send()):
                return
            try:
                with gevent.Timeout(SILENCE, TimeoutError("it takes nothing more")):
                    self._socket.sendall(data)
            except BaseException as error:  # this greenlet may end: half of a frame may be sent
                self._end(_text(error))
                raise

    def _end(self, why: str) -> None:
        """Whoever waits gets ConnectionError."""
        if self.is_open:
            self.is_open, self._why = False, why
            for stream in self._streams.values():
                stream.fail(why)
            self._window.set()
            with suppress(OSError):
                self._socket.shutdown(SHUT_RDWR)  # which ends the reader, who closes it

    def _run(self) -> None:
        why = "it has hung up"
        try:
            why = self._read()
        except Exception as error:  # whatever h2 makes of what comes, this process goes on
            why = _text(error)
        finally:
            self._end(self._explained(why))
            self._socket.close()

    def _read(self) -> str:
        """Until it ends; why it does."""
        while True:
            socket.wait_read(self._socket.fileno())  # even if more is there: others have a turn
            if not (data := self._socket.recv(BLOCK)):
                return "it has hung up"
            self._first = self._first or data[:SHOWN_MAX]
            for event in self._h2.receive_data(data):
                if isinstance(event, ConnectionTerminated):
                    return f"it goes away ({event.error_code!r})"
                self._hear(event)
            self._send()

    def _explained(self, why: str) -> str:
        """What has gone wrong, for people: maybe this was never HTTP/2."""
        if self._first[3:4] == _SETTINGS:
            return why
        if self._first and not self._first.startswith(_ALERT):
            return f"no answer of an etcd: {self._first!r}"
        if self._is_secure:
            return why
        return f"{'it has hung up' if self._first else why}; if it wants TLS, use --store-ca FILE"

    def _hear(self, event: H2Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is not None:
            self._heard_at = time.monotonic()
            stream.hear(event)
        if not isinstance(event, DataReceived):
            self._window.set()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
