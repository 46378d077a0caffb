"""The client's rules as scripts: whom it asks, when again, and what each end of it is."""

from collections import Counter
from random import Random

import pytest

from prr.core.client import (
    BINDER_LIMIT,
    REFUSED_LIMIT,
    Answered,
    Client,
    FoundService,
    NoBinder,
    NoService,
    UnknownService,
)
from prr.wire.frames import (
    Alive,
    Complaint,
    Found,
    FoundInstance,
    Lookup,
    Request,
    Response,
    Subscribed,
    Unknown,
)
from tests.cores import at, effects_of, run, sent

BINDERS = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
SERVICE, STRANGER = ("10.0.1.1", 4000), ("10.9.9.9", 2222)
TYPE = 7


def started(binders=BINDERS, message: bytes | None = b"hello", seed=0):
    """A client that has asked its first binder, and that binder."""
    client = Client(TYPE, message, binders, Random(seed))
    ((frame, binder),) = sent(client.start(0.0))
    assert frame == Lookup(TYPE)
    return client, binder


def calling(binders=BINDERS, now=0.0):
    """A client that has been told where the service is, and the binder that told it."""
    client, binder = started(binders)
    effects = client.handle(Found(SERVICE), binder, now)
    assert sent(effects) == [(Request(b"hello"), SERVICE)]
    return client, binder


def questions(client, until):
    """What it sends by itself until then: (when, frame, to whom)."""
    return [(when, *sent([effect])[0]) for when, effect in run(client, until) if sent([effect])]


def is_over(client):
    """Nothing that comes now, or comes again, has any effect."""
    outcome = client.outcome
    frames = (Found(SERVICE), FoundInstance(at(TYPE, *SERVICE)), Unknown(), Response(b"late"))
    for frame in frames:
        for source in (*BINDERS, SERVICE, STRANGER):
            assert client.handle(frame, source, 9.0) == []
    for target in (*BINDERS, SERVICE):
        assert client.refused(target, 9.0) == []
    assert client.tick(9.0) == []
    assert client.outcome is outcome is not None
    return client.deadline() is None


def test_each_binder_is_the_first_about_as_often_as_the_others():
    first = Counter(started(seed=seed)[1] for seed in range(300))
    assert set(first) == set(BINDERS)
    assert min(first.values()) > 60


def test_every_binder_has_its_turn_while_none_answers_and_at_the_limit_it_is_over():
    client, first = started()
    asked = questions(client, until=BINDER_LIMIT - 0.001)
    assert [frame for _, frame, _ in asked] == [Lookup(TYPE)] * 5
    assert [when for when, _, _ in asked] == pytest.approx([0.1, 0.3, 0.7, 1.5, 3.1])
    assert {first, *[binder for *_, binder in asked[:2]]} == set(BINDERS)
    assert client.outcome is None
    assert effects_of(run(client, until=BINDER_LIMIT)) == []
    assert client.outcome == NoBinder(client.outcome.asked, BINDER_LIMIT)
    assert set(client.outcome.asked) == set(BINDERS)
    assert is_over(client)


def test_the_only_binder_is_asked_again_and_again():
    client, binder = started(BINDERS[:1])
    assert [to for *_, to in questions(client, until=BINDER_LIMIT)] == [binder] * 5
    assert client.outcome == NoBinder(BINDERS[:1], BINDER_LIMIT)


def test_a_refusal_brings_the_next_binder_at_once_and_a_whole_round_of_them_a_pause():
    client, first = started()
    ((_, second),) = sent(client.refused(first, 0.001))
    ((_, third),) = sent(client.refused(second, 0.002))
    assert {first, second, third} == set(BINDERS)
    assert client.refused(third, 0.003) == []
    assert client.outcome is None  # one of them may be just restarting
    assert questions(client, until=0.1) == [(0.1, Lookup(TYPE), first)]
    ((_, again),) = sent(client.refused(first, 0.101))
    assert again == second


def test_a_binder_that_is_listed_twice_is_asked_once_at_a_time():
    client, binder = started(BINDERS[:1] * 2)
    assert client.refused(binder, 0.001) == []
    assert questions(client, until=0.1) == [(0.1, Lookup(TYPE), binder)]


def test_a_refusal_after_the_limit_brings_no_further_question():
    client, binder = started()
    assert client.refused(binder, BINDER_LIMIT) == []
    assert client.tick(BINDER_LIMIT) == []
    assert isinstance(client.outcome, NoBinder)


def test_refusals_without_end_end_after_2_s():
    client, binder = started(BINDERS[:1])
    for when, _, _ in [(0.0, None, None), *questions(client, until=1.9)]:
        assert client.refused(binder, when) == []
    assert effects_of(run(client, until=REFUSED_LIMIT)) == []
    assert client.outcome == NoBinder(BINDERS[:1], REFUSED_LIMIT)


@pytest.mark.parametrize("answer", [Found(SERVICE), FoundInstance(at(TYPE, *SERVICE))])
def test_a_look_up_without_a_call_ends_with_the_address(answer):
    client, binder = started(message=None)
    assert client.handle(answer, binder, 0.01) == []
    assert client.outcome == FoundService(SERVICE)
    assert is_over(client)


@pytest.mark.parametrize("answer", [Found(SERVICE), FoundInstance(at(TYPE, *SERVICE))])
def test_a_call_contacts_the_service_and_ends_with_its_answer(answer):
    client, binder = started()
    assert sent(client.handle(answer, binder, 0.01)) == [(Request(b"hello"), SERVICE)]
    assert client.handle(Response(b"world"), SERVICE, 0.02) == []
    assert client.outcome == Answered(b"world", SERVICE)
    assert is_over(client)


def test_an_unknown_type_ends_it():
    client, binder = started()
    assert client.handle(Unknown(), binder, 0.01) == []
    assert client.outcome == UnknownService(binder)
    assert is_over(client)


def test_any_binder_of_its_list_may_answer_and_nobody_else():
    client, first = started()
    strange = [Found(SERVICE), Unknown(), FoundInstance(at(TYPE, *SERVICE))]
    for frame in strange:
        assert client.handle(frame, STRANGER, 0.0) == []
    wrong = [FoundInstance(at(8, *SERVICE)), Response(b""), Subscribed(), Alive()]
    for frame in wrong:
        assert client.handle(frame, first, 0.0) == []
    assert client.outcome is None
    (second,) = {to for *_, to in questions(client, until=0.1)}
    assert client.handle(Unknown(), first, 0.2) == []
    assert client.outcome == UnknownService(first) != UnknownService(second)


def test_the_service_is_asked_again_and_after_2_s_the_binder_that_named_it_is_told():
    client, binder = started()
    other = next(one for one in BINDERS if one != binder)
    client.handle(Found(SERVICE), other, 1.9)  # late, and it still has all its time
    asked = questions(client, until=3.899)
    assert [(frame, to) for _, frame, to in asked] == [(Request(b"hello"), SERVICE)] * 4
    assert [when for when, *_ in asked] == pytest.approx([2.0, 2.2, 2.6, 3.4])
    told = sent(effects_of(run(client, until=3.9)))
    assert told == [(Complaint(at(TYPE, *SERVICE)), other)]
    assert (client.outcome.address, client.outcome.binder) == (SERVICE, other)
    assert isinstance(client.outcome, NoService)
    assert is_over(client)


def test_a_service_that_refuses_is_complained_about_at_once_and_once():
    client, binder = calling()
    assert sent(client.refused(SERVICE, 0.01)) == [(Complaint(at(TYPE, *SERVICE)), binder)]
    assert isinstance(client.outcome, NoService)
    assert is_over(client)


def test_while_it_calls_only_the_services_own_response_counts():
    client, binder = calling()
    for frame in (Found(STRANGER), FoundInstance(at(TYPE, *STRANGER)), Unknown()):
        for source in (binder, SERVICE):
            assert client.handle(frame, source, 0.1) == []
    for source in (STRANGER, *BINDERS):
        assert client.handle(Response(b"forged"), source, 0.1) == []
        assert client.refused(source, 0.1) == []
    assert client.outcome is None
    assert client.handle(Response(b"world"), SERVICE, 0.2) == []
    assert client.outcome == Answered(b"world", SERVICE)


def test_ticking_too_often_asks_no_more_often():
    client, _ = started()
    asked = [step / 1000 for step in range(2001) if sent(client.tick(step / 1000))]
    assert asked == pytest.approx([0.1, 0.3, 0.7, 1.5], abs=0.0021)


def test_before_its_start_nothing_happens():
    client = Client(TYPE, None, BINDERS, Random(0))
    assert client.deadline() is None
    assert client.tick(5.0) == client.refused(BINDERS[0], 5.0) == []
