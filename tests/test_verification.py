"""Verification: which answers, refusals and silences end it how, when, and after what."""

import pytest

from prr.core.effects import Outcome
from prr.core.verification import Verifications
from tests.cores import at

ONE, OTHER = at(1, "10.0.0.1", 4000), at(1, "10.0.0.2", 4000)
LETTERS = {"A": Outcome.ALIVE, "R": Outcome.REFUSED, "U": Outcome.UNSENT}


def play(script: str):
    """Verify ONE from 0 s; each letter is what its next question meets, "." is silence.

    Whether it lives, when that was clear, and when each question was asked.
    """
    verifications, asked, now = Verifications(), [], 0.0
    probes, verdicts = [verifications.begin(ONE, now)], []
    for letter in script:
        (probe,) = probes
        asked.append(now)
        assert (probe.instance, verdicts) == (ONE, [])
        if letter != "." and (verdict := verifications.probed(probe, LETTERS[letter], now)):
            verdicts = [verdict]
            break
        now = verifications.deadline()
        assert verifications.tick(now - 0.001) == ([], [])
        probes, verdicts = verifications.tick(now)
    ((alive, ends_at),) = [(verdict.alive, now) for verdict in verdicts]
    assert (len(verifications), verifications.deadline()) == (0, None)
    return alive, ends_at, asked


@pytest.mark.parametrize(
    ("script", "alive", "ends_at", "asked"),
    [
        ("A", True, 0.0, [0.0]),
        (".A", True, 0.2, [0.0, 0.2]),
        ("..A", True, 0.5, [0.0, 0.2, 0.5]),
        ("...", False, 1.0, [0.0, 0.2, 0.5]),
        ("RR", False, 0.05, [0.0, 0.05]),
        ("RA", True, 0.05, [0.0, 0.05]),
        ("R.A", True, 0.35, [0.0, 0.05, 0.35]),
        ("R.R", False, 0.35, [0.0, 0.05, 0.35]),
        (".RR", False, 0.25, [0.0, 0.2, 0.25]),
        ("R..", False, 0.85, [0.0, 0.05, 0.35]),
        ("..R", False, 0.55, [0.0, 0.2, 0.5]),
        # A question that could not be sent from here does not count; three of them say nothing.
        ("UA", True, 0.2, [0.0, 0.2]),
        ("U...", False, 1.2, [0.0, 0.2, 0.4, 0.7]),
        ("RUR", False, 0.35, [0.0, 0.05, 0.35]),
        ("UUU", True, 0.4, [0.0, 0.2, 0.4]),
        ("..UUU", True, 1.5, [0.0, 0.2, 0.5, 1.0, 1.5]),
    ],
)
def test_how_a_verification_ends(script, alive, ends_at, asked):
    assert play(script) == (alive, pytest.approx(ends_at), pytest.approx(asked))


def test_a_late_answer_to_an_earlier_question_counts():
    verifications = Verifications()
    first = verifications.begin(ONE, 0.0)
    ((second,), _) = verifications.tick(0.2)
    assert verifications.probed(first, Outcome.ALIVE, 0.21).alive
    assert verifications.probed(second, Outcome.REFUSED, 0.22) is None


@pytest.mark.parametrize("outcome", Outcome)
def test_what_comes_after_the_end_changes_nothing_not_even_the_next_one(outcome):
    verifications = Verifications()
    old = verifications.begin(ONE, 0.0)
    assert verifications.probed(old, Outcome.ALIVE, 0.0).alive
    assert verifications.probed(old, outcome, 0.0) is None
    verifications.begin(ONE, 1.0)
    for _ in range(3):
        assert verifications.probed(old, outcome, 1.0) is None
    assert ONE in verifications
    assert verifications.deadline() == pytest.approx(1.2)


def test_each_instance_has_its_own_verification_up_to_the_limit():
    verifications = Verifications(rows_max=2)
    first = verifications.begin(ONE, 0.0)
    verifications.begin(OTHER, 0.0)
    assert verifications.full
    assert verifications.probed(first, Outcome.REFUSED, 0.0) is None
    ((again,), _) = verifications.tick(0.05)
    assert not verifications.probed(again, Outcome.REFUSED, 0.05).alive
    assert (ONE in verifications, OTHER in verifications) == (False, True)
    assert not verifications.full


def test_a_cancelled_verification_asks_no_more_and_cancelling_twice_is_fine():
    verifications = Verifications(rows_max=1)
    probe = verifications.begin(ONE, 0.0)
    for _ in range(2):
        verifications.cancel(ONE)
    assert verifications.full  # its socket is still open
    for outcome in Outcome:
        assert verifications.probed(probe, outcome, 0.1) is None
    assert verifications.tick(0.2) == ([], [])
    assert (len(verifications), verifications.deadline()) == (0, None)


def test_silence_proves_nothing_when_we_were_late_ourselves():
    verifications = Verifications()
    verifications.begin(ONE, 0.0)
    for now in (100.0, 200.0, 300.0):  # long after the deadline: an answer may have been missed
        ((_,), verdicts) = verifications.tick(now)
        assert verdicts == []
    assert verifications.tick(300.4) == ([], [])
    assert [verdict.alive for verdict in verifications.tick(300.5)[1]] == [False]
