"""A socket to a server of etcd, and how long that may be silent."""

from socket import IPPROTO_TCP, TCP_NODELAY
from ssl import SSLContext

import gevent
from gevent import socket
from gevent.event import Event

from prr.config import HostPort

CONNECT_WAIT = 1.0
"""Seconds in which a server must take a connection."""

SILENCE = 3.0
"""Seconds without a word after which a connection is dead: a leader is elected in one or two."""

LATE = 0.001
"""Seconds to read what has come before another is said to be silent: this process may be late."""


def connect(endpoint: HostPort, tls: SSLContext | None) -> socket.socket:
    """One that waits without end. `tls` is of gevent; None: in the clear. Raises OSError."""
    connection = socket.create_connection(endpoint, CONNECT_WAIT)
    try:
        connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        connection.settimeout(SILENCE)
        if tls is not None:
            connection = tls.wrap_socket(connection, server_hostname=endpoint[0])
            if connection.selected_alpn_protocol() != "h2":
                raise ConnectionError("it speaks no HTTP/2")
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection


def is_set_within(seconds: float, event: Event) -> bool:
    """What `event` waits for has come by then, be it that this process sees so only later."""
    if not event.wait(seconds):
        gevent.sleep(LATE)
    return event.is_set()
