"""The table against plain dicts: contents, digests, pages, and removals that are bounded."""

from functools import partial, reduce
from random import Random

import pytest

from prr.config import Limits
from prr.core.directory import table, walking
from prr.core.directory.digests import differing
from prr.core.directory.table import Table
from prr.core.directory.walking import START
from prr.core.effects import Update
from prr.wire.instance import address_of
from prr.wire.trailer import DIGEST_BYTES, GROUPS
from prr.wire.version import Version, encode_owner, encode_version
from tests.cores import at, rising

pytestmark = pytest.mark.elsewhere

POOL = [at(number % 2, "10.0.0.1", number) for number in range(12)]


@pytest.fixture
def small_tables(monkeypatch):
    """Few buckets, so that instances share them."""
    put_into_buckets(monkeypatch, lambda one: one[5] % 3 * GROUPS + one[5] % 2)


def put_into_buckets(monkeypatch, bucket_of):
    """Have instances lie in the buckets that this says."""
    for module in (table, walking):
        monkeypatch.setattr(module, "bucket_of", bucket_of)
    monkeypatch.setattr(table, "buckets_of", lambda ones: [*map(bucket_of, ones)])


def fill(real, present, removed=()):
    """Put rows in."""
    for one, version in present:
        real.put(one, version)
    for one, version in removed:
        real.remove(one, version, 0.0)
    return real


def walk(table, owners, rng):
    """Everything at these homes, in steps of any size."""
    found, place = [], START
    while place is not None:
        size, looks = rng.randint(1, 5), rng.choice((1, 10, 10_000))
        some, place = table.owned_by(set(map(encode_owner, owners)), place, size, looks)
        assert len(some) <= size
        found += some
    return found


def whole(real):
    """All that a table holds, by its pages group by group."""
    everything = 2**GROUPS - 1
    rows = []
    for group in range(GROUPS):
        page, cursor = real.page(group, everything, b"", 10_000)
        assert cursor is None
        rows += page
    return rows


def xor(digests):
    """The XOR of some digests."""
    parts = [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
    number = reduce(int.__xor__, (int.from_bytes(part, "little") for part in parts), 0)
    return number.to_bytes(DIGEST_BYTES, "little")


@pytest.mark.parametrize("seed", range(50))
def test_digests_are_equal_exactly_when_contents_are_whatever_happened_in_between(seed):
    rng, versions = Random(seed), rising()
    real, model, gone = Table(Limits()), {}, {}
    for _ in range(200):
        one, version = rng.choice(POOL), next(versions)
        if rng.random() < 0.6:
            real.put(one, version)
            model[one] = version
            gone.pop(one, None)
        else:
            real.remove(one, version, 0.0)
            model.pop(one, None)
            gone[one] = version
    rows = list(model.items())
    rng.shuffle(rows)
    again = fill(Table(Limits()), rows)
    assert again.digest() == real.digest()
    assert [again.digests(group) for group in (None, *range(GROUPS))] == [
        real.digests(group) for group in (None, *range(GROUPS))
    ]
    assert xor(real.digests(None)) == real.digest()
    for group in range(GROUPS):
        own = real.digests(None)[group * DIGEST_BYTES : (group + 1) * DIGEST_BYTES]
        assert xor(real.digests(group)) == own
    there = [(one, Update(version, True)) for one, version in model.items()]
    removals = [(one, Update(version, False)) for one, version in gone.items()]
    assert sorted(whole(real)) == sorted([*there, *removals])
    assert sorted(real.holdings.owners()) == sorted({version.owner for version in model.values()})
    for owners in ({0}, {1, 2}, set(), {9}):
        owned_by = {one for one, version in model.items() if version.owner in owners}
        assert sorted(walk(real, owners, rng)) == sorted(owned_by)
    one = rng.choice(POOL)
    assert set(real.at_address(one)) == {
        other for other in model if address_of(other) == address_of(one)
    }
    if rows:
        one, version = rows[0]
        again.put(one, version._replace(start=version.start + 1))
        assert again.digest() != real.digest()
        assert bin(differing(again.digests(None), real.digests(None))).count("1") == 1


def test_an_empty_table_has_the_digest_of_nothing_and_is_empty_again_when_all_have_gone():
    real = Table(Limits())
    assert real.digest() == bytes(DIGEST_BYTES)
    fill(real, [(one, Version(1, 1, 1)) for one in POOL], [(one, Version(2, 1, 1)) for one in POOL])
    assert (real.digest(), len(real), real.holdings.owners()) == (bytes(DIGEST_BYTES), 0, [])
    assert real.digests(None) == bytes(GROUPS * DIGEST_BYTES)


def test_differing_names_each_row_that_differs_and_no_other():
    rows = bytes(GROUPS * DIGEST_BYTES)
    assert differing(rows, rows) == 0
    for bit in range(GROUPS):
        other = bytearray(rows)
        other[bit * DIGEST_BYTES + bit % DIGEST_BYTES] = 1
        assert differing(rows, bytes(other)) == 1 << bit


def follow(ask):
    """What all the pages hold, each asked for with the cursor of the one before."""
    rows, cursor = [], b""
    while cursor is not None:
        page, cursor = ask(cursor)
        rows += page
    return rows


@pytest.mark.parametrize("size", [1, 2, 3, 46])
def test_the_pages_of_a_group_show_what_lies_in_the_buckets_asked_for(size, small_tables):
    there = [(one, Version(number, 1, 0)) for number, one in enumerate(POOL)]
    gone = [(at(2, "10.0.0.1", number), Version(9, 9, 9)) for number in range(12)]
    real = fill(Table(Limits()), there, gone)
    every = whole(real)
    assert len(every) == len({row[0] for row in every}) == 24
    for group in (0, 1, 2, 63):
        for buckets in (0, 1, 2, 3, 2**64 - 1):
            rows = follow(partial(real.page, group, buckets, size=size))
            assert rows == [
                row
                for row in every
                if table.bucket_of(row[0]) // GROUPS == group
                and buckets >> table.bucket_of(row[0]) % GROUPS & 1
            ]


@pytest.mark.parametrize("seed", range(100))
def test_the_pages_show_all_that_stays_once_whatever_else_comes_and_goes(seed, small_tables):
    rng, versions = Random(seed), rising()
    real = fill(Table(Limits()), [(one, next(versions)) for one in rng.sample(POOL, seed % 12 + 1)])
    stayed = {one for one in POOL if one in real}
    size = rng.randrange(1, 5)
    seen, cursor = [], b""
    while cursor is not None:
        page, cursor = real.instances(cursor, size)
        assert len(page) <= size
        assert all(one in real for one in page)
        seen += page
        for one in rng.sample(POOL, rng.randrange(5)):
            stayed.discard(one)
            if one in real:
                real.remove(one, next(versions), 0.0)
            else:
                real.put(one, next(versions))
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


def test_a_page_that_ends_with_the_table_is_the_last():
    real = fill(Table(Limits()), [(one, Version(1, 1, 1)) for one in POOL])
    assert real.instances(b"", len(POOL))[1] is None
    page, cursor = real.instances(b"", len(POOL) - 1)
    assert cursor == page[-1]
    assert [*page, *real.instances(cursor, 100)[0]] == real.instances(b"", 100)[0]
    assert Table(Limits()).instances(b"", 100) == ([], None)
    assert Table(Limits()).instances(POOL[0], 100) == ([], None)  # a cursor nobody ever gave out


def test_removals_are_bounded_in_number_the_oldest_forgotten_first():
    real = Table(Limits(removals=5))
    for number, one in enumerate(POOL):
        real.remove(one, Version(number, 1, 0), 0.0)
        held = [other for other in POOL if real.removal(other)]
        assert held == POOL[max(0, number - 4) : number + 1]
    for number in range(100):  # of one instance, again and again
        real.remove(POOL[0], Version(100 + number, 1, 0), 0.0)
        assert real.sizes()["removals"][0] <= 5
    assert real.removal(POOL[0]) == Version(199, 1, 0)


def test_removals_are_forgotten_when_they_are_old_and_a_newer_one_is_not():
    real = Table(Limits(removal_age=10.0))
    real.remove(POOL[0], Version(1, 1, 0), 0.0)
    real.remove(POOL[0], Version(2, 1, 0), 9.0)
    real.remove(POOL[1], Version(1, 1, 0), 10.5)  # the first one goes, which is not the latest
    assert real.removal(POOL[0]) == Version(2, 1, 0)
    real.remove(POOL[2], Version(1, 1, 0), 19.5)
    assert (real.removal(POOL[0]), real.removal(POOL[1])) == (None, Version(1, 1, 0))


def test_a_page_of_a_small_table_looks_into_no_empty_bucket():
    real = fill(Table(Limits()), [(one, Version(1, 1, 1)) for one in POOL])
    rows = []

    class Seen(dict):
        """A bucket that tells when its rows are read."""

        def items(self):
            rows.append(len(self))
            return super().items()

    real._present = [Seen(bucket) for bucket in real._present]
    real.instances(b"", 100)
    assert sum(rows) == len(POOL)
    assert 0 not in rows


def test_what_comes_back_is_no_removal_any_more():
    real = Table(Limits())
    real.remove(POOL[0], Version(1, 1, 0), 0.0)
    real.put(POOL[0], Version(2, 1, 0))
    assert (real.removal(POOL[0]), real.version(POOL[0])) == (None, Version(2, 1, 0))
    real.remove(POOL[0], Version(3, 1, 0), 0.0)
    assert (real.removal(POOL[0]), real.version(POOL[0])) == (Version(3, 1, 0), None)


def test_changes_are_told_in_the_order_in_which_they_happened():
    """That of a set's iteration differs from one process to the next."""
    one, order = Table(Limits()), [at(1, "10.0.0.1", number) for number in range(40)]
    one.note_changes()
    for instance, version in zip(order, rising(), strict=False):
        one.put(instance, version)
    assert list(one.take_changes()) == order


@pytest.mark.parametrize("seed", range(20))
def test_a_run_is_put_in_as_one_by_one(seed):
    """New ones, those that are held, and those whose removal is remembered."""
    rng = Random(seed)
    at_once, one_by_one = Table(Limits(removals=4)), Table(Limits(removals=4))
    known = [at(type_, "10.0.0.1", 4000 + n) for n in range(8) for type_ in (1, 2)]
    for number in range(20):
        run = rng.sample(known, 5)
        said = [rng.choice((b"", b"x")) for _ in run]
        version = Version(number + 1, rng.randrange(3), number)
        for real in (at_once, one_by_one):
            real.note_changes()
            for one in run[:2]:
                real.remove(one, version, float(number))
        absent = [one for one in run if one not in at_once]
        assert at_once.put_all(run, [encode_version(version) + what for what in said]) == absent
        for one, what in zip(run, said, strict=True):
            one_by_one.put(one, version, what)
        assert dict(at_once.updates()) == dict(one_by_one.updates())
        assert at_once.digest() == one_by_one.digest()
        assert at_once.take_changes() == one_by_one.take_changes()
        assert at_once.sizes() == one_by_one.sizes()
        assert all(map(at_once.holdings.of_host, run)) and at_once.holdings.owners()
