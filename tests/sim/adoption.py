"""One of several binders that share an etcd is killed: another one looks after what it had.

The servers are of 2016: they subscribe once, and never again by themselves.
"""

from dataclasses import replace
from random import Random

from prr.wire.instance import describe
from tests.sim import adapter
from tests.sim.cluster import Cluster
from tests.sim.etcd_faults import EtcdFaults
from tests.sim.etcd_options import EtcdOptions
from tests.sim.faults import Options, calmed, options_for
from tests.sim.network import Cut
from tests.sim.run import BUDGET, come_to_rest
from tests.sim.trace import Trace
from tests.sim.world import Violation

KILLED_AT = 8.0
"""Seconds after which all know one another, and all servers are confirmed."""

DIES = 0.3  # share of the servers that end with the binder

PARTED = 0.5
"""Share of the runs in which the other binders hear one another through the store alone from then
on."""

LOOK = 0.1
"""Seconds between two looks at whether all hold what lives."""

ADOPTED_AFTER = 40.0
"""Seconds in which what the binder had is adopted: its lease in etcd, that of an instance, and the
questions."""


def adoption_options(seed: int) -> Options:
    """Nothing is amiss, but that the store may tell late."""
    rng = Random(f"{seed}/adoption")
    are_apart = rng.random() < 0.3
    etcd = EtcdOptions(
        servers=rng.choice((1, 3)),
        found=are_apart or rng.random() < 0.7,
        apart=are_apart,
        claims_lost=rng.random() < 0.3,
        stalls=0.0 if are_apart else rng.choice((0.0, 2.0)),  # else not all know all by then
        compactions=rng.choice((0.0, 0.5)),
        watch_delay=rng.choice((0.003, 0.2)),
        small=rng.random() < 0.5,
    )
    return replace(
        calmed(options_for(seed)),
        binders=rng.randint(2, 5),
        servers=rng.randint(2, 8),
        types=tuple(rng.sample(range(256), 3)),
        etcd=etcd,
        attacked=0.0,
        require=None,
        flood=0.0,
        forged=0.0,
        drains=0.0,
        ipv6=0.0,
        lab_servers=1.0,
        retyped=0.0,
        housed=1,
    )


def adopt(seed: int, trace: Trace | None = None) -> tuple[str | None, int]:
    """What is wrong, None if nothing is; and how many were adopted."""
    cluster = Cluster(adoption_options(seed), trace or Trace())
    assert cluster.rules is not None
    try:
        with cluster.shells():
            reason = _play(cluster)
    except Violation as violation:
        reason = str(violation)
    return reason, cluster.rules.adoptions


def _play(cluster: Cluster) -> str | None:
    options, world, rules = cluster.options, cluster.world, cluster.rules
    assert rules is not None
    rng = Random(f"{options.seed}/killed")
    faults = EtcdFaults(cluster)
    faults.start()
    for index in range(options.binders):
        world.at(rng.uniform(0, 0.5), cluster.start_binder, index)
    for index in range(options.servers):
        world.at(rng.uniform(1, 3), cluster.start_server, index, rng.choice(options.types))
    world.run(KILLED_AT)
    cluster.crash(rng.choice(cluster.live_binders()), rng.random() < 0.5)
    for server in cluster.live_servers():
        if rng.random() < DIES:
            cluster.crash(server, rng.random() < 0.5)
    if rng.random() < PARTED:
        _part(cluster)
    while world.now < KILLED_AT + ADOPTED_AFTER:
        world.run(world.now + LOOK)
        if missing := _missing(cluster):
            return missing
    if lost := _unowned(cluster):
        return lost
    faults.end()
    cluster.heal()
    return come_to_rest(cluster, BUDGET) or rules.unquiet()


def _part(cluster: Cluster) -> None:
    """No binder hears another one."""
    ips = {binder.host.ip for binder in cluster.live_binders()}
    for ip in ips:
        cluster.network.cut(Cut(frozenset({ip}), frozenset(ips - {ip})))


def _unowned(cluster: Cluster) -> str | None:
    """What lives, and is owned by nobody who does; None if there is nothing. What is dead may be
    suspected for longer."""
    alive = {binder.core.identity for binder in cluster.live_binders()}
    for server in cluster.live_servers():
        for binder in cluster.live_binders():
            version = binder.core.directory.version(server.instance)
            if version is None or version.owner not in alive:
                name = describe(server.instance)
                return f"{binder.name} knows of no binder that lives and owns {name}"
    return None


def _missing(cluster: Cluster) -> str | None:
    """What lives and some binder does not hold; None if there is nothing."""
    for server in cluster.live_servers():
        for binder in cluster.live_binders():
            if not adapter.holds(binder.core, server.instance):
                return f"{binder.name} has lost {describe(server.instance)}"
    return None
