"""What binders make of agents: whom they ask, whom they believe, and what the others hear."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.effects import Event, Outcome, Probe, Report
from prr.wire.frames import Alive, Complaint, Removed, Subscribe, Subscribed
from prr.wire.instance import make_instance
from prr.wire.messages import AgentAnnouncement, Announcement, Plain, Reason, Started
from prr.wire.particulars import Particulars, decode_particulars, encode_particulars
from tests.cores import Net, events, sent

pytestmark = pytest.mark.elsewhere

BINDER, PEER = ("10.0.0.1", 2222), ("10.0.0.2", 2222)
AGENT, OTHER_PORT, ELSEWHERE = ("10.0.1.1", 40000), ("10.0.1.1", 40001), ("10.0.1.2", 40000)
SERVICES = (7, "web")
CLIENT = ("10.0.3.1", 5000)


def instance_of(service):
    return make_instance(service, ("10.0.1.1", 8080))


def says(service, start=9, padding=11, **particulars):
    said = AgentAnnouncement(
        instance=instance_of(service),
        start=start,
        padding=bytes(padding),
        particulars=encode_particulars(Particulars(**particulars)) or None,
    )
    return Alive(trailer=said)


def binder(*peers):
    made = Binder(frozenset({BINDER[0]}), peers, 1, Random(1))
    made.start(0.0)
    return made


def probes(effects):
    return [one for one in effects if isinstance(one, Probe)]


@pytest.fixture(params=SERVICES)
def held(request):
    """A binder that holds an instance which an agent speaks for, and that instance."""
    one = binder()
    effects = one.handle(says(request.param, weight=3), AGENT, 1.0)
    assert sent(effects) == [(Subscribed(trailer=Plain()), AGENT)]
    return one, instance_of(request.param)


def particulars(one, instance):
    return decode_particulars(one.directory.particulars(instance))


def test_an_instance_is_held_at_its_own_address_and_asked_at_its_agent_s(held):
    one, instance = held
    assert list(one.directory) == [instance]
    assert particulars(one, instance) == Particulars(weight=3, ask_at=AGENT)
    (probe,) = probes(one.handle(Complaint(instance), CLIENT, 20.0))
    assert (probe.instance, probe.at) == (instance, AGENT)


def test_an_agent_is_believed_about_its_own_host_alone():
    one = binder()
    assert Event.OUT_OF_PLACE in events(one.handle(says("web"), ELSEWHERE, 1.0))
    assert list(one.directory) == []


def test_an_announcement_without_room_for_the_question_is_not_heard():
    one = binder()
    assert sent(one.handle(says("web", padding=10), AGENT, 1.0)) == []
    assert list(one.directory) == []


@pytest.mark.parametrize("at", [ELSEWHERE, OTHER_PORT, ("10.0.3.3", 53)])
def test_nobody_has_somebody_else_asked(at):
    """Where it is asked is where it speaks from, whatever its particulars say."""
    one = binder()
    one.handle(says("web", ask_at=at), AGENT, 1.0)
    assert particulars(one, instance_of("web")).ask_at == AGENT
    said = encode_particulars(Particulars(ask_at=at))
    named = Announcement(name=b"db", start=9, padding=bytes(11), particulars=said)
    one.handle(Alive(trailer=named), AGENT, 1.0)
    one.handle(Subscribe(7, trailer=Started(start=9, particulars=said)), AGENT, 1.0)
    for service in ("db", 7):
        assert particulars(one, make_instance(service, AGENT)).ask_at is None


def test_it_leaves_by_its_agent_which_says_why(held):
    one, instance = held
    gone = Removed(instance, trailer=Reason(error=b"GET /: 500 no \x1b[31mdisk"))
    effects = one.handle(gone, AGENT, 2.0)
    assert (Removed(instance), AGENT) in sent(effects)
    assert instance not in one.directory
    (report,) = [e for e in effects if isinstance(e, Report) and e.event is Event.WITHDRAWN]
    assert report.why == "GET /: 500 no  [31mdisk"


@pytest.mark.parametrize("source", [OTHER_PORT, ("10.0.1.1", 8080), ELSEWHERE])
def test_nobody_else_can_deregister_it(held, source):
    one, instance = held
    effects = one.handle(Removed(instance), source, 2.0)
    assert Event.OUT_OF_PLACE in events(effects) and sent(effects) == []
    assert instance in one.directory


def test_a_leave_that_is_repeated_is_acknowledged_again(held):
    one, instance = held
    one.handle(Removed(instance), AGENT, 2.0)
    assert sent(one.handle(Removed(instance), AGENT, 2.1)) == [(Removed(instance), AGENT)]


def test_after_a_forged_or_late_leave_the_agent_is_asked_and_it_is_back_as_it_was(held):
    one, instance = held
    one.handle(says(instance_service(instance), weight=3), AGENT, 2.0)
    (probe,) = probes(one.handle(Removed(instance), AGENT, 3.0))
    assert probe.at == AGENT
    one.probed(probe, Outcome.ALIVE, 3.1)
    assert particulars(one, instance) == Particulars(weight=3, ask_at=AGENT)


def test_whoever_comes_back_is_asked_where_it_speaks_from_now(held):
    one, instance = held
    one.handle(Removed(instance), AGENT, 2.0)
    one.tick(2.0)
    for tenth in range(21, 60):
        one.tick(tenth / 10)  # nobody answers: it has left
    effects = one.handle(says(instance_service(instance), start=10), OTHER_PORT, 6.0)
    assert [probe.at for probe in probes(effects)] == [OTHER_PORT]


@pytest.mark.parametrize("service", SERVICES)
def test_every_binder_asks_the_agent(service):
    net = Net({BINDER: binder(PEER), PEER: Binder(frozenset({PEER[0]}), (BINDER,), 2, Random(2))})
    net.act(PEER, net.binders[PEER].start(0.0))
    net.run(1.0)
    net.act(BINDER, net.binders[BINDER].handle(says(service), AGENT, net.now))
    net.run(3.0)
    other, instance = net.binders[PEER], instance_of(service)
    assert particulars(other, instance).ask_at == AGENT
    net.act(PEER, other.handle(Complaint(instance), CLIENT, net.now))
    net.run(30.0)
    asked = [effect.at for _, address, effect in net.done if isinstance(effect, Probe)]
    assert asked and set(asked) == {AGENT}


def instance_service(instance):
    return next(service for service in SERVICES if instance_of(service) == instance)
