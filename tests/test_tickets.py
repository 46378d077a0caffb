"""Tickets: for whom, for what and for how long one holds, and that it holds once."""

from itertools import pairwise
from random import Random

import pytest

from prr.core import awaited
from prr.core.ended import DROPPED_MAX
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


def test_used_tickets_that_are_too_old_are_dropped_a_few_at_a_time():
    tickets = Tickets(Random(1))
    sizes = [0]

    def use(about, now):
        assert tickets.use(tickets.issue(HERE, about, STATE, now), about, now)
        sizes.append(tickets.size)

    for number in range(400):
        use(b"%d" % number, 0.0)
    for now in (AGE_MAX, *[2 * AGE_MAX + later for later in range(5)]):
        use(ONE, now)
    drops = [before - after for before, after in pairwise(sizes)]
    assert max(drops) == DROPPED_MAX < 200 and sizes[-1] <= 3


# Those that are awaited back, and need not be computed again.

WORD, ME = b"a version of 20 bytes and what else", object()


def next_of(tickets, now, about=ONE, whose=ME):
    """The next ticket of a thing, of which one was used."""
    (ticket,) = tickets.issue_next([HERE], [about], [whose], [WORD], now)
    return ticket


def used_first(tickets, now, about=ONE):
    """Use up the first ticket of a thing; the next."""
    tickets.use_all([tickets.issue(HERE, about, b"", now)], [about], now)
    return next_of(tickets, now, about)


def test_a_ticket_is_awaited_from_whom_it_was_given_to_until_one_is_used_or_it_is_old():
    tickets = Tickets(Random(1))
    before, first = tickets.issue(HERE, ONE, b"", 5.0), used_first(tickets, 5.0)

    def words(ticket, about=ONE, whose=ME, now=6.0):
        return tickets.awaited.words([ticket], [about], [whose], now)

    assert words(first) == [WORD]
    assert tickets.holds(first, HERE, ONE, b"+" + WORD[:20], 6.0)
    assert not words(first, OTHER) and not words(first, whose=object())
    assert not words(before) and not words(first ^ 1)
    again = tickets.issue(HERE, ONE, b"", 6.0)  # as who has lost the first is given
    assert words(first) and tickets.use(again, ONE, 6.0)
    assert not words(first)
    second = next_of(tickets, 6.0)
    assert words(second, now=5.0 + AGE_MAX - 2 * TICK)
    assert not words(second, now=6.0 + AGE_MAX)


def test_a_ticket_that_does_not_hold_yet_is_not_awaited():
    """Who uses several within a tick is given one of a tick to come: to use that now would look
    like using one of an hour ago, and leave it to be used once more."""
    tickets = Tickets(Random(1))
    ticket = used_first(tickets, 5.0)
    for _ in range(3):
        if not tickets.awaited.words([ticket], [ONE], [ME], 5.0):
            break
        tickets.use_all([ticket], [ONE], 5.0)
        used, ticket = ticket, next_of(tickets, 5.0)
    assert not tickets.awaited.words([ticket], [ONE], [ME], 5.0)
    for now in (5.0, 5.1, 5.2, 5.3):
        assert not tickets.holds(used, HERE, ONE, b"+" + WORD[:20], now)
    assert tickets.holds(ticket, HERE, ONE, b"+" + WORD[:20], 5.0 + 3 * TICK)


def test_those_that_are_too_old_are_dropped_a_few_at_a_time_and_not_looked_at_meanwhile():
    tickets = Tickets(Random(1))
    abouts = [b"%d" % number for number in range(400)]
    given = {about: used_first(tickets, 5.0, about) for about in abouts}
    sizes = [tickets.awaited.size[0]]

    def are_awaited(ones, now):
        found = []
        for one in ones:
            found += tickets.awaited.words([given[one]], [one], [ME], now)
            sizes.append(tickets.awaited.size[0])
        return bool(found)

    assert sizes == [400] and are_awaited(abouts, 6.0)
    assert not are_awaited(abouts[-1:], 5.0 + AGE_MAX)  # the others are not dropped yet
    given[OTHER] = used_first(tickets, 5.0 + AGE_MAX, OTHER)
    sizes.append(tickets.awaited.size[0])
    assert are_awaited([OTHER], 6.0 + AGE_MAX)
    assert not are_awaited([OTHER, *abouts], 5.0 + 2 * AGE_MAX)  # nor then
    assert sizes[-1] == 0
    drops = [before - after for before, after in pairwise(sizes)]
    assert max(drops) == DROPPED_MAX < 200


def test_so_many_are_awaited_and_of_others_nothing_depends_on_it(monkeypatch):
    monkeypatch.setattr(awaited, "AWAITED_MAX", 3)
    tickets, abouts = Tickets(Random(1)), [b"%d" % number for number in range(10)]
    given = [used_first(tickets, 5.0, about) for about in abouts]
    assert tickets.awaited.size == (3, 3)
    for ticket, about in zip(given, abouts, strict=True):
        assert tickets.holds(ticket, HERE, about, b"+" + WORD[:20], 6.0)


def test_who_comes_back_keeps_the_place_among_those_that_are_awaited(monkeypatch):
    """Else the dict in which they are is built anew again and again, however large it is."""
    monkeypatch.setattr(awaited, "AWAITED_MAX", 3)
    tickets, abouts = Tickets(Random(1)), [b"%d" % number for number in range(5)]
    given = [used_first(tickets, 5.0, about) for about in abouts]
    for now in (10.0, 15.0, 20.0):
        found = [
            bool(tickets.awaited.words([ticket], [about], [ME], now))
            for about, ticket in zip(abouts, given, strict=True)
        ]
        assert found == [True] * 3 + [False] * 2
        tickets.use_all(given, abouts, now)
        assert tickets.awaited.size == (3, 3)
        given = tickets.issue_next([HERE] * 5, abouts, [ME] * 5, [WORD] * 5, now)
