"""What the kernel knows about a process: its CPU, memory and ports; None where unknown."""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path

from prr.wire.instance import Address

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def cpu_seconds(pids: Iterable[int]) -> float | None:
    """CPU seconds these processes have used together; None if unknown."""
    try:
        used = [_cpu_seconds(pid) for pid in pids]
    except OSError:
        return None
    return sum(used) if used else None


def resident_kib(pids: Iterable[int]) -> int | None:
    """Resident memory of these processes together, in KiB; None if unknown."""
    try:
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    except OSError:
        return None
    return sum(pages) * _PAGE_KIB if pages else None


def pids_at(addresses: Sequence[Address]) -> list[int]:
    """The ids of the processes at these; none if one of them is unknown."""
    pids = [pid for address in addresses if (pid := pid_at(address)) is not None]
    return pids if len(pids) == len(addresses) else []


def pid_at(address: Address) -> int | None:
    """The id of the process with a UDP socket bound to `address`; None if unknown."""
    try:
        rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    except OSError:
        return None
    ip, port = address
    local = f"{int.from_bytes(socket.inet_aton(ip), 'little'):08X}:{port:04X}"
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == local}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(file) in sockets for file in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # another user's, or gone
            continue
    return None


@cache
def cores() -> tuple[int, list[int]] | None:
    """The generator's core, and those for what is measured; None if there is only one. As they
    were when this was asked first: `on_core` leaves this process but one."""
    able = sorted(os.sched_getaffinity(0))
    return (able[0], able[1:]) if len(able) > 1 else None


def generator_core() -> int | None:
    """The core that the generator has for itself; None if there is but one."""
    found = cores()
    return found[0] if found else None


def pin(pids: Iterable[int]) -> str:
    """Keep what is measured off the generator's core; returns a description."""
    found = cores()
    if found is None:
        return "no: there is one core for all"
    generator, others = found
    for thread in chain.from_iterable(map(_threads, pids)):
        os.sched_setaffinity(int(thread.name), others[:1])
    return f"generator on core {generator}, what is measured on core {others[0]}"


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Keep this process on `core` (None: wherever it may be) until the `with` block ends."""
    able = os.sched_getaffinity(0)
    os.sched_setaffinity(0, able if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, able)


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _cpu_seconds(pid: int) -> float:
    return sum(int((one / "schedstat").read_text().split()[0]) for one in _threads(pid)) / 1e9
