"""The state on disk: what was confirmed is there again, or its loss is told; never a wrong row."""

import os
import shutil
import sqlite3
from random import Random

import pytest

from prr.config import BadInput
from prr.core.binder import Binder
from prr.core.effects import Confirm, Persist, Update
from prr.shell.storage.rows import read_rows, rows_for
from prr.shell.storage.state_directory import StateDirectory
from prr.shell.storage.state_meta import Damaged, Failing, place_of
from prr.wire.frames import Found, Lookup, Removed, Subscribe, Subscribed, Unknown
from prr.wire.instance import address_of
from prr.wire.version import RUN_BITS, Version
from tests.cores import at, sent

IDENTITY = 77
FIRST = 1 << RUN_BITS
"""The first counter of a binder that has seen none, and by how much each one rises."""
CLIENT = ("10.0.9.9", 999)


@pytest.fixture
def opened():
    """Opens state directories, and closes them in the end."""
    directories = []

    def open_(path):
        directories.append(StateDirectory(path))
        return directories[-1]

    yield open_
    for directory in directories:
        directory.leave()


@pytest.fixture(autouse=True, scope="module")
def one_place():
    """Copies are taken for what is copied: most tests here make them for other reasons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prr.shell.storage.state_directory.place_of", lambda _: b"anywhere")
        yield


def words(numbers, start=5, present=True):
    return {at(2, "10.0.0.1", n): Update(Version(n + 1, IDENTITY, start), present) for n in numbers}


def rows_of(directory):
    """All that can be read, as words; Damaged at the end if there is more that cannot."""
    binder = kept_binder(started=False)
    found, why = {}, None
    try:
        while rows := directory.read():
            damaged = learn(binder, rows)
            if damaged:
                why = f"{damaged} damaged"
            found |= {row[0][2:]: row for row in rows if isinstance(row[0], bytes)}
    except (Damaged, Failing) as error:
        why = str(error)
    directory = binder.directory
    kept = {}
    for instance in found:
        if isinstance(instance, bytes) and len(instance) == 7:
            version = directory.version(instance)
            removal = directory.removal(instance)
            if version or removal:
                kept[instance] = Update(version or removal, version is not None)
    return kept, why


def filled(path, groups=40, size=25):
    """A directory with some groups committed; the rows, and the directory, still open."""
    directory = StateDirectory(path)
    directory.open(IDENTITY)
    expected = {}
    for group in range(groups):
        some = words(range(group * size, group * size + size), present=group % 5 != 4)
        directory.commit(some, 1000 + group, True)
        expected |= some
    return directory, expected


# The core.


def kept_binder(*, started=True, counter=0):
    binder = Binder(frozenset(), (), IDENTITY, Random(1), keeps=True, counter=counter)
    if started:
        binder.start(0.0)
    return binder


def learn(binder, rows):
    """Have a binder learn what rows of a file say; how many are damaged."""
    present, gone, damaged = read_rows(rows)
    binder.learn(present, gone, 0.0)
    return damaged


def persisted(effects):
    return [effect for effect in effects if isinstance(effect, Persist)]


def test_a_subscription_is_to_be_put_on_disk_before_it_is_confirmed():
    instance = at(2, "10.0.0.1", 7)
    effects = kept_binder().handle(Subscribe(2), address_of(instance), 1.0)
    assert effects[0] == Persist({instance: Update(Version(FIRST, IDENTITY, 0), True)}, FIRST)
    assert effects[-1] == Confirm(instance, Subscribed(), address_of(instance))
    assert not sent(effects)


def test_a_renewal_that_changes_nothing_is_confirmed_by_way_of_the_disk_all_the_same():
    binder, instance = kept_binder(), at(2, "10.0.0.1", 7)
    binder.handle(Subscribe(2), address_of(instance), 1.0)
    effects = binder.handle(Subscribe(2), address_of(instance), 2.0)
    assert effects == [Confirm(instance, Subscribed(), address_of(instance))]


def test_a_leave_is_acknowledged_once_it_is_on_disk():
    binder, instance = kept_binder(), at(2, "10.0.0.1", 7)
    binder.handle(Subscribe(2), address_of(instance), 1.0)
    effects = binder.handle(Removed(instance), address_of(instance), 2.0)
    assert persisted(effects) == [
        Persist({instance: Update(Version(2 * FIRST, IDENTITY, 1), False)}, 2 * FIRST)
    ]
    assert Confirm(instance, Removed(instance), address_of(instance)) in effects


def test_what_is_forgotten_is_to_be_forgotten_on_disk():
    binder = kept_binder()
    for n, now in ((1, 0.0), (2, 3601.0)):
        instance = at(2, "10.0.0.1", n)
        binder.handle(Subscribe(2), address_of(instance), now)
        effects = binder.handle(Removed(instance), address_of(instance), now)
    assert persisted(effects)[0].updates[at(2, "10.0.0.1", 1)] is None


def test_a_binder_that_keeps_nothing_notes_nothing():
    binder = Binder(frozenset(), (), IDENTITY, Random(1))
    effects = binder.handle(Subscribe(2), ("10.0.0.1", 7), 1.0)
    assert not persisted(effects)
    assert sent(effects) == [(Subscribed(), ("10.0.0.1", 7))]


def test_a_restored_binder_answers_at_once_and_denies_nothing_before_it_is_started():
    binder = kept_binder(started=False, counter=40)
    assert binder.handle(Lookup(2), CLIENT, 0.0) == []
    instance = at(2, "10.0.0.1", 7)
    assert learn(binder, rows_for({instance: Update(Version(9, IDENTITY, 5), True)})) == 0
    assert len(sent(binder.handle(Lookup(2), CLIENT, 0.0))) == 1
    assert binder.handle(Lookup(3), CLIENT, 0.0) == []
    effects = binder.start(0.0)
    assert not persisted(effects)
    assert binder.is_ready
    found = Found(address_of(instance))
    assert sent(effects) == [(found, CLIENT), (Unknown(), CLIENT)]  # who asked before it could say
    assert sent(binder.handle(Lookup(3), CLIENT, 0.0)) == [(Unknown(), CLIENT)]
    assert binder.deadline() <= 15.0  # it will be asked within a lease
    effects = binder.handle(Subscribe(2), ("10.0.0.2", 7), 0.0)
    assert persisted(effects)[0].counter == FIRST + 40


def test_a_newer_word_heard_while_reading_is_not_undone():
    binder = kept_binder(started=False, counter=40)
    instance = at(2, "10.0.0.1", 7)
    binder.handle(Subscribe(2), address_of(instance), 0.0)
    learn(binder, rows_for({instance: Update(Version(9, IDENTITY, 5), False)}))
    assert instance in binder.directory
    binder.handle(Removed(instance), address_of(instance), 0.0)
    learn(binder, rows_for({instance: Update(Version(9, IDENTITY, 5), True)}))
    assert instance not in binder.directory


def test_restored_tables_have_the_same_digest():
    whole, given_back = kept_binder(), kept_binder(started=False)
    rows = []
    for n in range(100):
        instance = at(n % 3, "10.0.0.1", n)
        for effect in persisted(whole.handle(Subscribe(n % 3), address_of(instance), 0.0)):
            rows += rows_for(effect.updates)
    learn(given_back, rows)
    assert not persisted(given_back.start(0.0))  # it is on disk already
    assert given_back.directory.digest() == whole.directory.digest()
    rotation = {given_back.directory.lookup(1) for _ in range(33)}
    assert len(rotation) == 33


@pytest.mark.parametrize(
    "damage",
    [
        lambda k, v, p, c: (k, v, 1 - p, c),
        lambda k, v, p, c: (k, v, p, c ^ 1),
        lambda k, v, p, c: (k, v, p, None),
        lambda k, v, p, c: (k, v, 2, c),
        lambda k, v, p, c: (k + v[:1], v[1:], p, c),
        lambda k, v, p, c: (k, v[:-1] + b"\xff", p, c),
        lambda k, v, p, c: (k[:2] + b"\x03" + k[3:], v, p, c),
        lambda k, v, p, c: (k[:1] + b"\x03" + k[2:], v, p, c),
        lambda k, v, p, c: (None, v, p, c),
        lambda k, v, p, c: ("nineBytes", v, p, c),
        lambda k, v, p, c: (k, 5, p, c),
    ],
)
@pytest.mark.parametrize("present", [True, False])
def test_a_damaged_row_is_seen_and_left_out(damage, present):
    binder = kept_binder(started=False)
    (row,) = rows_for({at(2, "10.0.0.1", 7): Update(Version(9, IDENTITY, 5), present)})
    assert learn(binder, [damage(*row)]) == 1
    assert len(binder.directory) == 0
    assert learn(binder, [row]) == 0


# The file.


def test_what_was_committed_is_read_back(tmp_path, opened):
    directory, expected = filled(tmp_path / "deep" / "state")
    directory.commit({at(2, "10.0.0.1", 3): None}, 5000, True)
    del expected[at(2, "10.0.0.1", 3)]
    directory.leave()
    again = opened(tmp_path / "deep" / "state")
    meta, losses = again.open(1)
    assert (meta.identity, meta.counter, meta.entries) == (IDENTITY, 5000, len(expected))
    assert losses == []
    assert rows_of(again) == (expected, None)


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_any_size_and_kind_are_read_back(seed, tmp_path, opened):
    """All new, as in a herd, all known, or some of each, and forgotten ones among them."""
    rng, expected = Random(seed), {}
    directory = StateDirectory(tmp_path / "state")
    directory.open(IDENTITY)
    for number in range(25):
        new = [at(2, f"10.0.{number}.{seed}", port) for port in range(1, 1 + rng.randrange(40))]
        known = rng.sample([*expected], min(len(expected), rng.choice((0, 0, 1, 30))))
        group = {one: Update(Version(number, IDENTITY, 5), rng.random() < 0.9) for one in new}
        group |= {one: Update(Version(number, IDENTITY, 6), True) for one in known}
        group |= dict.fromkeys(rng.sample(known, len(known) // 3))
        expected = {one: last for one, last in (expected | group).items() if last is not None}
        directory.commit(dict(rng.sample([*group.items()], len(group))), number, True)
    directory.leave()
    again = opened(tmp_path / "state")
    assert again.open(1)[0].entries == len(expected)
    assert rows_of(again) == (expected, None)  # which adds up what the file says of itself


def copies(source, target):
    """A copy of a directory as a power cut leaves it: while it is open."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def check_damaged(path, expected, committed):
    """Whatever is at `path`: no row is wrong, and if one is missing that is told."""
    directory = StateDirectory(path)
    try:
        meta, losses = directory.open(1)
        found, why = rows_of(directory)
    finally:
        directory.leave()
    assert all(word in committed[instance] for instance, word in found.items())
    told = bool(losses) or why is not None or meta.identity != IDENTITY
    assert told or found == expected
    if not told:
        assert meta.identity == IDENTITY
    return told


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A state with something in its log as well, and all words that were ever committed."""
    path = tmp_path_factory.mktemp("sample") / "state"
    directory, expected = filled(path, groups=20, size=60)
    directory.close()  # into the main file
    directory.open(IDENTITY)
    for group in range(6):
        some = words((group, group + 1), start=9)
        directory.commit(some, 2000 + group, True)
        expected |= some
    committed = {instance: {word} for instance, word in expected.items()}
    for group in range(20):
        for instance, word in words(
            range(group * 60, group * 60 + 60), present=group % 5 != 4
        ).items():
            committed[instance].add(word)
    shutil.copytree(path, path.with_name("copy"))
    directory.leave()
    return path.with_name("copy"), expected, committed


def test_the_sample_is_sound(sample, tmp_path):
    path, expected, committed = sample
    assert (path / "binder.sqlite-wal").stat().st_size > 4 * 4096
    assert not check_damaged(copies(path, tmp_path / "state"), expected, committed)


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["binder.sqlite", "binder.sqlite-wal"])
def test_a_truncated_file_is_told(name, sample, tmp_path):
    path, expected, committed = sample
    size = (path / name).stat().st_size
    rng = Random(name)
    told = 0
    for length in [0, 1, 99, 100, 4096, size - 1, *(rng.randrange(size) for _ in range(9))]:
        copy = copies(path, tmp_path / "state")
        with (copy / name).open("r+b") as file:
            file.truncate(length)
        told += check_damaged(copy, expected, committed)
    assert told >= 10


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["binder.sqlite", "binder.sqlite-wal", "witness"])
def test_a_flipped_byte_changes_nothing_or_is_told(name, sample, tmp_path):
    path, expected, committed = sample
    data = (path / name).read_bytes()
    rng = Random(name)
    places = [*range(0, min(100, len(data)), 9), *(rng.randrange(len(data)) for _ in range(15))]
    told = 0
    for place in places:
        copy = copies(path, tmp_path / "state")
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        (copy / name).write_bytes(damaged)
        told += check_damaged(copy, expected, committed)
    assert told >= (0 if name == "witness" else 5)


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["binder.sqlite", "binder.sqlite-wal"])
def test_a_page_of_junk_or_zeros_is_told(name, sample, tmp_path):
    path, expected, committed = sample
    data = (path / name).read_bytes()
    rng = Random(name)
    for place in range(0, len(data), 4 * 4096):
        for junk in (bytes(4096), rng.randbytes(4096)):
            copy = copies(path, tmp_path / "state")
            (copy / name).write_bytes(data[:place] + junk + data[place + 4096 :])
            check_damaged(copy, expected, committed)


def test_a_missing_file_is_told(sample, tmp_path):
    path, expected, committed = sample
    for name in ("binder.sqlite", "binder.sqlite-wal"):
        copy = copies(path, tmp_path / "state")
        (copy / name).unlink()
        assert check_damaged(copy, expected, committed)


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entry (a, b)")
    connection.commit()
    connection.close()


def newer(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(b""), "no state of a binder"),
        (lambda path: path.write_bytes(b"junk" * 5000), "not a database"),
        (lambda path: (path.unlink(), foreign(path)), "no state of a binder"),
        (newer, "format 9, and this program knows 1"),
    ],
    ids=["empty", "junk", "foreign", "newer"],
)
def test_a_file_that_is_no_good_is_set_aside_and_a_new_one_begun(spoil, why, tmp_path, opened):
    directory, _ = filled(tmp_path, groups=2)
    directory.leave()
    spoil(tmp_path / "binder.sqlite")
    spoiled = (tmp_path / "binder.sqlite").read_bytes()
    directory = opened(tmp_path)
    meta, (told,) = directory.open(5)
    assert why in told
    assert told.endswith("set aside as binder.sqlite.damaged-1")
    assert (tmp_path / "binder.sqlite.damaged-1").read_bytes()[:40] == spoiled[:40]
    assert (meta.identity, meta.entries) == (5, 0)
    directory.commit(words(range(3)), 3, True)


def test_only_the_newest_files_set_aside_are_kept(tmp_path):
    for number in range(5):
        directory = StateDirectory(tmp_path)
        directory.open(number)
        directory.leave()
        (tmp_path / "binder.sqlite").write_bytes(b"junk%d" % number)
    directory = StateDirectory(tmp_path)
    directory.open(9)
    directory.leave()
    names = sorted(path.name for path in tmp_path.glob("*damaged*"))
    assert names == [f"binder.sqlite.damaged-{n}" for n in (3, 4, 5)]


def test_a_crash_in_the_middle_of_making_a_file_leaves_no_half_file(tmp_path, opened):
    (tmp_path / "binder.sqlite.new").write_bytes(b"half")
    (tmp_path / "binder.sqlite-wal").write_bytes(b"of one that is gone")
    directory = opened(tmp_path)
    directory.open(5)
    directory.commit(words(range(3)), 3, True)
    assert len(rows_of(directory)[0]) == 3


def test_a_file_that_vanishes_or_is_replaced_under_the_binder_is_noticed(tmp_path, opened):
    directory = opened(tmp_path)
    directory.open(5)
    (tmp_path / "binder.sqlite").unlink()
    for _ in range(2):
        with pytest.raises(Damaged, match="gone"):
            directory.commit(words(range(3)), 3, True)
    directory.begin_anew(5, 3, False)
    directory.commit(words(range(3)), 3, True)


@pytest.mark.parametrize("change", ["replaced", "overwritten"])
def test_a_file_that_is_changed_under_the_binder_is_noticed(change, tmp_path, opened):
    other, _ = filled(tmp_path / "other", groups=1)
    other.leave()
    directory = opened(tmp_path)
    directory.open(5)
    directory.commit(words(range(3)), 3, True)
    if change == "replaced":
        os.replace(tmp_path / "other" / "binder.sqlite", tmp_path / "binder.sqlite")
    else:
        shutil.copyfile(tmp_path / "other" / "binder.sqlite", tmp_path / "binder.sqlite")
    assert directory.is_in_place() == (change == "overwritten")
    with pytest.raises(Damaged, match="another one is in its place"):
        directory.commit(words(range(9)), 9, True)


ODD = [f"binder.sqlite{ending}" for ending in ("", ".new", "-wal", "-shm", "-journal")]


@pytest.mark.parametrize("name", [*ODD, "binder.sqlite.damaged-1", "witness", "lock"])
@pytest.mark.parametrize("holds", [True, False], ids=["with a file", "without one"])
def test_a_directory_in_the_way_keeps_nothing_from_being_kept(name, holds, tmp_path, opened):
    if holds:
        directory, _ = filled(tmp_path, groups=1)
        directory.leave()
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name / "deep").mkdir(parents=True)
    directory = StateDirectory(tmp_path)
    directory.open(5)
    directory.begin_anew(5, 3, False)  # as when a file is damaged
    directory.commit(words(range(3)), 3, True)
    directory.leave()
    directory = opened(tmp_path)
    directory.open(6)
    assert len(rows_of(directory)[0]) == 3


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "closed"])
@pytest.mark.parametrize("files", [True, False], ids=["files too", "the directory"])
def test_what_may_only_be_read_is_read(killed, files, tmp_path, opened, monkeypatch):
    directory, expected = filled(tmp_path / "state", groups=4)
    path = copies(tmp_path / "state", tmp_path / "copy") if killed else tmp_path / "state"
    directory.leave()
    access = os.access
    no_writing = {path, path / "binder.sqlite"} if files else {path}

    def may(of, mode):  # root may do anything
        return not (mode & os.W_OK and of in no_writing) and access(of, mode)

    before = sorted(one.name for one in path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("prr.shell.storage.state_directory.os.access", may)
        again = opened(path)
        meta, losses = again.open(1)
        assert (meta.identity, losses) == (IDENTITY, [])
        with pytest.raises(Failing, match="may only be read"):
            again.commit({}, 5000, True)
        assert rows_of(again) == (expected, None)
        assert sorted(one.name for one in path.iterdir()) == before
        assert again.is_in_place()
    again.commit({at(2, "10.0.0.1", 3): None}, 5000, True)  # it may be written to now


def test_a_copy_has_an_identity_of_its_own_and_the_original_keeps_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("prr.shell.storage.state_directory.place_of", place_of)
    directory, expected = filled(tmp_path / "one", groups=2)
    directory.leave()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for name, identity, told in (("two", 5, 1), ("two", 5, 0), ("one", IDENTITY, 0)):
        directory = StateDirectory(tmp_path / name)
        meta, losses = directory.open(5)
        assert (meta.identity, len(losses)) == (identity, told)
        directory.commit({}, 5000, True)
        assert rows_of(directory)[0].keys() == expected.keys()
        directory.leave()
    assert "another host or in another directory" not in losses


def test_a_file_that_does_not_say_where_it_was_written_is_at_home_anywhere(tmp_path, opened):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prr.shell.storage.state_directory.place_of", lambda _: b"")
        directory, expected = filled(tmp_path, groups=1)
        directory.leave()
    again = opened(tmp_path)
    meta, losses = again.open(1)
    assert (meta.identity, losses, rows_of(again)) == (IDENTITY, [], (expected, None))


def test_a_state_that_cannot_be_had_is_bad_input(tmp_path, opened):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Not a directory; use a directory"):
        StateDirectory(tmp_path / "file" / "state")
    opened(tmp_path)
    with pytest.raises(BadInput, match=rf"process id {os.getpid()}; stop that one"):
        StateDirectory(tmp_path)


@pytest.mark.slow
def test_thousands_of_damages_are_told_or_change_nothing(sample, tmp_path):
    path, expected, committed = sample
    rng = Random(1)
    told = 0
    for _ in range(3000):
        copy = copies(path, tmp_path / "state")
        name = rng.choice(("binder.sqlite", "binder.sqlite-wal"))
        data = bytearray((copy / name).read_bytes())
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.choice((0, 1, 1, 2, 9))):
            place = rng.randrange(len(data) or 1)
            data[place : place + 1] = rng.randbytes(1)
        (copy / name).write_bytes(data)
        told += check_damaged(copy, expected, committed)
    assert told > 1000
