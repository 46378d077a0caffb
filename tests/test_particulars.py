"""Particulars: what a server says of itself beside where it is, told, kept and shown."""

import base64
import json
import re
import zlib
from pathlib import Path
from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.directory.directory import Directory
from prr.core.effects import Update
from prr.core.server import Server
from prr.shell.storage.rows import read_rows, rows_for
from prr.wire.codec import DATAGRAM_BYTES_MAX
from prr.wire.frames import Alive, Subscribe
from prr.wire.instance import address_of, service_of
from prr.wire.messages import Announcement, Search, Started
from prr.wire.particulars import (
    PARTICULARS_BYTES_MAX,
    TAGS_BYTES_MAX,
    WEIGHT_MAX,
    Particulars,
    decode_particulars,
    encode_particulars,
    is_particulars,
    is_tag,
)
from prr.wire.version import Version
from tests.cores import Net, at, encode, random_particulars, rising, sent
from tests.nodes import eventually, run
from tests.test_names import A, B, C, alone, cluster

STATE_BEFORE = Path(__file__).parent / "vectors" / "state_before_names.txt"
ONE, NAMED = at(7, "10.0.1.1", 4000), at("billing", "10.0.1.2", 4000)
HEAVY = encode_particulars(Particulars(weight=3, zone="eu"))
TAGGED = encode_particulars(Particulars(zone="us", tags={"disk": "ssd"}))
LONGEST = encode_particulars(Particulars(16, "z" * 63, {"k": "v" * 254}))


def subscribe(core, instance, particulars=b"", start=9, now=0.0) -> list:
    """A server of ours subscribes, or renews."""
    service = service_of(instance)
    if isinstance(service, int):
        frame = Subscribe(service, trailer=Started(start=start, particulars=particulars or None))
    else:
        said = Announcement.of_server(service, start, particulars=particulars or None)
        frame = Alive(trailer=said)
    return core.handle(frame, address_of(instance), now)


def test_particulars_come_back_as_they_went_and_have_one_form():
    rng = Random(1)
    for _ in range(1000):
        said = random_particulars(rng)
        data = encode_particulars(said)
        assert decode_particulars(data) == said
        assert encode_particulars(decode_particulars(data)) == data
    assert encode_particulars(Particulars()) == b""
    ways = [Particulars(tags={"a": "1", "b": "2"}), Particulars(tags={"b": "2", "a": "1"})]
    assert len(set(map(encode_particulars, ways))) == 1


def test_the_longest_particulars_have_room_and_one_byte_more_has_not():
    shortest = {chr(mark): "" for mark in range(0x21, 0x7F) if chr(mark) != "="}
    left = TAGS_BYTES_MAX - 2 * len(shortest)
    tags = shortest | {"~": "y" * left}
    longest = Particulars(WEIGHT_MAX, "z" * 63, tags, ("10.0.0.1", 1))
    data = encode_particulars(longest)
    assert decode_particulars(data) == longest
    assert len(data) <= PARTICULARS_BYTES_MAX
    with pytest.raises(AssertionError):
        encode_particulars(Particulars(tags=tags | {"~": "y" * (left + 1)}))
    assert encode_particulars(Particulars(tags={"k": "v" * (TAGS_BYTES_MAX - 2)}))


@pytest.mark.parametrize("said", [Particulars(0), Particulars(17), Particulars(zone="EU")])
def test_what_is_out_of_range_is_not_said(said):
    with pytest.raises(AssertionError):
        encode_particulars(said)


@pytest.mark.smoke
def test_random_bytes_are_none_or_have_one_form():
    rng, good = Random(2), 0
    for _ in range(20_000):
        data = bytearray(encode_particulars(random_particulars(rng)))
        for _ in range(rng.randrange(3)):
            if data:
                data[rng.randrange(len(data))] = rng.choice((0, 1, 2, 10, 61, rng.randrange(256)))
        if is_particulars(bytes(data)):
            good += 1
            written = encode_particulars(decode_particulars(bytes(data)))
            assert written == data or set(numbers_in(data)) - {1, 2, 3, 4}
    assert good > 1000


def numbers_in(data):
    """The numbers of the fields."""
    while data:
        yield data[0]
        data = data[3 + data[1] + 256 * data[2] :]


def test_a_tag_has_a_key_and_no_control_character():
    assert all(map(is_tag, ("a=b", "a=", "disk=1 TB", "ville=Montréal", "a=b=c")))
    assert not any(map(is_tag, ("", "a", "=b", "a=\n", "a\x7f=b", "a=\x9b1m", "\0=b")))


# One binder.


@pytest.mark.parametrize("one", [ONE, NAMED])
def test_what_a_renewal_changes_is_a_new_version_and_what_it_repeats_is_none(one):
    core, directory = alone(), None
    directory = core.directory
    subscribe(core, one, HEAVY)
    first = directory.version(one)
    assert directory.particulars(one) == HEAVY
    subscribe(core, one, HEAVY, now=5.0)
    assert directory.version(one) == first
    subscribe(core, one, TAGGED, now=10.0)
    assert directory.version(one).counter > first.counter
    assert directory.particulars(one) == TAGGED
    subscribe(core, one, now=15.0)
    assert directory.particulars(one) == b""


def test_a_search_says_them_too():
    core = alone()
    core.handle(Subscribe(7), address_of(ONE), 0.0)
    asks = Alive(trailer=Search(types=b"\7", start=9, particulars=HEAVY))
    core.handle(asks, address_of(ONE), 1.0)
    assert core.directory.particulars(ONE) == HEAVY


def test_an_answer_to_a_question_leaves_them_as_they_are():
    pair = {A: Binder(frozenset(), (B,), 1, Random(1)), B: Binder(frozenset(), (A,), 2, Random(2))}
    net = Net(pair)
    net.alive = {ONE}
    net.start()
    net.run(2.0)
    net.act(A, subscribe(net.binders[A], ONE, HEAVY, now=net.now))
    net.run(3.0)
    net.cut = {A}  # the other one asks it, and takes it over
    net.run(90.0)
    assert net.binders[B].directory.version(ONE).owner == net.binders[B].identity
    assert net.binders[B].directory.particulars(ONE) == HEAVY


def test_turns_follow_the_weight_that_was_said_last():
    core = alone()
    other = at(7, "10.0.1.9", 4000)
    for weight in (3, 1, 2):
        said = encode_particulars(Particulars(weight=weight))
        subscribe(core, ONE, said)
        subscribe(core, other)
        turns = [core.directory.lookup(7) for _ in range(4 * (weight + 1))]
        assert (turns.count(ONE), turns.count(other)) == (4 * weight, 4)


# Several.


def test_peers_are_told_at_once_whatever_changes():
    net = cluster(A, B, C)
    net.alive = {ONE, NAMED}
    net.start()
    net.run(3.0)
    for said in (HEAVY, TAGGED, b"", LONGEST):
        for one in (ONE, NAMED):
            net.act(A, subscribe(net.binders[A], one, said, now=net.now))
        net.run(net.now + 0.01)
        for core in net.binders.values():
            assert [core.directory.particulars(one) for one in (ONE, NAMED)] == [said] * 2
    assert net.agree()


@pytest.mark.smoke
def test_what_changed_while_the_network_was_cut_is_found_by_comparing():
    net = cluster(A, B, C)
    many = [at(number % 2 * 7, f"10.0.1.{number}", 4000) for number in range(1, 60)]
    net.alive = set(many)
    net.start()
    net.run(3.0)
    for one in many:
        net.act(A, subscribe(net.binders[A], one, HEAVY, now=net.now))
    net.run(4.0)
    net.cut = {A}
    for one in many:
        net.act(A, subscribe(net.binders[A], one, LONGEST, now=net.now))
    net.run(5.0)
    assert net.binders[B].directory.particulars(many[0]) == HEAVY
    net.cut = set()
    net.run(15.0)
    for core in net.binders.values():
        assert {core.directory.particulars(one) for one in many} == {LONGEST}
    assert net.agree()
    sizes = [len(encode(effect.frame)) for _, effect in net.sent()]
    assert max(sizes) <= DATAGRAM_BYTES_MAX


def test_a_binder_of_before_shares_all_but_the_particulars():
    net = cluster(A, B, C, nameless=(C,))
    net.alive = {ONE}
    net.start()
    net.run(8.0)
    net.act(A, subscribe(net.binders[A], ONE, HEAVY, now=net.now))
    net.run(16.0)
    held = [core.directory.particulars(ONE) for core in net.binders.values()]
    assert held == [HEAVY, HEAVY, b""]
    versions = {core.directory.version(ONE) for core in net.binders.values()}
    assert len(versions) == 1
    for core in net.binders.values():
        assert all(peer.agrees for peer in core.peers.all())


def test_who_knows_no_particulars_compares_and_is_sent_what_he_always_was():
    plain, rich = Directory(), Directory()
    for number, version in zip(range(30), rising(), strict=False):
        one = at(number, "10.0.1.1", number + 1)
        plain.add(one, version)
        rich.add(one, version, particulars=HEAVY if number % 3 else b"")
    assert rich.digest(wide=False) == plain.digest(wide=False) == plain.digest()
    assert rich.digests(None, wide=False) == plain.digests(None)
    assert rich.digest() != plain.digest()


def test_the_digest_of_all_tells_two_apart_that_differ_in_particulars_alone():
    rng = Random(3)
    made = [at(7, "10.0.1.1", number) for number in range(40)]
    said = [encode_particulars(random_particulars(rng)) for _ in made]
    orders = [list(range(40)), list(range(40))]
    rng.shuffle(orders[1])
    one, two = Directory(), Directory()
    for directory, order in zip((one, two), orders, strict=True):
        for number in order:
            if directory is two:  # it had others before
                directory.add(made[number], Version(1, 1, 1), particulars=HEAVY)
            directory.add(made[number], Version(2, 1, 1), particulars=said[number])
    assert (one.digest(), one.digests(None)) == (two.digest(), two.digests(None))
    two.add(made[0], Version(3, 1, 1), particulars=b"")
    one.add(made[0], Version(3, 1, 1), particulars=HEAVY)
    assert one.digest() != two.digest()
    assert one.digest(wide=False) == two.digest(wide=False)
    for number, number_made in enumerate(made):
        for directory in (one, two):
            directory.remove(number_made, Version(9 + number, 1, 1), 0.0)
    assert one.digest() == bytes(8)


def test_a_server_says_what_is_changed_with_its_next_renewal():
    core = alone()
    server = Server(7, {A: address_of(ONE)}, Random(1), particulars=HEAVY)
    now, said = 0.0, []
    effects = server.start(now)
    while now < 20.0:
        for frame, _ in sent(effects):
            answers = sent(core.handle(frame, address_of(ONE), now))
            effects = [one for answer, _ in answers for one in server.handle(answer, A, now)]
        if core.directory.particulars(ONE) not in said:
            said.append(core.directory.particulars(ONE))
        if now > 8.0:
            server.change_particulars(TAGGED)
        now = max(now, server.deadline())
        effects = server.tick(now)
    assert [one for one in said if one] == [HEAVY, TAGGED]


# On disk.


def test_they_are_kept_and_come_back():
    kept = Binder(frozenset(), (), 77, Random(1), keeps=True)
    kept.start(0.0)
    rows = []
    for one, said in ((ONE, HEAVY), (NAMED, LONGEST), (at(7, "10.0.1.3", 1), b"")):
        persist = subscribe(kept, one, said)[0]
        rows += rows_for(persist.updates)
    present, gone, damaged = read_rows(rows)
    assert (len(present), gone, damaged) == (3, [], 0)
    again = Binder(frozenset(), (), 77, Random(1), keeps=True)
    again.learn(present, gone, 0.0)
    again.start(0.0)
    assert again.directory.digest() == kept.directory.digest()
    assert again.directory.particulars(ONE) == HEAVY
    turns = [again.directory.lookup(7) for _ in range(8)]
    assert turns.count(ONE) == 6


@pytest.mark.parametrize("at_byte", [0, 19, 20, -1])
def test_a_damaged_row_of_one_that_has_some_is_left_out(at_byte):
    ((key, data, present, check),) = rows_for({ONE: Update(Version(5, 6, 7), True, HEAVY)})
    wrong = bytearray(data)
    wrong[at_byte] ^= 1
    assert read_rows([(key, bytes(wrong), present, check)])[2] == 1
    assert read_rows([(key, data[:20], present, check)])[2] == 1
    assert read_rows([(key, data, present, check)])[2] == 0


# To people.


@pytest.mark.smoke
def test_a_list_shows_them(cluster):
    binder = cluster.binder()
    said = ("--weight", "3", "--zone", "eu", "--tag", "disk=ssd", "--tag", "a=")
    cluster.start("server", "--type", "7", *said, "--binder", binder.name)
    cluster.start("server", "--type", "billing", "--zone", "us", "--binder", binder.name)

    def rows():
        done = run("list", "--binder", binder.name, "--output", "json")
        keys = ("service", "type", "weight", "zone", "tags", "state")
        return [tuple(row[key] for key in keys) for row in json.loads(done.stdout)]

    expected = [
        ("7", 7, 3, "eu", {"a": "", "disk": "ssd"}, "up"),
        ("billing", None, 1, "us", {}, "up"),
    ]
    eventually(lambda: rows() == expected)
    text = run("list", "--binder", binder.name).stdout.splitlines()
    assert text[0].split() == ["TYPE", "NAME", "ADDRESS", "STATE", "WEIGHT", "ZONE", "TAGS"]
    assert text[1].split()[3:] == ["up", "3", "eu", "a=", "disk=ssd"]
    address = text[1].split()[2]
    why = ("why", "7", address, "--binder", binder.name)
    told = json.loads(run(*why, "--output", "json").stdout)
    assert (told["weight"], told["zone"], told["tags"]) == (3, "eu", {"a": "", "disk": "ssd"})
    assert "weight 3; zone eu; tags a= disk=ssd" in run(*why).stdout


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--weight", "0"], "use a whole number from 1 to 16"),
        (["--weight", "17"], "use a whole number from 1 to 16"),
        (["--zone", "EU"], "such as eu-west-1"),
        (["--tag", "a"], "use KEY=VALUE"),
        (["--tag", "a=\x1b[1m"], "use KEY=VALUE"),
        (["--tag", "a=1", "--tag", "a=2"], "use each key once"),
        (["--tag", "a=" + "x" * 200, "--tag", "b=" + "x" * 53], "use 256 at most"),
    ],
)
def test_what_is_wrong_is_told_with_how_to_write_it(flags, why):
    done = run("server", "--type", "7", "--check", *flags)
    assert done.returncode == 2
    assert why in done.stderr


@pytest.mark.smoke
def test_a_state_directory_of_before_is_read_and_carried_over(cluster, tmp_path):
    for line in STATE_BEFORE.read_text().splitlines()[1:]:
        name, packed = line.split()
        (tmp_path / name).write_bytes(zlib.decompress(base64.b85decode(packed)))
    state = ("--state", str(tmp_path))
    binder = cluster.binder(*state)
    said = ("--type", "7", "--weight", "5", "--tag", "a=b", "--binder", binder.name)
    server = cluster.start("server", *said)

    def rows(binder):
        done = run("list", "--binder", binder.name, "--output", "json")
        return {(row["service"], row["address"]): row["weight"] for row in json.loads(done.stdout)}

    eventually(lambda: 5 in rows(binder).values())
    assert "damaged" not in "\n".join(binder.lines)
    assert re.search(r"3 of 3 entries restored", "\n".join(binder.lines))
    binder.close()
    again = cluster.binder(*state)
    assert rows(again)["7", server.name] == 5
