"""Tickets: for whom, for what and for how long one holds, and that it holds once."""

from random import Random

import pytest

from prr.core.tickets import AGE_MAX, TICK, Tickets
from prr.wire.instance import encode_address

pytestmark = pytest.mark.elsewhere

HERE, THERE = (encode_address((ip, 4000)) for ip in ("10.0.0.9", "10.0.0.8"))
ONE, OTHER, STATE = b"instance", b"another!", b"+version"


def test_a_ticket_holds_for_what_it_was_issued_for_and_nothing_else():
    tickets = Tickets(Random(1))
    ticket = tickets.issue(HERE, ONE, STATE, 5.0)
    assert tickets.age(ticket, HERE, ONE, STATE, 5.0) == 0.0
    assert tickets.age(ticket, HERE, ONE, STATE, 8.0) == pytest.approx(3.0)
    for source, about, state in (
        (THERE, ONE, STATE),
        (encode_address(("10.0.0.9", 4001)), ONE, STATE),
        (encode_address(("2001:db8::1", 4000)), ONE, STATE),
        (HERE, OTHER, STATE),
        (HERE, ONE, b"-version"),
        (HERE, ONE + STATE[:1], STATE[1:]),  # the same bytes, cut elsewhere
    ):
        assert tickets.age(ticket, source, about, state, 5.0) is None
    assert Tickets(Random(2)).age(ticket, HERE, ONE, STATE, 5.0) is None


def test_a_ticket_is_too_old_one_day_whatever_the_clock_began_with():
    for began in (0.0, 3.21, 6553.5, 1e6, 123_456_789.0):
        tickets = Tickets(Random(1))
        ticket = tickets.issue(HERE, ONE, STATE, began)
        assert tickets.age(ticket, HERE, ONE, STATE, began + AGE_MAX - 1) is not None
        for later in (AGE_MAX + 1, (1 << 16) * TICK, 3 * (1 << 16) * TICK):
            assert tickets.age(ticket, HERE, ONE, STATE, began + later) is None


def test_a_ticket_is_used_once_and_those_before_it_are_used_up():
    tickets = Tickets(Random(1))
    first = tickets.issue(HERE, ONE, STATE, 5.0)
    later = tickets.issue(HERE, ONE, STATE, 6.0)
    assert tickets.use(later, ONE, 6.0)
    assert not tickets.use(later, ONE, 6.0) and not tickets.use(first, ONE, 6.0)
    assert tickets.use(first, OTHER, 6.0)


def test_the_next_ticket_can_be_used_however_soon_it_was_issued():
    tickets = Tickets(Random(1))
    ticket = tickets.issue(HERE, ONE, STATE, 5.0)
    for number in range(2):
        now = 5.0 + number * TICK
        assert tickets.age(ticket, HERE, ONE, STATE, now) == 0.0
        assert tickets.use(ticket, ONE, now)
        ticket = tickets.issue(HERE, ONE, STATE, now)


def test_guesses_are_worth_nothing():
    tickets, rng = Tickets(Random(1)), Random(2)
    tickets.issue(HERE, ONE, STATE, 5.0)
    assert not any(
        tickets.age(rng.getrandbits(64), HERE, ONE, STATE, 5.0) is not None for _ in range(20_000)
    )


def test_used_tickets_are_forgotten_when_they_are_too_old():
    tickets = Tickets(Random(1))
    for number in range(3000):
        now = float(number)
        about = b"%d" % number
        ticket = tickets.issue(HERE, about, STATE, now)
        assert tickets.use(ticket, about, now)
        assert tickets.size <= 2 * AGE_MAX + 2
