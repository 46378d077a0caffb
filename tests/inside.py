"""Beside nodes under a real systemd: how its units are, and what the binders know."""

import os
import signal
import socket
import subprocess
import time

BINDERS = [("127.0.0.1", port) for port in (2222, 2223, 2224)]
NAMES = [f"127.0.0.1:{port}" for _, port in BINDERS]
ECHO = 1
LOOKUP = bytes((2, ECHO))
INSTANCES = ("one", "two", "three")
FOUND = 3
PATIENCE = 30.0


def show(unit: str, name: str) -> str:
    """One property of a unit."""
    command = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main_pid(unit: str) -> int:
    """Its process."""
    return int(show(unit, "MainPID"))


def kill(unit: str, number: int = signal.SIGKILL) -> int:
    """Send a signal to the unit's process, once it has one; its pid."""
    eventually(lambda: main_pid(unit) > 0)
    pid = main_pid(unit)
    os.kill(pid, number)
    return pid


def is_active(unit: str) -> bool:
    """systemd says so."""
    return show(unit, "ActiveState") == "active"


def eventually(condition, seconds: float = PATIENCE) -> None:
    """Ask until `condition()` is true; fail after `seconds`."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {condition}"
        time.sleep(0.02)


def asking(binder=BINDERS[0]) -> socket.socket:
    """A socket that asks one binder, with room for what comes in a burst."""
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    asker.connect(binder)
    asker.settimeout(PATIENCE)
    return asker


def knows_a_service(binder=BINDERS[0]) -> bool:
    """A binder hands out a server of type 1."""
    with asking(binder) as asker:
        asker.settimeout(1)
        asker.send(LOOKUP)
        try:
            return asker.recv(99)[0] == FOUND
        except OSError:
            return False


def settle(binders: int) -> None:
    """Wait until each binder hands out the server."""
    for binder in BINDERS[:binders]:
        eventually(lambda binder=binder: knows_a_service(binder))
