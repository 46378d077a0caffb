"""The binder's rules as scripts: frames in, effects out, and every frame delivered twice."""

from dataclasses import replace
from inspect import isfunction
from random import Random

import pytest

from prr.config import Limits, WireForm
from prr.core.binder import Binder
from prr.core.deadlines import Deadlines
from prr.core.effects import Effect, Event, Outcome, Stop
from prr.core.liveness.just_asked import JUST_ASKED
from prr.core.liveness.newcomers import PAUSES, QUESTIONS
from prr.core.liveness.phases import WAITS
from prr.core.lookups import WAITING_MAX
from prr.core.metrics import SILENT_EVENTS
from prr.core.replication.peers import Kind
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.forms import TABLE
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
    FoundInstance,
    ListRequest,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
)
from prr.wire.inquiries import ListQuery
from prr.wire.instance import address_of
from prr.wire.messages import (
    DigestRequest,
    Hello,
    Opinion,
    OpinionRequest,
    Page,
    Plain,
    Search,
    Started,
)
from prr.wire.version import LEFT, Version
from tests.cores import (
    CODEC_2016,
    CODECS,
    at,
    behind,
    decode,
    effects_of,
    encode,
    events,
    forms_for,
    probes,
    random_address,
    random_frame,
    random_instance,
    run,
    say,
    sent,
)
from tests.samples import sample

pytestmark = pytest.mark.elsewhere

OWN_IP = "10.0.0.1"
OWN_IPS = frozenset({OWN_IP, "192.168.0.1"})
PEERS = (PEER, PEER_2) = (("10.0.0.2", 2222), ("10.0.0.3", 2222))
CLIENT, LOCAL, LOOPBACK = ("10.0.2.1", 5000), (OWN_IP, 5000), ("127.0.0.1", 5000)
SERVICES = tuple((f"10.0.1.{number}", 4000) for number in (1, 2, 3))
HELD = tuple(at(7, *address) for address in SERVICES)
ONE, TWO, THREE = HELD
FOREIGN = at(7, "10.0.1.99", 4000)


def made(peers=(), wire=WireForm.SPEC, **options) -> Binder:
    """A binder, not started."""
    return Binder(OWN_IPS, peers, 1, Random(1), wire, **options)


def alone(wire=WireForm.SPEC) -> Binder:
    """A binder without peers."""
    binder = made(wire=wire)
    assert binder.start(0.0) == []
    return binder


def starting(**options) -> Binder:
    """A binder that has just asked its peers."""
    binder = made(PEERS, **options)
    assert sent(binder.start(0.0)) == [(ListRequest(), peer) for peer in PEERS]
    return binder


def synced(*instances, **options) -> Binder:
    """A binder whose peers, of 2016, have told it of `instances`."""
    binder = starting(**options)
    for peer in PEERS:
        binder.handle(ServiceList(instances), peer, 0.0)
        binder.peers.get(peer).kind = Kind.LAB
        binder.peers.get(peer).answered_bare_at = None
    return binder


def answers(binder, type_=7, count=1, source=CLIENT, codec=CODECS[Role.BINDER]):
    """What `count` lookups are answered, each with one frame or with None."""
    given = []
    for _ in range(count):
        replies = sent(binder.handle(Lookup(type_), source, 0.0), codec)
        assert [to for _, to in replies] in ([], [source])
        given += [frame for frame, _ in replies] or [None]
    return given


def given_out(binder, count=6):
    """The addresses that clients get."""
    return {answer.address for answer in answers(binder, count=count)}


def accuse(binder, instance=ONE, source=CLIENT, now=0.0):
    """Complain about an instance that is held: the question that follows."""
    (probe,) = probes(binder.handle(Complaint(instance), source, now))
    assert probe.instance == instance
    return probe


def doubts(binder):
    """The instances that are being verified."""
    return sorted(binder.inspect().verifications)


def state(binder):
    """All that later answers depend on."""
    directory = binder.directory
    in_turn = {service: directory.instances_of(service) for service in directory.services()}
    doubted = sorted(binder.inspect().verifications.items())
    return directory.digest(), set(directory), in_turn, doubted


# The ways in


def test_every_way_into_the_core_is_a_step():
    """Each persists what it has changed: so does whatever `_step` has wrapped."""
    public = [one for name, one in vars(Binder).items() if isfunction(one) and name[0] != "_"]
    deciding = [one for one in public if one.__annotations__["return"] == list[Effect]]
    assert {Binder.handle, Binder.tick, Binder.learn} < set(deciding)
    assert [one.__name__ for one in deciding if not hasattr(one, "__wrapped__")] == []


# What it shows


def deadlines_in(thing, seen):
    """Every container of deadlines in a core."""
    if id(thing) in seen or not type(thing).__module__.startswith("prr.core"):
        return []
    seen.add(id(thing))
    inside = [deadlines_in(value, seen) for value in getattr(thing, "__dict__", {}).values()]
    return sum(inside, [thing] if isinstance(thing, Deadlines) else [])


def test_it_shows_the_size_of_every_container_of_deadlines():
    binder = starting()
    shown = [name for name in binder.inspect().sizes if name.endswith(" due")]
    # The eviction limiter is checked by itself: it holds back no more than the instances there are.
    assert len(shown) == len(deadlines_in(binder, set())) - 1 > 4


# Starting


def test_peers_are_asked_for_ever_with_growing_pauses_and_their_silence_is_said_once():
    timed = run(starting(), until=60.0)
    for peer in PEERS:
        asked = [when for when, effect in timed if sent([effect]) == [(ListRequest(), peer)]]
        pauses = [after - before for before, after in zip([0.0, *asked], asked, strict=False)]
        assert pauses[:7] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
        assert pauses[7:] == pytest.approx([5.0] * len(pauses[7:]))
        assert asked[-1] > 54
    silent = [effect for _, effect in timed if events([effect]) == [Event.PEER_SILENT]]
    assert len(silent) == len(PEERS)


def test_it_says_no_such_service_only_when_it_has_heard_a_peer():
    binder = starting()
    binder.handle(Subscribe(7), SERVICES[0], 0.0)
    assert answers(binder, type_=9) == [None]
    assert answers(binder) == [Found(SERVICES[0])]  # what it knows it says
    binder.handle(ServiceList(()), CLIENT, 0.1)  # no peer
    assert answers(binder, type_=9) == [None]
    binder.handle(ServiceList((), trailer=Hello(binder=2)), PEER_2, 0.1)  # it has more to tell
    assert answers(binder, type_=9) == [None]
    assert Event.SYNCED in events(binder.handle(ServiceList((ONE,)), PEER, 0.2))
    assert answers(binder, type_=9) == [Unknown()]


def test_it_says_no_such_service_when_a_second_is_over_and_nobody_answered():
    binder = starting()
    assert Event.SYNCED not in events(effects_of(run(binder, until=0.999)))
    assert answers(binder, type_=9) == [None]
    assert events(effects_of(run(binder, until=1.0))).count(Event.SYNCED) == 1
    assert answers(binder, type_=9) == [Unknown()]


def test_without_peers_there_is_nobody_to_wait_for():
    assert answers(alone()) == [Unknown()]


def test_peers_whose_names_are_not_resolved_yet_are_waited_for_too():
    binder = made(expects_peers=True)
    assert binder.start(0.0) == []
    assert answers(binder) == [None]
    binder.add_peer(PEER, 0.5)
    assert answers(binder) == [None]
    binder.handle(ServiceList(()), PEER, 0.6)
    assert answers(binder) == [Unknown()]


def test_all_that_peers_answer_is_merged_however_late():
    binder = starting()
    binder.handle(ServiceList((ONE, TWO)), PEER, 0.1)
    assert given_out(binder) == set(SERVICES[:2])
    binder.handle(ServiceList((TWO, THREE)), PEER_2, 30.0)
    assert given_out(binder) == set(SERVICES)
    assert len(binder.directory) == 3


def test_a_peer_whose_name_is_resolved_late_is_asked_then_and_only_once():
    binder = alone()
    assert sent(binder.add_peer(PEER, 5.0)) == [(ListRequest(), PEER)]
    assert binder.add_peer(PEER, 5.0) == []
    binder.handle(ServiceList((ONE,)), PEER, 5.1)
    assert given_out(binder) == {SERVICES[0]}


# Lookups and subscriptions


def test_instances_have_their_turn_strictly():
    binder = synced(*HELD)
    first = answers(binder, count=3)
    assert {answer.address for answer in first} == set(SERVICES)
    assert answers(binder, count=300) == first * 100
    assert answers(binder, type_=8) == [Unknown()]


def test_the_programs_of_2016_are_answered_8_bytes_when_that_was_asked_for():
    binder = alone(WireForm.LAB2016)
    binder.handle(Subscribe(7), SERVICES[0], 0.0)
    assert answers(binder, codec=CODEC_2016) == [FoundInstance(ONE)]
    assert [len(encode(answer)) for answer in answers(binder, codec=CODEC_2016)] == [8]
    assert answers(binder, type_=8, codec=CODEC_2016) == [Unknown()]


def test_a_subscription_is_told_to_every_peer_and_then_confirmed():
    binder = synced()
    told = [(Added(ONE), peer) for peer in PEERS]
    for expected in ([*told, (Subscribed(), SERVICES[0])], [(Subscribed(), SERVICES[0])]):
        assert sent(binder.handle(Subscribe(7), SERVICES[0], 0.0)) == expected
    assert len(binder.directory) == 1
    assert given_out(binder) == {SERVICES[0]}


def test_a_server_that_asks_what_it_is_subscribes_by_that():
    binder = alone()
    asks = Alive(trailer=Search(types=b"\7", start=99))
    for _ in range(2):
        confirmed = sent(binder.handle(asks, address_of(ONE), 0.0))
        assert confirmed == [(Subscribed(trailer=Plain()), address_of(ONE))]
    assert binder.directory.version(ONE).start == 99
    for other in (
        Alive(),
        behind(Alive(), nonce=1, types=b"\7", start=99),
        behind(Alive(), types=b"\7"),
    ):
        assert sent(binder.handle(other, address_of(TWO), 0.0)) == []
    assert sent(binder.handle(asks, ("10.0.1.9", 0), 0.0)) == []
    assert len(binder.directory) == 1


def test_one_address_may_give_several_types():
    binder = synced()
    for type_ in (0, 7, 200, 255):
        assert (Subscribed(), SERVICES[0]) in sent(binder.handle(Subscribe(type_), SERVICES[0], 0))
        assert answers(binder, type_=type_) == [Found(SERVICES[0])]
    assert len(binder.directory) == 4


def test_nobody_subscribes_from_port_0():
    binder = synced()
    assert events(binder.handle(Subscribe(7), ("10.0.1.1", 0), 0.0)) == [Event.OUT_OF_PLACE]
    assert len(binder.directory) == 0


def test_a_full_binder_confirms_no_new_subscription_tells_nobody_and_says_so():
    binder = synced(limits=Limits(instances=2))
    for service in SERVICES[:2]:
        binder.handle(Subscribe(7), service, 0.0)
    effects = binder.handle(Subscribe(7), SERVICES[2], 0.0)
    assert (sent(effects), events(effects)) == ([], [Event.REFUSED])
    for word in (Added(THREE), say(Added, THREE, Version(9, 9, 0))):
        binder.handle(word, PEER, 0.0)
        assert THREE not in binder.directory
    assert sent(binder.handle(Subscribe(7), SERVICES[0], 0.0)) == [(Subscribed(), SERVICES[0])]
    (probe,) = probes(binder.handle(Removed(TWO), PEER, 0.0))
    binder.probed(probe, Outcome.REFUSED, 0.0)
    assert (Subscribed(), SERVICES[2]) in sent(binder.handle(Subscribe(7), SERVICES[2], 0.0))


# Complaints


def test_a_complaint_takes_the_instance_out_of_turn_and_asks_it():
    binder = synced(*HELD)
    accuse(binder)
    assert given_out(binder) == set(SERVICES[1:])


def test_the_last_of_its_type_stays_in_turn_while_it_is_asked():
    binder = synced(ONE)
    accuse(binder)
    assert answers(binder, count=2) == [Found(SERVICES[0])] * 2


@pytest.mark.parametrize(
    ("outcomes", "event"),
    [([Outcome.ALIVE], Event.VERIFIED), ([Outcome.UNSENT] * 3, Event.KEPT)],
)
def test_an_instance_that_answers_or_cannot_be_asked_is_back_in_turn(outcomes, event):
    binder = synced(*HELD)
    asked = [(0.0, accuse(binder))]
    for outcome in outcomes:
        assert given_out(binder) == set(SERVICES[1:])
        ((when, probe),) = asked
        effects = binder.probed(probe, outcome, when)
        timed = run(binder, until=when + 0.2)
        asked = [(at, probe) for at, effect in timed for probe in probes([effect])]
    assert (sent(effects), events(effects)) == ([], [event])
    assert given_out(binder) == set(SERVICES)
    assert doubts(binder) == []
    accuse(binder, now=JUST_ASKED)  # the next complaint is heard again


def test_one_that_subscribes_again_is_not_evicted_for_refusals_of_who_was_there_before():
    """They lie unread at a binder that was stopped. What its predecessor answers counts, too."""
    for outcome in (Outcome.REFUSED, Outcome.ALIVE):
        binder = alone()
        binder.handle(Subscribe(7), SERVICES[0], 0.0)
        first = accuse(binder)
        binder.probed(first, Outcome.REFUSED, 0.0)
        ((when, second),) = [(when, one) for when, one in run(binder, until=0.1) if probes([one])]
        assert (Subscribed(), SERVICES[0]) in sent(binder.handle(Subscribe(7), SERVICES[0], when))
        effects = binder.probed(second, outcome, when)
        assert Event.EVICTED not in events(effects)
        assert (ONE in binder.inspect().newcomers) is (outcome is Outcome.REFUSED)
        if outcome is Outcome.REFUSED:
            ((when, third),) = [
                (when, one) for when, one in run(binder, until=when + 0.3) if probes([one])
            ]
            binder.probed(third, Outcome.ALIVE, when)
        assert given_out(binder) == {SERVICES[0]}
        assert ONE not in binder.inspect().newcomers


def test_whoever_forges_such_subscriptions_keeps_the_dead_for_no_longer_than_if_it_were_silent():
    """And has it asked no more."""
    binder = alone()
    binder.handle(Subscribe(7), SERVICES[0], 0.0)
    asked, now, effects = [], 0.0, []
    while Event.EVICTED not in events(effects) and now < 60.0:
        for probe in asked[-1:]:
            binder.handle(Subscribe(7), SERVICES[0], now)
            binder.probed(probe, Outcome.REFUSED, now)
        now += 0.05
        effects = binder.tick(now)
        asked += probes(effects)
    assert len(asked) <= QUESTIONS
    assert now < sum(PAUSES) + 3 * WAITS[-1] + 0.5


def test_two_refusals_evict_it_and_every_peer_is_told():
    binder = synced(*HELD)
    first = accuse(binder)
    assert binder.probed(first, Outcome.REFUSED, 0.0) == []
    ((when, second),) = [(when, one) for when, one in run(binder, until=0.1) if probes([one])]
    assert when < 0.1
    effects = binder.probed(second, Outcome.REFUSED, when)
    assert sent(effects) == [(Removed(ONE), peer) for peer in PEERS]
    assert events(effects) == [Event.EVICTED]
    assert given_out(binder) == set(SERVICES[1:])
    for late in (first, second):
        assert binder.probed(late, Outcome.ALIVE, 0.2) == []
    assert ONE not in binder.directory


def test_three_silences_evict_it_after_about_a_second_and_every_peer_is_told():
    binder = synced(ONE)
    accuse(binder)
    timed = run(binder, until=0.9)
    assert len(probes(effects_of(timed))) == 2
    assert answers(binder) == [Found(SERVICES[0])]
    ((when, *_), *_) = timed = run(binder, until=1.1)
    assert when == pytest.approx(1.0)
    assert sent(effects_of(timed)) == [(Removed(ONE), peer) for peer in PEERS]
    assert answers(binder) == [Unknown()]


def test_however_many_complain_there_is_one_verification_of_an_instance():
    binder = synced(*HELD)
    accuse(binder)
    for number in range(1, 200):
        assert binder.handle(Complaint(ONE), ("10.0.2.1", number), 0.01) == []
    accuse(binder, TWO)
    assert len(probes(effects_of(run(binder, until=0.9)))) == 4  # two more for each


def test_complaints_about_what_it_does_not_have_cost_nothing():
    binder = synced(ONE)
    before = state(binder)
    for instance in (FOREIGN, at(8, *SERVICES[0]), at(7, SERVICES[0][0], 4001)):
        effects = binder.handle(Complaint(instance), CLIENT, 0.0)
        assert (sent(effects), probes(effects), events(effects)) == ([], [], [Event.NOT_HELD])
    assert state(binder) == before


def test_verifications_are_bounded_and_who_finds_no_room_stays_in_turn():
    crowd = [at(7, "10.1.0.1", port) for port in range(1, 9)]
    binder = synced(*crowd, ONE, at(8, *SERVICES[0]), limits=Limits(verifications=8))
    asked = [accuse(binder, instance) for instance in crowd]
    effects = binder.handle(Complaint(ONE), CLIENT, 0.0)
    assert (probes(effects), events(effects)) == ([], [Event.UNVERIFIED])
    assert given_out(binder, count=10) == {SERVICES[0]}
    binder.probed(asked[0], Outcome.ALIVE, 0.1)
    accuse(binder)


def test_an_instance_that_subscribes_meanwhile_is_asked_no_more():
    binder = synced(*HELD)
    probe = accuse(binder)
    assert sent(binder.handle(Subscribe(7), SERVICES[0], 0.1)) == [(Subscribed(), SERVICES[0])]
    assert given_out(binder) == set(SERVICES)
    assert probes(effects_of(run(binder, until=9.0))) == []
    assert binder.probed(probe, Outcome.REFUSED, 9.2) == []


def test_an_instance_that_a_peer_says_is_gone_meanwhile_stays_gone_unless_it_answers():
    for outcome, is_back in ((Outcome.ALIVE, True), (Outcome.REFUSED, False)):
        binder = synced(*HELD)
        probe = accuse(binder)
        assert sent(binder.handle(Removed(ONE), PEER, 0.1)) == []
        assert given_out(binder) == set(SERVICES[1:])
        binder.probed(probe, outcome, 0.15)
        assert (ONE in binder.directory) is is_back


# What peers and leaving servers say


def test_additions_and_removals_are_believed_from_peers():
    binder = synced()
    assert sent(binder.handle(Added(ONE), PEER, 0.0)) == []
    assert given_out(binder) == {SERVICES[0]}
    assert sent(binder.handle(Removed(ONE), PEER_2, 0.0)) == []
    assert answers(binder) == [Unknown()]


@pytest.mark.parametrize(
    "source", [CLIENT, LOCAL, LOOPBACK, SERVICES[1], (SERVICES[0][0], 4001), (PEER[0], 2223)]
)
def test_nobody_else_adds_removes_or_merges(source):
    binder = synced(ONE)
    before = state(binder)
    for frame in (Added(FOREIGN), Removed(ONE), ServiceList((FOREIGN,))):
        effects = binder.handle(frame, source, 0.0)
        assert (sent(effects), events(effects)) == ([], [Event.OUT_OF_PLACE])
    assert state(binder) == before


def test_an_instance_takes_its_leave_the_peers_are_told_and_it_is_acknowledged():
    binder = synced(*HELD)
    told = [(Removed(ONE), peer) for peer in PEERS]
    acknowledged = [(Removed(ONE), SERVICES[0])]
    for expected in (told + acknowledged, acknowledged):  # the first answer may have been lost
        assert sent(binder.handle(Removed(ONE), SERVICES[0], 0.0)) == expected
        assert given_out(binder) == set(SERVICES[1:])


def test_a_leave_of_what_never_was_leaves_nothing_but_its_acknowledgement():
    binder = synced(ONE, limits=Limits(removals=100))
    binder.handle(Removed(ONE), SERVICES[0], 0.0)
    for port in range(1, 1000):
        source = ("10.0.9.1", port)
        effects = binder.handle(Removed(at(7, *source)), source, 0.0)
        assert (sent(effects), events(effects)) == ([(Removed(at(7, *source)), source)], [])
        assert binder.directory.latest(at(7, *source)) is None
    assert binder.directory.removal(ONE).start == LEFT


def test_a_binder_that_has_not_heard_its_peers_does_not_acknowledge_a_leave_of_what_it_lacks():
    binder = starting()
    assert binder.handle(Removed(TWO), SERVICES[1], 0.0) == []
    binder.handle(Added(TWO), PEER, 0.0)
    assert (Removed(TWO), SERVICES[1]) in sent(binder.handle(Removed(TWO), SERVICES[1], 0.0))


@pytest.mark.parametrize("source", [PEER, LOCAL, LOOPBACK, ("192.168.0.1", 5000)])
def test_lists_go_to_peers_and_to_its_own_host(source):
    ((frame, to),) = sent(synced(*HELD).handle(ListRequest(), source, 0.0))
    assert (set(frame.instances), to) == (set(HELD), source)


@pytest.mark.parametrize("source", [CLIENT, SERVICES[0], (PEER[0], 2223), ("12.7.0.1", 2222)])
@pytest.mark.parametrize("trailer", [None, ListQuery()])
def test_lists_go_to_nobody_else(source, trailer):
    effects = synced(*HELD).handle(ListRequest(trailer=trailer), source, 0.0)
    assert (sent(effects), events(effects)) == ([], [Event.OUT_OF_PLACE])


# Long lists

MANY = tuple(at(number % 256, "10.2.0.1", number) for number in range(1, 251))


@pytest.mark.parametrize("source", [PEER, LOCAL])
def test_who_asks_barely_as_in_2016_gets_the_first_hundred_in_one_datagram(source):
    binder = synced(*MANY)
    ((frame, _),) = sent(binder.handle(ListRequest(), source, 0.0))
    assert len(frame.instances) == LIST_INSTANCES_MAX
    assert set(frame.instances) <= set(MANY)
    # A trailer goes to peers, who may be of ours, and otherwise to who sent one.
    assert (frame.trailer is not None) == (source == PEER)
    assert decode(encode(frame)[:702], Role.BINDER).instances == frame.instances


def test_a_program_on_its_host_is_told_all_in_pages_with_its_nonce():
    binder, cursor, seen = synced(*MANY), b"", []
    while cursor is not None:
        question = ListRequest(trailer=ListQuery(cursor=cursor, nonce=2016))
        ((frame, _),) = sent(binder.handle(question, LOCAL, 0.0))
        assert frame.trailer.nonce == 2016
        seen += frame.instances
        cursor = frame.trailer.cursor
    assert sorted(seen) == sorted(MANY)


# For all rules


RULES = {
    "a subscription": (Subscribe(7), CLIENT),
    "a known subscription": (Subscribe(7), SERVICES[0]),
    "a complaint": (Complaint(ONE), CLIENT),
    "a strange complaint": (Complaint(FOREIGN), CLIENT),
    "a question for the list": (ListRequest(), PEER),
    "a stranger's question for it": (ListRequest(), CLIENT),
    "a list": (ServiceList((*HELD, FOREIGN)), PEER),
    "an addition": (Added(FOREIGN), PEER),
    "a known addition": (Added(ONE), PEER),
    "a removal": (Removed(ONE), PEER),
    "a strange removal": (Removed(FOREIGN), PEER),
    "a leave": (Removed(ONE), SERVICES[0]),
    "a leave unasked": (Removed(FOREIGN), address_of(FOREIGN)),
    "a renewal": (Subscribe(7, trailer=Started(start=9)), SERVICES[0]),
    "an addition with a version": (say(Added, FOREIGN, Version(99, 9, 0)), PEER),
    "a newer word about one that is held": (say(Added, ONE, Version(99, 9, 0)), PEER),
    "an older word": (say(Added, ONE, Version(0, 0, 0)), PEER),
    "a removal with a version": (say(Removed, ONE, Version(99, 9, 0)), PEER),
    "a removal from the future": (say(Removed, ONE, Version(2**63, 9, 0)), PEER),
    "a removal that is out of date": (say(Removed, ONE, Version(0, 0, 0)), PEER),
    "a question from a binder": (behind(ListRequest(), binder=9, nonce=9), PEER),
    "a binder that differs": (ListRequest(trailer=DigestRequest(binder=9, digest=bytes(8))), PEER),
    "a page nobody asked for": (ServiceList((), trailer=Page(binder=9, group=3)), PEER),
    "a request for an opinion": (Complaint(ONE, trailer=OpinionRequest(binder=9, nonce=9)), PEER),
    "an opinion unasked for": (Unknown(trailer=Opinion(binder=9, nonce=9)), PEER),
    "a good opinion unasked for": (Alive(trailer=Opinion(binder=9, nonce=9)), PEER),
}


@pytest.mark.parametrize(("frame", "source"), RULES.values(), ids=RULES)
@pytest.mark.parametrize("is_new", [True, False], ids=["starting", "synced"])
def test_a_frame_that_comes_twice_changes_nothing_the_second_time(frame, source, is_new):
    binder = starting() if is_new else synced(*HELD)
    if is_new:
        for instance in HELD:
            binder.handle(Added(instance), PEER, 0.0)
    first = binder.handle(frame, source, 0.05)
    before = state(binder)
    second = binder.handle(frame, source, 0.05)
    assert state(binder) == before
    assert probes(second) == []
    assert set(events(second)) <= SILENT_EVENTS | {Event.REFUSED}
    assert set(sent(second)) <= set(sent(first))


def test_what_no_binder_ever_receives_is_out_of_place():
    rng = Random(1)
    rules = {Lookup, Complaint, Subscribe, ListRequest, ServiceList, Added, Removed}
    assert rules < {form.frame for form in forms_for(Role.BINDER)}
    binder = synced(*HELD)
    for form in TABLE:
        if form.frame not in rules:
            effects = binder.handle(random_frame(rng, form, trailer=False), PEER, 0.0)
            assert (sent(effects), events(effects)) == ([], [Event.OUT_OF_PLACE])


@pytest.mark.parametrize("seed", sample(12, range(40)))
def test_a_stranger_gets_one_datagram_of_8_bytes_or_what_he_sent_and_nobody_else_hears_of_it(seed):
    rng = Random(seed)
    binder = made(PEERS, wire := rng.choice(list(WireForm)))
    codec = CODEC_2016 if wire is WireForm.LAB2016 else CODECS[Role.BINDER]
    binder.start(0.0)
    now = 2.0
    run(binder, now)  # until it has given up waiting for its peers
    strangers = [CLIENT, random_address(rng), *SERVICES]
    for _ in range(200):
        now += rng.choice((0.0, 0.0, 0.01, 0.3))
        source = rng.choice(strangers)
        frame = random_frame(rng, rng.choice(TABLE))
        if hasattr(frame, "instance"):
            pool = (*HELD, at(7, *source), random_instance(rng))
            frame = replace(frame, instance=rng.choice(pool))
        effects = binder.handle(frame, source, now)
        back = [encode(answer) for answer, to in sent(effects, codec) if to == source]
        assert len(back) <= 1
        assert sum(map(len, back)) <= max(8, len(encode(frame)))
        assert {to for _, to in sent(effects)} <= {source, *PEERS}
        ticked = binder.tick(now)
        assert {to for _, to in sent(ticked)} <= set(PEERS)
        known = (binder.directory.latest(probe.instance) for probe in probes(effects + ticked))
        assert all(known)


def test_who_asks_before_it_has_heard_its_peers_is_answered_once_it_has():
    binder = made(PEERS)
    binder.start(0.0)
    assert not binder.is_ready
    assert sent(binder.handle(Lookup(7), CLIENT, 0.1)) == []
    assert sent(binder.handle(Lookup(8), LOCAL, 0.1)) == []
    assert sent(binder.tick(0.2)) == [(ListRequest(), PEER), (ListRequest(), PEER_2)]
    answers = sent(binder.handle(ServiceList((ONE,)), PEER, 0.3))
    assert answers == [(Found(address_of(ONE)), CLIENT), (Unknown(), LOCAL)]
    assert binder.is_ready
    assert sent(binder.handle(Lookup(8), CLIENT, 0.4)) == [(Unknown(), CLIENT)]


def test_who_asks_a_binder_that_hears_no_peer_is_answered_in_time_and_no_more_than_the_limit():
    binder = made(PEERS)
    binder.start(0.0)
    for number in range(WAITING_MAX + 5):
        binder.handle(Lookup(7), ("10.0.9.9", 1 + number), 0.1)
    answers = [frame for frame, _ in sent(effects_of(run(binder, 1.5))) if frame == Unknown()]
    assert len(answers) == WAITING_MAX
    assert not [frame for frame, _ in sent(effects_of(run(binder, 9.0))) if frame == Unknown()]


def test_a_peer_that_is_removed_is_a_stranger_and_is_asked_nothing_more():
    binder = synced(*HELD)
    assert PEER in binder.peers
    binder.remove_peer(PEER)
    binder.remove_peer(PEER)
    assert PEER not in binder.peers
    assert len(binder.directory) == len(HELD)
    assert events(binder.handle(ServiceList((FOREIGN,)), PEER, 1.0)) == [Event.OUT_OF_PLACE]
    told = {to for _, to in sent(binder.handle(Subscribe(9), SERVICES[0], 1.0))}
    assert told == {PEER_2, SERVICES[0]}
    assert PEER not in {to for _, to in sent(effects_of(run(binder, 10.0)))}
    assert sent(binder.add_peer(PEER, 11.0)) == [(ListRequest(), PEER)]


def test_a_peer_is_removed_while_it_is_being_asked():
    binder = made(PEERS)
    binder.start(0.0)
    binder.handle(ServiceList((), trailer=Hello(binder=77)), PEER, 0.01)  # a round begins
    binder.remove_peer(PEER)
    binder.remove_peer(PEER_2)
    assert sent(effects_of(run(binder, 20.0))) == []
    assert binder.is_ready


def test_its_summary_says_whom_it_hears():
    binder = made(PEERS)
    binder.start(0.0)
    assert binder.summary(0.0) == "asking its peers; 0 instances of 0 services, 0 of 2 peers heard"
    binder.handle(ServiceList((ONE,)), PEER, 0.3)
    assert binder.summary(0.4) == "synced; 1 instances of 1 services, 1 of 2 peers heard"


def test_it_stops_in_order_and_tells_nobody():
    binder = synced(*HELD)
    (stop,) = binder.stop(1.0)
    assert isinstance(stop, Stop)
    assert stop.in_order
