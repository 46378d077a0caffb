"""What a binder writes to a store that others share, tried with a small one of them."""

from random import Random

import pytest

from prr.core.commits.commits import (
    BATCH_MAX,
    DIRTY_MAX,
    LOOKED_AT,
    STEP_IN,
    STEP_IN_SPREAD,
    UNDER_WAY_MAX,
    Commits,
)
from prr.core.commits.layout import instance_in, key_of, update_in, value_of
from prr.core.commits.stored import Stored, Write, prevails, word_of
from prr.core.directory.digests import entry_of
from prr.core.directory.directory import Directory
from prr.core.effects import Update
from prr.wire.instance import make_instance
from prr.wire.version import Version, encode_version
from tests.cores import at
from tests.samples import sample

pytestmark = pytest.mark.elsewhere

OWN, OTHER = 7, 8
ONE, TWO = at(2, "10.0.0.1", 1), at(2, "10.0.0.1", 2)
LATER = STEP_IN + STEP_IN_SPREAD


def up(counter, owner=OWN, start=5, particulars=b""):
    return Update(Version(counter, owner, start), True, particulars)


def gone(counter, owner=OWN, start=5):
    return Update(Version(counter, owner, start), False)


class Shared:
    """A store: what it holds, at which revision."""

    def __init__(self):
        self.revision = 1
        self.rows = {}

    def at(self, instance):
        return self.rows.get(instance, Stored(self.revision, is_there=False))

    def carry_out(self, writes):
        """Whether all of the writes were done, or none of them."""
        if any(self.at(one.instance).cas_revision != one.revision for one in writes):
            return False
        self.revision += 1
        for write in writes:
            was = self.rows.get(write.instance)
            # Whatever happens, no update is replaced by an older one.
            assert was is None or was.update is None or prevails(write.update, word_of(was.update))
            self.rows[write.instance] = Stored(self.revision, write.update)
        return True


class Binder:
    """One binder's directory and commits: of two updates it takes the one that prevails."""

    def __init__(self, shared, identity=OWN):
        self.shared = shared
        self.identity = identity
        self.directory = Directory()
        self.directory.note_changes()
        self.commits = Commits(identity, self.directory, 10_000)

    def say(self, instance, update, now=0.0):
        version = update.version
        if update.is_present:
            self.directory.add(instance, version, particulars=update.particulars)
        else:
            self.directory.remove(instance, version, now)
        self.commits.changed(self.directory.take_changes(), now)

    def hear(self, updates, now=0.0):
        for instance, update in updates:
            held = self.directory.update(instance)
            if held is None or prevails(update, word_of(held)):
                self.say(instance, update, now)

    def write(self, now=0.0, is_lost=False):
        """Carry out one batch; the writes. `is_lost`: nobody knows what became of it."""
        writes = self.commits.batch(now)
        if not writes:
            return writes
        is_done = self.shared.carry_out(writes)
        if is_lost:
            self.commits.failed(writes)
        elif is_done:
            self.commits.written(writes, self.shared.revision)
        else:
            found = {one.instance: self.shared.at(one.instance) for one in writes}
            self.hear(self.commits.refused(writes, found, now), now)
        return writes

    def read(self, now=0.0, is_another=False):
        """Read all that is there."""
        self.commits.reading(is_another)
        self.hear(self.commits.seen(dict(self.shared.rows), now), now)
        self.commits.has_read()

    def settle(self, now):
        self.read(now)
        while self.commits.has_more or self.commits.uncommitted:
            self.write(now := now + 1.0)


def test_what_is_decided_here_is_written_and_then_committed():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    assert not binder.commits.is_committed(ONE)
    assert binder.write() == [Write(ONE, 0, up(10))]
    assert binder.commits.is_committed(ONE)
    assert binder.commits.uncommitted == 0
    binder.say(ONE, gone(11))
    assert not binder.commits.is_committed(ONE)
    assert binder.write() == [Write(ONE, 2, gone(11))]
    assert binder.write() == []


def test_what_is_gone_is_not_written_where_nothing_is():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    binder.say(ONE, gone(11))
    assert binder.commits.is_committed(ONE)
    assert binder.write() == []


def test_nothing_counts_as_committed_while_it_is_under_way_or_when_its_end_is_unknown():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    writes = binder.commits.batch(0.0)
    assert not binder.commits.is_committed(ONE)
    assert binder.shared.carry_out(writes)  # and the answer is lost
    binder.commits.failed(writes)
    assert not binder.commits.is_committed(ONE)
    assert binder.write() == [Write(ONE, 0, up(10))]  # which finds out
    assert binder.write() == []
    assert binder.commits.is_committed(ONE)
    assert binder.shared.rows == {ONE: Stored(2, up(10))}


def test_an_older_update_is_not_written_over_a_newer_one():
    shared = Shared()
    first, second = Binder(shared, OWN), Binder(shared, OTHER)
    first.say(ONE, up(10, OWN))
    second.say(ONE, up(20, OTHER))
    second.write()
    first.write()
    assert shared.rows[ONE].update == up(20, OTHER)
    assert first.directory.version(ONE) == up(20, OTHER).version
    assert first.write() == []
    assert first.commits.is_committed(ONE)


def test_a_newer_update_is_written_over_one_that_it_did_not_know():
    shared = Shared()
    first, second = Binder(shared, OWN), Binder(shared, OTHER)
    first.say(ONE, up(30, OWN))
    second.say(ONE, up(20, OTHER))
    second.write()
    assert first.write()[0].revision == 0
    assert first.write() == [Write(ONE, 2, up(30, OWN))]


def test_one_that_meets_another_update_holds_up_no_other():
    shared = Shared()
    first, second = Binder(shared, OWN), Binder(shared, OTHER)
    second.say(ONE, up(5, OTHER))
    second.write()
    for instance in (ONE, TWO):
        first.say(instance, up(10))
    assert [one.instance for one in first.write()] == [ONE, TWO]
    assert [[one.instance for one in first.write()] for _ in range(2)] in (
        [[ONE], [TWO]],
        [[TWO], [ONE]],
    )
    assert {one.update for one in shared.rows.values()} == {up(10)}


def test_what_others_have_decided_is_left_to_them_for_a_moment():
    binder = Binder(Shared())
    binder.say(ONE, up(10, OTHER), 100.0)
    assert binder.write(100.0) == []
    due = binder.commits.deadline()
    assert 100.0 + STEP_IN <= due <= 100.0 + LATER
    assert binder.write(due) == [Write(ONE, 0, up(10, OTHER))]
    assert binder.commits.deadline() is None


def test_what_was_seen_to_be_there_is_not_written_again():
    binder = Binder(Shared())
    binder.say(ONE, up(10, OTHER), 100.0)
    assert binder.commits.seen({ONE: Stored(9, up(10, OTHER))}, 100.1) == []
    assert binder.commits.is_committed(ONE)
    assert binder.write(100.0 + LATER) == []


def test_a_disputed_removal_is_not_overwritten_before_it_is_settled():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    binder.write()
    binder.directory.dispute(ONE, gone(20, OTHER).version)
    binder.commits.seen({ONE: Stored(9, gone(20, OTHER))}, 0.0)
    assert binder.write() == []
    binder.say(ONE, up(21))
    assert binder.write() == [Write(ONE, 9, up(21))]


def test_a_key_that_somebody_deletes_is_put_there_again():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    binder.write()
    binder.commits.seen({ONE: Stored(9, is_there=False)}, 0.0)
    assert not binder.commits.is_committed(ONE)
    assert binder.write() == [Write(ONE, 0, up(10))]


def test_what_cannot_be_read_is_replaced_by_what_is_held():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    binder.write()
    assert binder.commits.seen({ONE: Stored(9)}, 0.0) == []
    assert binder.write() == [Write(ONE, 9, up(10))]


def test_a_late_event_changes_nothing():
    binder = Binder(Shared())
    binder.commits.seen({ONE: Stored(9, up(10))}, 0.0)
    assert binder.commits.seen({ONE: Stored(8, up(9))}, 0.0) == []
    assert binder.commits.seen({ONE: Stored(8, is_there=False)}, 0.0) == []
    binder.say(ONE, up(10))
    assert binder.commits.is_committed(ONE)


def test_nothing_is_written_while_all_is_read_and_then_whatever_is_lacking():
    binder = Binder(Shared())
    binder.commits.reading(is_another=False)
    for instance in (ONE, TWO):
        binder.say(instance, up(10))
    assert binder.write() == []
    assert binder.commits.deadline() is None
    binder.commits.seen({ONE: Stored(3, up(10))}, 0.0)
    binder.commits.has_read()
    while binder.commits.has_more:
        binder.write()
    assert set(binder.shared.rows) == {TWO}


def test_nothing_is_compared_while_all_is_read():
    """It could not go on, and would seem to take as long as etcd is away."""
    binder = Binder(Shared())
    binder.commits.compare()
    binder.commits.reading(is_another=False)
    assert not binder.commits.is_comparing
    binder.commits.compare()
    assert not binder.commits.is_comparing
    binder.commits.has_read()
    assert binder.commits.is_comparing


def test_what_is_gone_is_not_committed_before_it_was_read_what_is_there():
    binder = Binder(Shared())
    binder.commits.reading(is_another=False)
    binder.say(ONE, up(10))
    binder.say(ONE, gone(11))
    assert not binder.commits.is_committed(ONE)
    binder.commits.seen({ONE: Stored(3, up(9))}, 0.0)
    assert not binder.commits.is_committed(ONE)
    binder.commits.seen({TWO: Stored(3, up(9))}, 0.0)
    binder.commits.has_read()
    assert binder.commits.is_committed(TWO)


def test_what_was_known_of_a_later_state_is_forgotten_once_all_is_read():
    """It may not show that it is an older one: then its revisions are those of other updates."""
    shared = Shared()
    binder = Binder(shared)
    binder.say(ONE, up(10))
    binder.write()
    binder.say(TWO, up(10))
    binder.write()
    shared.rows, shared.revision = {}, 1
    binder.read()
    assert not binder.commits.is_committed(ONE)
    binder.settle(0.0)
    assert {one: stored.update for one, stored in shared.rows.items()} == {
        ONE: up(10),
        TWO: up(10),
    }


def test_what_is_written_while_all_is_read_stays_known():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    writes = binder.commits.batch(0.0)
    binder.commits.reading(is_another=False)
    binder.commits.written(writes, 2)
    binder.commits.has_read()
    assert binder.commits.is_committed(ONE)


def test_an_older_state_of_the_store_is_seen_when_it_refuses_a_write():
    """Else the same write would be refused without end."""
    shared = Shared()
    binder = Binder(shared)
    for counter in (10, 11, 12):
        binder.say(ONE, up(counter))
        binder.write()
    shared.rows, shared.revision = {ONE: Stored(2, up(10))}, 2
    binder.say(ONE, up(13))
    binder.write()
    binder.write()
    assert shared.rows[ONE].update == up(13)


def test_an_older_store_is_believed_about_what_it_has_and_gets_the_rest():
    shared = Shared()
    binder = Binder(shared)
    for instance in (ONE, TWO):
        binder.say(instance, up(10))
    binder.write()
    old = dict(shared.rows)
    binder.say(ONE, up(20))
    binder.write()
    shared.rows, shared.revision = {ONE: old[ONE]}, 2
    binder.read(is_another=True)
    while binder.commits.has_more or binder.commits.uncommitted:
        binder.write()
    assert {one: row.update for one, row in shared.rows.items()} == {ONE: up(20), TWO: up(10)}


def test_what_came_from_a_disk_is_put_there_only_when_it_has_answered():
    binder = Binder(Shared())
    binder.directory.restore([entry_of(ONE, encode_version(up(10).version))])
    binder.commits.compare()
    assert binder.write() == []
    while binder.commits.has_more:
        binder.write()
    assert binder.commits.has_unheard
    binder.directory.trust(ONE)
    binder.commits.compare()
    while binder.commits.has_more:
        binder.write()
    assert set(binder.shared.rows) == {ONE} and not binder.commits.has_unheard


def test_a_batch_is_bounded_and_a_second_one_goes_only_if_it_is_full():
    binder = Binder(Shared())
    for port in range(1, 2 * BATCH_MAX):
        binder.say(at(2, "10.0.0.2", port), up(10))
    first = binder.commits.batch(0.0)
    assert len(first) == BATCH_MAX
    assert binder.commits.batch(0.0) == []
    binder.say(at(2, "10.0.0.2", 2 * BATCH_MAX), up(10))
    second = binder.commits.batch(0.0)
    assert len(second) == BATCH_MAX
    assert not {one.instance for one in first} & {one.instance for one in second}
    for port in range(1, 2 * BATCH_MAX):
        binder.say(at(2, "10.0.0.3", port), up(10))
    assert binder.commits.batch(0.0) == []
    binder.commits.failed(first)
    assert len(binder.commits.batch(0.0)) == BATCH_MAX


def test_one_that_changes_while_it_is_under_way_waits_for_that():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    writes = binder.commits.batch(0.0)
    binder.say(ONE, up(11))
    for port in range(1, 2 * BATCH_MAX):
        binder.say(at(2, "10.0.0.2", port), up(10))
    assert ONE not in {one.instance for one in binder.commits.batch(0.0)}
    binder.shared.carry_out(writes)
    binder.commits.written(writes, binder.shared.revision)
    assert not binder.commits.is_committed(ONE)
    assert Write(ONE, 2, up(11)) in binder.commits.batch(0.0)


def test_one_that_is_gone_while_it_is_written_is_gone_from_the_store_too():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    writes = binder.commits.batch(0.0)
    binder.say(ONE, gone(11))
    assert not binder.commits.is_committed(ONE)
    binder.shared.carry_out(writes)
    binder.commits.written(writes, binder.shared.revision)
    assert not binder.commits.is_committed(ONE)
    assert binder.commits.batch(0.0) == [Write(ONE, 2, gone(11))]


def test_of_a_batch_that_the_store_rejects_each_is_tried_alone_and_the_bad_one_given_up():
    binder = Binder(Shared())
    for instance in (ONE, TWO):
        binder.say(instance, up(10))
    assert binder.commits.rejected(binder.commits.batch(0.0)) == []
    alone = binder.commits.batch(0.0)
    assert [one.instance for one in alone] == [ONE]
    assert binder.commits.rejected(alone) == alone
    assert [one.instance for one in binder.write()] == [TWO]
    assert binder.write() == []
    assert not binder.commits.is_committed(ONE)
    binder.say(ONE, up(11))
    assert [one.instance for one in binder.write()] == [ONE]


def test_one_call_looks_at_a_bounded_number_however_many_wait(monkeypatch):
    binder = Binder(Shared())
    held = [at(2, "10.0.0.2", 1 + number) for number in range(3 * LOOKED_AT)]
    for instance in held:
        binder.say(instance, up(10, OTHER), 0.0)
    there = {instance: Stored(9, up(10, OTHER)) for instance in held}
    looks = []
    update = binder.directory.update
    monkeypatch.setattr(
        binder.directory, "update", lambda one: looks.append(one) or update(one), raising=False
    )
    for _ in range(4):
        looks.clear()
        assert len(binder.commits.batch(100.0)) <= BATCH_MAX
        assert len(looks) <= 2 * LOOKED_AT
    binder.commits.seen(there, 100.0)  # others have written all of them
    assert binder.commits.uncommitted <= UNDER_WAY_MAX * BATCH_MAX


def test_what_somebody_waits_for_is_written_at_once():
    binder = Binder(Shared())
    binder.say(ONE, up(10, OTHER), 0.0)
    binder.directory.restore([entry_of(TWO, encode_version(up(10).version))])
    binder.directory.trust(TWO)  # it has answered
    assert binder.write() == []
    binder.commits.wanted([ONE, TWO])
    assert {one.instance for one in binder.write()} == {ONE, TWO}
    binder.commits.wanted([ONE, TWO])
    assert binder.write() == []


def test_a_key_that_is_deleted_before_its_write_is_answered_is_not_taken_to_be_there():
    binder = Binder(Shared())
    binder.say(ONE, up(10))
    writes = binder.commits.batch(0.0)
    binder.commits.seen({ONE: Stored(9, is_there=False)}, 0.0)
    binder.commits.written(writes, 8)
    assert not binder.commits.is_committed(ONE)


def test_too_many_that_wait_are_found_again_by_comparing(monkeypatch):
    monkeypatch.setattr("prr.core.commits.commits.DIRTY_MAX", 5)
    assert DIRTY_MAX > 5
    binder = Binder(Shared())
    held = {at(2, "10.0.0.2", port) for port in range(1, 20)}
    for instance in held:
        binder.say(instance, up(10))
    assert binder.commits.has_more
    assert not any(map(binder.commits.is_committed, held))
    while binder.commits.has_more or binder.commits.uncommitted:
        binder.write()
    assert set(binder.shared.rows) == held


@pytest.mark.parametrize("seed", sample(8, range(20)))
def test_binders_and_store_come_to_the_same_whatever_gets_lost(seed):
    rng = Random(seed)
    shared = Shared()
    binders = [Binder(shared, identity) for identity in (OWN, OTHER, 9)]
    instances = [at(2, "10.0.0.1", port) for port in range(1, 6)]
    now = 0.0
    for step in range(400):
        now += 0.1
        binder, instance = rng.choice(binders), rng.choice(instances)
        match rng.randrange(6):
            case 0 | 1:
                latest = binder.directory.latest(instance)
                counter = max(step, latest.counter + 1 if latest else 0)
                update = rng.choice((up, gone))(counter, binder.identity)
                binder.say(instance, update, now)
            case 2 | 3:
                binder.write(now, is_lost=rng.random() < 0.3)
            case 4:
                there = {instance: shared.at(instance)}
                binder.hear(binder.commits.seen(there, now), now)
            case 5 if rng.random() < 0.1:
                binder.read(now, is_another=rng.random() < 0.5)
    for number in range(3):
        for binder in binders:
            binder.settle(now + 100.0 * number)
    there = {one: row.update for one, row in shared.rows.items()}
    for binder in binders:
        for instance, update in there.items():
            assert binder.directory.update(instance) == update
            assert binder.commits.is_committed(instance)
        assert {*binder.directory} == {one for one, update in there.items() if update.is_present}


@pytest.mark.parametrize(
    ("service", "address"),
    [
        (0, ("10.0.0.1", 1)),
        (255, ("127.0.0.1", 65535)),
        ("billing", ("10.0.0.1", 80)),
        ("a" * 63, ("2001:db8::1", 443)),
        (7, ("fd00::1", 443)),
    ],
)
def test_a_key_has_one_form(service, address):
    instance = make_instance(service, address)
    assert instance_in(key_of(instance)) == instance


@pytest.mark.parametrize(
    "key",
    [
        *("", "instances", "instances/2", "instances/2/10.0.0.1:80/x", "others/2/10.0.0.1:80"),
        *("instances/02/10.0.0.1:80", "instances/256/10.0.0.1:80", "instances/-1/10.0.0.1:80"),
        *("instances/2/10.0.0.1:080", "instances/2/10.0.0.1:65536", "instances/2/10.0.0.1:"),
        *("instances/2/10.0.0.1", "instances/2/10.0.0.01:80", "instances/2/host:80"),
        *("instances/2/[10.0.0.1]:80", "instances/x/[2001:db8:0::1]:80", "instances/A/10.0.0.1:80"),
        *("instances/2/195.196:80", "instances/2/1.2.3.4.5:80", "instances/2/[fe80::1]:80"),
        *("instances/²/10.0.0.1:80", "instances/2/10.0.0.1:²", "instances/a_b/10.0.0.1:80"),
    ],
)
def test_another_key_is_none(key):
    with pytest.raises(ValueError):
        instance_in(key)


@pytest.mark.parametrize(
    "update",
    [up(1), gone(2), up(2**64 - 1, 2**64 - 1, 2**32 - 1), up(1, particulars=b"\x01\x01\x00\x03")],
)
def test_a_value_says_all_of_an_update(update):
    assert update_in(value_of(update)) == update


SOUND = value_of(up(1)).decode()


@pytest.mark.parametrize(
    "value",
    [
        *("", "[]", "{}", "null", "1", "[" * 4000, SOUND[:-1], " " * 5000 + SOUND),
        *(SOUND.replace("up", "down"), SOUND.replace('"up"', "1"), SOUND.replace("0001", "001")),
        *(SOUND.replace("0000000001", "00000000-1"), SOUND.replace("0000000001", "00000_0001")),
        *(
            SOUND.replace("5}", "-1}"),
            SOUND.replace("5}", "4294967296}"),
            SOUND.replace("5}", "true}"),
        ),
        *(SOUND.replace("5}", '5,"particulars":7}'), SOUND.replace("5}", '5,"particulars":"0"}')),
        *(SOUND.replace("5}", '5,"particulars":"ffff"}'), SOUND.replace("5}", "NaN}")),
    ],
)
def test_another_value_says_none(value):
    with pytest.raises(ValueError):
        update_in(value.encode())
    with pytest.raises(ValueError):
        update_in(b"\xff" + value.encode())
