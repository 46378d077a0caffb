"""A binder whose HTTP has all it can do: lookups by datagram hardly notice."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.generate import generate, has_compiler
from benchmarks.nodes import make_instances, start_full_binders
from benchmarks.proc import pid_at
from benchmarks.tally import Load
from prr.demo.ports import free_port
from tests.http_attacks import KINDS
from tests.nodes import ROOT

INSTANCES = make_instances(10_000, [2])

RATE = 2000.0
"""Lookups a second: well below saturation, even beside whatever else runs the tests."""

SECONDS = 4.0

BEFORE = 3.0
"""Seconds of an attack before the lookups begin, so that all connections are there."""

QUIET_MS = 2.0
"""The 99th percentile of a lookup's wait without HTTP, where waits can be judged: on a machine with
more to do than it has cores, all that is seen is who else has its turn."""

LONGER_MAX_MS = 3.0
"""By how much HTTP may add to that: a few slices. A page in one piece would take 25."""

MEMORY_MAX_MIB = 250
"""Of a binder of 10,000 instances: 45 at rest, and what its limits let connections have."""


@pytest.fixture(scope="module")
def binder():
    """A binder that knows ten thousand instances: its address, and where it serves HTTP."""
    with ExitStack() as processes:
        port = free_port()
        (address,) = start_full_binders(
            1, INSTANCES, processes, arguments=[f"--http=127.0.0.1:{port}"]
        )
        yield address, port


def memory_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def look_up(address):
    """Lookups at a steady rate for a while."""
    return generate(Load([address], b"\2", INSTANCES, seconds=SECONDS, rate=RATE, sockets=8))


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="no C compiler for the load generator")
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_http_has_to_do_no_lookup_is_lost_and_none_waits_long(kind, binder):
    address, port = binder
    before = look_up(address)
    command = [sys.executable, "-m", "tests.http_attacks", kind, str(port), str(BEFORE + SECONDS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attack:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                attack.wait(BEFORE)
            during = look_up(address)
            said, _ = attack.communicate(timeout=60)
        finally:
            attack.kill()
    print(kind, said, [(one.wait_ms(0.5), one.wait_ms(0.99)) for one in (before, during)])
    assert during.lost == 0
    assert during.answered == during.asked
    assert memory_mib(pid_at(address)) < MEMORY_MAX_MIB
    if before.wait_ms(0.99) > QUIET_MS:
        pytest.skip(f"lookups wait for {before.wait_ms(0.99):g} ms here without HTTP")
    assert during.wait_ms(0.99) < before.wait_ms(0.99) + LONGER_MAX_MS
