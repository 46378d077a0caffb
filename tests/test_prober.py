"""Questions to instances, from sockets that are closed again."""

import socket

import gevent
import gevent.socket
import pytest
from gevent.hub import get_hub

from prr.core.effects import Outcome, Probe
from prr.shell import prober as module
from prr.shell.prober import PROOFS_MAX, SWEEP_MAX, URGENT_RUN, Prober
from prr.trust.credential import Holder
from prr.wire.codec import Codec
from prr.wire.frames import Alive, Role, Verify
from prr.wire.instance import make_instance
from prr.wire.messages import Challenge
from prr.wire.proofs import Proof
from prr.wire.seal import Seal
from tests.cores import CODECS, encode
from tests.families import LOOPBACKS, udp
from tests.keyed import RING, held_by
from tests.turns import until

WAIT = 0.05


@pytest.fixture
def told():
    """What became of the questions, by serial; and who asks them."""
    outcomes = {}
    prober = Prober(
        lambda probe, outcome: outcomes.update({probe.serial: outcome}), CODECS[Role.BINDER]
    )
    yield outcomes, prober
    prober.close()


@pytest.fixture(params=LOOPBACKS)
def service(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with gevent.socket.socket(family, socket.SOCK_DGRAM) as opened:  # the loop goes on
        opened.bind((request.param, 0))
        opened.settimeout(5)
        yield opened


def question(service, serial=1, is_urgent=False):
    at = service.getsockname()[:2]
    return Probe(make_instance(1, at), serial, WAIT, Verify(), 0, at, is_urgent)


def is_open(asker):
    try:
        udp(*asker[:2]).close()
    except OSError:
        return True
    return False


def test_an_answer_is_told_and_the_socket_closed(told, service):
    outcomes, prober = told
    prober.ask(question(service))
    data, asker = service.recvfrom(100)
    assert data == encode(Verify())
    assert is_open(asker)
    service.sendto(encode(Alive()), asker)
    until(lambda: outcomes)
    assert outcomes == {1: Outcome.ALIVE}
    assert not is_open(asker)


def test_nobody_there_is_told(told, service):
    outcomes, prober = told
    asked = question(service)
    service.close()
    prober.ask(asked)
    until(lambda: outcomes)
    assert outcomes == {1: Outcome.REFUSED}


@pytest.mark.smoke
def test_the_next_question_leaves_from_the_same_socket_and_another_ones_does_not(
    told, service, monkeypatch
):
    _, prober = told
    monkeypatch.setattr(module, "LINGER", 60.0)
    askers = []
    for serial in (1, 1, 2):
        prober.ask(question(service, serial))
        askers.append(service.recvfrom(100)[1])
        gevent.sleep(WAIT)  # over, but for the time it lingers
    assert askers[0] == askers[1] != askers[2]


@pytest.mark.smoke
def test_silence_is_told_to_nobody_and_its_sockets_are_closed(told, service):
    outcomes, prober = told
    for serial in range(5 * SWEEP_MAX):
        prober.ask(question(service, serial))
    askers = [service.recvfrom(100)[1] for _ in range(5 * SWEEP_MAX)]
    assert any(map(is_open, askers))
    until(lambda: not any(map(is_open, askers)))
    assert outcomes == {}


def test_of_many_first_questions_one_leaves_in_a_turn_of_the_loop(told, service, monkeypatch):
    _, prober = told
    rotation = []
    opened = module._Line.__init__

    def note(self, *given):
        rotation.append(get_hub().loop.iteration)
        opened(self, *given)

    monkeypatch.setattr(module._Line, "__init__", note)
    for serial in range(10):
        prober.ask(question(service, serial))
    assert rotation == []
    until(lambda: len(rotation) == 10)
    assert len(set(rotation)) == 10


@pytest.fixture
def left(monkeypatch):
    """The serials of the first questions, in the order in which they leave."""
    serials = []
    opened = module._Line.__init__

    def note(self, probe, *given):
        serials.append(probe.serial)
        opened(self, probe, *given)

    monkeypatch.setattr(module._Line, "__init__", note)
    return serials


def test_what_decides_a_disagreement_is_asked_before_others_which_have_their_turn_still(
    told, service, left
):
    _, prober = told
    for serial in range(100):
        prober.ask(question(service, serial))
    for serial in range(100, 120):
        prober.ask(question(service, serial, is_urgent=True))
    until(lambda: len(left) == 120)
    urgent = [at for at, serial in enumerate(left) if serial >= 100]
    assert urgent[-1] < 20 + 20 // URGENT_RUN
    assert left[urgent[-1] + 1 :] == list(range(100 - (119 - urgent[-1]), 100))
    assert left[URGENT_RUN] == 0  # nor do these starve


def test_a_question_that_still_waits_when_the_next_one_is_asked_is_told_as_unsent(
    told, service, left
):
    outcomes, prober = told
    for _ in range(3):
        prober.ask(question(service, 1))
    assert outcomes == {1: Outcome.UNSENT}
    until(lambda: left)
    gevent.sleep(WAIT)
    assert left == [1]
    assert service.recv(100) == encode(Verify())
    service.setblocking(False)
    with pytest.raises(BlockingIOError):
        service.recv(100)


PROVIDER = held_by(Holder.SERVER, "web-7", 1)


def proof_question(service, serial=1):
    """A question that only a sealed answer settles, and that answer."""
    at = service.getsockname()[:2]
    one = make_instance(1, at)
    asked = Verify(trailer=Challenge.for_proof(one, 2**63 + serial))
    proof = Alive(trailer=Proof(instance=one, start=77), seal=Seal(2**63 + serial))
    answer = Codec(Role.SERVER, keys=PROVIDER).encode(proof)
    return Probe(one, serial, 10 * WAIT, asked, 0, at, wants_proof=True), answer


@pytest.fixture
def keyed():
    """As `told`, of a prober that has keys."""
    outcomes = []
    prober = Prober(lambda probe, outcome: outcomes.append(outcome), Codec(Role.BINDER, keys=RING))
    yield outcomes, prober
    prober.close()


def test_a_refusal_may_be_forged_and_a_sealed_answer_counts_all_the_same(keyed, service):
    outcomes, prober = keyed
    asked, answer = proof_question(service)
    prober.ask(asked)
    _, asker = service.recvfrom(1000)
    address = service.getsockname()
    service.close()
    prober.ask(asked)  # refused by the kernel, as somebody on the path might have it
    until(lambda: outcomes)
    assert outcomes == [Outcome.REFUSED] and is_open(asker)
    with socket.socket(service.family, socket.SOCK_DGRAM) as again:
        again.bind(address)
        again.sendto(encode(Alive()), asker)
        again.sendto(answer[:-1] + bytes((answer[-1] ^ 1,)), asker)
        again.sendto(answer, asker)
        until(lambda: len(outcomes) == 2)
    assert outcomes == [Outcome.REFUSED, Outcome.ALIVE] and not is_open(asker)


def test_junk_in_front_of_a_sealed_answer_is_read_over(keyed, service):
    outcomes, prober = keyed
    asked, answer = proof_question(service)
    prober.ask(asked)
    _, asker = service.recvfrom(1000)
    for _ in range(PROOFS_MAX - 1):
        service.sendto(encode(Alive()), asker)
    service.sendto(answer, asker)
    until(lambda: outcomes)
    assert outcomes == [Outcome.ALIVE]


@pytest.mark.smoke
def test_sockets_of_refused_questions_are_closed_when_their_time_is_over(keyed, service):
    outcomes, prober = keyed
    asked, _ = proof_question(service)
    prober.ask(asked)
    _, asker = service.recvfrom(1000)
    service.close()
    for _ in range(3):
        prober.ask(asked)
        gevent.sleep(WAIT)
    until(lambda: not is_open(asker))
    assert set(outcomes) == {Outcome.REFUSED}
