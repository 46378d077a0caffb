"""The protocol between systemd and a service: sockets passed in, notifications sent out.

sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3) by hand: a few lines each, and no library
that would have to be there, and be loaded, first.
"""

import contextlib
import os
import socket

from prr.config import BadInput

FIRST_FD = 3
"""The descriptor of the first socket passed (SD_LISTEN_FDS_START)."""


def handed_over() -> list[socket.socket]:
    """Returns the sockets that systemd passes to this process, in the order of the unit; or none.

    What was queued in them while no process ran is still there. Call it once: it removes the
    variables that announce them from the environment. Raises BadInput if one of them is not a
    socket for UDP over one family.
    """
    for_whom, count, _ = (
        os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if for_whom != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = [socket.socket(fileno=FIRST_FD + number) for number in range(int(count))]
    for one in sockets:
        one.set_inheritable(False)
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_DGRAM:
            raise BadInput(
                "systemd passed a socket that is not for UDP over IP; use "
                "ListenDatagram=IP:PORT in the socket unit"
            )
        if one.family == socket.AF_INET6 and not one.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        ):
            raise BadInput(
                "systemd passed a socket for both families at once; use BindIPv6Only=ipv6-only in "
                "the socket unit, and ListenDatagram=0.0.0.0:PORT besides"
            )
    return sockets


def is_told() -> bool:
    """Somebody listens to `notify`."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*lines: str) -> None:
    """Send systemd VARIABLE=VALUE, one a line. Never waits, and never fails."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    address = "\0" + name[1:] if name.startswith("@") else name  # abstract: unix(7)
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling,
    ):
        telling.setblocking(False)
        telling.sendto("\n".join(lines).encode(), address)


def watchdog_pause() -> float | None:
    """Seconds between two keep-alives, half of what systemd allows; None if it wants none."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    whose = os.environ.get("WATCHDOG_PID") or str(os.getpid())
    if whose != str(os.getpid()) or not allowed.isdecimal() or int(allowed) == 0:
        return None
    return int(allowed) / 1e6 / 2
