"""Whom a binder hears of its peers: it says so when that changes, and only then."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.effects import Event, Report
from prr.core.health import degraded
from prr.core.replication.peer_liveness import GRAIN, LATE, Liveness, isolation
from prr.core.replication.peers import GONE_AFTER, SILENT_AFTER, Kind, Peers, State
from tests.cores import Net, effects_of, run

A, B, C = ((f"10.0.0.{number}", 2222) for number in (1, 2, 3))


class Ears:
    """Peers of ours, and what is said of them."""

    def __init__(self, *addresses):
        self.peers = Peers(addresses)
        self.core = Liveness(self.peers)
        self.core.expect(0.0)

    def hear(self, address, now, kind=Kind.OURS):
        peer = self.peers.get(address)
        said = self.core.heard(peer, now)
        peer.kind, peer.heard_at = kind, now
        return words(said)

    def until(self, now):
        return words(effects_of(run(self.core, now)))


def words(effects):
    assert all(isinstance(effect, Report) for effect in effects)
    return [effect.text() for effect in effects]


def test_one_that_falls_silent_is_lost_once_and_back_when_it_speaks():
    ears = Ears(A, B, C)
    for address in (A, B, C):
        assert ears.hear(address, 1.0) == []
    for now in range(2, 30):
        ears.hear(A, float(now))
        ears.hear(B, float(now))
        said = ears.until(now + 0.5)
        assert said == (["peer lost 10.0.0.3:2222: nothing heard for 9 s"] if now == 10 else [])
    assert ears.hear(C, 30.0) == ["peer back 10.0.0.3:2222: after 29 s"]
    assert ears.hear(C, 31.0) == []


def test_one_that_is_lost_again_is_lost_again():
    ears = Ears(A)
    for began_at in (0.0, 100.0):
        ears.hear(A, began_at)
        assert "peer lost 10.0.0.1:2222: nothing heard for 5 s" in ears.until(began_at + 10.0)


def test_a_binder_that_hears_nobody_says_so_and_what_it_does_now():
    ears = Ears(A, B)
    ears.hear(A, 1.0)
    ears.hear(B, 2.0)
    said = ears.until(10.0)
    assert said[-1] == ("isolated: 0 of 2 peers heard for 6 s; evicting on refusals only")
    assert ears.until(2.0 + GONE_AFTER) == []
    (alone,) = ears.until(1000.0)
    assert alone == "isolated: 0 of 2 peers heard for 60 s; deciding alone"
    assert ears.hear(B, 1000.0) == [
        "peer back 10.0.0.2:2222: after 998 s",
        "no longer isolated: it hears peer 10.0.0.2:2222",
    ]


def test_nothing_ever_heard_is_not_well():
    ears = Ears(A, B)
    assert ears.until(100.0) == ["isolated: 0 of 2 peers ever heard; deciding alone"]
    assert ears.core.deadline() is None
    assert str(isolation(ears.peers, 0.1)) == "0 of 2 peers ever heard; deciding alone"


def test_a_binder_that_has_no_peers_is_not_isolated():
    assert isolation(Peers(()), 100.0) is None


def test_the_silence_of_a_program_of_2016_means_nothing():
    ears = Ears(A)
    ears.hear(A, 1.0, Kind.LAB)
    assert ears.until(1000.0) == []
    assert ears.peers.state(ears.peers.get(A), 1000.0) is State.QUIET
    assert isolation(ears.peers, 1000.0) is None


def test_a_binder_that_was_stopped_itself_hears_what_waits_for_it_first():
    ears = Ears(A)
    ears.hear(A, 1.0)
    woken_at = 1.0 + SILENT_AFTER + GRAIN + LATE + 20.0
    ears.core.stopped(woken_at)
    assert ears.core.tick(woken_at) == []
    assert ears.core.deadline() == woken_at + LATE
    ears.hear(A, woken_at + 0.1)
    assert ears.until(woken_at + 2 * LATE) == []


def lost_by(address, net):
    """When that binder called a peer lost."""
    return [
        when
        for when, who, one in net.done
        if who == address and isinstance(one, Report) and one.event is Event.PEER_LOST
    ]


def cut_off():
    """Two binders that have met, and do not hear each other any more."""
    pair = {A: Binder(frozenset(), (B,), 1, Random(1)), B: Binder(frozenset(), (A,), 2, Random(2))}
    net = Net(pair)
    net.start()
    net.run(10.0)
    net.cut.add(B)
    return net


@pytest.mark.parametrize("asleep", [1.0, 3.0])
def test_it_was_stopped_though_that_look_itself_is_hardly_late(asleep):
    """Other work was due long before."""
    awake, net = cut_off(), cut_off()
    awake.run(20.0)
    (lost_at,) = lost_by(A, awake)
    net.run(lost_at - asleep)
    net.now = lost_at + LATE / 2
    net.act(A, net.binders[A].tick(net.now))
    assert not lost_by(A, net)
    net.run(20.0)
    assert len(lost_by(A, net)) == 1


def test_a_binder_that_was_stopped_and_hears_nothing_afterwards_says_so():
    ears = Ears(A)
    ears.hear(A, 1.0)
    ears.core.stopped(30.0)
    assert ears.core.tick(30.0) == []
    assert words(ears.core.tick(30.0 + LATE))[0].startswith("peer lost 10.0.0.1:2222")


def test_one_that_is_no_peer_any_more_is_not_waited_for():
    ears = Ears(A, B)
    ears.hear(A, 1.0)
    ears.hear(B, 1.0)
    ears.core.forget(B)
    ears.peers.remove(B)
    for now in range(2, 20):
        ears.hear(A, float(now))
        assert ears.until(now + 0.5) == []


def test_it_never_wants_to_be_asked_again_and_again():
    ears = Ears(A, B, C)
    for step in range(200):
        ears.hear((A, B, C)[step % 7 % 3], step * 2.9)
        ears.until(step * 2.9 + 2.0)
    assert len(run(ears.core, 1e6)) < 20


PEER = {"address": "10.0.0.1:2222", "state": "up", "heard_s_ago": 1.0}


def test_a_binder_is_well_only_if_nothing_is_wrong():
    well = {"synced": True, "isolated": None, "peers": [PEER], "state": None, "overload": None}
    assert degraded(well) == []
    assert degraded(well | {"synced": False}) == ["not ready: it waits for its peers or its disk"]
    assert degraded(well | {"isolated": "0 of 1 peers heard"}) == ["0 of 1 peers heard"]
    assert degraded(well | {"unresolved": ["b.example:2222"]}) == ["no address for b.example:2222"]
    assert degraded(well | {"overload": {"since_s": 3.2, "dropped": 1234}}) == [
        "overloaded for 3 s: 1,234 datagrams dropped by the kernel"
    ]
    failing = {"failing": "disk full", "unsaved": 1, "damaged": "1 entry is damaged"}
    assert degraded(well | {"state": failing}) == [
        "the disk fails (disk full): nobody is confirmed",
        "the state on disk was damaged: 1 entry is damaged",
    ]
    eviction_limiter = {"since_s": 4.0, "evicted": 100, "of": 200, "limit": 100, "held_back": 50}
    (reason, *_) = degraded(well | {"brake": eviction_limiter, "synced": False})
    assert reason == (
        "eviction limiter on for 4 s: 50 silent instances kept, 100 of 200 evicted (limit 100)"
    )


def test_peers_that_are_missing_are_named_and_only_a_few_of_many():
    lost = PEER | {"state": "lost", "heard_s_ago": 20.4}
    never = {"address": "10.0.0.2:2222", "state": "never heard", "heard_s_ago": None}
    assert degraded({"peers": [PEER, lost, never]}) == [
        "1 of 3 peers heard: 10.0.0.1:2222 lost for 20 s, 10.0.0.2:2222 never heard"
    ]
    (reason,) = degraded({"peers": [PEER, *[lost] * 10]})
    assert reason.endswith(" and 6 more")
    assert degraded({"peers": [PEER | {"state": "quiet", "heard_s_ago": 1e5}]}) == []
