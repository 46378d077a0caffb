"""What every store promises (see `prr.shell.storage.store`), asked of each of them alike."""

import shutil
from itertools import count, pairwise

import pytest

from prr.core.directory.directory import Directory
from prr.core.effects import Persist, Update
from prr.core.metrics import Metric
from prr.shell.storage.sqlite_store import SQLiteStore
from prr.shell.storage.store import NoStore
from prr.wire.version import Version, decode_version
from tests.cores import at
from tests.turns import go_on, until

ONE, TWO, THREE = (at(2, "10.0.0.1", number) for number in (1, 2, 3))


class Kept:
    """One process after another with the same store. Each ends by a crash, unless it is closed:
    the next one begins with what the disk has at that moment."""

    def __init__(self, open_):
        self._open = open_
        self._identities = count(1000)
        self.learned = {}
        self.start()

    def start(self):
        self.store = self._open(next(self._identities))
        self.learned = {}
        self.store.load(Directory(), self.learn)

    def learn(self, present, gone):
        for entries, is_present in ((present, True), (gone, False)):
            for instance, version, _, _ in entries:
                assert instance not in self.learned
                self.learned[instance] = Update(decode_version(version), is_present)

    def persist(self, counter, **updates):
        names = {"one": ONE, "two": TWO, "three": THREE}
        self.store.persist(Persist({names[key]: word for key, word in updates.items()}, counter))

    def confirm(self, *instances):
        """Wait until these are confirmed."""
        confirmed = []
        for instance in instances:
            self.store.confirm(instance, lambda instance=instance: confirmed.append(instance))
        until(lambda: len(confirmed) >= len(instances))

    def kept(self, expected):
        """What the next process must learn."""
        return expected if self.store.keeps else {}


def opens_nothing(tmp_path, monkeypatch):
    yield NoStore


def opens_sqlite(tmp_path, monkeypatch):
    """A crash leaves a copy of the directory, taken while it is open."""
    monkeypatch.setattr("prr.shell.storage.state_directory.place_of", lambda _: b"anywhere")
    opened = []

    def open_(identity):
        path = tmp_path / str(len(opened))
        if opened:
            shutil.copytree(tmp_path / str(len(opened) - 1), path)
        opened.append(SQLiteStore(path, identity))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture(params=[opens_nothing, opens_sqlite], ids=["none", "sqlite"])
def kept(request, tmp_path, monkeypatch):
    opening = request.param(tmp_path, monkeypatch)
    yield Kept(next(opening))
    next(opening, None)


def there(counter):
    return Update(Version(counter, 77, 5), True)


def gone(counter):
    return Update(Version(counter, 77, 5), False)


def test_a_new_one_has_nothing_to_tell_and_the_identity_that_it_is_given(kept):
    assert kept.learned == {}
    assert kept.store.identity == 1000


def test_what_was_confirmed_is_learned_by_the_next_process(kept):
    kept.persist(50, one=there(7), two=gone(8))
    kept.confirm(ONE, TWO)
    kept.start()
    assert kept.learned == kept.kept({ONE: there(7), TWO: gone(8)})
    assert kept.store.identity == (1000 if kept.store.keeps else 1001)


def test_the_last_update_about_an_instance_wins_and_what_is_forgotten_is_gone(kept):
    kept.persist(50, one=there(7), two=there(8), three=there(9))
    kept.confirm(ONE)
    kept.persist(51, one=gone(10), two=None)
    kept.persist(52, three=there(11))
    kept.confirm(ONE, TWO, THREE)
    kept.start()
    assert kept.learned == kept.kept({ONE: gone(10), THREE: there(11)})


def test_nothing_is_learned_that_was_not_persisted_and_nothing_older_than_what_was_confirmed(kept):
    kept.persist(50, one=there(7))
    kept.confirm(ONE)
    kept.persist(51, one=gone(9), two=there(8))
    kept.start()  # before anybody waited for these
    assert kept.learned.keys() <= {ONE, TWO}
    assert kept.learned.get(ONE) in ([there(7), gone(9)] if kept.store.keeps else [None])
    assert kept.learned.get(TWO, there(8)) == there(8)


def test_an_instance_of_which_nothing_is_pending_is_confirmed_from_within_the_call(kept):
    confirmed = []
    kept.store.confirm(ONE, lambda: confirmed.append(1))
    kept.persist(50, two=there(7))
    kept.store.confirm(ONE, lambda: confirmed.append(2))
    assert confirmed == [1, 2]


def test_of_two_that_wait_for_one_instance_the_later_one_is_told(kept):
    told = []
    kept.persist(50, one=there(7))
    kept.store.confirm(ONE, lambda: told.append(1))
    kept.store.confirm(ONE, lambda: told.append(2))
    until(lambda: 2 in told)
    go_on(0.01)
    assert told == ([2] if kept.store.keeps else [1, 2])  # one that keeps nothing never waits


def test_the_counter_of_the_next_process_is_beyond_all_that_was_used(kept):
    counters = []
    for _ in range(3):
        counters.append((kept.store.identity, kept.store.counter))
        kept.persist(kept.store.counter + 5, one=there(kept.store.counter + 5))
        kept.confirm(ONE)
        kept.start()
    assert len(set(counters)) == len(counters)
    if kept.store.keeps:
        assert all(after > before + 5 for (_, before), (_, after) in pairwise(counters))


def test_what_is_persisted_while_it_loads_is_kept(kept):
    kept.persist(50, one=there(7))
    kept.confirm(ONE)
    kept.start()
    learn = kept.learn

    def learn_and_change(present, gone_):
        learn(present, gone_)
        kept.persist(51, one=gone(9))

    kept.learn = learn_and_change
    kept.start()
    kept.confirm(ONE)
    kept.learn = learn
    kept.start()
    assert kept.learned == kept.kept({ONE: gone(9)})


def test_status_says_whether_all_is_kept_and_well(kept):
    kept.persist(50, one=there(7))
    kept.confirm(ONE)
    well = {"unsaved": 0, "failing": None, "damaged": None}
    assert kept.store.status() == (well if kept.store.keeps else None)
    assert not set(kept.store.counts) - {Metric.COMMITS}


def test_a_store_that_confirms_before_it_has_kept_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(SQLiteStore, "confirm", lambda self, instance, act: act())
    for open_ in opens_sqlite(tmp_path, monkeypatch):
        kept = Kept(open_)
        with pytest.raises(AssertionError):
            test_what_was_confirmed_is_learned_by_the_next_process(kept)
