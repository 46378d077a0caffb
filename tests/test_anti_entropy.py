"""Binders that compare notes: through bytes, losses, copies and disorder they come to agree."""

from random import Random

import pytest

from prr.config import Limits, WireForm
from prr.core.binder import Binder
from prr.core.directory.digests import bucket_of
from prr.core.effects import Event, Report
from prr.core.replication import anti_entropy
from prr.core.replication.pages import PAGE_WORDS
from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.peers import HELLO_PAUSE, Kind
from prr.core.replication.sync import (
    ROUND_PAUSE,
    ROUND_PAUSE_FULL,
    ROUND_PAUSE_NEWS,
    SYNC_TALK,
)
from prr.wire.codec import DATAGRAM_BYTES_MAX
from prr.wire.frames import Added, ListRequest, Removed, ServiceList, Subscribe
from prr.wire.inquiries import ListQuery
from prr.wire.instance import address_of
from prr.wire.messages import (
    DigestReply,
    DigestRequest,
    GroupRequest,
    Hello,
    Page,
    UnaskedPage,
)
from prr.wire.trailer import GROUPS
from prr.wire.version import Version, encode_removals, encode_version, encode_versions
from tests.cores import Net, at, encode, rising, say, sent
from tests.samples import sample

pytestmark = pytest.mark.elsewhere

A, B, C = (("10.0.0.1", 2222), ("10.0.0.2", 2222), ("10.0.0.3", 2222))
ONE, TWO = at(7, "10.0.1.1", 4000), at(7, "10.0.1.2", 4000)
MANY = [at(number % 256, f"10.1.{number // 250}.1", number % 250 + 1) for number in range(10_000)]
LONG = 1e9  # a lease that never runs out


def made(address, peers, wire=WireForm.SPEC, **options):
    """A binder that watches no lease in the time of a test."""
    identity = address[0].rpartition(".")[2]
    others = tuple(peer for peer in peers if peer != address)
    return Binder(frozenset(), others, int(identity), Random(identity), wire, lease=LONG, **options)


def cluster(*addresses, seed=0, wire=WireForm.SPEC):
    """Binders that are each other's peers, not started."""
    return Net({address: made(address, addresses, wire) for address in addresses}, Random(seed))


def give(binder, instances, owner=9, counter=1):
    """Let a binder know instances, without anybody being told."""
    for one in instances:
        assert binder._versioned.take_over(one, Version(counter, owner, 0), True, 0.0)


def held(binder):
    """All that a binder knows."""
    return set(binder.directory.instances(b"", 1 << 20)[0])


def bytes_sent(net, since=0.0):
    """The bytes of all datagrams between binders, and how many there were."""
    sizes = [len(encode(effect.frame)) for _, effect in net.sent(since)]
    assert max(sizes, default=0) <= DATAGRAM_BYTES_MAX
    return sum(sizes), len(sizes)


def settled(seed=0, instances=MANY[:100]):
    """Two binders that know the same, and know each other."""
    net = cluster(A, B, seed=seed)
    for binder in net.binders.values():
        give(binder, instances)
    net.start()
    net.run(3.0)
    assert [peer.kind for core in net.binders.values() for peer in core.peers.all()] == [
        Kind.OURS
    ] * 2
    assert net.agree()
    return net


def test_a_new_binder_has_the_whole_list_of_its_peer_in_moments_and_is_synced_then():
    net = cluster(A, B)
    give(net.binders[A], MANY)
    net.binders[A].directory.remove(ONE, Version(5, 5, 5), 0.0)
    net.start(A)
    net.run(2.0)
    net.start(B)
    net.run(2.9)
    assert held(net.binders[B]) == set(MANY)
    assert net.agree()
    assert net.binders[B].directory.removal(ONE) == Version(5, 5, 5)
    ((when, _),) = [row for row in net.reports(Event.SYNCED) if row[1] == B]
    assert when < 2.9
    size, _ = bytes_sent(net, since=2.0)
    assert size < 27 * len(MANY) * 1.6  # what it has to say, and a little around it


@pytest.mark.parametrize("seed", sample(8, range(25)))
def test_two_binders_agree_in_bounded_time_whatever_the_network_does(seed):
    net, rng, versions = cluster(A, B, seed=seed), Random(seed), rising()
    net.start()
    net.run(2.0)
    net.loss, net.doubles, net.delays = 0.2, 0.1, (0.001, 0.1)
    pool = MANY[:400]
    for _ in range(300):
        net.now += rng.choice((0.0, 0.001))
        core, one, version = net.binders[rng.choice((A, B))], rng.choice(pool), next(versions)
        core._versioned.take_over(one, version, rng.random() < 0.7, net.now)
    net.run(net.now + 6.0)  # rounds of a second
    assert net.agree()
    assert held(net.binders[A]) == held(net.binders[B])
    versions = [[core.directory.version(one) for one in pool] for core in net.binders.values()]
    assert versions[0] == versions[1]


@pytest.mark.parametrize("seed", sample(3, range(10)))
def test_three_binders_agree_after_any_subscriptions_and_leaves_in_a_bad_network(seed):
    net, rng = cluster(A, B, C, seed=seed), Random(seed)
    net.start()
    net.loss, net.doubles, net.delays = 0.2, 0.1, (0.001, 0.05)
    services = [(f"10.0.1.{number}", 4000) for number in range(30)]
    net.alive = {at(7, *service) for service in services}
    for _ in range(100):
        net.run(net.now + 0.02)
        net.say(rng.choice((A, B, C)), Subscribe(7), rng.choice(services))
    net.run(net.now + 8.0)
    assert net.agree()
    assert all(held(core) <= net.alive for core in net.binders.values())
    assert len(held(net.binders[A])) > 20


def test_a_peer_that_takes_its_time_is_asked_each_question_once():
    """Whoever is asked again while the first question waits has twice as much to do."""
    net = settled()
    net.delays = (0.03, 0.03)
    give(net.binders[A], MANY[:5000], counter=2)
    began = net.now
    net.run(began + 4.0)
    assert net.agree()
    asked = [
        (source, effect.frame.trailer.nonce)
        for source, effect in net.sent(began)
        if isinstance(getattr(effect.frame, "trailer", None), GroupRequest)
    ]
    assert len(asked) == len(set(asked)) >= GROUPS


def test_those_who_agree_exchange_a_few_bytes_and_one_change_costs_little_among_ten_thousand():
    net = settled(instances=MANY)
    begin = net.now
    net.run(begin + 10.0)
    size, number = bytes_sent(net, begin)
    assert size / number < 40
    assert number <= 2 * 2 * 10 / ROUND_PAUSE + 4
    give(net.binders[A], [ONE])
    changed = net.now
    net.run(changed + 1.5)
    assert net.agree()
    size, _ = bytes_sent(net, changed)
    assert size < 2 * (3 * 512 + 400)  # three rows of digests, one page; perhaps from both sides
    give(net.binders[B], MANY[:500], counter=2)
    changed = net.now
    net.run(changed + 3.0)
    assert net.agree()
    more, _ = bytes_sent(net, changed)
    assert size < more < 64 * 1200 * 2


def test_a_page_is_full_when_there_is_enough_to_say_and_the_next_follows():
    net = settled()
    crowd = [at(type_, "10.2.0.1", 1) for type_ in range(200)]  # one address: one bucket
    give(net.binders[A], crowd)
    begin = net.now
    net.run(begin + 2.0)
    assert net.agree()
    pages = [e.frame for _, e in net.sent(begin) if isinstance(e.frame, ServiceList)]
    sizes = [len(page.instances) for page in pages if page.instances]
    assert sizes[:5] == [PAGE_WORDS] * 4 + [200 - 4 * PAGE_WORDS]


def test_an_answer_that_comes_twice_or_late_changes_nothing_and_asks_nothing():
    net = settled()
    give(net.binders[A], MANY[100:160])
    begin = net.now
    net.run(begin + 3.0)
    core, answers = (
        net.binders[B],
        [
            effect.frame
            for address, effect in net.sent()
            if address == A and isinstance(effect.frame, ServiceList)
        ],
    )
    assert len(answers) > 5
    before = core.directory.digest()
    for frame in answers:
        if not isinstance(frame.trailer, Hello):  # the answer to the bare byte begins a round
            assert sent(core.handle(frame, A, net.now)) == []
    assert core.directory.digest() == before


def test_an_old_word_in_a_late_page_does_not_outlive_a_newer_one():
    net = settled()
    core = net.binders[B]
    old = ServiceList(
        (ONE,),
        trailer=Page(binder=77, versions=encode_version(Version(3, 9, 0)), group=1, nonce=999),
    )
    core.handle(old, A, net.now)
    assert ONE in core.directory
    core.handle(say(Removed, ONE, Version(4, 9, 0)), A, net.now)
    for _ in range(2):
        core.handle(old, A, net.now)
        assert ONE not in core.directory


def test_a_silent_peer_is_given_up_and_asked_again_next_round():
    net = settled()
    net.cut = {B}
    begin = net.now
    net.run(begin + 30.0)
    asked = [e for address, e in net.sent(begin) if address == A]
    assert 30 < len(asked) < 400
    assert net.binders[A].inspect().rounds.keys() <= {B}
    assert net.binders[A].peers.get(B).agrees is None
    net.cut = set()
    give(net.binders[B], [ONE])
    net.run(net.now + 3.0)
    assert net.agree()


def test_a_binder_that_hears_a_peer_of_ours_is_synced_by_it_and_does_not_wait_in_vain():
    net = cluster(A, B)
    net.start(A)  # B is not up yet: the first questions are lost
    net._post.clear()
    net.run(0.04)
    net.start(B)
    net.run(1.2)
    assert [when < 0.5 for when, _ in net.reports(Event.SYNCED)] == [True, True]


# With binders of 2016


def bare_peer(net, source):
    """Let binder A have a peer of 2016 at `source`, which answers any question bare, for 20 s."""
    seen, answered = [], 0
    while net.now < 20.0:
        net.run(net.now + 0.1)
        asked = [e.frame for a, e in _to(net, source)]
        for frame in asked[len(seen) :]:
            seen.append(frame)
            if isinstance(frame, ListRequest):
                answered += 1
                net.say(A, ServiceList((TWO,)), source)
    return seen, answered


def _to(net, target):
    return [(a, e) for _, a, e in net.done if getattr(e, "target", None) == target]


@pytest.mark.parametrize("wire", WireForm)
def test_a_peer_of_2016_is_told_apart_and_gets_bare_frames_from_then_on(wire):
    net = Net({A: made(A, (B,), wire)})
    net.alive = {ONE, TWO}
    net.start()
    seen, answered = bare_peer(net, B)
    assert net.binders[A].peers.get(B).kind is Kind.LAB
    assert TWO in net.binders[A].directory
    questions = [frame.trailer for frame in seen if isinstance(frame, ListRequest)]
    assert questions[0] is None
    with_trailer = [trailer for trailer in questions if trailer is not None]
    assert 1 <= len(with_trailer) <= 2  # to see what it is; its answer comes late
    assert answered == len(questions) <= 5
    net.say(A, Subscribe(7), ("10.0.1.1", 4000))
    assert _to(net, B)[-1][1].frame == Added(ONE)
    net.alive = {TWO}
    net.say(A, Removed(ONE), ("10.0.1.1", 4000))
    assert _to(net, B)[-1][1].frame == Removed(ONE)
    net.run(60.0)
    assert [e.frame for _, e in _to(net, B)][-1] == Removed(ONE)
    ((frame, _),) = sent(net.say(A, ListRequest(), B))
    assert frame.instances == (TWO,)
    if wire is WireForm.LAB2016:
        assert frame.trailer is None


def test_under_wire_lab2016_nobody_is_shown_a_trailer_who_has_not_shown_one():
    net = Net({A: made(A, (B,), WireForm.LAB2016)})
    net.start()
    net.run(4.0)
    net.say(A, Subscribe(7), ("10.0.1.1", 4000))
    for frame in (ListRequest(), Added(TWO), Removed(TWO)):
        net.say(A, frame, B)
    assert len(_to(net, B)) > 4
    assert all(effect.frame.trailer is None for _, effect in _to(net, B))
    ((frame, _),) = sent(net.say(A, ListRequest(trailer=ListQuery(binder=9, nonce=1)), B))
    assert frame.trailer.binder == net.binders[A].identity


def test_two_binders_of_ours_under_wire_lab2016_find_each_other_all_the_same():
    net = cluster(A, B, wire=WireForm.LAB2016)
    give(net.binders[A], MANY[:300])
    net.start()
    net.run(3 * HELLO_PAUSE)
    assert net.agree()
    assert held(net.binders[B]) == set(MANY[:300])


def test_a_new_program_in_the_place_of_an_old_one_is_taken_for_what_it_is():
    net = Net({A: made(A, (B,))})
    net.start()
    bare_peer(net, B)
    net.binders[B] = made(B, (A,))
    net.start(B)
    net.run(net.now + 2.0)
    assert net.binders[A].peers.get(B).kind is Kind.OURS
    assert net.agree()


# Who says that it agrees, and a peer that never comes to an end


def agrees(net, one, other):
    """What one binder says of another."""
    return net.binders[one].peers.get(other).agrees


def test_binders_agree_when_their_digests_are_equal_and_not_when_there_is_no_news(monkeypatch):
    net = settled()
    assert (agrees(net, A, B), agrees(net, B, A)) == (True, True)
    monkeypatch.setattr(PeerUpdates, "merge", lambda *_: (0, 0, []))  # nothing is taken in
    give(net.binders[A], MANY[100:160])
    net.run(net.now + 3.0)
    assert not net.agree()
    assert (agrees(net, A, B), agrees(net, B, A)) == (False, False)


def test_what_finds_no_room_is_no_agreement_and_no_synchronisation_and_heals_with_room():
    net = Net({A: made(A, (A, B)), B: made(B, (A, B), limits=Limits(instances=50))})
    give(net.binders[A], MANY[:100])
    net.start(A)
    net.run(2.0)
    net.start(B)
    net.run(8.0)
    assert len(held(net.binders[B])) == 47
    assert not [when for when, address in net.reports(Event.SYNCED) if address == B]
    assert (agrees(net, A, B), agrees(net, B, A)) == (False, False)
    net.run(20.0)  # it serves what it has after a while, and goes on asking, at leisure
    assert len([when for when, address in net.reports(Event.SYNCED) if address == B]) == 1
    lists = [e.frame for a, e in net.sent(20.0 - ROUND_PAUSE_FULL) if a == A]
    lists = [frame for frame in lists if isinstance(frame, ServiceList)]
    assert sum(len(frame.instances) for frame in lists) <= 2 * 100
    for one in MANY[:60]:
        net.binders[A].handle(Removed(one), address_of(one), net.now)  # no peer hears of it
    net.run(net.now + ROUND_PAUSE_FULL + 2.0)
    assert net.agree()
    assert (agrees(net, A, B), agrees(net, B, A)) == (True, True)


def endless(question, step, same):
    """A hostile peer's answer: digests of which none is ours, and pages that have always another
    one behind them: the same one again, or one further on."""
    if isinstance(question, DigestRequest):
        reply = DigestReply(binder=9, nonce=question.nonce, digest=b"12345678", digests=b"x" * 512)
        return ServiceList((), trailer=reply)
    number = 7 if same else step
    cursor = next(
        one
        for one in (at(7, "10.9.0.1", port) for port in range(1, 65536))
        if bucket_of(one) // GROUPS == question.group
    )
    if not same:
        cursor = number.to_bytes(1, "little") + cursor[1:]
    page = Page(binder=9, nonce=question.nonce, group=question.group, buckets=1, cursor=cursor)
    return ServiceList((), trailer=page)


@pytest.mark.parametrize("same", [True, False])
def test_a_round_with_pages_that_never_end_ends(same, monkeypatch):
    monkeypatch.setattr(anti_entropy, "PAGES_MAX", 200)
    net = Net({A: made(A, (A, B))})
    net.start()
    net.say(A, ServiceList((), trailer=Hello(binder=9)), B)
    asked = 0
    for step in range(300):
        questions = [e.frame.trailer for _, e in _to(net, B)][asked:]
        asked += len(questions)
        for question in questions:
            if question is not None:
                net.say(A, endless(question, step % 256, same), B)
    assert B not in net.binders[A].inspect().rounds
    assert agrees(net, A, B) is False
    assert not net.reports(Event.SYNCED)
    net.run(SYNC_TALK + 1.0)
    assert net.reports(Event.SYNCED)


def test_what_a_page_removes_is_reported_by_name_and_what_has_no_room_once():
    binder = made(A, (A, B), limits=Limits(instances=10))
    give(binder, MANY[:2])
    gone = encode_removals([(one, Version(5, 9, 0)) for one in MANY[:2]])
    trailer = Page(binder=2, group=0, nonce=1, removals=gone)
    said = reports(binder.handle(ServiceList((), trailer=trailer), B, 1.0))
    assert [report.of for report in said if report.event is Event.REMOVED] == MANY[:2]
    there = tuple(MANY[10:40])
    versions = encode_versions([Version(6, 9, 0)] * len(there))
    trailer = Page(binder=2, group=0, nonce=1, versions=versions)
    said = reports(binder.handle(ServiceList(there, trailer=trailer), B, 1.0))
    (refused,) = [report for report in said if report.event is Event.REFUSED]
    assert refused.of == "20 instances"
    assert refused.why == "no room for what peers say, here peer 10.0.0.2:2222"


def reports(effects):
    """The Reports among effects."""
    return [effect for effect in effects if isinstance(effect, Report)]


# Many peers, and peers that are silent.


@pytest.mark.parametrize("is_one_at_a_time", [True, False])
def test_what_several_peers_know_is_told_once(is_one_at_a_time, monkeypatch):
    if not is_one_at_a_time:
        monkeypatch.setattr(anti_entropy, "HEARING", 0.0)
    net = cluster(A, B, C)
    net.start()
    net.cut = {A}
    net.run(10.0)
    for peer in (B, C):
        give(net.binders[peer], MANY[:2000])
    net.cut, began = set(), net.now
    net.run(began + 3.0)
    assert net.agree()
    told = [e for _, e in net.sent(began) if isinstance(e.frame, ServiceList) and e.target == A]
    words = sum(len(effect.frame.instances) for effect in told)
    assert (words < 1.2 * 2000) is is_one_at_a_time


def silent_for(seconds, peers):
    """When a binder asks its `peers`, all of ours, that have fallen silent."""
    addresses = [(f"10.0.0.{number + 2}", 2222) for number in range(peers)]
    net = Net({A: made(A, tuple(addresses))})
    net.start()
    for identity, address in enumerate(addresses, 2):
        net.say(A, ServiceList((), trailer=Hello(binder=identity)), address)
    net.run(60.0)
    began = net.now
    net.run(began + seconds)
    return [
        when - began
        for when, _, effect in net.done
        if when >= began and isinstance(getattr(effect, "frame", None), ListRequest)
    ]


@pytest.mark.smoke
@pytest.mark.parametrize(("peers", "rate"), [(1, 10), (5, 50), (60, 100)])
def test_silent_peers_are_asked_ten_times_a_second_and_all_together_a_hundred(peers, rate):
    asked = silent_for(20.0, peers)
    assert 0.9 * 20 * rate < len(asked) < 1.2 * 20 * rate


def test_a_peer_that_is_back_is_compared_with_at_once():
    net = settled()
    net.cut = {B}
    net.run(net.now + 10.0)
    give(net.binders[B], MANY[:300], counter=2)
    net.cut, began = set(), net.now
    net.say(A, ListRequest(trailer=DigestRequest(binder=2, nonce=1, digest=bytes(8))), B)
    net.run(began + 0.03)
    assert net.agree()


def test_who_was_told_much_at_once_compares_soon():
    """After a partition what one side took out is put right before all have heard of it: who has
    agreed with a peer just before would wait for its next turn."""
    net = settled()
    while min(core.deadline() for core in net.binders.values()) < net.now + 0.5:
        net.run(net.now + 0.01)
    give(net.binders[B], [ONE])
    words = encode_versions([Version(1, 9, 0)])
    net.say(A, ServiceList((TWO,), trailer=UnaskedPage(binder=2, versions=words, nonce=0)), B)
    net.run(net.now + 2 * ROUND_PAUSE_NEWS)
    assert held(net.binders[A]) >= {ONE, TWO}
