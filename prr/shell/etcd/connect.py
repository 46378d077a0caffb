"""A socket to a server of etcd."""

from socket import IPPROTO_TCP, TCP_NODELAY
from ssl import SSLContext

from gevent import socket

from prr.config import HostPort

CONNECT_WAIT = 1.0
"""Seconds in which a server must take a connection."""

SILENCE = 3.0
"""Seconds without a word after which a connection is dead: a leader is elected in one or two."""


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
