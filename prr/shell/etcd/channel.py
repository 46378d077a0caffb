"""Requests to one etcd server: gRPC, over one connection that all of them share.

What gRPC is beside HTTP/2 and protobuf is little, and is here: the path of a method, a length
before each message, and a status at the end (https://grpc.io/docs/guides/ and its PROTOCOL-HTTP2).
Google's own library for Python runs threads of its own. etcd's gateway for JSON over HTTP/1.1 needs
less here, and costs etcd five times as much.
"""

from collections.abc import Iterator
from ssl import SSLContext
from typing import TypeVar

import gevent
from google.protobuf.message import DecodeError

from prr.config import HostPort
from prr.shell.etcd.failures import OK, Unavailable, failure_of
from prr.shell.etcd.http2 import SHOWN_MAX, Connection, Stream
from prr.shell.etcd.schema import Message, Method
from prr.wire.instance import describe_address

MESSAGE_MAX = 16 << 20
"""Bytes of one message: a page of the longest values has 9 MB, and what a watch says comes in
fragments of 2 MB, which are one request's that etcd takes, as it is configured by itself."""

PREFIX = 5
"""Bytes before each message: one says whether it is compressed, the others how long it is."""

_CONTENT_TYPE = b"application/grpc"

_Q = TypeVar("_Q", bound=Message)
_R = TypeVar("_R", bound=Message)


class Channel:
    """One etcd server."""

    def __init__(self, endpoint: HostPort, tls: SSLContext | None) -> None:
        """`tls` None: in the clear."""
        self.name = describe_address(endpoint)
        self._endpoint = endpoint
        self._tls = tls
        self._connection: Connection | None = None
        self._opening: gevent.Greenlet[[], Connection | Exception] | None = None
        self._watching: Stream | None = None

    def call(self, method: Method[_Q, _R], request: _Q, token: str = "") -> _R:
        """The answer to one request; of methods that stream, the only one.

        Raises Unavailable, Rejected, Compacted, LeaseGone, NoRoom, Denied or LoggedOut.
        """
        answer = None
        try:
            for message in self._ask(method, request, token, is_all=True):
                if answer is not None:
                    raise Unavailable(f"{self.name}: a second answer")
                answer = message
        except TimeoutError as error:
            raise Unavailable(f"{self.name} is silent") from error
        except OSError as error:
            raise Unavailable(f"{self.name}: {error}") from error
        if answer is None:
            raise Unavailable(f"{self.name}: no answer")
        return answer

    def stream(self, method: Method[_Q, _R], request: _Q, token: str = "") -> Iterator[_R]:
        """The messages of a method that streams, until it ends or is silent for SILENCE. At most
        one at a time.

        Raises as `call`, also while it is iterated.
        """
        self.end_stream()
        try:
            yield from self._ask(method, request, token, is_all=False)
            raise Unavailable(f"{self.name} has ended the stream")
        except TimeoutError:
            return
        except OSError as error:
            raise Unavailable(f"{self.name}: {error}") from error

    def end_stream(self) -> None:
        """End what streams, if anything does: whoever reads it gets Unavailable."""
        if self._watching is not None:
            self._watching.fail("the stream was ended")
            self._watching = None

    def close(self) -> None:
        """Close the connection."""
        if self._opening is not None:
            self._opening.kill()
        if self._connection is not None:
            self._connection.close()

    def _ask(self, method: Method[_Q, _R], request: _Q, token: str, is_all: bool) -> Iterator[_R]:
        """The messages that a request is answered with. Raises OSError, too."""
        headers = [
            (b":path", method.path.encode()),
            (b"te", b"trailers"),
            (b"content-type", _CONTENT_TYPE),
        ]
        if token:
            headers.append((b"token", token.encode()))
        said = request.SerializeToString()
        body = b"\0" + len(said).to_bytes(PREFIX - 1, "big") + said
        stream = self._connected().open(headers, body, is_all)
        if not is_all:
            self._watching = stream
        try:
            for message in self._messages(stream):
                yield method.response.FromString(message)
        except DecodeError as error:
            raise Unavailable(f"{self.name}: an answer that no etcd gives: {error}") from error
        finally:
            stream.close()

    def _messages(self, stream: Stream) -> Iterator[bytes]:
        """What an answer consists of, unless it is an error."""
        came = bytearray()
        while data := stream.read():
            self._check_head(stream, data)
            came += data
            while len(came) >= PREFIX:
                end = PREFIX + int.from_bytes(came[1:PREFIX], "big")
                if came[0] or end > MESSAGE_MAX:
                    raise Unavailable(f"{self.name}: compressed, or a message of {end} bytes")
                if len(came) < end:
                    break
                message = bytes(came[PREFIX:end])
                del came[:end]
                yield message
        self._check_head(stream, b"")
        status = stream.headers.get(b"grpc-status", b"").decode("latin-1")
        if status != OK:
            why = stream.headers.get(b"grpc-message", b"").decode("latin-1")
            raise failure_of(self.name, status, why)

    def _check_head(self, stream: Stream, data: bytes) -> None:
        """It speaks gRPC. Else `data` is what it says."""
        status, type_ = (stream.headers.get(key, b"") for key in (b":status", b"content-type"))
        if status != b"200" or not type_.startswith(_CONTENT_TYPE):
            raise Unavailable(
                f"{self.name}: status {status.decode('latin-1')}, and no answer of an etcd: "
                f"{data[:SHOWN_MAX]!r}"
            )

    def _connected(self) -> Connection:
        """The connection, which is opened if need be, by one for all who want it."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._opening is None:
            self._opening = gevent.spawn(self._connect)
        opened = self._opening.get()
        if isinstance(opened, Connection):
            return opened
        raise Unavailable(f"{self.name}: {opened}") from opened

    def _connect(self) -> Connection | Exception:
        try:
            self._connection = Connection(self._endpoint, self._tls)
            return self._connection
        except (OSError, ValueError) as error:  # of a name that cannot be one, too
            return error
        finally:
            self._opening = None
