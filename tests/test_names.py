"""Services by name: what stands on the wire, who is told, what is kept, and how they are used."""

import json
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from random import Random

import msgpack
import pytest

from prr import Client as Library
from prr import NoBinderAnswered, NoSuchService
from prr.config import Limits
from prr.core.binder import Binder
from prr.core.client import Client, FoundService, NoBinder, UnknownService
from prr.core.directory import slots
from prr.core.directory.directory import Directory
from prr.core.directory.results import Added as Adding
from prr.core.effects import Event, Outcome
from prr.core.server import Server
from prr.core.status import SERVICES_MAX
from prr.text import parse_service
from prr.wire.codec import DATAGRAM_BYTES_MAX
from prr.wire.frames import (
    Alive,
    Complaint,
    Found,
    ListRequest,
    Lookup,
    Removed,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
    Verify,
)
from prr.wire.inquiries import ListPage, ListQuery
from prr.wire.instance import (
    NAMED,
    address_of,
    describe_address,
    is_name,
    make_instance,
    service_of,
)
from prr.wire.messages import (
    Announcement,
    Challenge,
    NamedPresence,
    Page,
    PageRequest,
    Plain,
    UnaskedPage,
)
from prr.wire.query import Query
from prr.wire.version import Version
from prr.wire.wide import Said, WideUpdate, decode_wide, encode_wide, fills_rows
from tests.cores import Net, at, encode, events, probes, rising, sent
from tests.nodes import eventually, run, seldom_late

A, B, C = (("10.0.0.1", 2222), ("10.0.0.2", 2222), ("10.0.0.3", 2222))
CLIENT = ("10.0.2.1", 5000)
LONGEST = "x" * 63
NAMES = ("a", "ab", "billing", "b-2", LONGEST)
ONE, TWO = at("billing", "10.0.1.1", 4000), at("billing", "10.0.1.2", 4000)
NUMBERED = at(7, "10.0.1.3", 4000)


def binder(address=A, peers=()) -> Binder:
    """One that watches no lease in the time of a test."""
    identity = int(address[0].rpartition(".")[2])
    others = tuple(peer for peer in peers if peer != address)
    return Binder(frozenset(), others, identity, Random(identity), lease=1e9)


def alone() -> Binder:
    """A binder without peers, started."""
    only = binder()
    only.start(0.0)
    return only


def subscribed(core, instance, start=9, now=0.0) -> list:
    """A server of a named service subscribes."""
    said = Announcement.of_server(service_of(instance), start)
    return core.handle(Alive(trailer=said), address_of(instance), now)


def look_up(name: str) -> Lookup:
    """The question for a name."""
    return Lookup(NAMED, trailer=Query.about(name))


def found(core, name: str, times=1) -> list:
    """What clients are told."""
    answers = [sent(core.handle(look_up(name), CLIENT, 5.0)) for _ in range(times)]
    return [frame.address if isinstance(frame, Found) else None for ((frame, _),) in answers]


# Names


@pytest.mark.parametrize("name", [*NAMES, "1a", "a1", "0-0", "x--y"])
def test_a_name_is_a_label_as_dns_has_it(name):
    assert is_name(name.encode())
    assert parse_service(name, {}) == name
    assert service_of(make_instance(name, ("10.0.0.1", 1))) == name


@pytest.mark.parametrize(
    "name", ["", "1", "007", "256", "-a", "a-", "A", "a.b", "a_b", "a b", "é", "x" * 64, "a\n", "²"]
)
def test_what_is_no_name_is_told_with_how_to_write_one(name):
    assert not is_name(name.encode()) or name == "256"
    if not (name.isascii() and name.isdecimal() and name != "256"):
        with pytest.raises(ValueError, match="use a number from 0 to 255, or a name"):
            parse_service(name, {})


def test_a_name_of_the_file_stands_for_its_number():
    assert parse_service("time", {"time": 1}) == 1
    assert parse_service("2", {"time": 1}) == 2


# Alone


def test_one_that_subscribes_by_name_is_handed_out_by_name_and_to_nobody_else():
    core = alone()
    assert Subscribed(trailer=Plain()) in dict(sent(subscribed(core, ONE)))
    subscribed(core, TWO)
    assert found(core, "billing", 4) == [address_of(ONE), address_of(TWO)] * 2
    assert found(core, "other") == [None]
    ((answer, _),) = sent(core.handle(Lookup(NAMED), CLIENT, 0.0))
    assert answer == Unknown()


def test_a_number_and_a_name_at_one_address_are_two_services():
    core = alone()
    here = at("billing", *address_of(NUMBERED))
    core.handle(Subscribe(7), address_of(NUMBERED), 0.0)
    subscribed(core, here)
    assert set(core.directory.at_address(here)) == {here, NUMBERED}
    core.handle(Removed(here), address_of(here), 0.1)
    assert list(core.directory) == [NUMBERED]


def test_it_leaves_and_is_complained_about_by_name():
    core = alone()
    subscribed(core, ONE)
    subscribed(core, TWO)
    (probe,) = probes(core.handle(Complaint(ONE), CLIENT, 1.0))
    assert probe.frame.trailer.name == b"billing"
    assert found(core, "billing", 2) == [address_of(TWO)] * 2
    here = NamedPresence(nonce=probe.frame.trailer.nonce, name=b"billing", start=9)
    assert probe.is_answer(Alive(trailer=here))
    for other in (
        Alive(),
        Alive(trailer=NamedPresence(nonce=here.nonce, name=b"billings", start=9)),
        Alive(trailer=NamedPresence(nonce=here.nonce + 1, name=b"billing", start=9)),
        Alive(trailer=NamedPresence(nonce=here.nonce, name=b"billing", start=8)),
    ):
        assert not probe.is_answer(other)
    core.probed(probe, Outcome.ALIVE, 1.1)
    assert set(found(core, "billing", 2)) == {address_of(ONE), address_of(TWO)}
    ((answer, _), *_) = sent(core.handle(Removed(ONE), address_of(ONE), 2.0))
    assert answer == Removed(ONE)
    assert found(core, "billing", 2) == [address_of(TWO)] * 2


def test_many_names_share_one_directory_and_their_places_are_used_again(monkeypatch):
    monkeypatch.setattr(slots, "NAMES_MAX", 10)
    directory, versions = Directory(Limits(learned_share=1.0)), rising()
    kept = at("kept", "10.0.0.1", 1)
    assert directory.add(kept, next(versions)) is Adding.NEW
    for number in range(100):
        one = at(f"name-{number}", "10.0.0.2", number + 1)
        assert directory.add(one, next(versions)) is Adding.NEW
        assert directory.lookup(f"name-{number}") == one
        assert directory.lookup(f"name-{number - 1}") is None
        directory.remove(one, next(versions), 0.0)
    assert directory.lookup("kept") == kept
    assert directory.services() == ["kept"]
    assert directory.sizes()["names"] == (1, 10)
    for number in range(9):
        directory.add(at(f"name-{number}", "10.0.0.2", 1), next(versions))
    assert directory.add(at("one-more", "10.0.0.2", 1), next(versions)) is Adding.FULL
    assert directory.add(at("kept", "10.0.0.2", 1), next(versions)) is Adding.NEW


@pytest.mark.parametrize("seed", range(20))
def test_the_turns_of_a_name_are_as_strict_as_those_of_a_number(seed):
    """The same is done to a name and to a number: the same follows."""
    rng, directory, versions = Random(seed), Directory(), rising()
    names = {7: "seven", 8: "eight"}
    for _ in range(300):
        number, port, deed = rng.choice((7, 8)), rng.randrange(1, 6), rng.randrange(6)
        pair = [at(service, "10.0.1.1", port) for service in (number, names[number])]
        for one in pair:
            if deed == 0 and one not in directory:
                directory.add(one, next(versions))
            elif deed == 1 and one in directory:
                directory.remove(one, next(versions), 0.0)
            elif deed == 2 and one in directory:
                directory.suspect(one)
            elif deed == 3:
                directory.trust(one)
        turns = [directory.lookup(service) for service in (number, names[number])]
        assert len({turn and address_of(turn) for turn in turns}) == 1
        assert len({directory.count(service) for service in (number, names[number])}) == 1


def test_services_come_in_order_from_behind_any_of_them_however_they_come_and_go():
    rng, directory, versions = Random(5), Directory(), rising()
    services = [*range(0, 256, 3), *(f"name-{rng.randrange(10**6)}" for _ in range(300))]
    held = {}
    for _ in range(2000):
        service = rng.choice(services)
        if service in held:
            directory.remove(held.pop(service), next(versions), 0.0)
        else:
            held[service] = at(service, "10.0.0.1", services.index(service) + 1)
            directory.add(held[service], next(versions))
    in_order = sorted(held, key=lambda one: (isinstance(one, str), one))
    assert directory.services() == in_order
    assert directory.service_count() == len(in_order)
    for after in services:  # there or not
        place = isinstance(after, str), after
        behind = [one for one in in_order if (isinstance(one, str), one) > place]
        assert directory.services(7, after) == behind[:7]


@pytest.mark.smoke
def test_some_services_cost_no_more_among_many():
    """Anybody may ask for a page of them, and lookups wait meanwhile."""
    directory, versions = Directory(Limits(learned_share=1.0)), rising()

    def cost_among(count):
        for number in range(directory.service_count(), count):
            directory.add(at(f"name-{number}", "10.0.0.1", number + 1), next(versions))
        began = time.process_time()
        for _ in range(100):
            directory.services(32, "name-5")
        return time.process_time() - began

    few = cost_among(200)
    seldom_late(lambda: cost_among(20_000), 5 * few + 0.01)


def test_status_shows_as_many_services_as_fit_and_counts_all():
    core = alone()
    core.handle(Subscribe(7), address_of(NUMBERED), 0.0)
    for number in range(SERVICES_MAX):
        subscribed(core, at(f"name-{number:04}", f"10.1.{number // 200}.{number % 200 + 1}", 1))
    told = core.status(0.1)
    assert told["services"] == SERVICES_MAX + 1
    assert len(told["types"]) == SERVICES_MAX
    assert [row["type"] for row in told["types"][:2]] == [7, None]
    assert [row["service"] for row in told["types"][:2]] == ["7", "name-0000"]


# Nothing longer than the question


@pytest.mark.parametrize("name", NAMES)
def test_nobody_gets_more_than_he_sent(name):
    core, one = alone(), at(name, "10.0.1.1", 4000)
    said = Alive(trailer=Announcement.of_server(name, 2))  # the shortest start number
    effects = core.handle(said, address_of(one), 0.0)
    assert all(len(encode(frame)) <= len(encode(said)) for frame, _ in sent(effects))
    (probe,) = probes(core.tick(core.deadline()))
    assert len(encode(probe.frame)) <= len(encode(said))
    server = Server(name, {A: address_of(one)}, Random(1))
    server.start(0.0)
    ((answer, _),) = sent(server.handle(probe.frame, A, 0.0))
    assert isinstance(answer.trailer, NamedPresence)
    assert len(encode(answer)) <= len(encode(probe.frame))
    for question in (look_up(name), Removed(one)):
        effects = core.handle(question, address_of(one), 1.0)
        answers = [len(encode(frame)) for frame, to in sent(effects) if to == address_of(one)]
        assert len(answers) == 1
        assert answers[0] <= max(8, len(encode(question)))


def test_who_leaves_no_room_for_the_answer_gets_none():
    core = alone()
    subscribed(core, at("a", "10.0.1.1", 4000))
    tight = Lookup(NAMED, trailer=Query(name=b"a"))
    assert events(core.handle(tight, CLIENT, 0.0)) == [Event.OUT_OF_PLACE]
    short = Alive(trailer=Announcement(name=b"b", start=2, padding=b""))
    assert events(core.handle(short, CLIENT, 0.0)) == [Event.OUT_OF_PLACE]
    server = Server("a", {A: CLIENT}, Random(1))
    for asked in (
        None,
        Challenge(nonce=1),
        Challenge(nonce=1, name=b"a"),
        Challenge(nonce=1, name=b"b", padding=bytes(3)),
    ):
        assert server.handle(Verify(trailer=asked), A, 0.0) == []


# Servers and clients


def test_a_server_says_nothing_to_a_binder_that_would_misread_it():
    server = Server("billing", {A: CLIENT, B: CLIENT}, Random(1))
    asked = sent(server.start(0.0))
    while (when := server.deadline()) is not None and when < 1.5:
        asked += sent(server.tick(when))
    assert {type(frame.trailer) for frame, _ in asked} == {Announcement}
    assert sent(server.handle(Subscribed(), A, 1.5)) == []
    assert not server.is_ready  # that was a legacy binder
    server.handle(Subscribed(trailer=Plain()), B, 1.6)
    assert server.is_ready
    assert [to for _, to in sent(server.stop(2.0))] == [B]  # A has never shown that it reads names


def test_a_server_that_stops_before_it_is_confirmed_deregisters_where_it_has_subscribed():
    server = Server("billing", {A: CLIENT, B: CLIENT}, Random(1))
    ((_, asked),) = sent(server.start(0.0))
    ((leave, to),) = sent(server.stop(0.001))
    assert (type(leave), to) == (Removed, asked)


def asking(name="billing", binders=(A, B)) -> tuple[Client, tuple]:
    """A client that looks a name up, and whom it has asked."""
    client = Client(name, None, binders, Random(0))
    ((frame, first),) = sent(client.start(0.0))
    assert frame == look_up(name)
    return client, first


def test_a_client_takes_only_an_answer_that_shows_that_the_name_was_read():
    client, first = asking()
    ((_, second),) = sent(client.handle(Found(("10.9.9.9", 1)), first, 0.01))
    assert second != first
    assert sent(client.handle(Unknown(), second, 0.02)) == []
    assert client.outcome is None
    client.handle(Found(address_of(ONE), trailer=Plain()), second, 0.03)
    assert client.outcome == FoundService(address_of(ONE))
    client, first = asking()
    client.handle(Unknown(trailer=Plain()), first, 0.01)
    assert client.outcome == UnknownService(first)


def test_a_client_says_which_binders_know_no_names():
    client, first = asking(binders=(A,))
    client.handle(Unknown(), first, 0.01)
    while client.outcome is None:
        when = client.deadline()
        for _, to in sent(client.tick(when)):
            client.handle(Unknown(), to, when)
    assert client.outcome == NoBinder((A,), 2.0, (A,))


# Between binders


def cluster(*addresses, nameless=()) -> Net:
    """Binders that are each other's peers; `nameless` are as those before there were names."""
    return Mixed({one: binder(one, addresses) for one in addresses}, nameless)


class Mixed(Net):
    """Some binders read no key of a trailer that is newer than they are, and write none."""

    def __init__(self, binders, nameless) -> None:
        super().__init__(binders, Random(0))
        self._nameless = nameless

    def _later(self, address, letter) -> None:
        if isinstance(letter[0], bytes) and {address, letter[1]} & set(self._nameless):
            letter = (without_new_keys(letter[0]), letter[1])
        super()._later(address, letter)


def without_new_keys(data: bytes) -> bytes:
    """A datagram as one of before reads it."""
    for mark in (at_ for at_, byte in enumerate(data) if byte == 0xC1):
        try:
            keys = msgpack.unpackb(data[mark + 1 :], strict_map_key=False)
        except ValueError:
            continue
        if isinstance(keys, dict):
            cursor = keys.get(0)
            assert cursor is None or len(cursor) in (0, 7)
            old = {key: value for key, value in keys.items() if key < 18}
            return data[: mark + 1] + msgpack.packb(old)
    return data


def names_held(core) -> set:
    """The named instances that a binder holds."""
    return {one for one in core.directory if isinstance(service_of(one), str)}


def test_binders_tell_each_other_at_once_and_what_was_lost_they_find_by_comparing():
    net = cluster(A, B, C)
    net.alive = {ONE, TWO, NUMBERED}
    net.start()
    net.run(3.0)
    net.act(A, subscribed(net.binders[A], ONE, now=net.now))
    net.run(3.01)
    assert [names_held(core) for core in net.binders.values()] == [{ONE}] * 3
    net.cut = {C}
    net.act(A, subscribed(net.binders[A], TWO, now=net.now))
    leaving = net.binders[A].handle(Removed(ONE), address_of(ONE), net.now)
    net.alive.discard(ONE)
    net.act(A, leaving)
    net.run(4.0)
    assert [names_held(core) for core in net.binders.values()] == [{TWO}, {TWO}, {ONE}]
    net.cut = set()
    net.run(12.0)
    assert [names_held(core) for core in net.binders.values()] == [{TWO}] * 3
    assert net.agree()


def test_a_silent_one_goes_on_the_word_of_those_who_know_names():
    net = cluster(A, B, C, nameless=(C,))
    net.alive = {ONE, NUMBERED}
    net.start()
    net.run(8.0)
    net.act(A, subscribed(net.binders[A], ONE, now=net.now))
    net.run(10.0)
    net.alive.discard(ONE)
    net.say(A, Complaint(ONE), CLIENT)
    net.run(20.0)
    assert [names_held(core) for core in net.binders.values()] == [set()] * 3
    assert [where for _, where in net.reports(Event.EVICTED)] == [A]


def test_a_binder_of_before_is_left_in_peace_and_shares_what_it_can():
    net = cluster(A, B, C, nameless=(C,))
    net.alive = {ONE, TWO, NUMBERED}
    net.start()
    net.run(8.0)
    net.act(A, subscribed(net.binders[A], ONE, now=net.now))
    net.say(C, Subscribe(7), address_of(NUMBERED))
    net.run(16.0)
    assert [names_held(core) for core in net.binders.values()] == [{ONE}, {ONE}, set()]
    assert all(NUMBERED in core.directory for core in net.binders.values())
    for core in net.binders.values():
        assert all(peer.agrees for peer in core.peers.all())
    told = [effect.frame for _, effect in net.sent() if effect.target == C]
    assert not any(isinstance(frame, ServiceList) and others(frame) for frame in told)


def others(frame: ServiceList) -> list:
    """What a list says of named instances."""
    said = frame.trailer
    is_there = isinstance(said, Page | UnaskedPage | ListPage) and said.others
    return decode_wide(said.others) if is_there else []


def test_pages_with_the_longest_names_fit_and_bring_all():
    net = cluster(A, B)
    names = [f"{number:03}".rjust(63, "x") for number in range(150)]
    made = [at(name, "10.0.1.1", number + 1) for number, name in enumerate(names)]
    versions = rising()
    for one in made:
        net.binders[A].directory.add(one, next(versions))
    for number in range(60):
        net.binders[A].directory.add(at(7, "10.0.1.2", number + 1), next(versions))
    net.start()
    net.run(5.0)
    assert names_held(net.binders[B]) == set(made)
    assert net.agree()
    sizes = [len(encode(effect.frame)) for _, effect in net.sent()]
    assert max(sizes) <= DATAGRAM_BYTES_MAX


@pytest.mark.parametrize("wide", [1, None])
def test_a_program_gets_the_list_with_names_only_if_it_reads_them(wide):
    core = alone()
    core.handle(Subscribe(7), address_of(NUMBERED), 0.0)
    made = [at(f"{number:03}".rjust(63, "x"), "10.0.1.1", number + 1) for number in range(32)]
    for one in made:
        subscribed(core, one)
    seen, cursor = Counter(), b""
    while cursor is not None:
        asked = ListRequest(trailer=ListQuery(cursor=cursor, wide=wide, nonce=5))
        ((page, _),) = sent(core.handle(asked, ("127.0.0.1", 9), 0.0))
        assert len(encode(page)) <= DATAGRAM_BYTES_MAX
        seen.update(page.instances)
        seen.update(row.instance for row in others(page))
        cursor = page.trailer.cursor
    assert seen == Counter([NUMBERED, *made] if wide else [NUMBERED])


@pytest.mark.parametrize("asked", [ListQuery, PageRequest])
def test_who_reads_no_names_gets_none_whatever_he_asks_for(asked):
    core = binder(peers=(B,))
    core.start(0.0)
    subscribed(core, at("b", "10.0.1.1", 4000))
    cursor = at("a", "10.0.0.1", 1)
    keys = (
        {"cursor": cursor} if asked is ListQuery else {"cursor": cursor, "group": 0, "buckets": 1}
    )
    for source in (B, ("127.0.0.1", 9)):
        for frame, _ in sent(core.handle(ListRequest(trailer=asked(**keys)), source, 0.0)):
            assert frame.instances == ()
            assert others(frame) == []
            assert encode(frame)


def test_rows_of_another_kind_are_left_out_and_what_fills_no_rows_is_malformed():
    row = WideUpdate(ONE, Version(5, 6, 7), Said.THERE)
    unknown = [
        b"\x14" + bytes(20) + b"\x01" + bytes(22),  # an instance of a kind to come
        encode_wide([row])[:16] + b"\x09" + bytes(22),  # a word to come
        encode_wide([row])[:-2] + b"\x01\x00\x01",  # particulars that are none
    ]
    assert decode_wide(unknown[0] + encode_wide([row]) + unknown[1] + unknown[2]) == [row]
    for wrong in (b"\x00", encode_wide([row])[:-1], encode_wide([row] * 40)):
        assert not fills_rows(wrong)


def test_names_that_find_no_room_keep_no_number_away(monkeypatch):
    net = cluster(A, B)
    versions = rising()
    for number in range(40):
        net.binders[A].directory.add(at(f"name-{number}", "10.0.1.1", number + 1), next(versions))
    monkeypatch.setattr(slots, "NAMES_MAX", 20)
    net.start()
    net.run(5.0)
    assert 0 < len(names_held(net.binders[B])) < 40
    net.cut = {B}
    net.say(A, Subscribe(7), address_of(NUMBERED))
    net.cut = set()
    net.alive = {NUMBERED}
    net.run(7.0)
    assert NUMBERED in net.binders[B].directory


# Processes


@pytest.mark.smoke
def test_a_service_by_name_from_the_first_command_to_the_last(cluster):
    first, second = cluster.binders(2)
    server = cluster.server("billing", first)
    other = cluster.server("billing", second)
    eventually(lambda: len(json.loads(listed(second))) == 2)
    rows = json.loads(listed(first))
    assert {row["address"] for row in rows} == {server.name, other.name}
    assert {(row["service"], row["type"], row["name"]) for row in rows} == {
        ("billing", None, "billing")
    }
    assert run("client", "--type", "billing", "--binder", second.name).stdout == "hello\n"
    looked_up = {run("lookup", "billing", "--binder", first.name).stdout for _ in range(2)}
    assert looked_up == {f"{server.name}\n", f"{other.name}\n"}
    server.kill()
    client = Library(first.name)
    for _ in range(3):
        with_trouble(client)
    eventually(lambda: len(json.loads(listed(second))) == 1)
    why = run("why", "billing", server.name, "--binder", first.name)
    assert why.stdout.startswith(f"billing at {server.name}, on binder {first.name}: not listed")
    assert "evicted" in why.stdout
    status = run("status", "--binder", first.name).stdout
    assert "billing" in status
    assert "digest 0000000000000000" not in status  # it is that of names too
    missing = run("lookup", "nobody", "--binder", first.name)
    assert (missing.returncode, missing.stderr) == (
        1,
        f"prr: binder {first.name} knows no service nobody\n",
    )
    with pytest.raises(NoSuchService, match="knows no service nobody"):
        client.lookup("nobody")
    with pytest.raises(ValueError, match="use a number from 0 to 255, or a name"):
        client.lookup("Billing")
    assert other.terminate() == 0
    eventually(lambda: json.loads(listed(first)) == [])


def listed(node) -> str:
    """`list` of one binder, as JSON."""
    return run("list", "--binder", node.name, "--output", "json").stdout


def with_trouble(client) -> None:
    """A call that may meet the dead one."""
    try:
        client.call("billing", b"hello")
    except Exception as error:
        assert "service billing at" in str(error)


@pytest.mark.smoke
def test_it_is_on_disk_and_comes_back(cluster, tmp_path):
    state = ("--state", str(tmp_path / "state"))
    binder_ = cluster.binder(*state)
    server = cluster.server("billing", binder_)
    eventually(lambda: run("lookup", "billing", "--binder", binder_.name).returncode == 0)
    binder_.kill()
    again = cluster.start("binder", "--listen", binder_.name, *state)
    assert again.address
    assert run("lookup", "billing", "--binder", again.name).stdout == f"{server.name}\n"


@pytest.mark.smoke
def test_the_library_says_which_binder_is_too_old():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old:
        old.bind(("127.0.0.1", 0))
        old.settimeout(0.5)

        def serve() -> None:
            with suppress(TimeoutError):
                while True:
                    data, source = old.recvfrom(64)
                    assert data[:2] == b"\x02\xff"
                    old.sendto(b"\x04", source)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(NoBinderAnswered, match="knows services by name"):
            Library(describe_address(old.getsockname())).lookup("billing")
        serving.join()
