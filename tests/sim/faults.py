"""What a seed decides before anything happens: which faults there are at all, and how strong.

Swarm testing: in a run that has every fault at once each hides the others, so most runs have a
few, some have none, and the few are drawn anew for every seed. That nodes come and go is no
fault, so it happens in most.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from random import Random

from prr.config import Require
from prr.wire.instance import Service
from tests.sim.etcd_options import EtcdOptions

SHAPES = ("isolate", "halves", "one way", "bridge")

FAULTS = (
    "loss",
    "duplicates",
    "corruption",
    "truncation",
    "unsent",
    "delay",
    "drift",
    "icmp",
    "cuts",
    "flapping",
    "estrangement",
    "clogs",
    "binder crashes",
    "pauses",
    "preemption",
    "strangers",
    "tight",
)
ALONE = 0.3  # share of the runs in which one fault is all

COMING_AND_GOING = ("server crashes", "leaves", "complaints")
USUAL = 0.7  # share of the runs in which each of these happens

SECONDS = ((5, 12), (5, 12), (5, 12), (15, 30))
"""How long the faults last, from and to; in some runs long enough for what is slow."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of all paths. Shares are of 1, times in seconds."""

    loss: float = 0.0
    duplicated: float = 0.0  # a copy comes with a delay of its own
    replay_mean: float = 0.01  # of that delay
    corrupted: float = 0.0
    truncated: float = 0.0
    unsent: float = 0.0  # questions to instances for which no socket was to be had
    delay_min: float = 0.0001
    delay_mean: float = 0.0005  # beyond the minimum; exponential, so datagrams overtake


CALM = Conditions()
"""A sound local network."""


@dataclass(frozen=True, slots=True)
class Options:
    """One run. Rates are events a second in the whole cluster, 0 where a thing never happens."""

    seed: int
    binders: int
    servers: int
    types: tuple[Service, ...]
    seconds: float  # of the phase under faults
    conditions: Conditions
    drift: float  # a clock's rate differs from 1 by at most this
    buffer: int  # datagrams a socket holds while its process is stopped
    icmp_limited: bool  # a host sends one peer six refusals at once, then one a second
    cuts: float
    shapes: tuple[str, ...]
    flapping: bool
    estranged: float  # a binder does not see one server or any, and is told that they are gone
    clogs: float
    binder_crashes: float
    server_crashes: float
    host_share: float  # of the crashes that take the whole host: silence, not refusals
    pauses: float
    preempted: float  # of the questions to instances, those at which the binder is paused
    leaves: float
    retyped: float  # of the servers that come back, those that give another type
    calls: float
    false_complaints: float
    strangers: float
    lab2016: bool  # binders answer lookups in the form of 2016
    tight: int  # room for verifications at once; 0: as much as usual
    quiet: bool  # after the faults nobody calls, so the binders notice alone
    lab_servers: float  # share of the servers that are of 2016, where nothing would lose them
    suspicious: float = 0.0  # what a faulty binder says it suspects: anybody, for no reason
    forged: float = 0.0  # what somebody says in the name of hosts that never say a word
    disk: bool = False  # binders keep what they know; no seed says so, a test does
    copied: bool = False  # the first two binders run on one disk and a copy of it
    old_copies: float = 0.0  # of binders that start with a disk, so many with an old copy of it
    hostile: float = 0.0  # of what a hostile peer says unasked; no seed says so, a test does
    lagging: float = 0.0  # seconds by which one binder lags again and again; only a test says so
    lab_binders: int = 0  # binders of 2016 beside ours; no seed says so, a test does
    swapped: float = 0.0  # of the servers started, those of the other make than usual; likewise
    ipv6: float = 0.0  # share of the servers that are at IPv6 addresses, and of the clients there
    ipv6_peers: bool = False  # binders know each other by their IPv6 addresses
    particular: float = 0.0  # share of the servers that say a weight and a zone, of clients a zone
    restated: float = 0.0  # what such a server says anew while it runs
    drains: float = 0.0  # what operators say, that an instance is drained or no longer
    flood: float = 0.0  # complaints about one that lives, in the names of a thousand hosts
    require: Require | None = None  # what binders with a keyring ask to be proved; None: no keys
    attacked: float = 0.0  # of what somebody says who is on every path; see `attacker`
    stolen: str = ""  # whose credential he has: a "client"'s, or a "server"'s of the first type
    housed: int = 1  # servers on one host
    withheld: float = 0.0  # share of the datagrams that he withholds
    agents: float = 0.0  # share of the servers for which an agent speaks
    etcd: EtcdOptions | None = None  # that binders share; no seed says so, a test does

    @property
    def has_lab_servers(self) -> bool:
        """They subscribe once and answer whatever they are asked: a binder that loses its memory
        may lose them for good, and another type on their address passes for the one before."""
        return (
            self.lab_servers > 0
            and not self.attacked
            and not self.binder_crashes
            and not self.retyped
        )

    @property
    def reliable(self) -> bool:
        """What is sent arrives, once and soon; who runs goes on running."""
        paths = self.conditions
        damage = (paths.loss, paths.duplicated, paths.corrupted, paths.truncated)
        cuts = (self.cuts, self.estranged, self.clogs, self.withheld)
        breaks = (self.binder_crashes, self.pauses, self.preempted, self.lagging)
        if self.etcd is not None and not self.etcd.is_calm:
            return False
        return not any((*damage, *cuts, *breaks)) and paths.delay_mean <= 0.01

    @property
    def all_in_reach(self) -> bool:
        """Every binder hears each server that lives at once, and has room to ask it."""
        return self.reliable and not self.tight and not self.hostile and not self.lab_binders

    @property
    def is_calm(self) -> bool:
        """Nothing happens but that servers come and go, and what the attacker does."""
        is_refused_at_once = not self.icmp_limited and not self.host_share
        is_undisturbed = is_refused_at_once and not self.drift and not self.suspicious
        return self.all_in_reach and self.conditions == CALM and is_undisturbed

    @property
    def binders_go_on(self) -> bool:
        """Every binder runs all the time, and reaches every other."""
        cuts = (self.cuts, self.estranged, self.clogs)
        breaks = (
            self.binder_crashes,
            self.pauses,
            self.preempted,
            self.lagging,
            self.hostile,
            self.lab_binders,
            self.lab2016,
        )
        finds = self.etcd is not None and self.etcd.found  # and until then hears of what is theirs
        return not any((*cuts, *breaks, finds))

    def lines(self) -> list[str]:
        """Every option, a line each."""
        return [f"{field.name:>16}  {getattr(self, field.name)}" for field in fields(self)]


def options_for(seed: int) -> Options:
    """The options that a seed stands for. What there is of IPv6 is chosen apart from all else."""
    rng, ipv6 = Random(f"{seed}/options"), Random(f"{seed}/ipv6")
    there = _choose_faults(rng)

    def maybe(fault: str, low: float, high: float) -> float:
        """0, or something between the two, the small ones as likely as the great."""
        value = _log_uniform(rng, low, high)
        return round(value, 6) if fault in there else 0.0

    options = Options(
        seed=seed,
        binders=rng.choice((1, 2, 2, 3, 3, 3, 4, 5)),
        servers=rng.randint(1, rng.choice((3, 8, 20))),
        types=some_by_name(seed, sorted(rng.sample(range(256), rng.randint(1, 4)))),
        seconds=round(rng.uniform(*rng.choice(SECONDS)), 3),
        conditions=_conditions(rng, maybe),
        drift=maybe("drift", 0.0001, 0.05),
        buffer=rng.choice((8, 64, 256)),
        icmp_limited="icmp" in there,
        cuts=maybe("cuts", 0.1, 0.6),
        shapes=tuple(sorted(rng.sample(SHAPES, rng.randint(1, len(SHAPES))))),
        flapping="flapping" in there,
        estranged=maybe("estrangement", 0.1, 0.6),
        clogs=maybe("clogs", 0.05, 0.5),
        binder_crashes=maybe("binder crashes", 0.03, 0.4),
        server_crashes=maybe("server crashes", 0.1, 1.0),
        host_share=rng.choice((0.0, 0.3, 1.0)),
        pauses=maybe("pauses", 0.05, 0.6),
        preempted=maybe("preemption", 0.2, 0.95),
        leaves=maybe("leaves", 0.05, 1.0),
        retyped=rng.choice((0.0, 0.0, 0.3)),
        calls=round(_log_uniform(rng, 2, 20), 3),
        false_complaints=maybe("complaints", 0.1, 4.0),
        strangers=maybe("strangers", 0.3, 3.0),
        lab2016=rng.random() < 0.2,
        tight=rng.choice((1, 2, 3)) if "tight" in there else 0,
        quiet=rng.random() < 0.5,
        lab_servers=rng.choice((0.0, 0.0, 0.5, 1.0)),
        forged=rng.choice((0.0, 0.0, 0.0, 0.3, 3.0)),
        suspicious=rng.choice((0.0, 0.0, 3.0, 30.0)),
        ipv6=ipv6.choice((0.0, 0.0, 0.3, 0.7)),
        ipv6_peers=ipv6.random() < 0.3,
        particular=Random(f"{seed}/particular").choice((0.0, 0.0, 0.5, 1.0)),
        restated=Random(f"{seed}/restated").choice((0.0, 0.1, 1.0)),
        drains=Random(f"{seed}/drains").choice((0.0, 0.0, 0.3, 2.0)),
        flood=Random(f"{seed}/flood").choice((*[0.0] * 6, 50.0, 200.0)),
        require=Random(f"{seed}/keys").choice((None, None, *Require, Require.ON)),
    )
    return _maybe_attacked(options) if options.require is Require.ON else options


def _maybe_attacked(options: Options) -> Options:
    """In most of the runs somebody attacks where all is to be proved; in half of these nothing else
    is amiss."""
    rng = Random(f"{options.seed}/attacked")
    if rng.random() < 0.2:
        return options
    attacked = attacked_options(options, rng.choice(("", "", "client", "server")))
    return calmed(attacked) if rng.random() < 0.5 else attacked


def attacked_options(options: Options, stolen: str = "") -> Options:
    """The same, with an attacker who has `stolen` so much."""
    rng = Random(f"{options.seed}/attacker/options")
    return replace(
        options,
        require=Require.ON,
        attacked=rng.choice((20.0, 60.0)),
        stolen=stolen,
        withheld=rng.choice((0.0, 0.02, 0.2)),
        forged=0.0,
        flood=0.0,
        drains=Random(f"{options.seed}/attacker/drains").choice((0.0, 0.0, 0.3, 2.0)),
        agents=Random(f"{options.seed}/attacker/agents").choice((0.0, 0.0, 0.5, 1.0)),
    )


def calmed(options: Options) -> Options:
    """The same with nobody but servers who come and go, for long enough that leases run out."""
    rng = Random(f"{options.seed}/calmed")
    return replace(
        options,
        seconds=40.0,
        conditions=CALM,
        drift=0.0,
        buffer=256,
        icmp_limited=False,
        cuts=0.0,
        estranged=0.0,
        clogs=0.0,
        binder_crashes=0.0,
        server_crashes=0.2,
        host_share=0.0,
        pauses=0.0,
        preempted=0.0,
        leaves=0.1,
        suspicious=0.0,
        strangers=0.0,
        tight=0,
        withheld=0.0,
        servers=min(options.servers, 6),
        housed=rng.choice((1, 2)),
        calls=rng.choice((0.0, options.calls)),
        false_complaints=rng.choice((0.0, options.false_complaints)),
    )


def some_by_name(seed: int, types: list[int]) -> tuple[Service, ...]:
    """In half of the runs about half of the services have names. Chosen apart from all else, so
    that the rest of a run is what it would be without."""
    rng = Random(f"{seed}/names")
    share = rng.choice((0.0, 0.5))
    return tuple(f"service-{type_}" if rng.random() < share else type_ for type_ in types)


def _conditions(rng: Random, maybe: Callable[[str, float, float], float]) -> Conditions:
    return Conditions(
        loss=maybe("loss", 0.005, 0.3),
        duplicated=maybe("duplicates", 0.005, 0.2),
        replay_mean=round(_log_uniform(rng, 0.005, 3), 6),
        corrupted=maybe("corruption", 0.005, 0.1),
        truncated=maybe("truncation", 0.005, 0.1),
        unsent=maybe("unsent", 0.01, 0.3),
        delay_mean=maybe("delay", 0.001, 0.15) or CALM.delay_mean,
    )


def _choose_faults(rng: Random) -> frozenset[str]:
    """One fault alone, or some share of all; and mostly some coming and going."""
    if rng.random() < ALONE:
        faults = {rng.choice(FAULTS)}
    else:
        share = rng.choice((0.0, 0.2, 0.4, 0.6, 0.8))
        faults = {fault for fault in FAULTS if rng.random() < share}
    return frozenset(faults | {event for event in COMING_AND_GOING if rng.random() < USUAL})


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return low * (high / low) ** rng.random()
