"""Ports for nodes that are killed and started again: nobody else takes them meanwhile.

A port that is free now is not free later. One of the ephemeral range is handed by the kernel to any
socket that binds none, such as a client's, while a restarted binder's is not open. So these lie
outside of that range; and each process that chooses here has blocks of them to itself, as long as
it lives.
"""

import random
import socket
from pathlib import Path

LOWEST = 10_000
"""The lowest port that is chosen: those below belong to well-known services."""

BELOW = 32_768
"""Legacy (2016) programs take ports for signed numbers: none from here up is chosen."""

BLOCK = 50
"""Ports in a block: one descriptor each, and most processes need no second one."""

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class _Blocks:
    """The blocks of one process. The first port of each, bound for TCP, keeps others away."""

    def __init__(self) -> None:
        self._kept: list[socket.socket] = []
        self._left: list[int] = []

    def next(self) -> int:
        """A port that this process has not chosen yet, or not for long. OSError if there is none:
        this host must be full of sockets."""
        for _ in range(2 * BELOW):
            if not self._left:
                self._left = self._reserve()
            port = self._left.pop()
            if _is_free(port):
                return port
        raise OSError(f"no port from {LOWEST} to {BELOW} is free")

    def _reserve(self) -> list[int]:
        """The ports of a block that is nobody's; once all are ours, they are chosen again."""
        starts = list(range(LOWEST, _ephemeral_from() - BLOCK + 1, BLOCK))
        random.shuffle(starts)
        for start in starts:
            keeper = socket.socket()
            try:
                keeper.bind(("127.0.0.1", start))
            except OSError:
                keeper.close()
                continue
            self._kept.append(keeper)
            return list(range(start + 1, start + BLOCK))
        while self._kept:
            self._kept.pop().close()
        return [random.choice(starts) + 1 + random.randrange(BLOCK - 1)]


_blocks = _Blocks()


def free_port() -> int:
    """A port that is free for UDP and TCP on all addresses of this host, from 10,000 to 32,767 and
    outside of the ephemeral range, unless that leaves none. OSError if there is none."""
    return _blocks.next()


def _ephemeral_from() -> int:
    """Where the ephemeral range begins, or `BELOW` if it begins later, or leaves no room below."""
    try:
        first = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return BELOW
    return min(first, BELOW) if first >= LOWEST + BLOCK else BELOW


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True
