"""The first question to newcomers, where many are due at once."""

from itertools import chain
from random import Random

import gevent
import pytest
from gevent.hub import get_hub

from prr.core.answers import ANY_START
from prr.core.binder import Binder
from prr.core.effects import Event, ProbeAll, Report
from prr.core.liveness.first_questions import FEW, SILENT_MAX
from prr.core.liveness.newcomers import PAUSES, QUESTIONS
from prr.core.liveness.phases import WAITS
from prr.core.liveness.proving import APART, TOGETHER, WAIT_MAX
from prr.core.pacing import LEASE
from prr.shell import group_prober
from prr.shell.group_prober import GroupProber
from prr.shell.prober import LINGER
from prr.wire.first_questions import NONCES, first_question, is_answer, is_usual_answer
from prr.wire.frames import Alive, Role, Subscribe, Verify
from prr.wire.instance import address_of, make_instance
from prr.wire.messages import Challenge, Presence, Started
from tests.cores import (
    CODECS,
    at,
    decode,
    encode,
    events,
    has_answered,
    one_by_one,
    probes,
    random_instance,
)
from tests.families import needs_ipv6, udp
from tests.turns import go_on, until

ONES = [make_instance(1, (f"10.0.0.{n}", 4000)) for n in range(1, 2 * TOGETHER + FEW + 1)]


def asked(effects):
    """Those that are asked together."""
    return [one for e in effects if isinstance(e, ProbeAll) for one in e.instances]


def together(ones, nonces=None, wait=WAITS[-1], starts=None, serials=()):
    """What asks these."""
    nonces = nonces or [300 + number for number in range(len(ones))]
    return ProbeAll(ones, nonces, starts or [ANY_START] * len(ones), wait, serials)


def ask_all(core, now):
    """What it does until all are asked that are due."""
    effects = []
    while (some := core.tick(now)) and len(effects) < 1000:
        effects += some
    return effects


def full(ones=ONES, start=None):
    """A binder to which these have subscribed at 0."""
    core = Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    trailer = None if start is None else Started(start=start)
    for one in ones:
        core.handle(Subscribe(1, trailer=trailer), address_of(one), 0.0)
    return core


def test_answers_that_wait_since_the_binder_itself_was_stopped_are_heard_first():
    ones = ONES[:TOGETHER]
    core = full(ones)
    (group,) = [e for e in ask_all(core, PAUSES[0]) if isinstance(e, ProbeAll)]
    now = PAUSES[0] + WAITS[-1] + 0.2
    assert Event.LATE in events(core.tick(now))
    core.answered_all(group, ones, now)
    ask_all(core, now + 0.2)
    assert not any(map(core.directory.is_suspect, ones))


def test_nor_is_their_silence_waited_for_any_longer_than_once():
    core, ones = full(ONES[:TOGETHER]), ONES[:TOGETHER]
    ask_all(core, PAUSES[0])
    now = PAUSES[0] + WAITS[-1] + 0.2
    core.tick(now)
    for _ in range(TOGETHER // SILENT_MAX):
        core.tick(now + 0.3)  # as late again
    assert all(map(core.directory.is_suspect, ones))


@pytest.mark.parametrize("nonce", [NONCES[0], 4711, NONCES[-1]])
def test_the_question_and_its_answer_are_what_the_codec_writes(nonce):
    question = Verify(trailer=Challenge(nonce=nonce))
    assert first_question(nonce) == encode(question)
    assert len(first_question(nonce)) <= 8  # what a stranger may get
    rng = Random(nonce)
    for _ in range(50):
        one = random_instance(rng)
        said = Presence(nonce=nonce, types=one[:1], start=rng.randint(1 << 16, 2**32 - 1))
        assert is_usual_answer(encode(Alive(trailer=said)), nonce, one, ANY_START)
        many = Presence(nonce=nonce, types=b"\0\1" + one[:1], start=2)
        codec = CODECS[Role.BINDER]
        assert codec.is_first_answer(encode(Alive(trailer=many)), nonce, one, ANY_START)
        other = make_instance(one[0] ^ 1, address_of(one))
        wrong = (Alive(), Alive(trailer=said), Verify(), Alive(trailer=many))
        for frame, number, who in zip(
            wrong, (nonce, nonce ^ 1, nonce, nonce), [one] * 3 + [other], strict=True
        ):
            is_right = who == other and other[0] in many.types
            assert codec.is_first_answer(encode(frame), number, who, ANY_START) == is_right
            assert is_answer(frame, number, who, ANY_START) == is_right


def test_a_herd_is_asked_together_and_who_answers_is_no_newcomer_any_more():
    core = full()
    effects = ask_all(core, PAUSES[0])
    assert asked(effects) == ONES
    reports = [e for e in one_by_one(effects) if isinstance(e, Report)]
    assert [e.of for e in reports if e.event is Event.ASKED] == ONES
    assert max(len(e.instances) for e in effects if isinstance(e, ProbeAll)) == TOGETHER
    assert not probes(effects)
    assert core.answered_all(together(ONES), ONES[:30], PAUSES[0] + 0.01) == []
    assert core.inspect().newcomers == set(ONES[30:])
    assert core.inspect().directory.suspects == set()


def test_who_comes_is_confirmed_before_those_who_came_are_asked():
    """While newcomers come, questions leave them most of the time; and then they are asked."""
    core, comes = full(), at(1, "10.0.1.1", 4000)
    core.tick(0.0)
    core.handle(Subscribe(1), address_of(comes), PAUSES[0])
    assert asked(ask_all(core, PAUSES[0])) == ONES[:TOGETHER]
    assert core.deadline() == PAUSES[0] + APART
    assert not asked(ask_all(core, PAUSES[0] + APART / 2))
    assert asked(ask_all(core, PAUSES[0] + APART)) == ONES[TOGETHER:]  # nobody has come since


def test_who_came_is_asked_however_many_go_on_coming():
    """Or one after the other would meet the limit of how many may be unanswered."""
    core, rng, most = Binder(frozenset(), (), 1, Random(1)), Random(2), 0
    core.start(0.0)
    for now in [step / 50 for step in range(75)]:  # 5,000 a second for 1.5 s
        for _ in range(100):
            core.handle(Subscribe(1), address_of(random_instance(rng)), now)
        while core.deadline() <= now:
            for effect in core.tick(now):
                if isinstance(effect, ProbeAll):
                    core.answered_all(effect, effect.instances, now)
        most = max(most, len(core.inspect().newcomers))
    assert most < 5000 * (PAUSES[0] + WAIT_MAX + 0.05)


def test_few_are_asked_one_by_one():
    core = full(ONES[: FEW - 1])
    effects = []
    for _ in range(FEW):
        effects += core.tick(PAUSES[0])
    assert not asked(effects)
    assert [probe.instance for probe in probes(effects)] == ONES[: FEW - 1]


def test_who_is_silent_is_asked_again_from_a_socket_of_its_own_and_no_more_than_it_may_be():
    core = full()
    now, questions = PAUSES[0], 0
    alone = []
    while (when := core.deadline()) is not None and when < 40:
        now = max(now, when)
        effects = core.tick(now)
        questions += len(asked(effects)) + len(probes(effects))
        alone += [probe.instance for probe in probes(effects)]
        now += 0.0001
    assert set(alone) == set(ONES)
    assert not list(core.directory)
    assert len(ONES) * QUESTIONS <= questions <= len(ONES) * (QUESTIONS + 1)


def test_an_answer_counts_only_while_the_newcomer_is_what_it_was():
    core = full()
    ask_all(core, PAUSES[0])
    one, other = ONES[:2]
    trailer = Started(start=5)
    core.handle(Subscribe(1, trailer=trailer), address_of(one), PAUSES[0])  # another process
    stranger = make_instance(1, ("10.0.9.9", 1))
    core.answered_all(together(ONES), [one, other, stranger], PAUSES[0] + 0.1)
    assert one in core.inspect().newcomers
    assert other not in core.inspect().newcomers
    core.answered_all(together(ONES), [one], PAUSES[0] + WAITS[-1] + 1)  # nor twice, nor late
    assert one in core.inspect().newcomers


def test_a_run_of_answers_does_what_one_by_one_does():
    one_by_one, at_once = full(), full()
    now = PAUSES[0]
    assert asked(ask_all(at_once, now)) == ONES
    at_once.answered_all(together(ONES), ONES, now)
    for one in ONES:
        has_answered(one_by_one, one, now)
    for core in (one_by_one, at_once):
        assert not core.inspect().newcomers
        core.tick(now + WAITS[-1])
        assert {core.lease(one).ends_at for one in ONES} == {now + LEASE}
        assert not core.inspect().directory.suspects
    held = [core.inspect().directory.updates for core in (one_by_one, at_once)]
    assert held[0] == held[1]


class Server:
    """A socket that answers as it is told."""

    def __init__(self, number, answer, ip=None):
        self.socket = udp(ip or f"127.0.2.{number}")
        self.socket.settimeout(5)
        self.instance = make_instance(1, self.socket.getsockname()[:2])
        self._answer = answer

    def serve(self):
        question, source = self.socket.recvfrom(100)
        nonce = decode(question, Role.SERVER).trailer.nonce
        for answer in self._answer(nonce):
            self.socket.sendto(answer, source)
        return source


def right(nonce):
    return [encode(Alive(trailer=Presence(nonce=nonce, types=b"\1", start=70_000)))]


def bare(_nonce):
    return [b"\x0c"]


def guesses(nonce):
    wrong = ((nonce + n) % 65_536 for n in range(1, group_prober.JUNK_MAX + 1))
    return [right(one)[0] for one in wrong]


@pytest.mark.smoke
def test_who_answers_with_its_nonce_is_heard_and_who_answers_bare_is_not():
    servers = [Server(n, right if n % 2 else bare) for n in range(1, 9)]
    heard = []
    prober = GroupProber(lambda _, ones: heard.extend(ones), CODECS[Role.BINDER])
    ones = [server.instance for server in servers]
    prober.ask(together(ones, wait=1.0))
    sources = {server.serve() for server in servers}
    until(lambda: len(heard) >= 4)
    assert len(sources) == 1
    assert set(heard) == {server.instance for server in servers if server._answer is right}
    go_on(1.0 + 2 * LINGER)
    servers[1].socket.sendto(right(301)[0], sources.pop())  # too late: nobody listens
    go_on(0.05)
    assert len(heard) == 4
    prober.close()
    for server in servers:
        server.socket.close()


def test_who_cannot_be_asked_does_not_keep_the_others_from_it():
    servers = [Server(n, right) for n in range(1, 4)]
    heard = []
    prober = GroupProber(lambda _, ones: heard.extend(ones), CODECS[Role.BINDER])
    first, *others = [server.instance for server in servers]
    nowhere = make_instance(1, ("255.255.255.255", 4000))  # which the system refuses
    prober.ask(together([nowhere, first, nowhere, *others], wait=5.0))
    for server in servers:
        server.serve()
    until(lambda: len(heard) >= 3)
    assert heard == [first, *others]
    prober.close()
    for server in servers:
        server.socket.close()


def test_answers_that_come_all_at_once_are_heard_a_group_in_a_turn():
    """As after a pause of the network: others have their turn in between."""
    servers = [Server(n, right) for n in range(1, 8)]
    turns, others = [[]], get_hub().loop.prepare()
    prober = GroupProber(lambda _, ones: turns[-1].extend(ones), CODECS[Role.BINDER])
    for server in servers:
        prober.ask(together([server.instance], wait=5.0))
    for server in servers:
        server.serve()
    others.start(lambda: turns.append([]))
    until(lambda: sum(map(len, turns)) >= len(servers))
    others.close()
    assert sorted(chain.from_iterable(turns)) == sorted(one.instance for one in servers)
    assert max(map(len, turns)) == 1
    prober.close()
    for server in servers:
        server.socket.close()


@needs_ipv6
def test_those_of_both_families_are_asked_from_a_socket_of_each():
    servers = [Server(n, right, "::1" if n % 2 else None) for n in range(1, 5)]
    heard = []
    prober = GroupProber(lambda _, ones: heard.extend(ones), CODECS[Role.BINDER])
    prober.ask(together([one.instance for one in servers], wait=5.0))
    sources = {server.serve() for server in servers}
    until(lambda: len(heard) >= 4)
    assert len(sources) == 2
    assert set(heard) == {server.instance for server in servers}
    prober.close()
    for server in servers:
        server.socket.close()


def test_who_answers_with_another_start_number_is_not_heard():
    """Another process is there now than the one that was asked for."""
    servers = [Server(n, right) for n in range(1, 4)]
    heard = []
    prober = GroupProber(lambda _, ones: heard.extend(ones), CODECS[Role.BINDER])
    ones = [server.instance for server in servers]
    prober.ask(together(ones, wait=5.0, starts=[70_000, 70_001, ANY_START]))
    for server in servers:
        server.serve()
    until(lambda: len(heard) >= 2)
    assert set(heard) == {ones[0], ones[2]}
    prober.close()
    for server in servers:
        server.socket.close()


def test_who_guesses_nonces_has_the_socket_closed():
    servers = [Server(1, guesses), Server(2, right)]
    heard = []
    prober = GroupProber(lambda _, ones: heard.extend(ones), CODECS[Role.BINDER])
    prober.ask(together([server.instance for server in servers], [300, 60_000], 5.0))
    source = servers[0].serve()
    for _ in range(20):
        gevent.sleep(0.005)
    servers[1].serve()
    servers[0].socket.sendto(right(300)[0], source)
    go_on(0.05)
    assert not heard
    prober.close()
    for server in servers:
        server.socket.close()
