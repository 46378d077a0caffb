"""One seed, from its options to its verdict: first faults and safety, then peace and liveness."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.sim.attacker import Attacker
from tests.sim.cluster import Cluster
from tests.sim.etcd_faults import EtcdFaults
from tests.sim.faults import Options, options_for
from tests.sim.trace import Trace
from tests.sim.weather import Weather
from tests.sim.workload import Workload
from tests.sim.world import Violation

BUDGET = 120.0
"""Virtual seconds of peace in which a cluster must come to rest."""

LOOK = 0.5  # seconds between two looks at what is pending
REST = 1.5  # seconds for which nothing may be pending

COMMAND = "python -m tests.sim {seed}"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `reason` is None if all was well."""

    seed: int
    reason: str | None
    is_violation: bool  # of safety; else it did not come to rest
    steps: int
    seconds: float  # virtual
    forged: int  # damaged datagrams that passed for sound ones

    @property
    def kind(self) -> str | None:
        """The reason without its numbers, to count by."""
        return kind_of(self.reason) if self.reason else None


def kind_of(reason: str) -> str:
    """A reason with every number taken for the same."""
    short = re.sub(r"^digests differ.*", "digests differ", reason)
    return re.sub(r"\d[\d.:]*", "N", short)[:110]


def run(seed: int, trace: Trace | None = None, budget: float = BUDGET) -> Result:
    """Run one seed."""
    return run_options(options_for(seed), trace, budget)


def run_options(options: Options, trace: Trace | None = None, budget: float = BUDGET) -> Result:
    """Run what the options say."""
    cluster = Cluster(options, trace or Trace())
    is_violation = False
    try:
        with cluster.shells():
            under_faults(cluster)
            reason = come_to_rest(cluster, budget)
            if cluster.rules is not None:
                reason = reason or cluster.rules.unquiet()
    except Violation as violation:
        reason, is_violation = str(violation), True
    except Exception as error:
        error.add_note(f"the simulator itself failed at seed {options.seed}")
        raise
    world = cluster.world
    world.note("world", f"verdict: {reason or 'at rest'}")
    forged = cluster.network.forged
    return Result(options.seed, reason, is_violation, world.steps, world.now, forged)


def under_faults(cluster: Cluster) -> None:
    """The first phase. Every step is watched; Violation if a rule is broken."""
    workload = Workload(cluster)
    weather = Weather(cluster.world, cluster.network, cluster.options)
    workload.start()
    weather.start()
    attacker = Attacker(cluster) if cluster.options.attacked else None
    if attacker is not None:
        attacker.start()
    etcd = EtcdFaults(cluster) if cluster.etcd is not None else None
    if etcd is not None:
        etcd.start()
    hostile = cluster.start_hostile() if cluster.options.hostile else None
    cluster.world.run(cluster.options.seconds)
    if hostile is not None:
        hostile.end()
    if attacker is not None:
        attacker.end()
    if etcd is not None:
        etcd.end()
    workload.end()
    weather.end()
    cluster.heal()


def come_to_rest(
    cluster: Cluster, budget: float, pending: Callable[[], str | None] | None = None
) -> str | None:
    """The second phase: what is still pending at its end; None if the cluster came to rest.
    `pending` tells it (None: as the cluster does)."""
    world, pending = cluster.world, pending or cluster.pending
    ends_at = world.now + budget
    rests_at: float | None = None
    while True:
        world.run(world.now + LOOK)
        reason = pending()
        if reason is not None:
            rests_at = None
            if world.now >= ends_at:
                return reason
        elif rests_at is None:
            rests_at = world.now
        elif world.now >= rests_at + REST:
            return cluster.audit()


def explain(result: Result, write: Callable[[str], object]) -> None:
    """Run what failed again, and write its options, its last steps and its verdict."""
    seed, trace = result.seed, Trace(on=True)
    again = run(seed, trace)
    write(f"seed {seed}, {result.steps} steps, {result.seconds:.1f} virtual seconds")
    for line in (*options_for(seed).lines(), *trace.last):
        write(line)
    if again != result:
        write(f"NOT THE SAME AGAIN, the first time: {result.reason}")
    if result.forged:
        write(f"{result.forged} damaged datagrams passed their checksum")
    write(f"FAILED: {again.reason}" if again.reason else "all well")
    write(f"replay: {COMMAND.format(seed=seed)}")
