"""Questions to instances, from sockets that are closed again."""

import socket
import time

import gevent
import pytest
from gevent.hub import get_hub

from prr.core.effects import Outcome, Probe
from prr.shell import probe as module
from prr.shell.probe import LINGER, SWEEP_MAX, SWEEP_PAUSE, Prober
from prr.wire.address import make_instance
from prr.wire.codec import encode
from prr.wire.frames import Alive, Verify

WAIT = 0.05


@pytest.fixture
def told():
    """What became of the questions, by serial; and who asks them."""
    outcomes = {}
    prober = Prober(lambda probe, outcome: outcomes.update({probe.serial: outcome}))
    yield outcomes, prober
    prober.close()


@pytest.fixture
def service():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(5)
        yield opened


def question(service, serial=1):
    return Probe(make_instance(1, service.getsockname()), serial, WAIT, Verify(), 0)


def hear(service):
    """Its next question, and who asks; the loop goes on meanwhile."""
    gevent.sleep(0.005)
    return service.recvfrom(100)


def is_open(asker):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind(asker)
        except OSError:
            return True
        return False


def test_an_answer_is_told_and_the_socket_closed(told, service):
    outcomes, prober = told
    prober.ask(question(service))
    data, asker = hear(service)
    assert data == encode(Verify())
    assert is_open(asker)
    service.sendto(encode(Alive()), asker)
    gevent.sleep(0.05)
    assert outcomes == {1: Outcome.ALIVE}
    assert not is_open(asker)


def test_nobody_there_is_told(told, service):
    outcomes, prober = told
    asked = question(service)
    service.close()
    prober.ask(asked)
    gevent.sleep(0.05)
    assert outcomes == {1: Outcome.REFUSED}


def test_the_next_question_leaves_from_the_same_socket_and_another_ones_does_not(told, service):
    _, prober = told
    askers = []
    for serial, pause in ((1, WAIT), (1, WAIT), (2, 0)):
        prober.ask(question(service, serial))
        askers.append(hear(service)[1])
        gevent.sleep(pause)
    assert askers[0] == askers[1] != askers[2]


def test_silence_is_told_to_nobody_and_its_sockets_are_closed(told, service):
    outcomes, prober = told
    for serial in range(5 * SWEEP_MAX):
        prober.ask(question(service, serial))
    askers = [hear(service)[1] for _ in range(5 * SWEEP_MAX)]
    assert any(map(is_open, askers))
    gevent.sleep(WAIT + LINGER + 10 * SWEEP_PAUSE + 0.2)
    assert not any(map(is_open, askers))
    assert outcomes == {}


def test_of_many_first_questions_one_leaves_in_a_turn_of_the_loop(told, service, monkeypatch):
    _, prober = told
    turns = []
    opened = module._Line.__init__

    def note(self, *given):
        turns.append(get_hub().loop.iteration)
        opened(self, *given)

    monkeypatch.setattr(module._Line, "__init__", note)
    for serial in range(10):
        prober.ask(question(service, serial))
    assert turns == []
    ends_at = time.monotonic() + 5
    while len(turns) < 10 and time.monotonic() < ends_at:
        gevent.sleep(0.01)
    assert len(set(turns)) == 10
