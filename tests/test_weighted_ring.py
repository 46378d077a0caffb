"""Turns by weight: exact over a round, evenly interleaved, strictly in order."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from prr.core.directory.ring import Ring
from prr.core.directory.rotation import AHEAD, Rotation
from prr.core.directory.weighted_ring import WeightedRing
from tests.cores import at

pytestmark = pytest.mark.elsewhere

A, B, C, D = (at(1, "10.0.0.1", port) for port in range(1, 5))


def ring_of(weights):
    ring = WeightedRing()
    for one, weight in weights.items():
        ring.add(one, weight)
    return ring


def turns(ring, count):
    """So many turns, taken in parts of an odd size."""
    taken = []
    while len(taken) < count:
        taken += ring.take(7)
    ring.give_back(len(taken) - count)
    return taken[:count]


def others(count):
    return {at(1, "10.0.0.2", port): 1 for port in range(count)}


def gaps(taken, one):
    """How many others have their turns between two of one's."""
    places = [number for number, taker in enumerate(taken) if taker == one]
    return [after - before - 1 for before, after in pairwise(places)]


@pytest.mark.parametrize(
    ("weights", "allowed"),
    [
        ({A: 3, B: 1}, {"AABA", "ABAA"}),
        ({A: 2, B: 1}, {"ABA"}),
        ({A: 1, B: 1}, {"AB"}),
        ({A: 5, B: 1, C: 1}, {"ABAAACA"}),
    ],
)
def test_a_round_is_evenly_mixed(weights, allowed):
    names = {A: "A", B: "B", C: "C"}
    assert "".join(names[one] for one in turns(ring_of(weights), sum(weights.values()))) in allowed


def test_two_that_weigh_the_same_alternate():
    taken = turns(ring_of({A: 16, B: 16}), 320)
    assert all(one != other for one, other in pairwise(taken))
    assert all(len(set(three)) > 1 for three in zip(taken, taken[1:], taken[2:], strict=False))


@pytest.mark.parametrize("light", [15, 100, 1000])
def test_one_of_sixteen_among_many_comes_at_even_gaps(light):
    taken = turns(ring_of({A: 16} | others(light)), 5 * (16 + light))
    found = gaps(taken, A)
    assert max(found) - min(found) <= 1


@pytest.mark.parametrize("seed", range(40))
def test_every_window_of_a_round_is_exact_whatever_changed_before(seed):
    rng, ring, weights = Random(seed), WeightedRing(), {}
    pool = [at(1, "10.0.0.1", port) for port in range(rng.randrange(2, 40))]
    heaviest = rng.choice((1, 2, 3, 16))
    for _ in range(60):
        for _ in range(rng.randrange(1, 4)):
            one = rng.choice(pool)
            if one in weights:
                ring.remove(one)
                del weights[one]
            else:
                weights[one] = rng.randint(1, heaviest)
                ring.add(one, weights[one])
        assert len(ring) == len(weights)
        a_round = sum(weights.values())
        taken = ring.take(rng.randrange(1, 3 * a_round + 2))
        back = rng.randrange(len(taken) + 1)
        ring.give_back(back)
        taken = taken[: len(taken) - back]
        next_ones = list(ring)  # once each, by their next turns
        if rng.random() < 0.3:
            window = turns(ring, a_round)
            assert Counter(window) == Counter(weights)
            assert list(dict.fromkeys(window)) == next_ones


def test_who_comes_and_goes_while_others_have_their_turns_takes_none_of_them():
    """One that flaps must not begin the round anew: the lightest would never have a turn."""
    ring = ring_of({A: 16, B: 16, C: 1})
    found = Counter()
    for _ in range(500):
        ring.add(D, 3)
        found.update(ring.take(2))
        ring.remove(D)
        found.update(ring.take(2))
    assert found[C] >= 2000 / 36 - 2
    assert abs(found[A] - found[B]) <= 1


def test_strictly_in_order_among_those_that_weigh_the_same():
    weights = {A: 2, B: 2, C: 2} | others(5)
    taken = turns(ring_of(weights), 110)
    heavy = [one for one in taken if weights[one] == 2]
    assert heavy == (heavy[:3] * len(heavy))[: len(heavy)]
    light = [one for one in taken if weights[one] == 1]
    assert light == (light[:5] * len(light))[: len(light)]


def test_what_was_plain_goes_on_from_where_it_is_and_becomes_plain_again():
    plain = Ring()
    for one in (B, C, D):
        plain.add(one)
    assert plain.take(3) == [B, C, D]
    ring = WeightedRing(plain)
    assert ring.plain is plain
    ring.add(A, 2)
    assert ring.plain is None
    assert [one for one in ring.take(5) if one != A] == [B, C, D]
    ring.remove(A)
    assert ring.plain is plain
    assert len(ring) == 3
    assert ring.size[0] <= ring.size[1]


def test_one_ring_as_before_while_nobody_weighs_more(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("weighted")

    rotation = Rotation()
    rotation.add(A, 1, "eu")
    rotation.add(B)
    with monkeypatch.context() as patch:
        patch.setattr(WeightedRing, "take", refuse)
        assert rotation.next([1, 1, 1]) == [A, B, A]
        rotation.add(C, 2)
        with pytest.raises(AssertionError):
            rotation.next([1])
        rotation.change(C, 1, "")
        rotation.next([1])


@pytest.mark.parametrize("seed", range(40))
def test_a_rotation_is_exact_over_the_next_round_after_any_change(seed):
    rng, rotation = Random(seed), Rotation()
    weights, suspects = {}, set()
    pool = [at(1, "10.0.0.1", port) for port in range(10)]
    for _ in range(200):
        one = rng.choice(pool)
        match rng.choice(("in or out", "suspect", "trust", "change", "look")):
            case "in or out" if one in weights:
                rotation.remove(one)
                del weights[one]
                suspects.discard(one)
            case "in or out":
                weights[one] = rng.choice((1, 1, 2, 5, 16))
                rotation.add(one, weights[one])
            case "suspect" if one in weights:
                rotation.suspect(one)
                suspects.add(one)
            case "trust" if one in weights:
                rotation.trust(one)
                suspects.discard(one)
            case "change" if one in weights:
                weights[one] = rng.choice((1, 1, 2, 5, 16))
                rotation.change(one, weights[one], "")
            case "look" if weights:
                rotation.next([1] * rng.randrange(1, 2 * AHEAD))
        assert rotation.is_suspect(one) == (one in suspects)
        turning = {one: weights[one] for one in weights if one not in suspects} or weights
        assert Counter(rotation.next([1] * sum(turning.values()))) == Counter(turning)
