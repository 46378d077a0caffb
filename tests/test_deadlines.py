"""Deadlines: exact, in order, and cheap to put off."""

from random import Random

import pytest

from prr.core.deadlines import FEW, SLOT, Deadlines
from tests.samples import sample


class Plain:
    """The same, by looking at all of them."""

    def __init__(self):
        self.due = {}

    def first(self):
        return min(self.due.values(), default=None)

    def pop_all_due(self, now, most):
        popped = sorted((when, key) for key, when in self.due.items() if when <= now)[:most]
        for _, key in popped:
            del self.due[key]
        return popped


def moment(rng, now):
    """Rather soon, or late, or together with others, or over already."""
    ahead = rng.choice((0.0, SLOT, 15.0, rng.uniform(0, 2 * SLOT), rng.uniform(0, 60), -1.0))
    return now + ahead


@pytest.mark.parametrize("many", [FEW // 2, 5 * FEW])
@pytest.mark.parametrize("seed", sample(5, range(40)))
def test_deadlines_are_exact_whatever_happens_to_them(seed, many):
    rng, deadlines, plain, now = Random(seed), Deadlines(), Plain(), 100.0
    for _ in range(400):
        now += rng.choice((0.0, 0.01, SLOT, rng.uniform(0, 5)))
        keys = [rng.randrange(many) for _ in range(rng.randrange(many // 4))]
        when = moment(rng, now)
        match rng.randrange(6):
            case 0:
                deadlines.set(1, when)
                plain.due[1] = when
            case 1 | 2:
                deadlines.set_all(keys, when)
                plain.due |= dict.fromkeys(keys, when)
            case 3:
                deadlines.cancel_all(keys)
                for key in keys:
                    plain.due.pop(key, None)
            case 4:
                most = rng.randrange(1, 9)
                due = plain.due.copy()
                popped = deadlines.pop_all_due(now, most)
                whens = [due[key] for key in popped]
                assert whens == [when for when, _ in plain.pop_all_due(now, most)]
                plain.due = {key: when for key, when in due.items() if key not in popped}
            case 5:
                said, first = deadlines.first(), plain.first()
                if many <= FEW or first is None:
                    assert said == first
                else:
                    assert said <= first
                if first is not None and first <= now:
                    assert deadlines.first(now) == first
        assert len(deadlines) == len(plain.due)
        entries, limit = deadlines.size
        assert len(deadlines) <= entries <= limit


def test_those_that_are_due_together_come_in_the_order_in_which_they_were_set():
    deadlines = Deadlines()
    keys = Random(1).sample(range(100), 100)
    for key in keys[:50]:
        deadlines.set(key, 7.0)
    deadlines.set_all(keys[50:], 7.0)
    assert deadlines.pop_all_due(7.0, 1000) == keys


class Counted(int):
    """A key that counts how often it is looked up."""

    looks = 0

    def __hash__(self):
        Counted.looks += 1
        return int.__hash__(self)


def test_of_a_herd_that_puts_its_deadlines_off_none_is_looked_at_before_its_time():
    deadlines, keys, at_first = Deadlines(), [*map(Counted, range(8000))], 0
    for round_ in range(5):
        for at in range(0, len(keys), 50):
            now = 5.0 * round_ + at / len(keys)
            deadlines.set_all(keys[at : at + 50], now + 15.0)
            Counted.looks = 0
            assert deadlines.first() <= now + 15.0
            at_first += Counted.looks
            assert deadlines.pop_all_due(now, 1) == []
    assert at_first < len(keys)  # of five times as many that were put off
