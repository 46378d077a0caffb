"""The checks: does a program work? Each is an attempt that may take as long as it likes.

What ends it in time is `CheckRunner`; each of them gives back its socket however it ends.
"""

import http.client
from collections.abc import Callable
from contextlib import closing
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import gevent.socket

from prr.addresses import family_of
from prr.wire.instance import Address

RECEIVE_BYTES = 2048
"""Of an answer to `udp:`: what it says is all the same."""


class CheckFailed(Exception):
    """The program does not work; the text says what was tried, and what came of it."""


class Check(Protocol):
    """One way to see whether a program works."""

    def try_it(self) -> str:
        """What shows that it works. Raises CheckFailed or OSError if it does not."""
        ...


class TcpCheck:
    """It accepts a connection."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def try_it(self) -> str:
        _connected(self._address).close()
        return "it accepts connections"


class UdpCheck:
    """It answers a datagram, whatever it says."""

    def __init__(self, address: Address, question: bytes) -> None:
        self._address = address
        self._question = question

    def try_it(self) -> str:
        family = family_of(self._address)
        with gevent.socket.socket(family, gevent.socket.SOCK_DGRAM) as asking:
            asking.connect(self._address)
            asking.send(self._question)
            size = len(asking.recv(RECEIVE_BYTES))
        return f"it answers a datagram, with {size} bytes"


class HttpCheck:
    """A GET is answered with a status from 200 to 299.

    With https the certificate is not verified: whether the program works is the question, and the
    address comes from whoever set up the check.
    """

    def __init__(self, url: str, address: Address) -> None:
        """`address` is where the host of `url` is."""
        parts = urlsplit(url)
        if parts.scheme == "https":
            import gevent.ssl  # noqa: F401  if there is none, that is told here, and not in a check
        self._url = url
        self._path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._make: Callable[[], http.client.HTTPConnection] = lambda: _Connection(
            parts.hostname or "", address, parts.scheme == "https", parts.port
        )

    def try_it(self) -> str:
        with closing(self._make()) as connection:
            try:
                connection.request("GET", self._path, headers={"User-Agent": "prr"})
                answer = connection.getresponse()
            except http.client.HTTPException as error:
                why = f"{type(error).__name__}: {error}"
                raise CheckFailed(f"GET {self._url}: not an HTTP answer ({why})") from error
            said = f"GET {self._url}: {answer.status} {answer.reason}"
        if not 200 <= answer.status <= 299:
            raise CheckFailed(said)
        return said


class _Connection(http.client.HTTPConnection):
    """HTTP over gevent's sockets."""

    def __init__(self, host: str, address: Address, is_secure: bool, port: int | None) -> None:
        self.default_port = http.client.HTTPS_PORT if is_secure else http.client.HTTP_PORT
        super().__init__(host, port)
        self._address = address
        self._is_secure = is_secure

    def connect(self) -> None:
        self.sock = _connected(self._address)
        if self._is_secure:
            self._secure()

    def _secure(self) -> None:
        import ssl  # which not all need, nor all Pythons have

        import gevent.ssl

        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        secured = context.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock = secured
        secured.do_handshake()


def _connected(address: Address) -> gevent.socket.socket:
    """A TCP connection. Whatever interrupts the attempt, no socket is left."""
    connecting = gevent.socket.socket(family_of(address))
    try:
        connecting.connect(address)
    except BaseException:
        connecting.close()
        raise
    return connecting
