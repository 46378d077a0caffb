"""Where DNS is answered: a port over UDP and over TCP, in one family or in both."""

import errno
import socket

from prr.addresses import family_of
from prr.config import BadInput
from prr.shell.udp.names import address_from
from prr.shell.udp.steering import PORT_TRIES, open_sockets
from prr.wire.instance import Address, describe_address

RECEIVE_BUFFER = 512 << 10
"""Bytes asked for; some 600 queries, 30 ms of work: who waits longer asks again anyway."""

BACKLOG = 64
"""Connections that the kernel keeps until they are accepted; more are tried again by TCP."""


def open_port(address: Address) -> tuple[list[socket.socket], list[socket.socket]]:
    """The sockets of UDP bound to `address`, and those of TCP that listen there.

    Raises BadInput, with what to do, if that cannot be.
    """
    for _ in range(PORT_TRIES if address[1] == 0 else 1):
        datagrams = open_sockets(address)
        streams: list[socket.socket] = []
        try:
            for one in datagrams:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                streams.append(_listen(address_from(one.getsockname())))
        except OSError as error:
            for one in datagrams + streams:
                one.close()
            failure = error
        else:
            return datagrams, streams
    why = "another program has that port over TCP; stop it, or use another port (0: any)"
    if failure.errno != errno.EADDRINUSE:
        why = f"{failure.strerror}; use another HOST:PORT"
    raise BadInput(f"cannot listen on {describe_address(address)}: {why}") from failure


def _listen(address: Address) -> socket.socket:
    """Raises OSError."""
    family = family_of(address)
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
