"""What happens to a binder that is asked far more than it can answer.

    python -m benchmarks.overload
    python -m benchmarks.overload --times 3 --seconds 10 --json

A closed loop finds its peak; then a multiple of that is offered, whether it answers or not, and two
seconds later it is asked as before. Meanwhile a server renews its subscription ten times a second.
A flood from this host costs the core that sends it, where Linux also drops what finds the queue
full; one core sends two million a second. Where that is not enough, the binder shares its core with
processes that only loop: `share_of_core`, and the peak is that of the binder with this share.
`offered_times` is what was really sent.
"""

import os
import socket
import struct
import sys
import time
from argparse import Namespace
from contextlib import ExitStack, suppress
from dataclasses import replace

import gevent

from benchmarks.arguments import Trouble, amount, command
from benchmarks.figures import Figures, ratios
from benchmarks.generate import generate
from benchmarks.load import DROPPED
from benchmarks.load import measure as measure_load
from benchmarks.nodes import counters_of, make_instances, start_full_binders
from benchmarks.proc import generator_core, on_core, pids_at, pin, resident_kib
from benchmarks.processes import Started
from benchmarks.tally import Load

INSTANCES = 1000
TYPES = b"\1"
OTHER_TYPE = 2
"""Of the server that renews: the lookups ask for another."""

IN_FLIGHT = 256
"""Lookups in flight while the peak is measured: enough for full bursts at the binder."""

PEAK_SECONDS = 5.0
"""Seconds at most to measure the peak, before and after."""

SHARERS_MAX = 3
"""At most so many processes share the binder's core."""

TRIAL = 0.3
"""Seconds to find out how much can be offered."""

AS_MUCH_AS_CAN_BE = 1e9
"""Lookups a second, more than any core sends."""

REST = 2.0
"""Seconds between the flood and the measurement after it."""

RENEWAL_PAUSE = 0.1
"""Seconds in which a renewal has to be confirmed before the next one leaves."""

RECEIVED = "frames received"

_SO_TIMESTAMPNS = 35


def _measure(parsed: Namespace) -> Figures:
    """The peak, `times` as much for `seconds`, and the peak again."""
    seconds, times = parsed.seconds, parsed.times
    instances, peak_seconds = make_instances(INSTANCES, TYPES), min(seconds, PEAK_SECONDS)
    with ExitStack() as processes:
        binders = start_full_binders(1, instances, processes)
        pids, core = pids_at(binders), generator_core()
        if not pids:
            raise Trouble("the binder's process is not to be found under /proc")
        pinned = pin(pids)
        load = Load(binders, TYPES, instances, peak_seconds, IN_FLIGHT, pids=pids, core=core)
        before = _peak(load)
        flood_load = replace(load, how="flood", seconds=TRIAL, rate=AS_MUCH_AS_CAN_BE)
        trial = generate(flood_load)
        wanted = times * before["lookups_per_second"]
        sharers = min(SHARERS_MAX, int(wanted / (trial.asked / trial.asking)))
        if sharers and core is not None:
            shared = min(os.sched_getaffinity(pids[0]))
            for _ in range(sharers):  # each wants as much of the binder's core as it does
                Started(processes, sys.executable, "-c", "while True: pass", core=shared)
            before = _peak(load)
        peak = before["lookups_per_second"]
        with on_core(core):
            flood = _flood(replace(flood_load, seconds=seconds, rate=times * peak))
        gevent.sleep(REST)
        after = measure_load(load)
    return {
        "instances": INSTANCES,
        "in_flight": IN_FLIGHT,
        "seconds": seconds,
        "pinned": pinned,
        "share_of_core": round(1 / (1 + sharers), 2),
        "peak_per_second": peak,
        "wanted_times": times,
        "offered_times": round(flood["asked_per_second"] / peak, 2),
        "goodput_to_peak": round(flood["lookups_per_second"] / peak, 3),
        "before": before,
        "flood": flood,
        "after": after,
        "after_to_before": ratios([after], [before]),
    }


def _peak(load: Load) -> Figures:
    """The binder's peak. Raises Trouble if it answers nothing."""
    found = measure_load(load)
    if not found["lookups_per_second"]:
        raise Trouble("the binder answered nothing, even before the flood")
    return found


def _flood(load: Load) -> Figures:
    """Offer this load; what was measured, and what the binder reports.

    Runs on the core of the one who asks. Raises Trouble: the generator did not come to its end, or
    the binder does not say how it is.
    """
    waits: list[float | None] = []
    memory = [resident_kib(load.pids) or 0]
    counted_before = counters_of(load.targets)
    watching = gevent.spawn(_renew, load, waits, memory)
    try:
        tally = generate(load)
    finally:
        watching.kill()
    counted = counters_of(load.targets)
    if counted is None or counted_before is None:
        raise Trouble("the binder does not say how it is")
    confirmed = [wait for wait in waits if wait is not None]
    answered = counted[RECEIVED] - counted_before[RECEIVED] - len(confirmed)
    dropped = counted[DROPPED] - counted_before[DROPPED]
    elapsed = max(tally.asking, tally.elapsed)
    share_heard = tally.heard_by_first / tally.asked_by_first
    return {
        "asked_per_second": round(tally.asked / tally.asking),
        "lookups_per_second": round(answered / elapsed),
        "by_answers_to_one_socket": round(share_heard * tally.asked / elapsed),
        "cpu_us_per_lookup": round(tally.cpu / answered * 1e6, 3) if answered else None,
        "asked": tally.asked,
        "answered": answered,
        "dropped_by_kernel": dropped,
        "lost_uncounted": max(0, tally.asked - answered - dropped),
        "resident_kib_before": memory[0],
        "resident_kib": max(memory),
        "renewals": len(waits),
        "renewals_confirmed": len(confirmed),
        "renewal_max_ms": round(max(confirmed) * 1000, 3) if confirmed else None,
    }


def _renew(load: Load, waits: list[float | None], memory: list[int]) -> None:
    """Renew a subscription until this greenlet is killed: the seconds until each is confirmed, None
    if that is not in time; and the KiB that the binder has then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.connect(load.targets[0])
        server.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        while True:
            renewed_at = time.time()
            server.send(bytes((5, OTHER_TYPE)))
            gevent.sleep(RENEWAL_PAUSE)
            heard = [at - renewed_at for at in _arrivals(server) if at >= renewed_at]
            waits.append(heard[0] if heard else None)
            memory.append(resident_kib(load.pids) or 0)


def _arrivals(server: socket.socket) -> list[float]:
    """When the datagrams came that wait at `server`, by the kernel's clock, as `time.time` has it.

    Not when they are read: who reads them waits for its core, which is the flood's.
    """
    arrivals = []
    with suppress(BlockingIOError):
        while True:
            _, notes, _, _ = server.recvmsg(64, 64)
            ((_, _, stamp),) = notes
            seconds, nanoseconds = struct.unpack("qq", stamp)
            arrivals.append(seconds + nanoseconds / 1e9)
    return arrivals


TIMES = amount("--times", 5, 100, "multiple of the peak that is offered")
main = command("overload", __doc__, 30.0, _measure, TIMES)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
