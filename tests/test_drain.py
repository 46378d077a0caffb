"""Instances that an operator has taken out of turn for a time: at one binder, and at several."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.directory.digests import entry_of
from prr.core.effects import Confirm, Event, KeepDrains, Outcome, Persist, ProbeAll, Report, Send
from prr.core.lease import lease_row
from prr.core.replication import drains
from prr.wire.drain import (
    Drain,
    decode_drain,
    drain_in,
    encode_drain,
    is_drained,
    own_particulars,
    with_drain,
)
from prr.wire.frames import Added, Complaint, ListRequest, Lookup, Removed, Role, Subscribe
from prr.wire.inquiries import DrainQuery, ListQuery, TextPart, TextQuery
from prr.wire.instance import address_of, is_wide
from prr.wire.messages import Started, Versioned
from prr.wire.particulars import (
    DRAIN_SECONDS_MAX,
    OWN_BYTES_MAX,
    PARTICULARS_BYTES_MAX,
    Particulars,
    encode_field,
    encode_particulars,
    is_particulars,
)
from prr.wire.trailer import Drained, Listed, Question
from prr.wire.version import Version, encode_version
from prr.wire.whole_service import WholeQuery
from prr.wire.wide import decode_wide
from tests.cores import Net, at, decode, encode, events, probes
from tests.samples import sample

pytestmark = pytest.mark.elsewhere

A, B, C = [(f"10.0.0.{number}", 2222) for number in (1, 2, 3)]
OPERATOR = ("127.0.0.1", 50000)
ONE, TWO, THREE = [at(7, f"10.0.1.{number}", 4000) for number in (1, 2, 3)]
SIX = at(7, "2001:db8::1", 4000)
NAMED = at("billing", "10.0.1.9", 4000)
WHY = b"new disk"


def alone(*instances, **options) -> Binder:
    """A binder without peers, with which these have subscribed."""
    binder = Binder(frozenset(), (), 1, Random(1), **options)
    binder.start(0.0)
    for instance in instances:
        subscribe(binder, instance, 0.0)
    return binder


def subscribe(binder, instance, now, start=9, particulars=None):
    said = Started(start=start, particulars=particulars)
    return binder.handle(Subscribe(7, trailer=said), address_of(instance), now)


def question(instance, seconds, why=WHY, last=None, nonce=5):
    place = {"instance": instance} if is_wide(instance) else {"cursor": instance}
    asked = DrainQuery(
        question=Question.DRAIN, seconds=seconds, nonce=nonce, text=why, last=last, **place
    )
    return ListRequest(trailer=asked)


def drain(binder, instance, seconds, now, **options):
    """What is answered, and all that follows."""
    effects = binder.handle(question(instance, seconds, **options), OPERATOR, now)
    (said,) = [
        one.frame.trailer.text.decode()
        for one in effects
        if isinstance(one, Send | Confirm) and isinstance(one.frame.trailer, TextPart)
    ]
    return Drained(said), effects


def live(binder, until):
    """Time passes, in which whoever is asked answers: what the binder has done."""
    done = []
    while (when := binder.deadline()) is not None and when <= until:
        effects = binder.tick(when)
        done += effects
        for probe in probes(effects):
            binder.probed(probe, Outcome.ALIVE, when)
        for together in (one for one in effects if isinstance(one, ProbeAll)):
            binder.answered_all(together, together.instances, when)
    return done


def found(binder, count=12, service=7):
    """Who is handed out."""
    return {binder.directory.lookup(service) for _ in range(count)}


# The word.


def test_a_word_is_read_as_it_was_written_and_the_later_one_is_greater():
    first = Drain(0).followed_by(600, "é")
    words = [first, first.followed_by(0, ""), first.followed_by(5, ""), first.followed_by(5, "why")]
    assert [decode_drain(encode_drain(word)) for word in words] == words
    assert [*map(encode_drain, words)] == sorted(map(encode_drain, words))
    assert decode_drain(b"") == Drain(0)
    last = Drain(2**32 - 2, 5)
    assert last.is_last
    assert is_particulars(with_drain(b"", encode_drain(last)))
    over = last.followed_by(0, "")
    assert encode_drain(over) > encode_drain(last)
    assert over.followed_by(0, "") == over


def test_a_word_stands_beside_whatever_else_is_said():
    own = encode_particulars(Particulars(weight=3, zone="eu", tags={"a": "b"}))
    later = encode_field(9, b"x")
    word = encode_drain(Drain(1, 600, "why"))
    for said in (b"", own, later, own + later):
        drained = with_drain(said, word)
        assert is_particulars(drained)
        assert (is_drained(drained), is_drained(said)) == (True, False)
        assert drain_in(drained) == word
        assert own_particulars(drained) == said == with_drain(drained, b"")
        over = with_drain(drained, encode_drain(Drain(2)))
        assert is_particulars(over)
        assert not is_drained(over)


def test_a_word_has_room_whatever_a_server_says():
    """Else a stranger who fills his particulars could not be drained."""
    word = encode_drain(Drain(1, DRAIN_SECONDS_MAX, "x" * 100))
    for size in (OWN_BYTES_MAX - 3, OWN_BYTES_MAX - 2, PARTICULARS_BYTES_MAX - 3):
        said = encode_field(9, bytes(size))
        assert is_particulars(said)
        assert is_particulars(with_drain(said, word))


@pytest.mark.parametrize(
    "word",
    [
        b"\0\0\0\1\0\0\0",
        encode_drain(Drain(1, DRAIN_SECONDS_MAX + 1)),
        encode_drain(Drain(1, 5, "x" * 101)),
        encode_drain(Drain(1, 5, "a\nb")),
        encode_drain(Drain(1, 5)) + b"\xff",
        encode_drain(Drain(1, 0, "why")),
        encode_drain(Drain(2**32 - 1, 5)),
    ],
    ids=[
        "short",
        "too long a time",
        "too long a text",
        "two lines",
        "no UTF-8",
        "a useless text",
        "no last word",
    ],
)
def test_what_is_no_word_is_not_read(word):
    assert not is_particulars(encode_field(5, word))


# At one binder.


def test_a_drained_one_is_out_of_turn_until_its_time_is_over():
    binder = alone(ONE, TWO)
    answer, effects = drain(binder, ONE, 600, 1.0)
    assert answer is Drained.DONE
    (report,) = [one for one in effects if isinstance(one, Report)]
    assert (report.event, report.of) == (Event.DRAINED, ONE)
    assert report.why == "for 10 min, by 127.0.0.1: new disk"
    assert found(binder) == {TWO}
    assert Event.UNDRAINED not in events(live(binder, 600.9))
    assert found(binder) == {TWO}
    over = [one for one in live(binder, 601.0) if isinstance(one, Report)]
    assert [(one.event, one.why) for one in over] == [(Event.UNDRAINED, "its time is over")]
    assert found(binder) == {ONE, TWO}


def test_an_operator_puts_it_back():
    binder = alone(ONE, TWO)
    drain(binder, ONE, 600, 1.0)
    answer, effects = drain(binder, ONE, 0, 2.0)
    assert (answer, events(effects)) == (Drained.DONE, [Event.UNDRAINED])
    assert found(binder) == {ONE, TWO}
    assert drain(binder, ONE, 0, 3.0)[0] is Drained.DONE
    assert binder.inspect().sizes["drains"][0] == 0


def test_a_later_drain_counts_from_when_it_is_said_and_a_copy_does_not():
    binder = alone(ONE, TWO)
    drain(binder, ONE, 100, 0.0)
    assert events(drain(binder, ONE, 100, 1.0)[1]) == []
    assert lease_row(binder.lease(ONE), 1.0)["drain_s"] == 99
    assert events(drain(binder, ONE, 100, 50.0)[1]) == [Event.DRAINED]
    assert events(drain(binder, ONE, 30, 51.0, why=b"")[1]) == [Event.DRAINED]
    row = lease_row(binder.lease(ONE), 51.0)
    assert (row["drain_s"], row["drain_why"]) == (30, None)


def test_the_last_one_is_drained_only_if_that_is_meant_and_is_handed_out_then():
    binder = alone(ONE, TWO)
    drain(binder, ONE, 600, 0.0)
    assert drain(binder, TWO, 600, 0.0)[0] is Drained.LAST
    assert found(binder) == {TWO}
    assert drain(binder, TWO, 600, 0.0, last=1)[0] is Drained.DONE
    assert found(binder) == {ONE, TWO}
    assert drain(binder, TWO, 300, 10.0)[0] is Drained.DONE  # it is drained already
    binder.directory.suspect(ONE)
    assert found(binder) == {TWO}  # before a suspect


def test_one_that_is_the_last_for_those_who_take_no_ipv6_is_a_last_one_too():
    binder = alone(ONE)
    subscribe(binder, SIX, 0.0)
    assert drain(binder, ONE, 600, 0.0)[0] is Drained.LAST
    assert drain(binder, SIX, 600, 0.0)[0] is Drained.DONE


def test_a_suspect_is_no_other():
    binder = alone(ONE, TWO)
    binder.directory.suspect(TWO)
    assert drain(binder, ONE, 600, 0.0)[0] is Drained.LAST
    assert drain(binder, TWO, 600, 0.0)[0] is Drained.DONE
    binder.directory.trust(TWO)
    assert found(binder) == {ONE}


def test_what_is_not_held_cannot_be_drained_nor_can_too_many(monkeypatch):
    binder = alone(ONE, TWO, THREE)
    assert drain(binder, NAMED, 600, 0.0)[0] is Drained.NOT_HELD
    monkeypatch.setattr("prr.core.replication.draining.DRAINS_MAX", 1)
    assert drain(binder, ONE, 600, 0.0)[0] is Drained.DONE
    assert drain(binder, TWO, 600, 0.0)[0] is Drained.TOO_MANY
    assert drain(binder, ONE, 700, 0.0)[0] is Drained.DONE


def test_only_a_program_on_the_binder_s_own_host_may_say_so():
    binder = alone(ONE, TWO)
    for stranger in (("10.0.2.1", 5), address_of(ONE)):
        effects = binder.handle(question(ONE, 600), stranger, 0.0)
        assert events(effects) == [Event.OUT_OF_PLACE]
    assert found(binder) == {ONE, TWO}


def test_what_is_no_question_of_that_kind_is_not_answered():
    binder = alone(ONE, TWO)
    for asked in (
        TextQuery(question=Question.DRAIN, cursor=ONE),
        DrainQuery(question=Question.WHY, seconds=5, cursor=ONE),
        DrainQuery(question=Question.DRAIN, seconds=5, cursor=ONE, text=b"x" * 101),
        DrainQuery(question=Question.DRAIN, seconds=5, cursor=ONE, text=b"a\nb"),
    ):
        assert events(binder.handle(ListRequest(trailer=asked), OPERATOR, 0.0)) == [
            Event.OUT_OF_PLACE
        ]
    assert found(binder) == {ONE, TWO}


def test_a_question_that_names_nothing_drains_nothing():
    asked = DrainQuery(question=Question.DRAIN, seconds=9, nonce=1, text=WHY)
    frame = decode(encode(ListRequest(trailer=asked)), Role.BINDER)
    assert [one.event for one in alone(ONE).handle(frame, OPERATOR, 1.0)] == [Event.OUT_OF_PLACE]


def test_whatever_its_server_says_a_drained_one_stays_drained():
    """A renewal, a new process, other particulars, and a leave with a return."""
    binder = alone(ONE, TWO)
    drain(binder, ONE, 600, 0.0)
    version = binder.directory.version(ONE)
    subscribe(binder, ONE, 5.0)
    assert binder.directory.version(ONE) == version  # a renewal is no news
    heavy = encode_particulars(Particulars(weight=3))
    for said in ({}, {"start": 10}, {"start": 10, "particulars": heavy}):
        subscribe(binder, ONE, 6.0, **said)
        assert found(binder) == {TWO}
    assert binder.directory.particulars(ONE).startswith(heavy)
    binder.handle(Removed(ONE), address_of(ONE), 7.0)
    assert ONE not in binder.directory
    live(binder, 400.0)  # its removal is forgotten
    subscribe(binder, ONE, 400.0, start=11)
    live(binder, 401.0)
    assert ONE in binder.directory
    assert found(binder) == {TWO}
    live(binder, 601.0)
    assert found(binder) == {ONE, TWO}


def test_one_that_is_gone_is_put_back_for_when_it_returns():
    binder = alone(ONE, TWO)
    drain(binder, ONE, 600, 0.0)
    binder.handle(Removed(ONE), address_of(ONE), 1.0)
    assert drain(binder, ONE, 300, 2.0)[0] is Drained.NOT_HELD
    answer, effects = drain(binder, ONE, 0, 2.0)
    assert (answer, events(effects)) == (Drained.GONE, [Event.UNDRAINED])
    assert drain(binder, ONE, 0, 2.5)[0] is Drained.GONE  # its answer was lost
    subscribe(binder, ONE, 3.0, start=10)
    live(binder, 4.0)
    assert found(binder) == {ONE, TWO}
    assert drain(binder, THREE, 0, 4.0)[0] is Drained.NOT_HELD
    assert drain(binder, ONE, 600, 5.0)[0] is Drained.DONE
    assert found(binder) == {TWO}


def test_no_server_drains_itself():
    said = with_drain(encode_particulars(Particulars(zone="eu")), encode_drain(Drain(9, 600)))
    binder = alone(TWO)
    subscribe(binder, ONE, 0.0, particulars=said)
    assert found(binder) == {ONE, TWO}
    assert binder.directory.particulars(ONE) == own_particulars(said)
    version = binder.directory.version(ONE)
    subscribe(binder, ONE, 1.0, particulars=said)
    assert binder.directory.version(ONE) == version


def test_a_complaint_has_it_asked_and_its_answer_puts_it_back_as_drained():
    binder = alone(ONE, TWO)
    drain(binder, ONE, 600, 0.0)
    (probe,) = probes(binder.handle(Complaint(ONE), ("10.0.2.1", 5), 1.0))
    assert probe.instance == ONE
    assert binder.directory.is_suspect(ONE)
    binder.probed(probe, Outcome.ALIVE, 1.1)
    assert not binder.directory.is_suspect(ONE)
    assert binder.directory.is_drained(ONE)
    assert found(binder) == {TWO}


def test_the_list_says_drained_and_for_how_long_and_a_client_is_not_told_why():
    binder = alone(ONE, TWO)
    drain(binder, ONE, 600, 0.0)
    (send,) = binder.handle(ListRequest(trailer=ListQuery(wide=1)), OPERATOR, 100.5)
    page = send.frame.trailer
    assert [*map(Listed, page.states)] == [Listed.UP, Listed.DRAINED]
    (row,) = decode_wide(page.others)
    assert decode_drain(drain_in(row.particulars)) == Drain(1, 500, "new disk")
    asked = Lookup(7, trailer=WholeQuery.about(7, 1))
    (told,) = binder.handle(asked, ("10.0.2.1", 5), 1.0)
    rows = {one.instance: one.particulars for one in decode_wide(told.frame.trailer.others)}
    assert decode_drain(drain_in(rows[ONE])) == Drain(1, 600)
    assert rows[TWO] == b""


def test_who_asks_for_a_zone_gets_another_one_rather_than_its_drained_one():
    binder = alone(TWO)
    subscribe(binder, ONE, 0.0, particulars=encode_particulars(Particulars(zone="eu")))
    assert binder.directory.lookup(7, "eu") == ONE
    drain(binder, ONE, 600, 0.0)
    assert binder.directory.lookup(7, "eu") == TWO


# Kept.


def test_it_is_confirmed_once_it_is_on_disk_and_restored_with_its_word():
    binder = alone(ONE, TWO, keeps=True)
    _, effects = drain(binder, ONE, 600, 0.0)
    (update,) = [one.updates for one in effects if isinstance(one, Persist)]
    assert [*update] == [ONE]
    assert any(isinstance(one, Confirm) for one in effects)
    word = encode_version(update[ONE].version) + update[ONE].particulars
    other = Binder(frozenset(), (), 2, Random(1), keeps=True)
    plain = encode_version(Version(9, 2, 5))
    other.learn([entry_of(ONE, word), entry_of(TWO, plain)], [], 100.0)
    other.start(100.0)
    assert found(other) == {TWO}
    assert lease_row(other.lease(ONE), 100.0)["drain_s"] == 600
    live(other, 700.0)
    assert not other.directory.is_drained(ONE)


def test_what_was_kept_of_one_that_renews_before_it_is_read_counts_all_the_same():
    binder = alone(ONE, TWO, keeps=True)
    _, effects = drain(binder, ONE, 600, 0.0)
    (update,) = [one.updates for one in effects if isinstance(one, Persist)]
    word = encode_version(update[ONE].version) + update[ONE].particulars
    other = Binder(frozenset(), (), 2, Random(1), keeps=True)
    for instance in (ONE, TWO):  # what has waited in the queue while it was down
        other.handle(Subscribe(7, trailer=Started(start=5)), address_of(instance), 100.0)
    effects = other.learn([entry_of(ONE, word)], [], 100.1)
    assert other.directory.is_drained(ONE)
    assert any(ONE in one.updates for one in effects if isinstance(one, Persist))
    other.start(100.2)
    assert found(other) == {TWO}
    live(other, 701.0)
    assert not other.directory.is_drained(ONE)


def kept_in(effects):
    return [list(one.rows) for one in effects if isinstance(one, KeepDrains)]


def test_what_is_to_be_kept_is_what_there_is_when_it_is_written():
    """However many changes one frame brings: else each would cost as much as all there are."""
    binder = alone(ONE, TWO, THREE, keeps=True)
    effects = drain(binder, ONE, 600, 0.0)[1]
    drain(binder, TWO, 600, 0.0)
    (rows,) = kept_in(effects)
    assert [row[0] for row in rows] == [ONE, TWO]
    assert kept_in(subscribe(binder, THREE, 1.0)) == []


def test_the_time_that_a_binder_was_down_counts():
    binder = alone(ONE, TWO, keeps=True)
    (kept,) = kept_in(drain(binder, ONE, 600, 0.0)[1])
    ((instance, word, ends_at),) = kept
    assert (instance, decode_drain(word), ends_at) == (ONE, Drain(1, 600, "new disk"), 600.0)
    row = encode_version(Version(9, 2, 5)) + binder.directory.particulars(ONE)
    for left in (100.0, 0.0):
        other = Binder(frozenset(), (), 2, Random(1), keeps=True)
        plain = encode_version(Version(9, 2, 5))
        other.learn([entry_of(ONE, row), entry_of(TWO, plain)], [], 5.0)
        effects = other.start(5.0, [(ONE, word, left), (THREE, word, left)])
        assert other.directory.is_drained(ONE) is (left > 0)
        assert (Event.UNDRAINED in events(effects)) is (left == 0)
        assert [len(rows) for rows in kept_in(effects)] == [2 if left else 0]
        assert left == 0 or lease_row(other.lease(ONE), 5.0)["drain_s"] == left


def test_one_that_was_put_back_is_so_after_a_restart_too():
    binder = alone(ONE, TWO, keeps=True)
    drain(binder, ONE, 600, 0.0)
    binder.handle(Removed(ONE), address_of(ONE), 1.0)
    ((_, word, ends_at),) = kept_in(drain(binder, ONE, 0, 100.0)[1])[0]
    assert (decode_drain(word), ends_at) == (Drain(2), 600.0)
    other = Binder(frozenset(), (), 2, Random(1), keeps=True)
    other.start(0.0, [(ONE, word, 500.0)])
    assert drain(other, ONE, 0, 1.0)[0] is Drained.GONE
    assert kept_in(live(other, 500.0)) == [[]]


def test_one_that_was_gone_and_comes_back_before_the_file_is_read_is_still_drained():
    word = encode_drain(Drain(1, 600, "new disk"))
    binder = Binder(frozenset(), (), 2, Random(1), keeps=True)
    for instance in (ONE, TWO):
        subscribe(binder, instance, 0.0)
    effects = binder.start(0.1, [(ONE, word, 100.0)])
    assert found(binder) == {TWO}
    assert any(ONE in one.updates for one in effects if isinstance(one, Persist))
    live(binder, 100.2)
    assert found(binder) == {ONE, TWO}


def test_what_was_kept_of_a_drain_does_not_undo_what_peers_have_said_since():
    binder = alone(ONE, TWO, keeps=True)
    drain(binder, ONE, 600, 0.0)
    word = drain_in(binder.directory.particulars(ONE))
    drain(binder, ONE, 0, 1.0)
    binder.start(2.0, [(ONE, word, 500.0)])
    assert not binder.directory.is_drained(ONE)
    assert lease_row(binder.lease(ONE), 2.0)["drain_s"] is None


# At several.


def cluster(*instances, loss=0.0):
    """Three binders that know these, of the first."""
    net = Net(
        {
            own: Binder(
                frozenset(), tuple(one for one in (A, B, C) if one != own), number, Random(number)
            )
            for number, own in enumerate((A, B, C), 1)
        }
    )
    net.start()
    net.run(1.0)
    net.alive = set(instances)
    for instance in instances:
        net.say(A, Subscribe(7, trailer=Started(start=9)), address_of(instance))
    net.run(2.0)
    net.loss = loss
    return net


def drained_at(net, instance):
    return {own for own, core in net.binders.items() if core.directory.is_drained(instance)}


def agree(net):
    return len({core.directory.digest() for core in net.binders.values()}) == 1


def renew(net, seconds, *instances):
    """Time passes, in which these renew with the first binder."""
    for _ in range(int(seconds / 4)):
        for instance in instances:
            net.say(A, Subscribe(7, trailer=Started(start=9)), address_of(instance))
        net.run(net.now + 4.0)


def test_all_binders_know_it_at_once_and_one_puts_it_back_for_all():
    net = cluster(ONE, TWO)
    net.say(B, question(ONE, 20), OPERATOR)
    net.run(net.now + 0.01)
    assert drained_at(net, ONE) == {A, B, C}
    renew(net, 16, ONE, TWO)
    assert drained_at(net, ONE) == {A, B, C}
    renew(net, 8, ONE, TWO)
    assert drained_at(net, ONE) == set()
    reports = [one for _, _, one in net.done if isinstance(one, Report)]
    whys = {one.why for one in reports if one.event is Event.UNDRAINED}
    assert "its time is over" in whys
    assert agree(net)
    net.say(C, question(ONE, 20), OPERATOR)
    net.run(net.now + 0.01)
    net.say(B, question(ONE, 0), OPERATOR)
    net.run(net.now + 0.01)
    assert drained_at(net, ONE) == set()
    assert agree(net)


def test_a_drain_outlives_newer_versions_from_the_other_side_of_a_cut():
    """There it restarts, and other binders take it over: their versions are newer."""
    net = cluster(ONE, TWO)
    net.cut = {B}
    net.say(B, question(ONE, 600), OPERATOR)
    net.say(A, Subscribe(7, trailer=Started(start=10)), address_of(ONE))
    net.say(A, Subscribe(7, trailer=Started(start=11)), address_of(ONE))
    net.run(net.now + 1.0)
    assert drained_at(net, ONE) == {B}
    net.cut = set()
    net.run(net.now + 30.0)
    assert drained_at(net, ONE) == {A, B, C}
    assert agree(net)


def test_what_is_drained_with_the_highest_number_can_be_put_back_and_ends():
    """Else a faulty binder could drain it for ever: each end would be older than the drain."""
    for ends_by in ("an operator", "time"):
        net = cluster(ONE, TWO)
        word = encode_drain(Drain(2**32 - 2, 20))
        version = net.binders[B].directory.version(ONE)
        faulty = Versioned(
            binder=2, versions=encode_version(version), particulars=with_drain(b"", word)
        )
        net.say(A, Added(ONE, trailer=faulty), B)
        net.run(net.now + 3.0)
        assert drained_at(net, ONE) == {A, B, C}
        if ends_by == "an operator":
            net.say(C, question(ONE, 0), OPERATOR)
            net.run(net.now + 3.0)
        else:
            renew(net, 28, ONE, TWO)
        assert drained_at(net, ONE) == set()
        assert agree(net)
        assert drain(net.binders[A], ONE, 5, net.now)[0] is Drained.TOO_MANY


def test_who_was_away_learns_that_it_is_over():
    net = cluster(ONE, TWO)
    net.say(B, question(ONE, 600), OPERATOR)
    net.run(net.now + 0.1)
    net.cut = {C}
    net.say(A, question(ONE, 0), OPERATOR)
    net.run(net.now + 1.0)
    assert drained_at(net, ONE) == {C}
    net.cut = set()
    net.run(net.now + 30.0)
    assert drained_at(net, ONE) == set()
    assert agree(net)


def leave(net, instance):
    net.alive.discard(instance)
    net.say(A, Removed(instance), address_of(instance))
    net.run(net.now + 0.5)


def held_at(net, instance):
    return {own for own, core in net.binders.items() if instance in core.directory}


def come_back(net, instance, binder):
    net.alive.add(instance)
    net.say(binder, Subscribe(7, trailer=Started(start=12)), address_of(instance))
    net.run(net.now + 2.0)
    assert held_at(net, instance) == {A, B, C}


@pytest.mark.parametrize("binder", [A, B])
def test_one_that_was_put_back_while_it_was_gone_is_so_wherever_it_returns(binder):
    net = cluster(ONE, TWO)
    net.say(B, question(ONE, 600), OPERATOR)
    net.run(net.now + 0.1)
    leave(net, ONE)
    net.run(net.now + 3.0)
    assert held_at(net, ONE) == set()
    net.say(C, question(ONE, 0), OPERATOR)
    net.run(net.now + 0.1)
    come_back(net, ONE, binder)
    assert drained_at(net, ONE) == set()
    assert agree(net)


def test_one_that_was_put_back_and_left_is_not_drained_again_by_who_was_away():
    net = cluster(ONE, TWO)
    net.say(B, question(ONE, 600), OPERATOR)
    net.run(net.now + 0.1)
    net.cut = {C}
    net.say(A, question(ONE, 0), OPERATOR)
    net.run(net.now + 0.1)
    leave(net, ONE)
    net.cut = set()
    net.run(net.now + 30.0)
    assert held_at(net, ONE) == set()
    come_back(net, ONE, C)
    assert drained_at(net, ONE) == set()
    assert agree(net)


@pytest.mark.parametrize("seed", [*sample(0, range(5)), *sample(0, range(5, 20), pytest.mark.slow)])
def test_whatever_is_said_where_all_binders_agree_in_the_end(seed):
    rng = Random(seed)
    net = cluster(ONE, TWO, THREE)
    net.loss, net.doubles, net.delays = 0.2, 0.2, (0.001, 0.3)
    for _ in range(30):
        one = rng.choice((ONE, TWO))
        match rng.randrange(4):
            case 0 | 1:
                seconds = rng.choice((0, 3, 600))
                net.say(rng.choice((A, B, C)), question(one, seconds, last=1), OPERATOR)
            case 2:
                start = Started(start=rng.randrange(9, 12))
                net.say(rng.choice((A, B, C)), Subscribe(7, trailer=start), address_of(one))
            case 3:
                net.cut = {rng.choice((A, B, C))} if rng.random() < 0.5 else set()
        net.run(net.now + rng.random() * 2)
    net.cut, net.loss = set(), 0.0
    net.run(net.now + 60.0)
    assert agree(net)
    for one in (ONE, TWO):
        assert drained_at(net, one) in (set(), {A, B, C})
    net.run(net.now + 700.0)
    assert drained_at(net, ONE) == drained_at(net, TWO) == set()
    assert all(not core.inspect().sizes["drains"][0] for core in net.binders.values())


def test_what_is_gone_is_remembered_no_longer_than_there_is_room(monkeypatch):
    monkeypatch.setattr(drains, "DRAINS_MAX", 1)
    binder = alone(ONE, TWO, THREE)
    book = drains.Drains(binder.directory)
    for number in range(9):
        gone = at(7, "10.0.3.1", number + 1)
        book.note(gone, encode_drain(Drain(1, 600)), 0.0)
    assert book.sizes["drains"] == (4, 4)
    for number in range(9):
        book.note(at(7, "10.0.3.1", number + 1), encode_drain(Drain(2)), 1.0)
    assert (len(book), book.sizes["drains put back"]) == (0, (1, 1))
    assert book.pop_over(599.9) is None
    assert book.pop_over(600.0) == at(7, "10.0.3.1", 4)
    assert not list(book)
