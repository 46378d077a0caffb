"""A UDP socket that gives datagrams in bursts. The only file that knows how they are received."""

import errno
import socket
from collections.abc import Iterator

import gevent.socket
from gevent.hub import get_hub

from prr.config import BadInput
from prr.wire.address import Address, describe_address

RECEIVE_BYTES = 2048
"""Room for one datagram: more than any frame has (a list of 255 with a trailer is 1.8 kB), so
that nothing is cut unseen."""

BURST_MAX = 64
"""Datagrams taken before the other greenlets have their turn: half a millisecond at most."""

_READ, _WRITE = 1, 2  # libev's masks

_WHY = {
    errno.EADDRINUSE: "another program has that port; stop it, or write another port (0: any)",
    errno.EADDRNOTAVAIL: "this host has no such address; write one of its own, or 0.0.0.0 for all",
    errno.EACCES: "ports below 1024 are for root; write one from 1024 up",
}


def open_socket(address: Address) -> gevent.socket.socket:
    """A gevent socket bound to `address`; BadInput, with what to do, if it cannot be."""
    opened = gevent.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.bind(address)
    except OSError as error:
        opened.close()
        why = _WHY.get(error.errno or 0, f"{error.strerror}; write another HOST:PORT")
        raise BadInput(f"cannot listen on {describe_address(address)}: {why}") from error
    return opened


class Datagrams:
    """The node's own socket."""

    def __init__(self, bound: gevent.socket.socket) -> None:
        bound.setblocking(False)
        self._socket = bound
        loop = get_hub().loop
        self._readable = loop.io(bound.fileno(), _READ)

    @property
    def address(self) -> Address:
        """Where the socket is bound."""
        ip, port = self._socket.getsockname()
        return ip, port

    def wait(self) -> None:
        """Let the others run until there is something to receive."""
        get_hub().wait(self._readable)

    def burst(self) -> Iterator[tuple[bytes, Address]]:
        """What has come, at most BURST_MAX datagrams, each with its sender."""
        for _ in range(BURST_MAX):
            try:
                yield self._socket.recvfrom(RECEIVE_BYTES)
            except BlockingIOError:
                return

    def send(self, data: bytes, target: Address) -> bool:
        """Send one datagram; False if that has to wait. OSError if it cannot be sent at all."""
        try:
            self._socket.sendto(data, target)
        except BlockingIOError:
            return False
        return True

    def wait_to_send(self) -> None:
        """Let the others run until there is room to send. Any number may wait at once."""
        hub = get_hub()
        writable = hub.loop.io(self._socket.fileno(), _WRITE)
        try:
            hub.wait(writable)
        finally:
            writable.close()

    def close(self) -> None:
        """Give the port back."""
        self._readable.close()
        self._socket.close()
