"""After a partition: nothing that lives is dropped on the word of those who could not hear it, and
soon all binders are equal and right. In virtual time; `tests.partitions` measures it for real."""

from dataclasses import replace

import pytest

from prr.core.liveness import together
from prr.core.liveness.detector import Detector
from prr.core.liveness.guards import Guards
from prr.core.liveness.phases import WAITS
from tests.sim import adapter
from tests.sim.cluster import Cluster
from tests.sim.faults import CALM, options_for
from tests.sim.mutants import serves_a_healthy_lookup
from tests.sim.network import Cut
from tests.sim.trace import Trace
from tests.sim.world import Violation

pytestmark = pytest.mark.elsewhere

SIDES = {"minority": 1, "halves": 2, "one way": 2, "flapping": 2}
"""By the kind of the partition: how many of five binders are on the first side."""

SERVERS = 30
PARTED = 40.0  # seconds
SLOW = pytest.mark.slow
FLAP = 1.0  # seconds that each state of a flapping cut lasts
HEALED_WITHIN = 0.3
"""Seconds: a peer that is back is heard within 0.1 s, is compared with at once, and the next one
0.1 s later; a change is told in some ten milliseconds."""


class Parted:
    """Five binders and their servers, of which each reaches the binders of its side only."""

    def __init__(self, kind, **options):
        seed = next(seed for seed in range(1000) if options_for(seed).binders == 5)
        calm = replace(options_for(seed), servers=SERVERS, conditions=CALM, drift=0.0)
        calm = replace(calm, tight=0, lab2016=False, icmp_limited=False, lab_servers=0.0)
        self.stage = stage = Cluster(replace(calm, **options), Trace())
        self.kind = kind
        for index in range(5):
            stage.start_binder(index)
        left = [stage.network.hosts[f"10.0.0.{number + 1}"].ip for number in range(SIDES[kind])]
        first = SERVERS * SIDES[kind] // 5
        left += [f"10.0.1.{number + 1}" for number in range(first)]
        right = [ip for ip in stage.network.hosts if ip not in left]
        self.cut = Cut(frozenset(left), frozenset(right), back=kind != "one way")
        stage.network.cut(self.cut)  # so that each server finds a binder on its own side
        stage.world.run(0.5)
        for index in range(SERVERS):
            stage.start_server(index, 1 + index % 5)
        stage.world.run(3.0)
        stage.network.mend(self.cut)
        stage.world.run(40.0)
        assert self.lacking() == [0] * 5

    def lacking(self):
        """How many of the living each binder lacks."""
        alive = {server.instance for server in self.stage.live_servers()}
        held = [set(adapter.instances(binder.core)) for binder in self.stage.live_binders()]
        return [len(alive - one) for one in held]

    def agree(self):
        """All binders know the same."""
        return len({adapter.digest(binder.core) for binder in self.stage.live_binders()}) == 1

    def part(self):
        """Be parted for PARTED seconds, and heal."""
        world, network = self.stage.world, self.stage.network
        ends_at = world.now + PARTED
        while world.now < ends_at:
            network.cut(self.cut)
            world.run(min(ends_at, world.now + (FLAP if self.kind == "flapping" else PARTED)))
            network.mend(self.cut)
            if self.kind == "flapping":
                world.run(min(ends_at, world.now + FLAP))

    def heal(self, seconds):
        """For so long after healing: what each binder lacked at worst, and seconds until all were
        equal and right."""
        world = self.stage.world
        healed_at, worst, right_at = world.now, self.lacking(), None
        while world.now < healed_at + seconds:
            world.run(world.now + 0.01)
            lacks = self.lacking()
            worst = [max(two) for two in zip(worst, lacks, strict=True)]
            is_right = not any(lacks) and self.agree()
            right_at = (right_at or world.now - healed_at) if is_right else None
        return worst, right_at


BELIEVED_MAX = (SERVERS + 3) // 4
"""Instances that a binder drops for a moment since it does not own their leases: it does not know
better, and has the owner's refutation some ten milliseconds after the other side's removal."""


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.smoke if kind == "halves" else SLOW) for kind in SIDES],
)
def test_after_a_partition_hardly_more_is_lacking_than_before_and_soon_nothing(kind):
    parted = Parted(kind)
    parted.part()
    before = parted.lacking()
    worst, right_at = parted.heal(5.0)
    print(f"{kind}: lacking before healing {before}, at worst {worst}, right after {right_at} s")
    assert all(most <= had + BELIEVED_MAX for most, had in zip(worst, before, strict=True))
    assert right_at is not None
    assert right_at < HEALED_WITHIN


@pytest.mark.slow
def test_a_cluster_that_carries_removals_out_unasked_is_noticed(monkeypatch):
    monkeypatch.setattr(Guards, "vouched_for", lambda self, case: False)
    assert serves_a_healthy_lookup()
    parted = Parted("minority")
    parted.part()
    with pytest.raises(Violation, match="heard here, on another's word"):
        parted.heal(1.0)


def healed_together(monkeypatch):
    """Two halves where what is disputed is asked as many are at once: seconds until all were equal
    and right, and how many were asked so."""
    monkeypatch.setattr(together, "FEW", 1)  # with so few servers each page tells of one
    parted = Parted("halves", require=None)  # a proof is asked for alone
    parted.part()
    _, right_at = parted.heal(1.0)
    return right_at, sum(one.asked_with_others[True] for one in parted.stage.live_binders())


@pytest.mark.smoke
def test_the_disputed_that_are_asked_together_are_refuted_by_their_first_answer(monkeypatch):
    right_at, asked = healed_together(monkeypatch)
    assert asked > SERVERS / 4
    assert right_at is not None
    assert right_at < WAITS[0]


@pytest.mark.slow
def test_that_nobody_hears_such_an_answer_is_noticed(monkeypatch):
    monkeypatch.setattr(Detector, "answered_all", lambda self, asked, ones, now: [])
    right_at, _ = healed_together(monkeypatch)
    assert right_at is None or right_at >= WAITS[0]
