"""Binders, servers and clients that seal what they say: who is believed, what a replay does."""

from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from prr.config import Limits, Require
from prr.core.effects import Event
from prr.core.outcomes import FoundService, NoBinder
from prr.core.whole_client import WholeClient
from prr.trust.credential import Holder
from prr.trust.keyring import Keyring
from prr.wire.codec import Codec
from prr.wire.errors import VainSeal
from prr.wire.frames import Alive, Complaint, Frame, ListRequest, Lookup, Removed, Role, Subscribe
from prr.wire.inquiries import DrainQuery, TextQuery
from prr.wire.messages import AgentAnnouncement, Announcement, Search, Started
from prr.wire.particulars import decode_particulars
from prr.wire.seal import Seal
from tests.keyed import (
    BINDERS,
    CLIENT,
    OLD_SECRET,
    ON,
    OTHER,
    SECRET,
    SERVER,
    STRANGE_SECRET,
    STRANGER,
    Sealed,
    held_by,
    instance_of,
)

pytestmark = pytest.mark.elsewhere

A, B = BINDERS
WEB = held_by(Holder.SERVER, "web-7", "web")
APP = held_by(Holder.CLIENT, "app")
OPERATOR = held_by(Holder.OPERATOR, "me")
ONE = instance_of("web")


def net(**kwargs) -> Sealed:
    """Two binders and a server of the service web."""
    return Sealed(servers=[(SERVER, WEB, "web")], **kwargs)


def announcement(instance=ONE, start=77) -> Frame:
    said = AgentAnnouncement(instance=instance, start=start, padding=bytes(11))
    return Alive(trailer=said, seal=Seal(5))


def test_a_server_with_a_credential_is_found_by_a_client_with_one():
    sealed = net()
    assert sealed.tables() == [{ONE}, {ONE}]
    assert sealed.ask("web", APP) == FoundService(SERVER)
    assert sealed.count(Event.NOT_BELIEVED) == 0


def test_renewals_need_one_datagram_each_way():
    sealed = net()
    sealed.run(2.0)
    before = len(sealed.heard)
    sealed.run(30.0)
    between = [1 for source, target, _ in sealed.heard[before:] if SERVER in (source, target)]
    assert 12 <= len(between) <= 16  # every 4 to 5 s, and its confirmation
    assert sealed.tables() == [{ONE}, {ONE}]


def test_a_server_that_leaves_is_gone_and_knows_it():
    sealed = net()
    sealed.do(SERVER, sealed.nodes[SERVER].stop(sealed.now))
    sealed.run(0.1)
    assert sealed.tables() == [set(), set()] and sealed.stopped[SERVER].in_order


def test_a_complaint_has_the_server_prove_that_it_is_there():
    sealed = net()
    complaint = Codec(Role.CLIENT, keys=APP).encode(Complaint(ONE, seal=Seal(1)))
    sealed.say(CLIENT, A, complaint)
    sealed.run(0.1)
    assert sealed.count(Event.VERIFIED) == 1 and sealed.tables() == [{ONE}, {ONE}]


def test_one_that_is_gone_is_evicted():
    sealed = net()
    del sealed.nodes[SERVER]
    sealed.say(CLIENT, A, Codec(Role.CLIENT, keys=APP).encode(Complaint(ONE, seal=Seal(1))))
    sealed.run(3.0)
    assert sealed.tables() == [set(), set()]


@pytest.mark.parametrize(
    ("held", "frame"),
    [
        (None, Subscribe(7)),
        (None, Subscribe(7, trailer=Started(start=9))),
        (None, announcement()),
        (None, Complaint(ONE)),
        (None, Removed(ONE)),
        (APP, announcement(instance_of("web", STRANGER))),
        (OPERATOR, announcement(instance_of("web", STRANGER))),
        (WEB, announcement(instance_of("db", STRANGER))),
        (WEB, announcement(instance_of("web", OTHER))),
        (WEB, Complaint(ONE, seal=Seal(1))),
        (held_by(Holder.SERVER, "db-1", "db"), announcement(instance_of("web", STRANGER))),
        (held_by(Holder.SERVER, "db-1", "db"), Subscribe(7, seal=Seal(1))),
        (
            held_by(Holder.SERVER, "db-1", "db"),
            Subscribe(7, trailer=Started(start=9), seal=Seal(1)),
        ),
        (WEB, Alive(trailer=Search(types=b"\7", start=9), seal=Seal(1))),
        (WEB, Alive(trailer=Announcement(name=b"web", start=9, padding=bytes(99)), seal=Seal(1))),
        (held_by(Holder.SERVER, "db-1", "db"), Removed(ONE, seal=Seal(1))),
        (APP, Removed(ONE, seal=Seal(1))),
        (held_by(Holder.CLIENT, ring=Keyring((STRANGE_SECRET,))), Complaint(ONE, seal=Seal(1))),
    ],
    ids=str,
)
def test_what_nobody_may_say_changes_nothing(held, frame):
    sealed = net()
    sealed.say(STRANGER, A, Codec(Role.SERVER, keys=held).encode(frame))
    sealed.run(0.1)
    assert sealed.tables() == [{ONE}, {ONE}]
    assert sealed.count(Event.COMPLAINT) == 0
    assert sealed.count(Event.NOT_BELIEVED) + sealed.count(Event.OUT_OF_PLACE) == 1


def test_a_lookup_needs_no_credential_unless_that_is_asked_for():
    question = Codec(Role.CLIENT).encode(Lookup(7))
    for asks_for, answers in ((False, 1), (True, 0)):
        sealed = net(trust=replace(ON, require_lookup=asks_for))
        sealed.say(STRANGER, A, question)
        sealed.run(0.1)
        assert sum(target == STRANGER for _, target, _ in sealed.heard) == answers
        assert sealed.ask("web", APP) == FoundService(SERVER)


def test_an_agent_may_speak_for_another_host_where_its_credential_says_so():
    held = held_by(Holder.SERVER, "db-1", "db", (ip_network("10.0.1.0/24"),))
    elsewhere = instance_of("db", OTHER)
    for which, expected in ((held, {elsewhere}), (held_by(Holder.SERVER, "db-1", "db"), set())):
        sealed = Sealed()
        server = sealed.add_server(SERVER, which, "db")
        server.change_binders({at: OTHER for at in BINDERS})
        sealed.do(SERVER, server.tick(sealed.now + 2))
        sealed.run(3.0)
        assert sealed.tables() == [expected, expected] or expected == set()
        if expected:  # it is asked where it speaks from
            said = Codec(Role.CLIENT, keys=APP).encode(Complaint(elsewhere, seal=Seal(1)))
            sealed.say(CLIENT, A, said)
            sealed.run(0.1)
            assert sealed.count(Event.VERIFIED) == 1


def test_what_was_said_once_changes_nothing_when_it_is_said_again():
    sealed = net()
    sealed.run(20.0)
    sealed.ask("web", APP)
    sealed.do(SERVER, sealed.nodes[SERVER].stop(sealed.now))
    sealed.run(2.0)
    assert sealed.tables() == [set(), set()]
    heard, rng = [*sealed.heard], Random(3)
    rng.shuffle(heard)
    for source, target, data in heard:
        for whence in (source, STRANGER):
            sealed.say(whence, target, data)
            sealed.run(0.002)
    sealed.run(1.0)
    assert sealed.tables() == [set(), set()]


@pytest.mark.smoke
def test_a_dead_server_is_not_kept_alive_by_its_own_renewals():
    sealed = net()
    sealed.run(20.0)
    said = [(source, target, data) for source, target, data in sealed.heard if source == SERVER]
    del sealed.nodes[SERVER]
    end = sealed.now + 40.0
    while sealed.now < end:
        for one in said:
            sealed.say(*one)
        sealed.run(0.5)
    assert sealed.tables() == [set(), set()]


def test_a_binder_that_has_forgotten_all_believes_no_word_of_before():
    sealed = net()
    sealed.run(5.0)
    sealed.do(SERVER, sealed.nodes[SERVER].stop(sealed.now))
    sealed.run(1.0)
    heard = [one for one in sealed.heard if one[0] in BINDERS]
    del sealed.nodes[B], sealed.nodes[A]
    sealed.run(0.1)
    sealed.start_binder(A, 11)
    for one in heard:
        sealed.say(*one)
        sealed.run(0.002)
    assert set(sealed.binder(0).directory) == set()


def test_a_binder_that_was_restarted_is_believed_at_once():
    sealed = net()
    del sealed.nodes[A]
    sealed.run(1.0)
    sealed.start_binder(A, 12)
    sealed.run(0.1)
    assert sealed.tables() == [{ONE}, {ONE}]
    sealed.add_server(OTHER, held_by(Holder.SERVER, "web-8", "web"), "web", seed=5)
    sealed.run(0.05)
    assert sealed.tables() == [{ONE, instance_of("web", OTHER)}] * 2


def test_replayed_words_of_an_earlier_process_do_not_part_two_binders():
    sealed = net()
    old = [one for one in sealed.heard if one[0] == A and one[1] == B]
    del sealed.nodes[A]
    sealed.start_binder(A, 12)
    sealed.run(0.2)
    for number in range(20):
        for one in old:
            sealed.say(*one)
        at = ("10.0.2.1", 1000 + number)
        sealed.add_server(at, held_by(Holder.SERVER, f"web-{number}", "web"), "web", seed=number)
        sealed.run(0.05)
        assert sealed.tables()[0] == sealed.tables()[1] and len(sealed.tables()[0]) == 2 + number


@pytest.mark.parametrize("require", [Require.OFF, Require.LOG])
def test_where_nothing_is_required_all_are_believed_and_it_may_be_told(require):
    sealed = net(trust=replace(ON, require=require))
    assert sealed.tables() == [{ONE}, {ONE}]
    before = len(sealed.reports)
    sealed.say(OTHER, A, Codec(Role.SERVER).encode(Subscribe(7)))
    sealed.run(0.1)
    assert instance_of(7, OTHER) in sealed.tables()[1]
    told = [report for _, report in sealed.reports[before:] if report.event is Event.UNPROVED]
    assert len(told) == (require is Require.LOG)


def test_legacy_networks_need_no_proof():
    sealed = net(trust=replace(ON, legacy=(ip_network("10.0.1.9/32"),)))
    sealed.say(OTHER, A, Codec(Role.SERVER).encode(Subscribe(7)))
    sealed.say(STRANGER, A, Codec(Role.SERVER).encode(Subscribe(7)))
    sealed.run(0.1)
    assert sealed.tables() == [{ONE, instance_of(7, OTHER)}] * 2


@pytest.mark.smoke
def test_binders_reread_their_keyrings_one_by_one():
    both, old = Keyring((SECRET, OLD_SECRET)), Keyring((OLD_SECRET,))
    web = held_by(Holder.SERVER, "web-7", "web", ring=old)
    sealed = Sealed(keyrings=(old, old), servers=[(SERVER, web, "web")])
    for number, ring in ((0, both), (1, both)):
        sealed.codecs[BINDERS[number]].change_keys(ring)
        sealed.add_server(
            ("10.0.2.1", 1000 + number),
            held_by(Holder.SERVER, f"web-{number}", "web", ring=old),
            "web",
            seed=number,
        )
        sealed.run(6.0)
        assert len(sealed.tables()[0]) == 2 + number and sealed.tables()[0] == sealed.tables()[1]
    new = held_by(Holder.SERVER, "new-1", "web")
    sealed.add_server(OTHER, new, "web", seed=7)
    sealed.run(0.1)
    assert len(sealed.tables()[0]) == 4
    for number in (0, 1):
        sealed.codecs[BINDERS[number]].change_keys(Keyring((SECRET,)))
        sealed.run(6.0)
    sealed.run(60.0)  # who has only the old secret cannot answer any more
    assert sealed.tables() == [{instance_of("web", OTHER)}] * 2


def test_a_client_takes_nothing_from_anybody_else():
    sealed = net()
    del sealed.nodes[A], sealed.nodes[B]
    forged = [Codec(Role.BINDER).found(instance_of("web", STRANGER))]
    strange = Codec(Role.BINDER, keys=Keyring((STRANGE_SECRET,)))
    forged.append(strange.found(instance_of("web", STRANGER), seal=Seal(1, APP.credential, b"0")))
    forged += [data for _, target, data in sealed.heard if target == SERVER]
    for binder in BINDERS:
        for data in forged:
            sealed.say(binder, CLIENT, data)
    assert sealed.ask("web", APP) is None


def test_an_operator_is_answered_anywhere_and_drains_once():
    sealed = net()
    codec = Codec(Role.BINDER, keys=OPERATOR)
    drain = DrainQuery(nonce=3, question=3, seconds=60, text=b"", instance=ONE, last=1)
    number = 1
    for _ in range(2):
        said = codec.encode(ListRequest(trailer=drain, seal=Seal(number)))
        sealed.say(STRANGER, A, said)
        sealed.run(0.05)
        answer = codec.decode([data for _, to, data in sealed.heard if to == STRANGER][-1])
        number = getattr(answer.trailer, "ticket", number)
    assert sealed.count(Event.DRAINED) == 2  # at both binders
    assert sealed.binder(1).directory.is_drained(ONE)
    done = DrainQuery(nonce=4, question=3, seconds=0, instance=ONE)
    for seal in (Seal(9), None):
        sealed.say(STRANGER, A, codec.encode(ListRequest(trailer=done, seal=seal)))
    sealed.say(A, A, Codec(Role.BINDER).encode(ListRequest(trailer=done)))  # its own host
    sealed.say(STRANGER, A, said)
    sealed.run(0.05)
    assert sealed.binder(0).directory.is_drained(ONE)


def test_whoever_asks_for_a_status_has_to_be_where_it_says():
    sealed = net()
    codec = Codec(Role.BINDER, keys=OPERATOR)
    question = codec.encode(
        ListRequest(trailer=TextQuery(question=1, nonce=1, padding=b""), seal=Seal(1))
    )
    sealed.say(STRANGER, A, question)
    sealed.run(0.05)
    (answer,) = [data for _, to, data in sealed.heard if to == STRANGER]
    assert len(answer) <= len(question)


def test_nothing_that_a_binder_says_unasked_is_longer_than_what_it_was_told():
    sealed = net()
    sealed.run(20.0)
    asked: dict[object, int] = {}
    for source, target, data in sealed.heard:
        if source == SERVER and target in BINDERS:
            asked[target] = len(data)
        elif target == SERVER and source in BINDERS:
            assert len(data) <= asked[source]
        elif target == SERVER:
            asked[source] = len(data)  # a question to it, for a proof
        elif source == SERVER:
            assert len(data) <= asked[target]
    assert sealed.ask("web", APP) == FoundService(SERVER)
    assert sealed.ask("web", held_by(Holder.CLIENT, ring=Keyring((STRANGE_SECRET,)))) in (
        None,
        NoBinder,
    )


def test_the_instances_of_a_revoked_credential_are_gone():
    sealed = net()
    sealed.add_server(OTHER, held_by(Holder.SERVER, "web-8", "web"), "web", seed=5)
    sealed.run(0.1)
    revoking = Keyring((SECRET,), frozenset({"web-7"}))
    for number, at in enumerate(BINDERS):
        sealed.codecs[at].change_keys(revoking)
        operators = sealed.binder(number).operators
        sealed.do(at, operators.revoke(revoking.revoked, sealed.now))
    sealed.run(3.0)
    assert sealed.tables() == [{instance_of("web", OTHER)}] * 2
    assert any("web-7 is revoked" in report.why for _, report in sealed.reports)


def test_an_instance_is_held_with_the_id_of_its_credential_which_no_client_is_told():
    sealed = net()
    for number in (0, 1):
        directory = sealed.binder(number).directory
        assert decode_particulars(directory.particulars(ONE)).credential == "web-7"
        assert directory.count_of_credential(b"web-7") == 1
    whole = WholeClient("web", BINDERS, Random(1), is_keyed=True)
    codec = Codec(Role.CLIENT, keys=APP)
    (asked,) = whole.start(sealed.now)
    (effect,) = sealed.binder(0).handle(
        sealed.codecs[A].decode(codec.encode(asked.frame)), CLIENT, sealed.now
    )
    assert whole.handle(codec.decode(sealed.codecs[A].encode(effect.frame)), A, 0.0) == []
    (row,) = whole.outcome.values()
    assert decode_particulars(row.particulars).credential == ""


def test_one_credential_has_no_more_instances_than_it_may():
    sealed = Sealed(limits=Limits(instances_per_credential=3))
    for number in range(5):
        at = ("10.0.1.1", 4000 + number)
        sealed.add_server(at, WEB, "web", seed=number)
        sealed.run(0.05)
    assert [len(table) for table in sealed.tables()] == [3, 3]
    assert sealed.count(Event.CREDENTIAL_FULL) >= 2


def test_nothing_is_read_under_a_seal_that_proves_nothing_where_that_is_worth_nothing():
    strict = Codec(Role.BINDER, keys=Keyring((STRANGE_SECRET,)), is_strict=True)
    with pytest.raises(VainSeal):
        strict.decode(Codec(Role.CLIENT, keys=APP).encode(Lookup(7, seal=Seal(5))))
    assert strict.decode(b"\2\7") == Lookup(7)
