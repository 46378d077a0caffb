"""IPv6 in the cores: who subscribes there, who is handed it, and what nobody else sees of it."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.effects import Event, Outcome
from prr.core.liveness.newcomers import QUESTIONS
from prr.wire.forms import TABLE
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Unknown,
)
from prr.wire.instance import NAMED, address_of, describe, is_ipv6, service_of
from prr.wire.messages import Announcement, Plain, Presence, Started, UnaskedPage
from prr.wire.query import Query
from prr.wire.version import Version
from prr.wire.wide import Said, WideUpdate, encode_wide
from tests.cores import CODEC_2016, CODECS, at, encode, events, probes, random_frame, sent
from tests.test_names import A, B, C, Mixed

pytestmark = pytest.mark.elsewhere

CLIENT, CLIENT_THERE = ("10.0.2.1", 5000), ("2001:db8:2::1", 5000)
NUMBERED, NAMED_ONE = at(7, "2001:db8:1::1", 4000), at("billing", "2001:db8:1::2", 4000)
PLAIN, LOCAL = at(7, "10.0.1.1", 4000), at(7, "::1", 4000)


def binder(address=A, peers=(), own_ips=frozenset()) -> Binder:
    """One that watches no lease in the time of a test, started."""
    identity = int(address[0].rpartition(".")[2])
    others = tuple(peer for peer in peers if peer != address)
    return Binder(own_ips, others, identity, Random(identity), lease=1e9)


def alone(**settings) -> Binder:
    core = binder(**settings)
    core.start(0.0)
    return core


def subscription(instance, start=9):
    """What a server of ours says that it is there by, of either kind."""
    service = service_of(instance)
    if isinstance(service, str):
        return Alive(trailer=Announcement.of_server(service, start))
    return Subscribe(service, trailer=Started(start=start))


def subscribe(core, *instances, now=0.0) -> list:
    return [
        effect
        for one in instances
        for effect in core.handle(subscription(one), address_of(one), now)
    ]


def look_up(core, service, takes_ipv6, source=CLIENT):
    """What a client is answered."""
    type_ = service if isinstance(service, int) else NAMED
    asked = Lookup(type_, trailer=Query.about(service, takes_ipv6))
    ((answer, _),) = sent(core.handle(asked, source, 5.0))
    return answer.address if isinstance(answer, Found) else None


@pytest.mark.parametrize("source", [CLIENT, CLIENT_THERE])
def test_who_takes_ipv6_gets_both_in_turn_and_nobody_else_gets_any(source):
    core = alone()
    subscribe(core, NUMBERED)
    assert look_up(core, 7, False, source) is None
    assert look_up(core, 7, True, source) == address_of(NUMBERED)
    subscribe(core, PLAIN)
    assert {look_up(core, 7, False, source) for _ in range(4)} == {address_of(PLAIN)}
    wide = [look_up(core, 7, True, source) for _ in range(4)]
    assert sorted(wide) == sorted(2 * [address_of(PLAIN), address_of(NUMBERED)])
    subscribe(core, NAMED_ONE)
    assert look_up(core, "billing", False, source) is None
    assert look_up(core, "billing", True, source) == address_of(NAMED_ONE)


def test_one_in_doubt_leaves_the_turns_of_both_and_a_leave_is_believed_from_its_address():
    core = alone()
    subscribe(core, NUMBERED, PLAIN)
    (probe,) = probes(core.handle(Complaint(NUMBERED), CLIENT, 1.0))
    assert probe.instance == NUMBERED
    assert {look_up(core, 7, True) for _ in range(3)} == {address_of(PLAIN)}
    here = Presence(nonce=probe.frame.trailer.nonce, types=b"\7", start=9)
    assert probe.is_answer(Alive(trailer=here))
    core.probed(probe, Outcome.ALIVE, 1.1)
    assert {look_up(core, 7, True) for _ in range(2)} == set(map(address_of, (PLAIN, NUMBERED)))
    stray = core.handle(Removed(NUMBERED), ("2001:db8:1::9", 4000), 2.0)
    assert events(stray) == [Event.OUT_OF_PLACE]
    assert NUMBERED in core.directory
    ((answer, _), *_) = sent(core.handle(Removed(NUMBERED), address_of(NUMBERED), 2.0))
    assert answer == Removed(NUMBERED)
    assert list(core.directory) == [PLAIN]


def test_a_server_that_knows_the_spec_alone_may_be_at_ipv6():
    core = alone()
    core.handle(Subscribe(7), address_of(NUMBERED), 0.0)
    (probe,) = probes(core.tick(core.deadline()))
    assert probe.is_answer(Alive())
    core.probed(probe, Outcome.ALIVE, 1.0)
    assert look_up(core, 7, True) == address_of(NUMBERED)


@pytest.mark.parametrize("ip", ["fe80::1", "ff02::1", "::"])
def test_who_speaks_from_an_address_that_nobody_can_be_given_is_not_heard(ip):
    core = alone()
    for frame in (Subscribe(7), subscription(at("billing", "::1", 1)), Lookup(7)):
        assert events(core.handle(frame, (ip, 4000), 0.0)) == [Event.OUT_OF_PLACE]
    assert not list(core.directory)


def test_loopback_of_ipv6_is_refused_where_that_of_ipv4_is():
    for peers, own_ips, is_refused in (
        ((), frozenset({"::1"}), False),
        ((), frozenset({"2001:db8::1"}), True),
        ((B,), frozenset({"10.0.0.1", "2001:db8::1"}), True),
        ((("::1", 2223),), frozenset({"::1"}), False),
        ((("2001:db8::2", 2222),), frozenset(), True),
    ):
        core = alone(peers=peers, own_ips=own_ips)
        refused = Event.REFUSED in events(subscribe(core, LOCAL))
        assert refused is is_refused, (peers, own_ips)


def test_a_program_on_the_binders_own_host_may_ask_from_either_family():
    core = alone(own_ips=frozenset({"10.0.0.1", "2001:db8::1"}))
    for ip, is_local in (("2001:db8::1", True), ("::1", True), ("2001:db8::9", False)):
        frame = random_frame(Random(1), next(one for one in TABLE if one.code == 7), trailer=False)
        assert bool(sent(core.handle(frame, (ip, 5000), 0.0))) is is_local


# Nothing longer than the question, or 8 bytes.


@pytest.mark.parametrize("codec", [CODECS[Role.BINDER], CODEC_2016])
@pytest.mark.parametrize("source", [CLIENT, CLIENT_THERE])
def test_a_stranger_gets_one_datagram_no_longer_than_his_or_8_bytes(codec, source):
    core, rng = alone(), Random(3)
    services = [7, 255, "a", "billing", "x" * 63]
    subscribe(core, *(at(one, "2001:db8:1::1", 4000) for one in services))
    pads = [None, *map(bytes, range(0, 24)), bytes(255)]
    queries = [
        Query(name=name, wide=wide, zone=zone, padding=padding)
        for name in (None, b"a", b"billing", b"x" * 63)
        for wide in (None, 1)
        for zone in (None, b"eu")
        for padding in pads
        if name or wide or zone
    ]
    asked = [Lookup(type_, trailer=query) for query in queries for type_ in (7, 9, NAMED)]
    asked += [random_frame(rng, form) for form in TABLE for _ in range(30)]
    seen = set()
    for frame in asked:
        question = encode(frame)
        answers = [codec.encode(one) for one, _ in answered(core, codec, frame, source)]
        assert len(answers) <= 1
        assert sum(map(len, answers)) <= max(8, len(question)), frame
        seen.update(map(len, answers))
        in_a_row = codec.questions_asked(Row([question]), 0)
        if in_a_row:
            assert (
                list(codec.found_read_run(core.look_up_asked(in_a_row), in_a_row).datagrams())
                == answers
            )
    assert {1, 3, 30} <= seen


def answered(core, codec, frame, source) -> list:
    return sent(core.handle(frame, source, 6.0), codec)


class Row(list):
    """A burst, as the codec reads it."""

    def rows(self, at_, first, least, most):
        return (one for one in self[at_:] if one[:1] == first and least <= len(one) <= most)


@pytest.mark.parametrize("instance", [NUMBERED, at("a", "2001:db8:1::1", 1), NAMED_ONE])
@pytest.mark.parametrize("start", [None, 2, 2**32 - 1])
def test_a_forged_subscription_brings_its_address_little_and_nothing_long(instance, start):
    if isinstance(service_of(instance), str) and start is None:
        return
    core = alone()
    said = subscription(instance, start) if start else Subscribe(service_of(instance))
    got = [frame for frame, _ in sent(core.handle(said, address_of(instance), 0.0))]
    while (when := core.deadline()) is not None and when < 100.0:
        got += [probe.frame for probe in probes(core.tick(when))]
    assert len(got) <= 1 + QUESTIONS + 1
    assert max(len(encode(frame)) for frame in got) <= max(8, len(encode(said)))
    assert instance not in core.directory


# Between binders.


def cluster(*addresses, nameless=()) -> Mixed:
    return Mixed({one: binder(one, addresses) for one in addresses}, nameless)


def held(core) -> set:
    return {one for one in core.directory if is_ipv6(one)}


def test_binders_of_either_family_tell_each_other_and_find_what_was_lost():
    there = ("2001:db8::2", 2222)
    cores = {
        A: Binder(frozenset(), (there, C), 1, Random(1), lease=1e9),
        there: Binder(frozenset(), (A, C), 2, Random(2), lease=1e9),
        C: Binder(frozenset(), (A, there), 3, Random(3), lease=1e9),
    }
    net = Mixed(cores, ())
    net.alive = {NUMBERED, NAMED_ONE, PLAIN}
    net.start()
    net.run(3.0)
    net.act(there, subscribe(cores[there], NUMBERED, now=net.now))
    net.run(3.01)
    assert [held(core) for core in cores.values()] == [{NUMBERED}] * 3
    net.cut = {C}
    net.act(A, subscribe(cores[A], NAMED_ONE, now=net.now))
    net.alive.discard(NUMBERED)
    net.act(there, cores[there].handle(Removed(NUMBERED), address_of(NUMBERED), net.now))
    net.run(4.0)
    assert [held(core) for core in cores.values()] == [{NAMED_ONE}, {NAMED_ONE}, {NUMBERED}]
    net.cut = set()
    net.run(12.0)
    assert [held(core) for core in cores.values()] == [{NAMED_ONE}] * 3
    assert net.agree()


def test_a_silent_one_goes_on_the_word_of_two_and_a_binder_of_before_sees_nothing_of_it():
    net = cluster(A, B, C, nameless=(C,))
    net.alive = {NUMBERED, PLAIN}
    net.start()
    net.run(8.0)
    net.act(A, subscribe(net.binders[A], NUMBERED, now=net.now))
    net.act(C, subscribe(net.binders[C], PLAIN, now=net.now))
    net.run(16.0)
    assert [held(core) for core in net.binders.values()] == [{NUMBERED}, {NUMBERED}, set()]
    assert all(PLAIN in core.directory for core in net.binders.values())
    assert all(peer.agrees for core in net.binders.values() for peer in core.peers.all())
    net.alive.discard(NUMBERED)
    net.say(A, Complaint(NUMBERED), CLIENT)
    net.run(30.0)
    assert [held(core) for core in net.binders.values()] == [set()] * 3
    assert [where for _, where in net.reports(Event.EVICTED)] == [A]
    told = [effect.frame for _, effect in net.sent() if effect.target == C]
    assert not any(encode(NUMBERED_IN) in encode(frame) for frame in told)


NUMBERED_IN = Added(NUMBERED)


def test_the_last_of_both_families_is_denied_as_soon_as_it_leaves():
    core = alone()
    subscribe(core, NUMBERED)
    core.handle(Removed(NUMBERED), address_of(NUMBERED), 1.0)
    for takes_ipv6 in (False, True):
        assert look_up(core, 7, takes_ipv6) is None
    asked = Lookup(7, trailer=Query.about(7, True))
    assert sent(core.handle(asked, CLIENT, 2.0)) == [(Unknown(trailer=Plain()), CLIENT)]
    assert describe(NUMBERED) == "type 7 at [2001:db8:1::1]:4000"


def test_who_has_no_way_to_one_leaves_it_to_its_lease_owner_who_is_heard():
    core, now = alone(peers=(B,)), 20.0
    there = WideUpdate(NUMBERED, Version(1 << 20, 2, 9), Said.THERE)
    said = UnaskedPage(binder=2, nonce=0, versions=b"", others=encode_wide([there]))
    core.handle(ServiceList((), trailer=said), B, 1.0)
    effects, asked = core.handle(Complaint(NUMBERED), CLIENT, now), 0
    while now < 100.0:
        for probe in probes(effects):
            asked += 1
            core.probed(probe, Outcome.UNSENT, now)
        core.handle(ServiceList((), trailer=said), B, now)
        now = max(now, core.deadline())
        effects = core.tick(now)
    assert asked == 3
    assert look_up(core, 7, True) == address_of(NUMBERED)
