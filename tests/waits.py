"""How long lookups wait at a binder, as the kernel sees it.

    python -m tests.waits HOST:PORT TYPE PER_SECOND SECONDS

prints the waits of all answers in microseconds, and -1 for each that none came to. A wait ends when
the kernel has the answer, so that it does not matter when the one who asked has his turn; and he
has it at once, where he may (SCHED_FIFO), on the first core. The binder is meant to be on another.
"""

import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from contextlib import suppress

from benchmarks.proc import cores
from prr.text import parse_address
from prr.wire.instance import Address, describe_address
from tests.forks import ROOT

SOCKETS = 64
"""Each has one lookup under way: which answer belongs to which is certain."""

LOST_AFTER = 0.5
"""Seconds: a socket that has no answer by then has lost it."""

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_CLOCK = time.CLOCK_REALTIME  # the kernel's for that


def measure(binder: Address, type_: int, rate: float, seconds: float) -> list[int]:
    """Ask at a steady rate; the waits in microseconds, -1 for an answer that was lost."""
    free, asked, waits = [], {}, []
    for _ in range(SOCKETS):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        one.connect(binder)
        free.append(one)
    everyone, lookup = list(free), bytes((2, type_))
    began, number = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds + LOST_AFTER:
        if now < began + seconds and free and number < (now - began) * rate:
            one = free.pop(0)
            number += 1
            asked[one] = time.clock_gettime(_CLOCK)
            one.send(lookup)
            continue
        for one in list(asked):
            if (came := _came(one)) is not None:
                waits.append(int(1e6 * (came - asked.pop(one))))
                free.append(one)
        time.sleep(min(0.0002, 0.2 / rate))
    waits += [-1] * len(asked)
    for one in everyone:
        one.close()
    return waits


def _came(one: socket.socket) -> float | None:
    """When the kernel had an answer; None if there is none yet."""
    try:
        _, ((_, _, data), *_), _, _ = one.recvmsg(100, 100)
    except BlockingIOError:
        return None
    except ConnectionRefusedError:
        return None
    seconds, nanoseconds = struct.unpack("qq", data)
    return seconds + nanoseconds / 1e9


def apart(pid: int) -> None:
    """Keep a binder off the first core, and have it run whenever it can, if this user may say so:
    what is seen then is how long it takes, and not who else has his turn on this host."""
    if (found := cores()) is not None:
        os.sched_setaffinity(pid, set(found[1]))
    with suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def beside(pid: int) -> None:
    """Keep what makes work for a binder on the first core: on the binder's, it would take from it
    what others' hosts do not."""
    if (found := cores()) is not None:
        os.sched_setaffinity(pid, {found[0]})


def waits_of(binder: Address, type_: int, rate: float, seconds: float) -> list[int]:
    """The same, measured by a process of its own. Sorted."""
    where = describe_address(binder)
    command = [sys.executable, "-m", "tests.waits", where, str(type_), str(rate), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(map(int, done.stdout.split()))


def share_ms(waits: list[int], share: float) -> float:
    """The wait that such a share of sorted ones does not exceed, in milliseconds."""
    return waits[int(share * (len(waits) - 1))] / 1000


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    """Of what was measured in turn, without something and with it."""
    return statistics.median(other / one for one, other in pairs)


if __name__ == "__main__":
    if (found := cores()) is not None:
        os.sched_setaffinity(0, {found[0]})
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    name, *numbers = sys.argv[1:]
    print(*measure(parse_address(name), int(numbers[0]), *map(float, numbers[1:])))
