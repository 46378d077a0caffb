"""What befalls the paths while there are faults: cuts of every shape, and clogs."""

from random import Random

from tests.sim.faults import Options
from tests.sim.network import Cut, Network
from tests.sim.world import World

CUT_LASTS = (0.3, 6.0)  # seconds
FLAP_LASTS = (0.05, 0.5)  # seconds that one state of a flapping cut lasts
CLOG_LASTS = (0.05, 3.0)  # seconds
CLOGGED_MAX = 8  # paths at once


class Weather:
    """Cuts and clogs come and go until `end`."""

    def __init__(self, world: World, network: Network, options: Options) -> None:
        self._world = world
        self._network = network
        self._options = options
        self._rng = Random(f"{options.seed}/weather")
        self._over = False

    def start(self) -> None:
        """Begin."""
        if self._options.cuts:
            self._world.after(self._rng.expovariate(self._options.cuts), self._cut)
        if self._options.clogs:
            self._world.after(self._rng.expovariate(self._options.clogs), self._clog)

    def end(self) -> None:
        """Nothing more comes. The network heals what is there."""
        self._over = True

    def _cut(self) -> None:
        if self._over:
            return
        rng = self._rng
        cut = self._shape(rng.choice(self._options.shapes))
        ends_at = self._world.now + rng.uniform(*CUT_LASTS)
        self._world.note("weather", f"cut until {ends_at:.3f}: {_words(cut)}")
        self._network.cut(cut)
        if self._options.flapping:
            self._world.after(rng.uniform(*FLAP_LASTS), self._flap, cut, ends_at, False)
        self._world.at(ends_at, self._network.mend, cut)
        self._world.after(rng.expovariate(self._options.cuts), self._cut)

    def _shape(self, shape: str) -> Cut:
        rng = self._rng
        ips = list(self._network.hosts)
        rng.shuffle(ips)
        if shape == "isolate":
            return Cut(frozenset(ips[:1]), frozenset(ips[1:]))
        split = rng.randint(1, len(ips) - 1)
        left, right = ips[:split], ips[split:]
        if shape == "bridge" and len(right) > 1:
            right = right[1:]  # the one taken out is seen by both halves
        forth_only = shape == "one way"
        return Cut(frozenset(left), frozenset(right), back=not forth_only)

    def _flap(self, cut: Cut, ends_at: float, on: bool) -> None:
        if self._over or self._world.now >= ends_at:
            return
        (self._network.cut if on else self._network.mend)(cut)
        self._world.after(self._rng.uniform(*FLAP_LASTS), self._flap, cut, ends_at, not on)

    def _clog(self) -> None:
        """Clog some paths one by one. Each clears at a time of its own, in another order."""
        if self._over:
            return
        rng = self._rng
        ips = list(self._network.hosts)
        for _ in range(rng.randint(1, CLOGGED_MAX)):
            source, target = rng.sample(ips, 2)
            until = self._world.now + rng.uniform(*CLOG_LASTS)
            self._network.clog(source, target, until)
        self._world.after(rng.expovariate(self._options.clogs), self._clog)


def _words(cut: Cut) -> str:
    arrow = {(True, True): "<->", (True, False): "->", (False, True): "<-"}[cut.forth, cut.back]
    return f"{' '.join(sorted(cut.left))} {arrow} {' '.join(sorted(cut.right))}"
