"""Verification: which answers, refusals, silences and opinions end it how, when, and after what."""

from random import Random

import pytest

from prr.core.answers import ANY_START
from prr.core.effects import Outcome, Probe
from prr.core.liveness.due import Due
from prr.core.liveness.phases import WAITS, WAITS_FOR_OPINIONS
from prr.core.liveness.probes import TICK_MAX, Verifications
from prr.core.liveness.second_opinion import SecondOpinions
from prr.core.liveness.states import Trigger
from prr.core.replication.peers import Peers
from prr.wire.frames import Alive, Unknown, Verify
from prr.wire.messages import Challenge, Presence
from tests.cores import at, behind

ONE, OTHER = at(1, "10.0.0.1", 4000), at(1, "10.0.0.2", 4000)
AT = "10.0.0.1", 4000
LETTERS = {"A": Outcome.ALIVE, "R": Outcome.REFUSED, "U": Outcome.UNSENT}
BINDERS = [("10.0.0.8", 2222), ("10.0.0.9", 2222)]


def made(rows_max=512):
    """Verifications, none under way, and the opinions on them."""
    opinions = SecondOpinions(1, Peers(()), Random(1))
    return Verifications(rows_max, opinions, Random(1)), opinions


def begin(verifications, instance=ONE, now=0.0):
    """Verify an instance, as one of 2016 is verified."""
    return verifications.begin(instance, 0, False, now)


def play(script: str):
    """Verify ONE from 0 s; each letter is what its next question meets, "." is silence.

    What was found, when that was clear, and when each question was asked.
    """
    (verifications, _), asked, now = made(), [], 0.0
    due = Due([begin(verifications)])
    for letter in script:
        (probe,) = due.probes
        asked.append(now)
        assert (probe.instance, due.verdicts) == (ONE, [])
        if letter != "." and (verdict := verifications.probed(probe, LETTERS[letter], now)):
            if verdict.finding is not Trigger.REFUSED_ONCE:
                due.verdicts = [verdict]
                break
            assert (letter, probe) == ("R", due.probes[0])
        now = verifications.deadline()
        assert verifications.tick(now - 0.001) == Due()
        due = verifications.tick(now)
        is_third = [probe.wait for probe in due.probes] == [WAITS[-1]]
        assert [wanted for wanted, _ in due.wants_opinions] == [ONE] * is_third
    ((found, ends_at),) = [(verdict.finding, now) for verdict in due.verdicts]
    assert (len(verifications), verifications.deadline()) == (0, None)
    return found, ends_at, asked


ALIVE, REFUSED, ALONE, UNSENT = (
    *(Trigger.ANSWERED, Trigger.REFUSED),
    *(Trigger.SILENT_ALONE, Trigger.UNSENT),
)


@pytest.mark.parametrize(
    ("script", "found", "ends_at", "asked"),
    [
        ("A", ALIVE, 0.0, [0.0]),
        (".A", ALIVE, 0.2, [0.0, 0.2]),
        ("..A", ALIVE, 0.5, [0.0, 0.2, 0.5]),
        ("...", ALONE, 1.0, [0.0, 0.2, 0.5]),
        ("RR", REFUSED, 0.05, [0.0, 0.05]),
        ("RA", ALIVE, 0.05, [0.0, 0.05]),
        ("R.A", ALIVE, 0.35, [0.0, 0.05, 0.35]),
        ("R.R", REFUSED, 0.35, [0.0, 0.05, 0.35]),
        (".RR", REFUSED, 0.25, [0.0, 0.2, 0.25]),
        ("R..", ALONE, 0.85, [0.0, 0.05, 0.35]),
        ("..R", ALONE, 0.55, [0.0, 0.2, 0.5]),
        # A question that could not be sent from here does not count; three of them say nothing.
        ("UA", ALIVE, 0.2, [0.0, 0.2]),
        ("U...", ALONE, 1.2, [0.0, 0.2, 0.4, 0.7]),
        ("RUR", REFUSED, 0.35, [0.0, 0.05, 0.35]),
        ("UUU", UNSENT, 0.4, [0.0, 0.2, 0.4]),
        ("..UUU", UNSENT, 1.5, [0.0, 0.2, 0.5, 1.0, 1.5]),
    ],
)
def test_how_a_verification_ends(script, found, ends_at, asked):
    assert play(script) == (found, pytest.approx(ends_at), pytest.approx(asked))


class Awaiting:
    """A verification whose third question is out, and the opinions of `binders` awaited."""

    def __init__(self, binders=BINDERS):
        self.verifications, self.opinions = made()
        begin(self.verifications)
        self.verifications.tick(0.2)
        ((wanted, self.nonce),) = self.verifications.tick(0.5).wants_opinions
        assert wanted == ONE
        assert whom(self.opinions.ask(ONE, binders, self.nonce)) == binders

    def hear(self, binder, nonce, is_alive):
        """An opinion; the verdict, if that settles it."""
        living = self.opinions.hear(binder, nonce, is_alive)
        return living and self.verifications.answered(living, None)


def whom(effects):
    """Who is asked for an opinion."""
    return [effect.target for effect in effects]


def end_of(verifications, until=9.0):
    """The verdict that time alone brings, and when."""
    while (now := verifications.deadline()) is not None and now <= until:
        if verdicts := verifications.tick(now).verdicts:
            (verdict,) = verdicts
            return verdict.finding, pytest.approx(now)
    return None


def test_the_silence_of_others_that_came_in_time_evicts_when_ours_is_complete():
    one = Awaiting()
    for binder in BINDERS:
        assert one.hear(binder, one.nonce, False) is None
        assert one.hear(binder, one.nonce, False) is None  # the copy counts for nothing
    confirmed = 1.0 + sum(WAITS_FOR_OPINIONS[:2])  # five questions, whatever the others say
    assert end_of(one.verifications) == (Trigger.SILENT, confirmed)


def test_who_owes_an_opinion_is_reminded_while_the_instance_is_asked_on():
    one = Awaiting()
    due = one.verifications.tick(1.0)
    assert (len(due.probes), due.verdicts) == (1, [])  # it goes on asking meanwhile
    assert due.reminders == [ONE]
    assert whom(one.opinions.remind(ONE)) == BINDERS
    assert one.hear(BINDERS[0], one.nonce, False) is None
    assert whom(one.opinions.remind(ONE)) == BINDERS[1:]
    assert one.hear(BINDERS[1], one.nonce, False) is None
    assert end_of(one.verifications) == (Trigger.SILENT, 1.0 + sum(WAITS_FOR_OPINIONS[:2]))


@pytest.mark.parametrize(("silent", "found"), [(1, Trigger.SILENT), (0, Trigger.MUTE)])
def test_opinions_are_awaited_for_a_second_and_one_is_enough(silent, found):
    one = Awaiting()
    for binder in BINDERS[:silent]:
        one.hear(binder, one.nonce, False)
    assert end_of(one.verifications) == (found, 1.0 + sum(WAITS_FOR_OPINIONS))


@pytest.mark.parametrize("now", [0.6, 1.5])
def test_one_answer_to_another_binder_outweighs_all_silence(now):
    one = Awaiting()
    one.hear(BINDERS[0], one.nonce, False)
    one.verifications.tick(now)
    assert one.hear(BINDERS[1], one.nonce, True).finding is Trigger.ANSWERED
    assert len(one.verifications) == 0


def test_an_opinion_unasked_for_or_of_another_nonce_counts_for_nothing():
    one = Awaiting(BINDERS[:1])
    for is_alive in (True, False):
        assert one.hear(BINDERS[1], one.nonce, is_alive) is None
        assert one.hear(BINDERS[0], one.nonce ^ 1, is_alive) is None
    one.verifications.cancel(ONE)
    assert one.hear(BINDERS[0], one.nonce, True) is None


def test_an_answer_while_opinions_are_awaited_ends_it_too():
    one = Awaiting()
    probe = Probe(ONE, 1, 0.5, Verify(), 0, AT)
    one.verifications.tick(1.0)
    assert one.verifications.probed(probe, Outcome.ALIVE, 1.2).finding is Trigger.ANSWERED


def test_a_late_answer_to_an_earlier_question_counts():
    verifications, _ = made()
    first = begin(verifications)
    (second,) = verifications.tick(0.2).probes
    assert verifications.probed(first, Outcome.ALIVE, 0.21).finding is Trigger.ANSWERED
    assert verifications.probed(second, Outcome.REFUSED, 0.22) is None


@pytest.mark.parametrize("outcome", Outcome)
def test_what_comes_after_the_end_changes_nothing_not_even_the_next_one(outcome):
    verifications, _ = made()
    old = begin(verifications)
    assert verifications.probed(old, Outcome.ALIVE, 0.0)
    assert verifications.probed(old, outcome, 0.0) is None
    begin(verifications, now=1.0)
    for _ in range(3):
        assert verifications.probed(old, outcome, 1.0) is None
    assert ONE in verifications
    assert verifications.deadline() == pytest.approx(1.2)


def test_each_instance_has_its_own_verification_up_to_the_limit():
    verifications, _ = made(rows_max=2)
    first = begin(verifications)
    begin(verifications, OTHER)
    assert verifications.full
    assert verifications.probed(first, Outcome.REFUSED, 0.0).finding is Trigger.REFUSED_ONCE
    (again,) = verifications.tick(0.05).probes
    assert verifications.probed(again, Outcome.REFUSED, 0.05).finding is Trigger.REFUSED
    assert (ONE in verifications, OTHER in verifications) == (False, True)
    assert not verifications.full


def test_a_cancelled_verification_asks_no_more_and_cancelling_twice_is_fine():
    verifications, _ = made(rows_max=1)
    probe = begin(verifications)
    for _ in range(2):
        verifications.cancel(ONE)
    assert verifications.full  # its socket is still open
    for outcome in Outcome:
        assert verifications.probed(probe, outcome, 0.1) is None
    assert verifications.tick(0.2) == Due()
    assert (len(verifications), verifications.deadline()) == (0, None)


def test_silence_proves_nothing_when_we_were_late_ourselves():
    verifications, _ = made()
    begin(verifications)
    for now in (100.0, 200.0, 300.0):  # long after the deadline: an answer may have been missed
        due = verifications.tick(now)
        assert (due.probes, due.verdicts, due.was_late) == ([], [], True)
    due = verifications.tick(300.0 + WAITS[0])  # what lay unread has been read
    assert (len(due.probes), due.verdicts, due.was_late) == (1, [], False)


@pytest.mark.parametrize("binders", [[], BINDERS])
def test_a_loop_that_lags_again_and_again_asks_no_more_than_one_that_does_not(binders):
    (verifications, opinions), asked, wanted, now = made(), 1, 0, 0.0
    begin(verifications)
    for turn in range(100):
        now = verifications.deadline() + (3.0 if turn % 2 else 0.0)
        due = verifications.tick(now)
        asked += len(due.probes)
        wanted += len(due.wants_opinions)
        if binders and due.wants_opinions:
            opinions.ask(ONE, binders, due.wants_opinions[0][1])
        if due.verdicts:
            break
    assert due.verdicts
    assert (asked, wanted) == (len(WAITS + WAITS_FOR_OPINIONS) if binders else len(WAITS), 1)


def test_rows_that_are_late_do_not_wait_for_each_other_to_be_put_off():
    verifications, _ = made()
    for number in range(10 * TICK_MAX):
        begin(verifications, at(1, "10.0.0.1", number))
    assert verifications.tick(10.0) == Due(was_late=True)
    assert verifications.deadline() == 10.0 + WAITS[0]


@pytest.mark.parametrize("late_at", [0, 1, 2])
def test_whenever_we_were_late_the_others_are_still_asked_before_silence_counts(late_at):
    (verifications, _), wants = made(), 0
    begin(verifications)
    for number in range(9):
        due = verifications.tick(verifications.deadline() + (number == late_at))
        assert due.was_late is (number == late_at)
        wants += len(due.wants_opinions)
        if due.verdicts:
            break
    assert wants >= 1


# Which frame is an answer

ASKED = Challenge(nonce=5)
SAID = Presence(nonce=5, types=b"\2\1", start=7)


@pytest.mark.parametrize(
    ("asked", "start", "frame", "is_answer"),
    [
        (None, 0, Alive(), True),
        (None, 0, Unknown(), False),
        (ASKED, 7, Alive(trailer=SAID), True),
        (ASKED, ANY_START, Alive(trailer=SAID), True),
        (ASKED, 7, Alive(), False),  # a program of 2016 took the port
        (ASKED, ANY_START, Alive(), False),
        (ASKED, 8, Alive(trailer=SAID), False),  # another process
        (ASKED, 7, Alive(trailer=Presence(nonce=6, types=b"\1", start=7)), False),
        (ASKED, 7, Alive(trailer=Presence(nonce=5, types=b"\2", start=7)), False),
        (ASKED, 7, behind(Alive(), nonce=5, start=7), False),
        (ASKED, 7, behind(Alive(), nonce=5, types=b"\1"), False),
        (ASKED, 7, Verify(trailer=SAID), False),
    ],
)
def test_which_frame_answers_a_question(asked, start, frame, is_answer):
    assert Probe(ONE, 1, 0.2, Verify(trailer=asked), start, AT).is_answer(frame) is is_answer
