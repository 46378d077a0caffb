"""What is restored from a disk, which may be an old copy: who is handed out first, who is asked."""

from random import Random

from prr.core.binder import Binder
from prr.core.directory.digests import entry_of
from prr.core.effects import Event, Outcome
from prr.core.health import degraded
from prr.core.liveness.recheck_queue import ASKED_MAX, PAUSE, UNDER_WAY_MAX
from prr.wire.frames import Added, Subscribe
from prr.wire.instance import Instance, address_of
from prr.wire.version import Version, encode_version
from tests.cores import Net, at, effects_of, events, probes, run, say

OWN, OTHER = 77, 88
BINDER, PEER = ("10.0.0.1", 2222), ("10.0.0.2", 2222)
TWO = [at(2, "10.0.1.1", number) for number in range(1, 9)]


def restored(instances, owner=OWN, peers=()):
    """A binder that was given these back, and has started."""
    binder = Binder(frozenset(), peers, OWN, Random(1), keeps=True, counter=40)
    version = encode_version(Version(9, owner, 5))
    binder.learn([entry_of(instance, version) for instance in instances], [], 0.0)
    binder.start(0.0)
    return binder


def found(binder, count=100) -> set[Instance]:
    """Which servers of type 2 are handed out."""
    return set(binder.directory.lookup_run(bytes([2]) * count, False))


def test_those_heard_since_have_their_turn_first_and_where_none_was_all_have():
    binder = restored(TWO)
    assert found(binder) == set(TWO)
    binder.handle(Subscribe(2), address_of(TWO[3]), 0.01)
    assert found(binder) == {TWO[3]}
    for probe in probes(effects_of(run(binder, PAUSE))):
        if probe.instance in TWO[:2]:
            binder.probed(probe, Outcome.ALIVE, PAUSE)
    assert found(binder) == {TWO[0], TWO[1], TWO[3]}


def test_one_that_was_not_heard_comes_before_a_suspect():
    binder = restored(TWO[:2])
    binder.directory.suspect(TWO[0])
    assert found(binder) == {TWO[1]}
    binder.directory.remove(TWO[1], Version(10, OWN, 5), 0.0)
    assert found(binder) == {TWO[0]}


def test_what_an_old_copy_brought_back_is_gone_as_soon_as_it_was_asked():
    for owner in (OWN, OTHER):
        net = Net({BINDER: restored(TWO, owner)})
        net.alive, net.refusing = set(TWO[:4]), set(TWO[4:])
        net.run(0.5)
        assert len(net.reports(Event.EVICTED)) == 4
        assert max(when for when, _ in net.reports(Event.EVICTED)) < 0.2
        assert found(net.binders[BINDER]) == set(TWO[:4])


def test_what_a_peer_that_is_heard_looks_after_is_not_asked():
    binder = restored(TWO, OTHER, (PEER,))
    other = at(3, "10.0.1.1", 99)
    binder.handle(say(Added, other, Version(50, OTHER, 5), OTHER), PEER, 0.01)
    binder.handle(say(Added, TWO[0], Version(51, OTHER, 5), OTHER), PEER, 0.01)
    assert found(binder) == {TWO[0]}  # the peer has just said so
    assert probes(binder.tick(PAUSE)) == []
    assert found(binder) == set(TWO)


def test_many_are_asked_at_a_pace_that_leaves_room_for_others():
    many = [at(number % 200, "10.0.1.1", number) for number in range(1, 2000)]
    binder = restored(many)
    asked = []
    for look in range(1, 9):
        asked.append(len(probes(binder.tick(look * PAUSE))))
    first = [ASKED_MAX] * (UNDER_WAY_MAX // ASKED_MAX)
    assert asked[: len(first)] == first
    assert len(binder.inspect().verifications) <= UNDER_WAY_MAX


def test_a_restart_of_all_is_quiet():
    """Every one answers: nothing is evicted, and nothing is said of it."""
    binder = restored(TWO)
    effects = effects_of(run(binder, PAUSE))
    for probe in probes(effects):
        effects += binder.probed(probe, Outcome.ALIVE, PAUSE)
    assert events(effects) == []
    assert len(probes(effects)) == len(TWO)
    assert found(binder) == set(TWO)


def test_a_peer_with_this_binder_s_identity_is_told_of_once_and_this_binder_is_not_well():
    binder = restored(TWO, OWN, (PEER,))
    word = say(Added, at(3, "10.0.1.1", 99), Version(50, OWN, 5), OWN)
    assert Event.TWIN in events(binder.handle(word, PEER, 0.01))
    assert Event.TWIN not in events(binder.handle(word, PEER, 0.02))
    (reason,) = [why for why in degraded(binder.status(0.1)) if "identity" in why]
    assert reason == "10.0.0.2:2222 has this binder's identity: see its log"
    binder.handle(say(Added, at(3, "10.0.1.1", 99), Version(51, OTHER, 5), OTHER), PEER, 0.03)
    assert not [why for why in degraded(binder.status(0.1)) if "identity" in why]
