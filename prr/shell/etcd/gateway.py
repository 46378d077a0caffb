"""Requests to one etcd server: JSON over HTTP, and over TLS where that is asked for.

geventhttpclient: it is kept up, waits without blocking other greenlets and without patching the
standard library, and gives up a connection that is silent. etcd's own protocol is gRPC, whose
library for Python runs threads of its own; what it has beyond the gateway is not needed here.
"""

import json
from collections.abc import Iterator
from http.client import HTTPException
from ssl import SSLContext
from typing import Any

from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPSocketPoolResponse

from prr.config import HostPort
from prr.wire.instance import describe_address

CONNECT_WAIT = 1.0
"""Seconds in which a server must take a connection."""

SILENCE = 3.0
"""Seconds without a word after which a connection is dead: a leader is elected in one or two."""

CONNECTIONS = 4
"""To one server: two transactions, the registration, and one to spare."""

BLOCK = 1 << 16
LINE_MAX = 64 << 20
"""Bytes of one message of a watch: etcd packs up to 1,000 revisions into one, of 100 updates each
at most, as after a short cut."""

_INVALID, _NOT_FOUND, _DENIED, _EXHAUSTED, _OUT_OF_RANGE, _UNAUTHENTICATED = 3, 5, 7, 8, 11, 16
"""Of the codes of gRPC those that are of use here."""

_LOGGED_OUT = ("etcdserver: user name is empty", "etcdserver: revision of auth store is old")
"""What etcd says, with _INVALID, to a request without a token, and to a token from before its users
were changed."""

SHOWN_MAX = 80
"""Bytes that are shown of an answer that is none of an etcd's."""


class Failure(Exception):
    """etcd did not do what it was asked. Here are the ways in which it does not."""


class Unavailable(Failure):
    """A server cannot be asked now, or does not know what became of the request."""


class Rejected(Failure):
    """A request is not valid, however often it is made."""


class Compacted(Failure):
    """The state that was asked for is gone, since etcd has compacted its history, or is to come."""


class LeaseGone(Failure):
    """There is no such lease, or not any more."""


class NoRoom(Failure):
    """etcd has reached its quota, and takes nothing more until an operator has made room."""


class Denied(Failure):
    """This user may not do that."""


class LoggedOut(Failure):
    """There is no token, or it is not valid, or not any more."""


_ANSWERED = ("header", "result", "error", "message")
"""Every answer of an etcd has one of these; 3.6 says errors with the last one alone."""

_RAISED: dict[object, type[Failure]] = {
    _INVALID: Rejected,
    _NOT_FOUND: LeaseGone,
    _DENIED: Denied,
    _EXHAUSTED: NoRoom,
    _OUT_OF_RANGE: Compacted,
    _UNAUTHENTICATED: LoggedOut,
}


class Gateway:
    """One etcd server."""

    def __init__(self, endpoint: HostPort, tls: SSLContext | None) -> None:
        """`tls` None: in the clear."""
        self.name = describe_address(endpoint)
        self._endpoint = endpoint
        self._tls = tls
        self._client = self._open(CONNECTIONS)
        self._watching: HTTPSocketPoolResponse | None = None

    def call(self, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        """The answer to one request; of those that stream, the first message.

        Raises Unavailable, Rejected, Compacted, LeaseGone, NoRoom, Denied or LoggedOut.
        """
        try:
            with self._client.post(path, json.dumps(body), _headers(token)) as response:
                return self._checked(response.status_code, bytes(response.read()))
        except TimeoutError as error:
            raise Unavailable(f"{self.name} is silent") from error
        except (OSError, HTTPException) as error:
            raise Unavailable(self._said(error)) from error

    def stream(self, path: str, body: dict[str, Any], token: str = "") -> Iterator[dict[str, Any]]:
        """The messages of one that streams, until it ends or is silent for SILENCE. At most one at
        a time.

        Raises as `call`, also while it is iterated.
        """
        self.end_stream()
        client = self._open(1)
        try:
            self._watching = response = client.post(path, json.dumps(body), _headers(token))
            if response.status_code != 200:
                self._checked(response.status_code, response.read())
            while line := response.readline(b"\n"):
                if len(line) > LINE_MAX:
                    raise Unavailable(f"{self.name}: a message of {len(line)} bytes")
                if line.strip():
                    yield self._checked(200, line)
            raise Unavailable(f"{self.name} has ended the stream")
        except TimeoutError:
            return
        except (OSError, HTTPException) as error:
            raise Unavailable(self._said(error)) from error
        finally:
            client.close()

    def end_stream(self) -> None:
        """End what streams, if anything does: whoever reads it gets Unavailable."""
        if self._watching is not None:
            self._watching.release()
            self._watching = None

    def close(self) -> None:
        """Close all connections."""
        self.end_stream()
        self._client.close()

    def _open(self, connections: int) -> HTTPClient:
        (host, port), tls = self._endpoint, self._tls
        return HTTPClient(
            host,
            port,
            concurrency=connections,
            block_size=BLOCK,
            connection_timeout=CONNECT_WAIT,
            network_timeout=SILENCE,
            ssl=tls is not None,
            ssl_context_factory=None if tls is None else lambda **_: tls,
        )

    def _said(self, error: Exception) -> str:
        """What has gone wrong, for people."""
        if isinstance(error, HTTPConnectionClosed) and self._tls is None:
            return f"{self.name} has hung up; if it wants TLS, use --store-ca FILE"
        return f"{self.name}: {str(error) or type(error).__name__}"

    def _checked(self, status: int, text: bytes) -> dict[str, Any]:
        """The answer, unless it is an error."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        is_etcd = isinstance(said, dict) and not said.keys().isdisjoint(_ANSWERED)
        if not isinstance(said, dict) or not is_etcd:
            raise Unavailable(
                f"{self.name}: status {status}, and no answer of an etcd: {text[:SHOWN_MAX]!r}"
            )
        if status == 200 and said.keys().isdisjoint(("error", "message")):
            return said
        error = said.get("error", said.get("message"))
        code, why = said.get("code"), error
        if isinstance(error, dict):  # as a stream has it, from 3.6 on with the other key
            code, why = error.get("grpc_code", error.get("code")), error.get("message")
        if why in _LOGGED_OUT:
            code = _UNAUTHENTICATED
        if code == _EXHAUSTED and "space" not in str(why):
            code = None  # too many requests at once
        raise _RAISED.get(code, Unavailable)(f"{self.name}: {why}")


def _headers(token: str) -> dict[str, str]:
    return {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
