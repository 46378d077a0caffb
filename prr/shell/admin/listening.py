"""The socket of a binder's HTTP."""

import errno
import socket
import time

import gevent

from prr.config import BadInput
from prr.wire.instance import Address, describe_address, is_ipv6_address

BACKLOG = 128
"""Connections that wait to be accepted."""

PORT_LIMIT = 1.0
"""Seconds in which a port has to become free: if the binder before was killed, the process that
served its HTTP may take a moment to end."""


def listen(address: Address) -> socket.socket:
    """A socket that listens at `address`. Raises BadInput."""
    family = socket.AF_INET6 if is_ipv6_address(address) else socket.AF_INET
    ends_at = time.monotonic() + PORT_LIMIT
    while True:
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(BACKLOG)
        except OSError as error:
            opened.close()
            if error.errno == errno.EADDRINUSE and time.monotonic() < ends_at:
                gevent.sleep(0.02)
                continue
            raise BadInput(
                f"--http: cannot listen on {describe_address(address)}: {error.strerror}; use "
                f"another HOST:PORT, as 127.0.0.1:8080"
            ) from error
        return opened
