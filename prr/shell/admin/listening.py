"""The socket of a binder's HTTP."""

import socket

from prr.config import BadInput
from prr.wire.instance import Address, describe_address, is_ipv6_address

BACKLOG = 128
"""Connections that wait to be accepted."""


def listen(address: Address) -> socket.socket:
    """A socket that listens at `address`. Raises BadInput."""
    family = socket.AF_INET6 if is_ipv6_address(address) else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise BadInput(
            f"--http: cannot listen on {describe_address(address)}: {error.strerror}; use another "
            f"HOST:PORT, as 127.0.0.1:8080"
        ) from error
    return opened
