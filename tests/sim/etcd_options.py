"""How much of what may befall an etcd a seed has."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """Rates are events a second, shares of 1."""

    servers: int = 1
    found: bool = False  # binders have no peers but those that they find registered
    apart: bool = False  # binders hear one another through it alone
    outsider: bool = False  # the last binder does not share it, but hears those that do
    outages: float = 0.0  # all servers end, or say nothing
    restores: float = 0.0  # all end, and come back with an older state
    servers_lost: float = 0.0  # one server ends, or says nothing
    cuts: float = 0.0  # one binder reaches none
    stalls: float = 0.0  # watches that say nothing more
    compactions: float = 0.0
    deletions: float = 0.0  # of some keys, by an operator
    junk: float = 0.0  # where an instance was, or elsewhere
    leases_lost: float = 0.0  # by an operator, too
    full: float = 0.0  # nothing is written any more
    lost_answers: float = 0.0  # share of the requests that are carried out in secret
    claims_lost: bool = False  # so is the first claim of each binder
    late: float = 0.0  # share of those carried out when nobody waits any more
    watch_delay: float = 0.003  # seconds, in the mean
    lease_factor: float = 1.0  # removals are kept for so much of two hours
    small: bool = False  # pages, batches and the like are small

    @property
    def is_calm(self) -> bool:
        """Nothing befalls it."""
        troubles = (self.outages, self.restores, self.servers_lost, self.cuts, self.stalls)
        meddling = (self.deletions, self.junk, self.leases_lost, self.full)
        return not any((*troubles, *meddling, *self.secrets))

    @property
    def leases_go_on(self) -> bool:
        """Nothing keeps a binder that runs from renewing its lease, and from seeing who does."""
        troubles = (self.outages, self.restores, self.servers_lost, self.cuts)
        return not any((*troubles, self.leases_lost, self.full, *self.secrets))

    @property
    def secrets(self) -> tuple[float, ...]:
        """What is carried out, and whoever asked for it does not hear so."""
        return self.lost_answers, self.claims_lost, self.late

    @property
    def may_lose(self) -> bool:
        """What was committed may be gone."""
        return bool(self.restores or self.deletions or self.junk)


FAULTS = (
    *("outages", "restores", "servers_lost", "cuts", "stalls", "compactions", "deletions", "junk"),
    *("leases_lost", "full", "lost_answers", "late", "watch_delay"),
)


def etcd_options_for(seed: int) -> EtcdOptions:
    """What a seed stands for: one fault, or some share of them all."""
    rng = Random(f"{seed}/etcd/options")
    if rng.random() < 0.3:
        there = {rng.choice(FAULTS)}
    else:
        share = rng.choice((0.0, 0.2, 0.4, 0.7))
        there = {fault for fault in FAULTS if rng.random() < share}

    def maybe(fault: str, low: float, high: float) -> float:
        value = low * (high / low) ** rng.random()
        return round(value, 6) if fault in there else 0.0

    who = Random(f"{seed}/etcd/who").choice(("all", "all", "all", "apart", "outsider"))
    servers, finds = rng.choice((1, 3)), rng.random() < 0.5
    return EtcdOptions(
        servers=servers,
        found=who == "apart" or (finds and who == "all"),
        apart=who == "apart",
        outsider=who == "outsider",
        claims_lost=who != "all" and bool(rng.randrange(2)),
        outages=maybe("outages", 0.05, 0.4),
        restores=maybe("restores", 0.05, 0.2),
        servers_lost=maybe("servers_lost", 0.1, 1.0),
        cuts=maybe("cuts", 0.1, 0.6),
        stalls=maybe("stalls", 0.1, 1.0),
        compactions=maybe("compactions", 0.2, 2.0),
        deletions=maybe("deletions", 0.1, 1.0),
        junk=maybe("junk", 0.1, 1.0),
        leases_lost=maybe("leases_lost", 0.05, 0.3),
        full=maybe("full", 0.05, 0.2),
        lost_answers=maybe("lost_answers", 0.005, 0.2),
        late=maybe("late", 0.005, 0.2),
        watch_delay=maybe("watch_delay", 0.02, 1.0) or 0.003,
        lease_factor=rng.choice((1.0, 1.0, 0.003)),
        small=rng.random() < 0.5,
    )
