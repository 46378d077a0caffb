"""The server's rules as scripts: how it subscribes, serves, says that it lives, and leaves."""

from collections import Counter
from random import Random

import pytest

from prr.core.effects import Event, Stop
from prr.core.pacing import RENEWAL, RENEWALS_PER_LEASE, lease_for
from prr.core.server import RENEWAL_FIRST, SPREAD, Server
from prr.wire.forms import TABLE
from prr.wire.frames import Alive, Removed, Request, Response, Role, Subscribe, Subscribed, Verify
from prr.wire.messages import Challenge, Hello, Plain, Presence, Renew, Search, Started
from prr.wire.version import START_MAX
from tests.cores import at, effects_of, events, forms_for, random_frame, run, sent

BINDERS = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
OWN, CLIENT, STRANGER = ("10.0.1.1", 4000), ("10.0.2.1", 5000), ("10.9.9.9", 2222)
INSTANCE = at(7, *OWN)


def started(seed=0):
    """A server that has asked its first binder, and that binder."""
    server = Server(7, dict.fromkeys(BINDERS, OWN), Random(seed))
    ((frame, binder),) = sent(server.start(0.0))
    assert frame == Subscribe(7)
    return server, binder


def serving(seed=0):
    """A server that its first binder has confirmed, and that binder."""
    server, binder = started(seed)
    assert events(server.handle(Subscribed(), binder, 0.01)) == [Event.CONFIRMED]
    return server, binder


def leaving():
    """A server that has told the binder that confirmed it that it leaves, and that binder."""
    server, binder = serving()
    assert sent(server.stop(1.0)) == [(Removed(INSTANCE), binder)]
    return server, binder


def stops(effects) -> list[bool]:
    """For each Stop among `effects`, whether it was in order."""
    return [effect.in_order for effect in effects if isinstance(effect, Stop)]


def test_each_binder_is_the_first_about_as_often_as_the_others():
    first = Counter(started(seed)[1] for seed in range(300))
    assert set(first) == set(BINDERS)
    assert min(first.values()) > 60


def test_each_binder_is_asked_four_times_in_a_second_and_then_it_gives_up_in_clear_words():
    server, first = started()
    timed = run(server, until=3.0)
    asked = [sent([effect])[0] for _, effect in timed if sent([effect])]
    assert {frame for frame, _ in asked} == {Subscribe(7)}
    order = [first, *(binder for _, binder in asked)]
    assert order == [binder for binder in dict.fromkeys(order) for _ in range(4)]
    assert set(order) == set(BINDERS)
    whens = [when for when, effect in timed[:3]]
    pauses = [after - before for before, after in zip([0.0, *whens], whens, strict=False)]
    shares = [pause / least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True)]
    assert all(1 <= share <= 1.4 for share in shares)
    assert len(set(shares)) == 3  # a herd does not stay one
    assert events(effects_of(timed)) == [Event.NO_CONFIRMATION] * 3
    (stop,) = [effect for _, effect in timed if isinstance(effect, Stop)]
    assert not stop.in_order
    assert all(f"{ip}:{port}" in stop.why for ip, port in BINDERS)
    assert server.deadline() is None
    assert server.tick(9.0) == server.stop(9.0) == []


def test_a_confirmation_ends_the_asking_and_a_second_one_changes_nothing():
    server, binder = serving()
    due = server.deadline()
    assert RENEWAL_FIRST <= due - 0.01 <= 2 * RENEWAL_FIRST
    for source in BINDERS:
        assert server.handle(Subscribed(), source, 0.5) == []
    assert server.deadline() == due
    assert sent(server.stop(0.9)) == [(Removed(INSTANCE), binder)]


@pytest.mark.parametrize("binder", BINDERS)
def test_any_binder_may_confirm_however_late_but_no_stranger_and_it_is_told_of_the_leave(binder):
    server, _ = started()
    run(server, until=2.5)
    before = server.deadline()
    assert server.handle(Subscribed(), STRANGER, 2.6) == []
    assert server.deadline() == before
    assert events(server.handle(Subscribed(), binder, 2.6)) == [Event.CONFIRMED]
    assert RENEWAL_FIRST <= server.deadline() - 2.6 <= 2 * RENEWAL_FIRST
    assert sent(server.stop(3.0)) == [(Removed(INSTANCE), binder)]


# Renewals


def renewals(server, until, answer):
    """What it says until then, when, and to whom; what `answer(when)` gives confirms it at once."""
    asked = []
    while (when := server.deadline()) is not None and when <= until:
        for frame, binder in sent(server.tick(when)):
            asked.append((when, frame, binder))
            if (confirmation := answer(when)) is not None:
                assert server.handle(confirmation, binder, when) == []
    return asked


def test_it_renews_every_few_seconds_with_a_binder_of_ours_and_says_its_start():
    server, binder = serving()
    asked = renewals(server, 60.0, lambda _: Subscribed(trailer=Plain()))
    (start,) = {frame.trailer.start for _, frame, _ in asked}
    assert 2 <= start <= START_MAX
    assert asked[0][1:] == (Alive(trailer=Search(types=b"\7", start=start)), binder)
    assert {(frame, to) for _, frame, to in asked[1:]} == {
        (Subscribe(7, trailer=Started(start=start)), binder)
    }
    first, *pauses = [
        after - before
        for before, (after, *_) in zip([0.01, *[when for when, *_ in asked]], asked, strict=False)
    ]
    assert RENEWAL_FIRST <= first <= 2 * RENEWAL_FIRST
    assert all(SPREAD * RENEWAL <= pause <= RENEWAL for pause in pauses)
    assert len(set(pauses)) == len(pauses)  # a herd does not stay one
    assert len(pauses) >= 10


def test_it_says_within_how_many_seconds_it_renews_before_it_does_so_that_seldom():
    server, _ = serving()
    told = iter([20, 60, 60, 60, 7, 5, 5])
    before, said = 0.01, []
    for when, frame, _ in renewals(server, 300.0, lambda _: subscribed(next(told, 5))):
        said.append(frame.trailer.renewal if isinstance(frame, Subscribe) else None)
        lease = lease_for(15.0, (said[-2] if len(said) > 1 else None) or 0)
        assert RENEWALS_PER_LEASE * (when - before) <= lease + 1e-6
        before = when
    assert said[:9] == [None, 20, 60, 60, 60, 7, None, None, None]


def subscribed(renewal):
    """What a binder of ours confirms with."""
    return Subscribed(trailer=Plain() if renewal == RENEWAL else Renew(renewal=renewal))


def test_with_another_binder_it_renews_as_usual_again():
    server, _ = serving()
    renewals(server, 200.0, lambda _: subscribed(60))
    asked = renewals(server, 400.0, lambda when: subscribed(5) if when > 262 else None)
    assert asked[0][1].trailer.renewal == 60
    assert {getattr(frame.trailer, "renewal", None) for _, frame, _ in asked[4:]} == {None}


def test_a_binder_of_2016_gets_one_subscription_and_is_asked_now_and_then_what_it_is():
    """It would take each further subscription for one more server; 12 it drops."""
    server, binder = serving()
    asked = renewals(server, 600.0, lambda _: None)
    assert {type(frame) for _, frame, _ in asked} == {Alive}
    assert {to for *_, to in asked} == set(BINDERS)
    at_first = [when for when, _, to in asked if to == binder and when < RENEWAL]
    assert len(at_first) == 4
    later = [when for when, _, to in asked if to == binder and 60 < when < 120]
    assert len(later) <= 2 * 60 / RENEWAL
    assert sent(server.handle(Request(b"x"), CLIENT, 601.0)) == [(Response(b"x"), CLIENT)]


@pytest.mark.parametrize("since", [1.0, 30.0, 3600.0])
def test_confirmed_by_one_of_2016_it_renews_with_ours_once_one_answers(since):
    server, lab = serving()
    ours = next(binder for binder in BINDERS if binder != lab)
    asked = []
    while (when := server.deadline()) <= since + 60:
        for frame, binder in sent(server.tick(when)):
            asked.append((when, frame, binder))
            if binder == ours and when >= since:
                server.handle(Subscribed(trailer=Plain()), ours, when)
    renewed = [(when, frame, to) for when, frame, to in asked if isinstance(frame, Subscribe)]
    assert renewed[0][0] <= since + 3 * RENEWAL
    assert {(frame, to) for _, frame, to in renewed} == {
        (Subscribe(7, trailer=Started(start=server.inspect().start)), ours)
    }
    assert len(renewed) >= 60 / RENEWAL - 3
    assert sent(server.stop(since + 61))[0][1] == ours


def test_an_answer_that_comes_after_the_search_is_heard_too():
    server, _ = serving()
    renewals(server, 20.0, lambda _: None)
    while server.inspect().is_asking:
        server.tick(server.deadline())
    assert server.handle(Subscribed(), BINDERS[1], 21.0) == []
    assert server.handle(Subscribed(trailer=Plain()), BINDERS[2], 21.0) == []
    assert SPREAD * RENEWAL <= server.deadline() - 21.0 <= RENEWAL
    ((frame, to),) = sent(server.tick(server.deadline()))
    assert (type(frame), to) == (Subscribe, BINDERS[2])


def test_one_of_2016_in_the_place_of_ours_gets_one_more_subscription_and_no_other():
    server, _ = serving()
    renewals(server, 20.0, lambda _: Subscribed(trailer=Plain()))
    asked = renewals(server, 300.0, lambda when: Subscribed() if when < 26 else None)
    assert [type(frame) for _, frame, _ in asked].count(Subscribe) == 1


def test_when_its_binder_is_gone_it_renews_with_the_next_and_when_all_are_it_goes_on_asking():
    server, binder = serving()
    asked = renewals(server, 60.0, lambda when: Subscribed(trailer=Plain()) if when > 30 else None)
    assert [to for when, _, to in asked][:4] == [binder] * 4
    assert {to for when, _, to in asked if when < 9} == set(BINDERS)
    assert len([when for when, *_ in asked if when < 29]) > 20
    assert len([when for when, *_ in asked if when > 40]) == pytest.approx(20 / RENEWAL, abs=1)
    assert sent(server.handle(Request(b"x"), CLIENT, 61.0))


def test_two_processes_on_one_port_have_different_starts():
    starts = {
        Server(7, dict.fromkeys(BINDERS, OWN), Random(seed)).inspect().start for seed in range(50)
    }
    assert len(starts) == 50


def test_it_renews_and_leaves_with_the_binders_that_are_named_now():
    server, binder = serving()
    assert server.is_ready
    others = [other for other in BINDERS if other != binder]
    new = ("10.0.0.9", 2222)
    server.change_binders({others[0]: OWN, new: ("10.0.5.5", 4000)})
    asked = {to for _, to in sent(effects_of(run(server, 2 * RENEWAL_FIRST + 1.5)))}
    assert asked == {others[0], new}
    server.handle(Subscribed(trailer=Plain()), new, RENEWAL_FIRST + 1.5)
    left = sent(server.stop(9.0))
    assert left == [(Removed(at(7, "10.0.5.5", 4000)), new)]
    assert not server.is_ready


def test_the_binder_that_confirmed_stays_the_first_if_it_is_still_named():
    server, binder = serving()
    server.change_binders(dict.fromkeys((("10.0.0.9", 2222), *BINDERS), OWN))
    ((_, asked),) = sent(server.tick(0.01 + 2 * RENEWAL_FIRST))
    assert asked == binder


def test_a_server_that_leaves_is_not_told_of_other_binders():
    server, binder = leaving()
    server.change_binders({("10.0.0.9", 2222): OWN})
    assert stops(server.handle(Removed(INSTANCE), binder, 1.1)) == [True]


def test_one_that_is_not_confirmed_yet_asks_a_binder_that_was_named_since():
    server, _ = started()
    assert not server.is_ready
    server.change_binders({("10.0.0.9", 2222): OWN})
    timed = run(server, until=3.0)
    assert ("10.0.0.9", 2222) in {to for _, to in sent(effects_of(timed))}
    assert stops(effects_of(timed)) == [False]


def test_its_summary_says_who_confirmed_it():
    server, _ = started()
    assert server.summary(0.0) == "subscribing for type 7"
    server, binder = serving()
    assert server.summary(0.1) == f"providing type 7, confirmed by binder {binder[0]}:2222"
    server, _ = leaving()
    assert server.summary(2.0) == "leaving"


@pytest.mark.parametrize("made", [started, serving, leaving])
def test_it_echoes_to_anybody_at_any_time_and_says_that_it_lives_unless_it_is_leaving(made):
    server, _ = made()
    for _ in range(2):
        for message in (b"", b"hello", bytes(255)):
            answer = server.handle(Request(message), CLIENT, 1.5)
            assert sent(answer) == [(Response(message), CLIENT)]
        alive = [] if made is leaving else [(Alive(), STRANGER)]
        assert sent(server.handle(Verify(), STRANGER, 1.5)) == alive


def test_a_question_with_a_nonce_is_answered_with_it_its_types_and_its_start():
    server, binder = serving()
    ((_, renewal, _),) = renewals(server, 2.0, lambda _: Subscribed(trailer=Plain()))
    said = Presence(nonce=2016, types=b"\7", start=renewal.trailer.start)
    for _ in range(2):
        answer = server.handle(Verify(trailer=Challenge(nonce=2016)), binder, 3.0)
        assert sent(answer) == [(Alive(trailer=said), binder)]
    assert sent(server.handle(Verify(trailer=Hello(binder=1)), binder, 3.0)) == [(Alive(), binder)]


def test_it_leaves_when_the_binder_that_confirmed_it_acknowledges():
    server, binder = leaving()
    for _ in range(2):
        assert server.stop(1.1) == []  # it is already leaving
    assert server.handle(Removed(INSTANCE), STRANGER, 1.1) == []
    assert server.handle(Removed(at(8, *OWN)), binder, 1.1) == []
    assert server.handle(Subscribed(), binder, 1.1) == []
    assert stops(server.handle(Removed(INSTANCE), binder, 1.1)) == [True]
    assert server.handle(Removed(INSTANCE), binder, 1.2) == []
    assert server.deadline() is None


def test_it_leaves_under_the_address_at_which_the_binder_sees_it():
    seen_at = {binder: (f"10.0.1.{number}", 4000) for number, binder in enumerate(BINDERS)}
    server = Server(7, seen_at, Random(0))
    server.start(0.0)
    server.handle(Subscribed(), BINDERS[2], 0.1)
    left = [*sent(server.stop(1.0)), *sent(effects_of(run(server, until=3.9)))]
    assert {binder: frame for frame, binder in left} == {
        binder: Removed(at(7, *address)) for binder, address in seen_at.items()
    }
    other, last = at(7, *seen_at[BINDERS[2]]), left[-1][1]
    assert server.handle(Removed(other), last, 3.9) == []
    assert stops(server.handle(left[-1][0], last, 3.9)) == [True]


def test_a_leave_that_nobody_acknowledges_is_told_to_every_binder_and_then_it_goes():
    server, binder = leaving()
    timed = run(server, until=4.0)
    asked = [sent([effect])[0] for _, effect in timed if sent([effect])]
    assert {frame for frame, _ in asked} == {Removed(INSTANCE)}
    assert set(Counter(to for _, to in [(0, binder), *asked]).values()) == {4}
    assert {binder, *(to for _, to in asked)} == set(BINDERS)
    assert stops(effects_of(timed)) == [True]
    assert timed[-1][0] == pytest.approx(4.0)


def test_it_leaves_too_while_it_is_still_unconfirmed():
    server, _ = started()
    run(server, until=0.5)
    ((frame, binder),) = sent(server.stop(0.6))
    assert frame == Removed(INSTANCE)
    assert stops(server.handle(Removed(INSTANCE), binder, 0.7)) == [True]


def test_a_removal_nobody_asked_for_does_not_stop_it():
    server, binder = serving()
    assert server.handle(Removed(INSTANCE), binder, 1.0) == []
    assert sent(server.handle(Request(b"still here"), CLIENT, 1.1))


@pytest.mark.parametrize("made", [started, serving, leaving])
def test_whatever_comes_it_sends_nothing_but_an_answer_to_whom_it_came_from(made):
    rng = Random(1)
    server, _ = made()
    for form in TABLE:
        effects = server.handle(random_frame(rng, form), STRANGER, 1.5)
        assert {to for _, to in sent(effects)} <= {STRANGER}
        if form not in forms_for(Role.SERVER):
            assert events(effects) == [Event.OUT_OF_PLACE]
            assert sent(effects) == []


def test_an_agents_server_goes_on_until_it_is_confirmed_and_deregisters_wherever_it_has_asked():
    binders = BINDERS[:2]
    server = Server("web", dict.fromkeys(binders, OWN), Random(0), is_agent=True)
    asked = sent(server.start(0.0))
    while (when := server.deadline()) is not None and when < 8.0:
        effects = server.tick(when)
        assert stops(effects) == []
        asked += sent(effects)
    assert Counter(binder for _, binder in asked).keys() == set(binders)
    assert len(asked) > 3 * len(binders)
    left = sent(server.stop(8.0))
    while (when := server.deadline()) is not None:
        left += sent(server.tick(when))
    assert {(type(frame), binder) for frame, binder in left} == {(Removed, one) for one in binders}
