"""Makes checks for tests, in a process of its own: gevent collects every child of the process that
runs an `exec:` check, whoever has started it.

    python -m tests.checking

reads a line of JSON for each check (what is checked, where, the timeout), and prints one for its
result: whether it has passed, its words, the seconds it took, and what it has left behind.
"""

import json
import sys
import time
from pathlib import Path

import gevent
from gevent.fileobject import FileObjectThread

from prr.shell.agent.check_runner import CheckRunner
from prr.shell.agent.checks import HttpCheck, TcpCheck, UdpCheck
from prr.shell.agent.exec_check import ExecCheck

LEFT_WITHIN = 1.0  # seconds


def left() -> set[str]:
    """The descriptors and the children that this process has."""
    children = [one.read_text().split() for one in Path("/proc/self/task").glob("*/children")]
    descriptors = [one.name for one in Path("/proc/self/fd").iterdir()]
    return {*descriptors, *(f"process {pid}" for some in children for pid in some)}


def check_of(kind, what, address):
    match kind:
        case "tcp":
            return TcpCheck(address)
        case "udp":
            return UdpCheck(address, bytes.fromhex(what))
        case "http":
            return HttpCheck(what, address)
        case "exec":
            return ExecCheck(what)


def make(kind, what, address, timeout) -> list:
    """One check, and what came of it."""
    before, told, began_at = left(), [], time.monotonic()
    check = check_of(kind, what, tuple(address or ()))
    CheckRunner(check, timeout, lambda *said: told.append(said)).start()
    while not told:
        gevent.sleep(0.005)
    took = time.monotonic() - began_at
    while (more := left() - before) and time.monotonic() < began_at + took + LEFT_WITHIN:
        gevent.sleep(0.01)
    return [*told[0], took, sorted(more)]


def main() -> None:
    make("exec", ["true"], None, 5.0)  # gevent has descriptors of its own
    for line in FileObjectThread(sys.stdin.buffer):
        print(json.dumps(make(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
