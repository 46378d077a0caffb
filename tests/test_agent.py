"""The agent's core: when it subscribes for a program, when it deregisters, and what it answers."""

from random import Random

import pytest

from prr.core.agent.agent import Agent
from prr.core.agent.backoff import CALM, FIRST, MOST, Backoff
from prr.core.agent.effects import Check, End, Launch
from prr.core.agent.health import FRESH, START_QUIET, CheckPolicy, Health
from prr.core.agent.program import Program, ProgramPolicy
from prr.core.effects import Event, Report, Send, Stop
from prr.core.server import Server
from prr.wire.frames import Alive, Removed, Request, Subscribe, Subscribed, Verify
from prr.wire.instance import make_instance

pytestmark = pytest.mark.elsewhere

BINDER, AT, ASKS = ("10.0.0.1", 2222), ("10.0.0.5", 8080), ("10.0.0.1", 40000)
NAME = "web"
EACH_COUNTS = CheckPolicy()


class Run:
    """An agent for type 7, a clock, and what it asked for; a binder that confirms everything."""

    def __init__(self, check=EACH_COUNTS, program=None, grace=2.0, answers=True):
        self.now, self.effects, self.answers = 100.0, [], answers
        rng = Random(1)
        self.agent = Agent(
            NAME,
            lambda: Server(7, {BINDER: AT}, rng),
            Health(NAME, check),
            program and Program(program),
            grace,
        )
        self.do(self.agent.start)

    def do(self, decide, *about):
        """A step, and the binder's answers to what is sent in it; what it asked for."""
        todo, asked = list(decide(*about, self.now)), []
        while todo:
            effect = todo.pop(0)
            asked.append(effect)
            if isinstance(effect, Send) and effect.target == BINDER and self.answers:
                reply = {Subscribe: Subscribed(), Removed: effect.frame}.get(type(effect.frame))
                if reply is not None:
                    todo += self.agent.handle(reply, BINDER, self.now)
        self.effects += asked
        return asked

    def passes(self, words="fine"):
        return self.do(self.agent.checked, True, words)

    def fails(self, words="refused"):
        return self.do(self.agent.checked, False, words)

    def until(self, kind, seconds=100.0):
        """Let time pass until it asks for such an effect; what it asked for then."""
        ends_at = self.now + seconds
        while (deadline := self.agent.deadline()) is not None and deadline <= ends_at:
            self.now = max(self.now, deadline)
            asked = self.do(self.agent.tick)
            if any(isinstance(one, kind) for one in asked):
                return asked
        raise AssertionError(f"no {kind.__name__} within {seconds} s")

    def next_check(self, passed, words="words"):
        self.until(Check)
        return self.do(self.agent.checked, passed, words)

    def is_asked(self):
        """A binder asks whether it is there; what it is sent at once."""
        return [one for one in self.do(self.agent.handle, Verify(), ASKS) if is_alive(one)]


def is_alive(effect):
    return isinstance(effect, Send) and isinstance(effect.frame, Alive) and effect.target == ASKS


def sent(effects, kind):
    return [one for one in effects if isinstance(one, Send) and isinstance(one.frame, kind)]


def events(effects):
    return [one.event for one in effects if isinstance(one, Report)]


def test_it_subscribes_once_the_check_passes_and_not_before():
    run = Run()
    assert run.effects == [Check()]
    assert not sent(run.fails(), Subscribe)
    assert not run.agent.is_ready
    passed = run.next_check(True)
    assert sent(passed, Subscribe)
    assert run.agent.is_ready
    assert events(passed) == [Event.CHECK_PASSED, Event.CONFIRMED]


def test_there_is_one_check_at_a_time():
    run = Run()
    assert run.agent.deadline() is None  # one is under way
    run.now += 1000
    assert run.do(run.agent.tick) == []
    run.passes()
    assert run.agent.deadline() <= run.now


def test_a_check_that_fails_deregisters_at_once_and_one_that_passes_brings_it_back():
    run = Run()
    run.passes()
    run.now += 2 * CALM
    failed = run.next_check(False, "it does not answer")
    assert [one.frame.instance for one in sent(failed, Removed)] == [make_instance(7, AT)]
    assert Report(Event.CHECK_FAILED, NAME, "it does not answer") in failed
    assert not run.agent.is_ready
    assert "it does not answer" in run.agent.summary(run.now)
    assert sent(run.next_check(True), Subscribe)
    assert run.agent.is_ready


def test_it_counts_as_many_failures_and_successes_as_are_set():
    run = Run(CheckPolicy(failures=3, successes=2))
    run.passes()
    assert not run.agent.is_ready
    run.next_check(True)
    assert run.agent.is_ready
    run.next_check(False)
    run.next_check(False)
    run.next_check(True)
    assert not sent(run.next_check(False) + run.next_check(False), Removed)
    assert sent(run.next_check(False), Removed)


def test_are_you_there_is_answered_with_a_fresh_check_s_result():
    run = Run()
    run.passes()
    assert len(run.is_asked()) == 1
    run.now += FRESH
    assert len(run.is_asked()) == 1
    run.now += 0.1
    assert run.is_asked() == []  # not before it is known
    assert run.effects[-1] == Check()
    assert len([one for one in run.passes() if is_alive(one)]) == 1


def test_are_you_there_is_not_answered_when_the_fresh_check_fails():
    run = Run(CheckPolicy(failures=3))
    run.passes()
    run.now += 2 * FRESH
    run.is_asked()
    failed = run.fails()
    assert run.agent.is_ready  # it takes three
    assert not [one for one in failed if is_alive(one)]
    assert run.is_asked() == []


def test_however_many_ask_there_are_two_checks_a_second_at_most():
    run = Run(CheckPolicy(interval=3600.0))
    run.passes()
    began_at = run.now
    checks = 0
    while run.now < began_at + 10:
        run.now += 0.01
        before = len(run.effects)
        run.is_asked()
        if Check() in run.effects[before:]:
            checks += 1
            run.passes()
    assert 10 <= checks <= 20


def test_of_those_that_wait_for_a_check_only_so_many_are_remembered():
    run = Run()
    run.passes()
    run.now += 2 * FRESH
    for port in range(1, 1001):
        run.do(run.agent.handle, Verify(), ("10.0.0.9", port))
    assert len(sent(run.passes(), Alive)) == 64


def test_it_answers_no_calls():
    run = Run()
    run.passes()
    assert events(run.do(run.agent.handle, Request(b"hello"), ASKS)) == [Event.OUT_OF_PLACE]


def test_a_program_that_comes_and_goes_is_kept_out_of_turn_for_longer_each_time():
    run = Run()
    run.passes()
    pauses = []
    for _ in range(8):
        run.next_check(False)
        down_at, told = run.now, []
        while not run.agent.is_ready:
            told += events(run.next_check(True))
        pauses.append(run.now - down_at)
        if len(pauses) > 3:
            assert Event.FLAPPING in told
    assert pauses == sorted(pauses)
    assert pauses[0] <= 1.0 and pauses[-1] >= MOST / 2
    run.now += 2 * CALM
    run.next_check(False)
    assert sent(run.next_check(True), Subscribe)  # it was calm: all is forgotten


def test_flapping_and_failing_are_told_once_and_not_at_every_check():
    run = Run()
    run.now += START_QUIET
    assert events(run.fails("no")) == [Event.CHECK_FAILED]
    told = []
    for _ in range(50):
        told += events(run.next_check(False, "no"))
    assert told == []
    assert events(run.next_check(False, "other words")) == [Event.CHECK_FAILED]


def test_a_subscription_that_no_binder_confirms_is_tried_again():
    run = Run(answers=False)
    run.passes()
    while run.now < 130:
        run.until(Send)
    assert Event.NO_CONFIRMATION in events(run.effects)
    run.answers = True
    run.until(Send)
    assert run.agent.is_ready


def test_asked_to_stop_it_deregisters_first_and_stops_then():
    run = Run()
    run.passes()
    stopped = run.do(run.agent.stop)
    assert sent(stopped, Removed)
    assert isinstance(stopped[-1], Stop)


# With a program of its own.


def test_a_program_that_ends_is_deregistered_at_once_and_its_exit_code_is_the_agent_s():
    run = Run(program=ProgramPolicy())
    assert run.effects[:2] == [Launch(), Check()]
    run.passes()
    ended = run.do(run.agent.exited, 3)
    assert sent(ended, Removed)
    assert Report(Event.ENDED, NAME, "exit code 3") in ended
    assert isinstance(ended[-1], Stop)
    assert run.agent.status == 3


def test_a_program_that_ends_is_over_only_once_binders_know():
    run = Run(program=ProgramPolicy())
    run.passes()
    run.answers = False
    assert not any(isinstance(one, Stop) for one in run.do(run.agent.exited, 137))
    run.until(Stop, 5.0)  # no binder has acknowledged it


def test_a_program_is_started_again_with_growing_pauses():
    run = Run(program=ProgramPolicy(restart=True))
    pauses = []
    for _ in range(12):
        ended_at = run.now
        run.do(run.agent.exited, 1)
        run.until(Launch)
        pauses.append(run.now - ended_at)
    assert pauses[:3] == [0.0, FIRST, 2 * FIRST]
    assert pauses[-1] == MOST


def test_a_check_of_a_program_that_has_ended_says_nothing_about_the_next():
    run = Run(program=ProgramPolicy(restart=True))
    run.do(run.agent.exited, 1)
    run.until(Launch)
    run.passes()  # the check of the first one, which was under way
    assert not run.agent.is_ready
    run.next_check(True)
    assert run.agent.is_ready


def test_sigterm_takes_it_out_of_turn_waits_for_calls_and_then_ends_the_program():
    run = Run(program=ProgramPolicy(kill_after=5.0), grace=2.0)
    run.passes()
    began_at = run.now
    stopped = run.do(run.agent.stop)
    assert sent(stopped, Removed)
    assert not any(isinstance(one, End) for one in stopped)
    assert End(at_once=False) in run.until(End)
    assert run.now == began_at + 2.0
    assert End(at_once=True) in run.until(End)
    assert run.now == began_at + 7.0
    assert isinstance(run.do(run.agent.exited, 137)[-1], Stop)


def test_each_further_signal_skips_what_is_waited_for():
    run = Run(program=ProgramPolicy())
    run.passes()
    run.do(run.agent.stop)
    assert run.do(run.agent.stop) == [End(at_once=False)]
    assert run.do(run.agent.stop) == [End(at_once=True)]


def test_a_program_that_never_worked_is_ended_without_grace():
    run = Run(program=ProgramPolicy())
    run.fails()
    assert End(at_once=False) in run.do(run.agent.stop)


def test_a_program_that_waits_to_be_started_again_is_not_once_it_is_to_stop():
    run = Run(program=ProgramPolicy(restart=True))
    run.do(run.agent.exited, 1)
    run.until(Launch)
    run.do(run.agent.exited, 1)
    assert isinstance(run.do(run.agent.stop)[-1], Stop)


def test_without_a_check_it_works_while_it_runs():
    run = Run(check=None, program=ProgramPolicy())
    assert run.agent.is_ready
    assert Check() not in run.effects
    run.now += 1000
    assert len(run.is_asked()) == 1
    assert sent(run.do(run.agent.exited, 0), Removed)
    assert run.is_asked() == []


def test_a_pause_begins_anew_after_a_calm_time():
    backoff = Backoff()
    assert [backoff.failed(0.0) for _ in range(4)] == [0.0, FIRST, 2 * FIRST, 4 * FIRST]
    assert backoff.failed(CALM) == 0.0
    assert backoff.failed(0.0) == FIRST
