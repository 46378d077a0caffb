"""Both families, for what has to work over either."""

import socket

import pytest


def udp(ip: str, port: int = 0) -> socket.socket:
    """A UDP socket, bound there."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.bind((ip, port))
    except OSError:
        opened.close()
        raise
    return opened


def has_ipv6_loopback() -> bool:
    """This system has ::1."""
    try:
        udp("::1").close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this system has no ::1")

LOOPBACKS = ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)]
"""A test's parameters: this host in either family."""
