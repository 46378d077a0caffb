"""How long a dead server is still returned, and how many calls fail, by number of binders.

    python -m benchmarks.failover --kills 200 --stops 3
    python -m benchmarks.failover --binders 3 --kills 10 --stops 0 --services 0 --json

Under steady load a server is killed with SIGKILL or stopped with SIGSTOP. Once every binder has
removed it, it is replaced, and the next one follows. Then a host of many services is killed, and
one is stopped, and slow services are called, which live. The same is done with the timing of the
legacy (2016) programs (see lab.py).
"""

import os
import signal
import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import gevent

from benchmarks import lab
from benchmarks.arguments import Trouble, amount, command
from benchmarks.callers import Callers
from benchmarks.cluster import Cluster
from benchmarks.figures import Figures, share_ms
from benchmarks.hosts import burst, slow
from benchmarks.processes import Started
from prr.client.api import Client
from prr.client.errors import PrrError
from prr.core.liveness.eviction_limiter import FLOOR

END_OF = Path(__file__).with_name("end_of.py")

SERVERS = 3
CLIENTS = 4
"""Clients of ours that call, and as many that hedge."""

CALL_PAUSE = 0.01
"""Seconds between two calls of each."""

SETTLE = 0.05
"""Seconds after a strike before the binders are asked whether it is gone, which would cost what is
measured; and to keep watching once it is."""

GONE_PAUSE = 0.005
"""Seconds between two such questions."""

TYPE = 1

BINDERS = (1, 3, 5)
COUNT_MAX = 1000

TOLD = {
    "process_ended": (50,),
    "first_call_failed": (50,),
    "named_after_its_end": (50, 99),
    "last_named": (50, 99, 100),
    "until_all_know": (50,),
    "nobody_served": (100,),
}
"""Of the seconds that were seen after each strike, what is told: percentiles, in ms."""


class Scene:
    """A cluster with servers of one type, and clients at work, until `stack` ends."""

    def __init__(self, stack: ExitStack, binders: int) -> None:
        self._cluster = Cluster(stack, binders)
        self._servers = [self._cluster.start_host(1, TYPE) for _ in range(SERVERS)]
        self._callers = Callers(self._cluster.addresses, [TYPE])
        self._failed = {False: 0, True: 0}  # by whether they hedge
        client = Client(self._cluster.names)
        self._clients = [
            gevent.spawn(self._keep_calling, client, hedge)
            for hedge in self._failed
            for _ in range(CLIENTS)
        ]
        stack.callback(gevent.killall, self._clients)
        stack.callback(self._callers.stop)

    def strike(self, number: signal.Signals) -> dict[str, float]:
        """Send a server a signal, measure until no binder lists it, and replace it."""
        cluster, callers = self._cluster, self._callers
        server, (instance,) = self._servers.pop(0)
        failed = dict(self._failed)
        with ExitStack() as stack:
            watching = Started(stack, sys.executable, "-I", "-S", END_OF, server.pid)
            watching.wait_for("watching")
            callers.watch([instance])
            struck_at = time.monotonic()
            os.kill(server.pid, number)
            gevent.sleep(SETTLE)
            cluster.wait_for(SERVERS - 1, GONE_PAUSE)
            gone = time.monotonic() - struck_at
            gevent.sleep(SETTLE)
            seen = {
                "first_call_failed": (callers.first_failed_at or struck_at) - struck_at,
                "last_named": callers.last_named_at - struck_at,
                "until_all_know": gone,
                "failed_calls": self._failed[False] - failed[False],
                "failed_hedged_calls": self._failed[True] - failed[True],
            }
            callers.watch([])
            server.kill()  # one that was stopped, too
            ended_at = float(watching.wait_for(r"^ended (.*)")[1])
        if number == signal.SIGKILL:
            seen["process_ended"] = ended_at - struck_at
            seen["named_after_its_end"] = max(0.0, seen["last_named"] - seen["process_ended"])
        self._servers.append(cluster.start_host(1, TYPE))
        if broken := [one for one in (*self._clients, *callers.greenlets) if one.ready()]:
            raise Trouble(f"a client ended: {broken[0].exception!r}")
        return seen

    def _keep_calling(self, client: Client, hedge: bool) -> None:
        while True:
            gevent.sleep(CALL_PAUSE)
            try:
                client.call(TYPE, b"hello", hedge=hedge)
            except PrrError:
                self._failed[hedge] += 1


def _measure(parsed: Namespace) -> Figures:
    """Strike as often as asked, or for `seconds` for each number of binders and kind of strike;
    then a host of so many `services`."""
    counts, result = parsed.binders or BINDERS, {}
    kinds = {signal.SIGKILL: parsed.kills, signal.SIGSTOP: parsed.stops}
    for count in counts:
        for number, strikes in kinds.items():
            if strikes:
                seen = _strikes(count, number, strikes, parsed.seconds)
                result[f"{number.name}, {_binders(count)}"] = _summary(seen)
    if parsed.services:
        for count in counts:
            for number in kinds:
                name = f"{number.name}, host of {parsed.services:,} services, {_binders(count)}"
                result[name] = burst(count, parsed.services, number)
        result |= slow()
    if parsed.stops:
        result["timing of 2016 (2 s + 2 s), 1 binder"] = _summary(lab.play(parsed.stops))
    return result


def _binders(count: int) -> str:
    return f"{count} binder{'s' * (count > 1)}"


def _strikes(
    binders: int, number: signal.Signals, strikes: int, seconds: float
) -> list[dict[str, float]]:
    """What followed each strike. Binders evict FLOOR servers for silence and then doubt themselves
    for half a minute: so many are stopped, and the next ones in a fresh cluster."""
    seen: list[dict[str, float]] = []
    ends_at = time.monotonic() + seconds
    most = FLOOR if number == signal.SIGSTOP else strikes
    for already in range(0, strikes, most):
        with ExitStack() as stack:
            scene = Scene(stack, binders)
            for _ in range(already, min(already + most, strikes)):
                if seen and time.monotonic() > ends_at:
                    return seen
                seen.append(scene.strike(number))
    return seen


def _summary(seen: list[dict[str, float]]) -> Figures:
    summary: Figures = {"strikes": len(seen)}
    for name, percentiles in TOLD.items():
        for one in percentiles if name in seen[0] else ():
            what = "max" if one == 100 else f"p{one}"
            summary[f"{name}_ms_{what}"] = share_ms([row[name] for row in seen], one / 100)
    for name in ("failed_calls", "failed_hedged_calls"):
        if name in seen[0]:
            counts = [row[name] for row in seen]
            summary[f"{name}_mean"] = round(sum(counts) / len(counts), 2)
            summary[f"{name}_max"] = max(counts)
    return summary


main = command(
    *("failover", __doc__, 40.0, _measure),
    amount("--binders", None, COUNT_MAX, "number of binders; repeatable (1, 3, 5)", repeats=True),
    amount("--kills", 50, COUNT_MAX, "for each number of binders", least=0),
    amount("--stops", 3, COUNT_MAX, "with SIGSTOP, and in 2016", least=0),
    amount("--services", 1000, COUNT_MAX, "of the host that dies; 0: none, no slow ones", least=0),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
