"""The client's rules as scripts: whom it asks, when again, and what each end of it is."""

from collections import Counter
from random import Random

import pytest

from prr.core.client import (
    BINDER_LIMIT,
    CALLS_MAX,
    IPV6_LIMIT,
    REFUSED_LIMIT,
    SERVICE_LIMIT,
    Answered,
    Client,
    FoundService,
    NoBinder,
    NoService,
    UnknownService,
)
from prr.core.patience import PATIENCE_MAX
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
from prr.wire.messages import Plain
from prr.wire.query import Query
from tests.cores import at, effects_of, run, sent

BINDERS = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
SERVICE, OTHER, STRANGER = ("10.0.1.1", 4000), ("10.0.1.2", 4000), ("10.9.9.9", 2222)
TYPE = 7
COMPLAINT = Complaint(at(TYPE, *SERVICE))


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


def test_the_service_is_asked_again_and_the_binder_is_told_once_when_it_is_late():
    client, binder = started()
    other = next(one for one in BINDERS if one != binder)
    client.handle(Found(SERVICE), other, 1.9)  # late, and it still has all its time
    asked = questions(client, until=3.899)
    to_service = [(when, frame) for when, frame, to in asked if to == SERVICE]
    assert [frame for _, frame in to_service] == [Request(b"hello")] * 4
    assert [when for when, _ in to_service] == pytest.approx([2.0, 2.2, 2.6, 3.4])
    early = [(when, frame, to) for when, frame, to in asked if to != SERVICE]
    assert early == [(1.9 + PATIENCE_MAX, COMPLAINT, other)]
    assert sent(effects_of(run(client, until=3.9))) == [], "it has been told"
    assert (client.outcome.address, client.outcome.binder) == (SERVICE, other)
    assert isinstance(client.outcome, NoService)
    assert is_over(client)


def test_a_service_that_is_only_late_is_listened_to_after_the_complaint():
    client, binder = calling()
    told = [(when, to) for when, frame, to in questions(client, until=1.0) if frame == COMPLAINT]
    assert told == [(PATIENCE_MAX, binder)]
    assert client.handle(Response(b"world"), SERVICE, 1.0) == []
    assert client.outcome == Answered(b"world", SERVICE)
    assert client.outcome.seconds == 1.0
    assert is_over(client)


def hedging(patience=0.1, binders=BINDERS):
    """A hedged call under way, and the binder that named the first service."""
    client = Client(TYPE, b"hello", binders, Random(0), patience, hedge=True)
    ((_, binder),) = sent(client.start(0.0))
    client.handle(Found(SERVICE), binder, 0.0)
    return client, binder


@pytest.mark.parametrize("first", [SERVICE, OTHER])
def test_a_hedged_call_asks_another_when_one_is_late_and_takes_the_first_answer(first):
    client, binder = hedging()
    asked = [(frame, to) for _, frame, to in questions(client, until=0.1)]
    assert asked[:2] == [(COMPLAINT, binder), (Lookup(TYPE), binder)]
    assert sent(client.handle(Found(OTHER), binder, 0.11)) == [(Request(b"hello"), OTHER)]
    assert client.handle(Response(b"world"), first, 0.12) == []
    assert client.outcome == Answered(b"world", first)
    assert is_over(client)


def test_a_hedged_call_goes_on_with_another_when_one_refuses():
    client, binder = hedging()
    assert sent(client.refused(SERVICE, 0.01)) == [(COMPLAINT, binder), (Lookup(TYPE), binder)]
    assert sent(client.handle(Found(OTHER), binder, 0.02)) == [(Request(b"hello"), OTHER)]
    client.handle(Response(b"world"), OTHER, 0.03)
    assert client.outcome == Answered(b"world", OTHER)


def test_a_hedged_call_of_the_only_instance_waits_for_it():
    client, binder = hedging()
    questions(client, until=0.1)
    assert client.handle(Found(SERVICE), binder, 0.11) == []
    assert client.outcome is None
    client.handle(Response(b"world"), SERVICE, 0.9)
    assert client.outcome == Answered(b"world", SERVICE)


@pytest.mark.parametrize("answer", [Unknown(), None])
def test_a_hedged_call_fails_with_what_failed_first(answer):
    client, binder = hedging()
    client.refused(SERVICE, 0.01)
    if answer:
        client.handle(answer, binder, 0.02)
    else:
        questions(client, until=SERVICE_LIMIT)
    assert client.outcome == NoService(SERVICE, binder, "it refused the request")
    assert is_over(client)


def test_a_hedged_call_asks_so_many_and_no_more_and_takes_no_longer():
    client, binder = hedging()
    asked = 1
    for port in range(5000, 5020):
        told = sent(client.refused(SERVICE if port == 5000 else (SERVICE[0], port - 1), 0.1))
        if (Lookup(TYPE), binder) not in told:
            break
        asked += len(sent(client.handle(Found((SERVICE[0], port)), binder, 0.1)))
    assert asked == CALLS_MAX
    assert isinstance(client.outcome, NoService)
    silent, binder = hedging()
    for port in range(5000, 5000 + CALLS_MAX):
        questions(silent, until=0.1 * (port - 4999))
        silent.handle(Found((SERVICE[0], port)), binder, 0.1 * (port - 4999))
    run(silent, until=SERVICE_LIMIT)
    assert isinstance(silent.outcome, NoService)


def test_a_call_that_is_not_hedged_asks_nobody_else():
    client, _ = calling()
    assert Lookup(TYPE) not in [frame for _, frame, _ in questions(client, until=3.0)]


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


AT_IPV6, IPV6_BINDER = ("2001:db8::9", 4000), ("2001:db8::1", 2222)


def looking_up(service, binder):
    """A client that can take an IPv6 address, and what it asks its one binder first."""
    client = Client(service, None, (binder,), Random(0), takes_ipv6=True)
    ((frame, asked),) = sent(client.start(0.0))
    assert asked == binder
    return client, frame


def test_a_binder_that_may_be_a_legacy_one_is_asked_as_ever_and_for_ipv6_if_it_knows_none():
    client, first = looking_up(TYPE, BINDERS[0])
    assert first == Lookup(TYPE)
    ((again, binder),) = sent(client.handle(Unknown(), BINDERS[0], 0.1))
    assert (again, binder) == (Lookup(TYPE, trailer=Query.about(TYPE, True)), BINDERS[0])
    client.handle(Found(AT_IPV6, trailer=Plain()), BINDERS[0], 0.2)
    assert client.outcome == FoundService(AT_IPV6)


@pytest.mark.parametrize("answer", [Unknown(), Unknown(trailer=Plain())])
def test_a_binder_that_knows_none_at_ipv6_either_has_the_last_word(answer):
    client, _ = looking_up(TYPE, BINDERS[0])
    client.handle(Unknown(), BINDERS[0], 0.1)
    assert client.handle(answer, BINDERS[0], 0.2) == []
    assert client.outcome == UnknownService(BINDERS[0])


def test_a_no_stands_if_the_second_question_is_not_answered():
    client, _ = looking_up(TYPE, BINDERS[0])
    client.handle(Unknown(), BINDERS[0], 0.1)
    assert len(questions(client, 0.1 + IPV6_LIMIT - 0.01)) == 2
    assert client.outcome is None
    run(client, 0.1 + IPV6_LIMIT)
    assert client.outcome == UnknownService(BINDERS[0])


def test_a_binder_at_ipv6_and_one_asked_by_name_are_asked_for_both_families_at_once():
    for service, binder in ((TYPE, IPV6_BINDER), ("billing", BINDERS[0])):
        client, first = looking_up(service, binder)
        assert first.trailer == Query.about(service, True)
        client.handle(Unknown(trailer=Plain()), binder, 0.1)
        assert client.outcome == UnknownService(binder)


def test_a_client_that_can_take_no_ipv6_never_says_so():
    for service in (TYPE, "billing"):
        client = Client(service, None, (IPV6_BINDER,), Random(0))
        ((asked, _),) = sent(client.start(0.0))
        assert asked.trailer == Query.about(service)
