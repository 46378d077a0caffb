"""Who else is at an address, against a plain set; and at a price that no size changes."""

from itertools import product
from random import Random

import pytest

from prr.config import Limits
from prr.core.directory import table
from prr.core.directory.address_index import AddressIndex, alone_in
from prr.core.directory.table import Table
from prr.wire.instance import Instance, address_of
from prr.wire.version import Version, encode_version
from tests.cores import at
from tests.test_table import put_into_buckets

pytestmark = pytest.mark.elsewhere

ALIKE = [Instance(bytes(bits)) for bits in product((0, 1), repeat=7)]
"""They lie across each other's borders, wherever two of them stand side by side."""


@pytest.mark.parametrize("seed", range(20))
def test_neighbours_do_what_a_set_does_however_alike_they_are(seed):
    rng, model = Random(seed), set()
    real = AddressIndex(2)
    for _ in range(300):
        one = rng.choice(ALIKE)
        change = real.remove if one in model else real.add
        change(one, one[3])
        model ^= {one}
        other = rng.choice(ALIKE)
        found = real.at_address(other, other[3])
        assert sorted(found) == sorted(
            held for held in model if address_of(held) == address_of(other)
        )


@pytest.mark.parametrize("seed", range(20))
def test_how_many_are_alone_is_seen_for_a_run_as_one_by_one(seed):
    rng, real = Random(seed), AddressIndex(2)
    for one in rng.sample(ALIKE, 6):
        real.add(one, one[3])
    for _ in range(50):
        run, count = rng.sample(ALIKE, rng.randrange(1, 4)), 0
        while count < len(run) and not real.at_address(run[count], run[count][3]):
            if address_of(run[count]) in map(address_of, run[:count]):
                break
            count += 1
        assert alone_in(real, run, [one[3] for one in run]) == count


class Counted(dict):
    """A bucket that counts the rows which are looked at."""

    seen = 0

    def __iter__(self):
        for row in super().__iter__():
            Counted.seen += 1
            yield row

    def keys(self):
        return iter(self)

    def items(self):
        return ((row, self[row]) for row in self)

    def __contains__(self, row):
        Counted.seen += 1
        return super().__contains__(row)


def test_a_full_bucket_costs_no_more_than_an_empty_one(monkeypatch):
    put_into_buckets(monkeypatch, lambda _one: 0)
    real = Table(Limits())
    real._present[0] = Counted()
    for number in range(1000):
        real.put(at(number % 256, "10.0.0.1", number), Version(1, 1, 1))
    same = [at(type_, "10.0.0.2", 1) for type_ in (1, 2, 200)]
    for one in same:
        real.put(one, Version(1, 1, 1))
    Counted.seen = 0
    assert sorted(real.at_address(same[0])) == same
    real.put(at(9, "10.0.0.2", 1), Version(1, 1, 1))
    real.remove(at(9, "10.0.0.2", 1), Version(2, 1, 1), 0.0)
    assert Counted.seen <= 2 * len(same)
    assert sorted(real.at_address(same[1])) == same


def test_what_was_filled_in_is_found_at_its_address_too():
    one, other = at(1, "10.0.0.1", 1), at(2, "10.0.0.1", 1)
    real = Table(Limits())
    real.fill_in([(one, encode_version(Version(1, 1, 1)), 0, table.bucket_of(one))])
    assert real.at_address(other) == [one]
    real.remove(one, Version(2, 1, 1), 0.0)
    assert real.at_address(other) == []
