"""A binder whose HTTP has all it can do: lookups by datagram hardly notice."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from benchmarks.nodes import make_instances, start_full_binders
from benchmarks.proc import pid_at
from prr.demo.ports import free_port
from tests.http_attacks import KINDS
from tests.nodes import ROOT
from tests.waits import apart, beside, median_ratio, share_ms, waits_of

INSTANCES = make_instances(10_000, [2])

RATE = 2000.0
"""Lookups a second: well below saturation, even beside whatever else runs the tests."""

SECONDS = 2.0
ROUNDS = 3

BEFORE = 3.0
"""Seconds of an attack before the lookups begin, so that all connections are there."""

LONGER_MAX_MS = 0.3
"""By how much HTTP may add to the 99th percentile: a piece of work or two. A page in one piece
would add 10."""

MEMORY_MAX_MIB = {"binder": 100, "HTTP": 250}
"""Of a binder of 10,000 instances, 45 at rest, to which HTTP adds next to nothing; and of the
process that serves it, 40 at rest, and what its limits let connections have."""


@pytest.fixture(scope="module")
def binder():
    """A binder that knows ten thousand instances: its address, and where it serves HTTP."""
    with ExitStack() as processes:
        port = free_port()
        (address,) = start_full_binders(
            1, INSTANCES, processes, arguments=[f"--http=127.0.0.1:{port}"]
        )
        apart(pid_at(address))
        yield address, port


def memory_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def attacked(kind, address, port):
    """The waits of lookups during an attack, and what became of that."""
    lasts = str(BEFORE + SECONDS + 1.0)
    command = [sys.executable, "-m", "tests.http_attacks", kind, str(port), lasts]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attack:
        try:
            beside(attack.pid)
            with pytest.raises(subprocess.TimeoutExpired):
                attack.wait(BEFORE)
            during = waits_of(address, 2, RATE, SECONDS)
            said, _ = attack.communicate(timeout=60)
        finally:
            attack.kill()
    return during, said.strip()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_http_has_to_do_no_lookup_is_lost_and_none_waits_long(kind, binder):
    address, port = binder
    pairs, middles = [], []
    for _ in range(ROUNDS):
        before = waits_of(address, 2, RATE, SECONDS)
        during, said = attacked(kind, address, port)
        assert during[0] >= 0  # else it was lost
        assert len(during) > 0.9 * RATE * SECONDS
        pairs.append((share_ms(before, 0.99), share_ms(during, 0.99)))
        middles.append((share_ms(before, 0.5), share_ms(during, 0.5)))
    print(f"{kind}: {said}; p50 {middles}, {median_ratio(middles):.2f}; p99 {pairs}", end=", ")
    print(f"{median_ratio(pairs):.2f} times as long")
    pid = pid_at(address)
    (front,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    memory = {"binder": memory_mib(pid), "HTTP": memory_mib(front)}
    print(f"memory in MiB: {memory}")
    assert all(memory[one] < MEMORY_MAX_MIB[one] for one in memory)
    assert median(during - before for before, during in pairs) < LONGER_MAX_MS
