"""Long runs of ours with binders, servers and clients of 2016, and what has to be so at their end.

The network is sound, and whoever dies is a server, or (`binder_crashes`) a binder of ours: what a
binder of 2016 then holds too much or too little it has from us. What it brought upon itself, by
taking two subscriptions of one server, or by way of another of its kind, is held against nobody.
"""

from collections import Counter
from dataclasses import replace
from random import Random

from prr.wire.instance import describe, is_wide
from tests.sim.cluster import Cluster
from tests.sim.faults import Conditions, Options, options_for, some_by_name
from tests.sim.lab2016 import LabBinder
from tests.sim.run import BUDGET, Result, come_to_rest, under_faults
from tests.sim.trace import Trace
from tests.sim.world import Violation

IN_ORDER = Conditions(delay_mean=1e-9)
"""A local network: what their frames, without versions, say depends on the order."""


def mixed_options(seed: int) -> Options:
    """What a seed of a long mixed run stands for."""
    rng = Random(f"{seed}/mixed")
    return replace(
        options_for(seed),
        binders=rng.choice((1, 1, 2, 3)),
        lab_binders=rng.choice((1, 1, 2)),
        servers=rng.randint(2, 10),
        types=some_by_name(seed, sorted(rng.sample(range(256), rng.randint(1, 3)))),
        seconds=rng.uniform(60, 150),
        conditions=IN_ORDER,
        drift=rng.choice((0.0, 0.001)),
        buffer=256,
        icmp_limited=False,
        cuts=0.0,
        estranged=0.0,
        clogs=0.0,
        binder_crashes=0.0,
        server_crashes=rng.choice((0.05, 0.2)),
        host_share=rng.choice((0.0, 0.5)),
        pauses=0.0,
        preempted=0.0,
        leaves=rng.choice((0.0, 0.1, 0.3)),
        retyped=0.0,
        calls=rng.choice((1.0, 4.0)),
        false_complaints=rng.choice((0.0, 0.3)),
        strangers=0.0,
        lab2016=True,
        tight=0,
        quiet=False,
        lab_servers=rng.choice((0.0, 0.5, 0.5, 1.0)),
        swapped=rng.choice((0.0, 0.3)),
        ipv6_peers=False,
        require=None,
        attacked=0.0,
    )


def run_mixed(options: Options, trace: Trace | None = None, budget: float = BUDGET) -> Result:
    """Run what the options say: our rules first, then what the binders of 2016 hold."""
    cluster = Cluster(options, trace or Trace())
    is_violation = False
    try:
        under_faults(cluster)
        reason = come_to_rest(cluster, budget, lambda: cluster.pending() or held_wrongly(cluster))
    except Violation as violation:
        reason, is_violation = str(violation), True
    world = cluster.world
    world.note("world", f"verdict: {reason or 'at rest'}")
    return Result(options.seed, reason, is_violation, world.steps, world.now, 0)


def held_wrongly(cluster: Cluster) -> str | None:
    """What is wrong with the lists of the binders of 2016; None if nothing is."""
    # Of services with names, and of those at IPv6, they are not told.
    alive = {one.instance for one in cluster.live_servers() if not is_wide(one.instance)}
    for binder in cluster.lab_binders:
        if binder is not None and binder.running and (wrong := _wrong(binder, alive)):
            return f"{binder.name} {wrong}"
    return None


def _wrong(binder: LabBinder, alive: set) -> str | None:
    if binder.paused:
        return "is still verifying"
    held = Counter(binder.entries)
    for instance in sorted(alive | set(held)):
        count, name = held[instance], describe(instance)
        if instance not in alive and instance not in binder.own_doing:
            return f"holds {name}, which is dead"
        if instance in alive and count == 0 and instance not in binder.own_doing:
            return f"misses {name}"
        if count > 1 and instance not in binder.own_doing:
            return f"holds {name} {count} times"
    return None
