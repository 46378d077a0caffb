"""All instances of one service: told page by page to whoever asks, and no more than he sends."""

import json
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from prr import Client
from prr.client.instances import instances_of
from prr.core.asking import BINDER_LIMIT, REFUSED_LIMIT
from prr.core.binder import Binder
from prr.core.directory import directory as directory_module
from prr.core.effects import Event
from prr.core.outcomes import NoBinder
from prr.core.whole_client import WholeClient
from prr.wire.frames import Found, Lookup, Role, Unknown
from prr.wire.instance import NAMED, Service, address_of, service_of
from prr.wire.messages import Hello
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.version import Version
from prr.wire.whole_service import PADDING_BYTES_MIN, WholePage, WholeQuery
from prr.wire.wide import decode_wide
from tests.cores import at, decode, encode, random_particulars, rising, run, sent
from tests.nodes import eventually
from tests.nodes import run as run_node

CLIENT = ("10.0.2.1", 5000)
BINDERS = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
LONGEST = encode_particulars(Particulars(16, "z" * 63, {"k": "v" * 254}, ("2001:db8::1", 1)))


def holding(instances, said=None) -> Binder:
    """A binder that holds these, with what each says of itself, and others."""
    core = Binder(frozenset(), (), 1, Random(1), lease=1e9)
    core.start(0.0)
    rng = Random(2)
    for one, version in zip(instances, rising(), strict=False):
        particulars = encode_particulars(random_particulars(rng)) if said is None else said
        core.directory.add(one, version, particulars=particulars)
    for number in range(50):
        core.directory.add(at(number % 9 + 200, "10.0.3.1", number + 1), Version(1, 1, 1))
    return core


def of(service: Service, count: int) -> list:
    """So many instances of a service, of either family."""
    ips = ("10.0.{}.{}", "2001:db8::{:x}:{:x}")
    return [at(service, ips[n % 2].format(n >> 7, n & 127), n + 1) for n in range(count)]


def ask(core, service, **changes) -> list:
    """What a client is told."""
    asked = replace(WholeQuery.about(service, 5), **changes)
    question = Lookup(service if isinstance(service, int) else NAMED, trailer=asked)
    answers = sent(core.handle(decode(encode(question), Role.BINDER), CLIENT, 1.0))
    for frame, target in answers:
        assert target == CLIENT
        assert len(encode(frame)) <= len(encode(question))
    return [decode(encode(frame), Role.CLIENT).trailer for frame, _ in answers]


def ask_on(core, service) -> Counter:
    """All that he is told who follows the cursors, and how often."""
    seen, page = Counter(), WholePage(nonce=5, others=b"", offset=0)
    while page.cursor is not None or page.offset is not None:
        (page,) = ask(core, service, cursor=page.cursor or b"", offset=page.offset or 0)
        seen.update((row.instance, row.particulars) for row in decode_wide(page.others))
        assert not page.cursor or service_of(page.cursor) == service  # no other's is told
    return seen


# The binder.


@pytest.mark.smoke
@pytest.mark.parametrize("looks", [3, 100, 10_000])
@pytest.mark.parametrize("service", [7, 255, "billing", "x" * 63])
@pytest.mark.parametrize("said", [None, b"", LONGEST])
def test_who_follows_the_cursors_is_told_each_once(service, looks, said, monkeypatch):
    monkeypatch.setattr(directory_module, "LOOKS", looks)
    made = of(service, 150)
    core = holding(made, said)
    told = ask_on(core, service)
    assert told == Counter((one, core.directory.particulars(one)) for one in made)


def test_there_may_be_none():
    core = holding([])
    assert ask(core, 7) == [WholePage(nonce=5, others=b"")]
    assert ask(core, "billing") == [WholePage(nonce=5, others=b"")]


def test_a_page_costs_no_more_with_many_instances(monkeypatch):
    monkeypatch.setattr(directory_module, "LOOKS", 20)
    core = holding(of(7, 200), b"")
    (page,) = ask(core, 7)
    assert page.offset == 20
    (page,) = ask(core, 7, offset=2**32 - 1)
    assert (page.others, page.offset) == (b"", None)


def test_a_suspect_is_told_as_one():
    made = of("billing", 3)
    core = holding(made)
    core.directory.suspect(made[1])
    (page,) = ask(core, "billing")
    rows = {row.instance: row for row in decode_wide(page.others)}
    listed = instances_of(rows)
    assert [one.address for one in listed if one.is_suspect] == [address_of(made[1])]


def test_no_version_is_told_with_whose_start_number_a_lease_might_be_renewed():
    (page,) = ask(holding(of(7, 5)), 7)
    assert {row.version for row in decode_wide(page.others)} == {Version(0, 0, 0)}


@pytest.mark.parametrize("padding", [0, 1, 255, PADDING_BYTES_MIN - 1])
def test_a_question_without_room_for_any_row_is_not_answered(padding):
    core = holding(of(7, 5))
    assert ask(core, 7, padding=bytes(padding)) == []
    assert ask(core, 7, padding=bytes(PADDING_BYTES_MIN)) != []


def test_a_cursor_of_another_service_is_not_answered():
    core = holding(of(7, 5))
    asked = WholeQuery.about(7, 5, at(8, "10.0.0.1", 1))
    (report,) = core.handle(Lookup(7, trailer=asked), CLIENT, 1.0)
    assert report.event is Event.OUT_OF_PLACE


def test_a_binder_that_has_not_heard_its_peers_says_nothing_yet():
    core = Binder(frozenset(), (BINDERS[1],), 1, Random(1))
    core.start(0.0)
    assert ask(core, 7) == []


# The client.


def started(service=7, seed=0):
    """A client that has asked its first binder, that binder, and its question."""
    client = WholeClient(service, BINDERS, Random(seed))
    ((frame, binder),) = sent(client.start(0.0))
    return client, binder, frame


def answer(core, frame):
    """What a binder answers."""
    ((page, _),) = sent(core.handle(frame, CLIENT, 1.0))
    return page


@pytest.mark.parametrize("service", [7, "billing"])
def test_it_asks_on_until_it_has_all_wherever(service):
    made = of(service, 120)
    core = holding(made)
    client, binder, frame = started(service)
    others = [one for one in BINDERS if one != binder]
    for turn in range(100):
        effects = client.handle(answer(core, frame), binder, 0.01 * turn)
        if client.outcome is not None:
            break
        ((frame, asked),) = sent(effects)
        assert asked == binder  # the same one goes on
        if turn == 1:  # it dies: any other goes on
            ((frame, binder),) = sent(client.refused(binder, 0.01 * turn))
            assert binder in others
    assert set(client.outcome) == set(made)
    assert client.deadline() is None
    assert client.handle(answer(core, frame), binder, 9.0) == []


def test_what_is_lost_is_asked_for_again_and_a_late_copy_changes_nothing():
    core = holding(of(7, 120))
    client, binder, frame = started()
    again = [(when, one) for when, one in run(client, 1.0) if sent([one])]
    assert {sent([one])[0][1] for _, one in again} == set(BINDERS)
    page = answer(core, frame)
    ((following, _),) = sent(client.handle(page, binder, 1.0))
    assert client.handle(page, binder, 1.0) == []
    assert following.trailer.cursor == page.trailer.cursor


def test_binders_that_cannot_tell_are_named():
    client, binder, _ = started()
    effects = client.handle(Found(("10.0.1.1", 1)), binder, 0.0)
    ((_, second),) = sent(effects)
    ((_, third),) = sent(client.handle(Unknown(), second, 0.0))
    client.handle(Found(("10.0.1.1", 1), trailer=Hello(binder=5)), third, 0.0)
    run(client, 60.0)
    assert client.outcome == NoBinder(client.outcome.asked, REFUSED_LIMIT, tuple(sorted(BINDERS)))


def test_nobody_answers():
    client, _, _ = started()
    run(client, 60.0)
    assert client.outcome == NoBinder(client.outcome.asked, BINDER_LIMIT)


def test_a_binder_that_sends_one_in_a_circle_is_given_up():
    client, binder, frame = started()
    turns = 0
    while sent_now := frame:
        asked = sent_now.trailer
        cursor = at(7, "10.0.0.1", 1 + turns % 3)
        page = Found(
            ("0.0.0.0", 0), trailer=WholePage(nonce=asked.nonce, others=b"", cursor=cursor)
        )
        effects = sent(client.handle(page, binder, 0.0))
        frame = effects[0][0] if effects else None
        binder = effects[0][1] if effects else binder
        turns += 1
        assert turns < 20
    run(client, 60.0)
    assert isinstance(client.outcome, NoBinder)


def test_instances_of_another_service_are_not_taken_for_its():
    client, binder, frame = started()
    core = holding(of(8, 3))
    page = answer(core, Lookup(8, trailer=WholeQuery.about(8, frame.trailer.nonce)))
    client.handle(page, binder, 0.0)
    assert client.outcome == {}


# As processes.


@pytest.mark.smoke
def test_all_of_a_service_and_those_of_a_zone_first(cluster):
    binder = cluster.binder()
    zones = ("eu", "eu", "us")
    for zone in zones:
        said = ("--zone", zone, "--tag", f"in={zone}", "--weight", "2")
        cluster.start("server", "--type", "billing", *said, "--binder", binder.name)
    client = Client([binder.name])
    eventually(lambda: [one.zone for one in client.instances("billing")].count("") == 0)
    eventually(lambda: len(client.instances("billing")) == 3)
    found = client.instances("billing")
    assert sorted(one.zone for one in found) == sorted(zones)
    assert all(one.tags == {"in": one.zone} and one.weight == 2 for one in found)
    by_zone = {zone: {one.address for one in found if one.zone == zone} for zone in zones}
    for zone in ("eu", "us"):
        near = Client([binder.name], zone=zone)
        assert {near.lookup("billing") for _ in range(6)} == by_zone[zone]
        done = run_node("lookup", "billing", "--zone", zone, "--binder", binder.name)
        ip, port = done.stdout.strip().split(":")
        assert (ip, int(port)) in by_zone[zone]
    anywhere = Client([binder.name], zone="nowhere")
    assert {anywhere.lookup("billing") for _ in range(12)} == {one.address for one in found}
    done = run_node("lookup", "--all", "billing", "--binder", binder.name, "--output", "json")
    rows = json.loads(done.stdout)
    keys = {"service", "type", "name", "address", "weight", "zone", "tags", "state"}
    assert [set(row) for row in rows] == [keys] * 3
    assert {row["state"] for row in rows} == {"up"}
    text = run_node("lookup", "--all", "billing", "--binder", binder.name).stdout
    assert len(text.splitlines()) == 4
    none = run_node("lookup", "--all", "nobody", "--binder", binder.name)
    assert (none.returncode, client.instances("nobody")) == (1, [])


def test_a_zone_that_is_none_is_told():
    with pytest.raises(ValueError, match="such as eu-west-1"):
        Client(["127.0.0.1:2222"], zone="EU")
