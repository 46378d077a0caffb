"""Requests that a program answers: a few at a time, and each of them once."""

import pytest

from prr.core.calls import ANSWERS_MAX, KEPT, PATIENCE, WAITING_MAX, Calls, Handle
from prr.core.effects import Event, Report, Send
from prr.wire.call_messages import CallNumber, Failed
from prr.wire.frames import Request, Response
from prr.wire.messages import Plain

CLIENT, OTHER = ("10.0.2.1", 5000), ("10.0.2.1", 5001)


def call(message, number=None):
    """A request, of the call with this number."""
    return Request(message, trailer=None if number is None else CallNumber(nonce=number))


def test_a_request_that_is_repeated_is_handled_once_and_answered_again():
    calls = Calls(4)
    asked = Handle(b"one", CLIENT, 7)
    assert calls.asked(call(b"one", 7), CLIENT, 0.0) == [asked]
    assert calls.asked(call(b"one", 7), CLIENT, 0.1) == []
    assert calls.answered(asked, Response(b"1"), 0.5) == [Send(Response(b"1"), CLIENT)]
    assert calls.asked(call(b"one", 7), CLIENT, 0.6) == [Send(Response(b"1"), CLIENT)]
    assert calls.running == 0


def test_the_next_call_is_another_one_with_the_same_bytes_from_the_same_address():
    calls = Calls(4)
    for number in (None, 7, 8, None):
        asked = Handle(b"one", CLIENT, number)
        assert calls.asked(call(b"one", number), CLIENT, 0.0) == [asked]
        calls.answered(asked, Response(b"1"), 0.0)


def test_without_a_number_only_what_is_under_way_is_not_begun_again():
    calls = Calls(4)
    asked = Handle(b"one", CLIENT)
    for request in (Request(b"one"), Request(b"one", trailer=Plain())):
        assert calls.asked(request, CLIENT, 0.0) == [asked]
        assert calls.asked(request, CLIENT, 0.1) == []
        calls.answered(asked, Response(b"1"), 0.2)
    assert calls.kept == 0


def test_one_that_takes_long_is_not_begun_a_second_time():
    calls = Calls(4)
    assert calls.asked(call(b"one"), CLIENT, 0.0) == [Handle(b"one", CLIENT)]
    assert calls.asked(call(b"one"), CLIENT, 60.0) == []


def test_another_client_or_other_bytes_are_another_request():
    calls = Calls(4)
    assert calls.asked(call(b"one"), CLIENT, 0.0) == [Handle(b"one", CLIENT)]
    assert calls.asked(call(b"one"), OTHER, 0.0) == [Handle(b"one", OTHER)]
    assert calls.asked(call(b"two"), CLIENT, 0.0) == [Handle(b"two", CLIENT)]


def test_answers_are_kept_for_a_time_however_many_there_are():
    calls = Calls(4)
    for number in range(5):
        calls.asked(call(b"one", number), CLIENT, 0.0)
        calls.answered(Handle(b"one", CLIENT, number), Response(b"1"), 0.0)
    for number in range(5):
        asked = [Handle(b"one", CLIENT, number)]
        assert calls.asked(call(b"one", number), CLIENT, KEPT) == asked
        calls.answered(*asked, Response(b"2"), KEPT)


def test_so_many_at_once_and_the_others_in_their_order():
    calls = Calls(2)
    begun = [calls.asked(call(bytes((n,))), CLIENT, 0.0) for n in range(4)]
    first, second, third = (Handle(bytes((n,)), CLIENT) for n in range(3))
    assert begun == [[first], [second], [], []]
    assert calls.asked(call(b"\2"), CLIENT, 0.1) == []  # waits already
    assert calls.answered(second, Response(b"x"), 0.2) == [Send(Response(b"x"), CLIENT), third]
    assert calls.running == 2


def test_whoever_has_not_asked_again_for_long_has_given_up():
    calls = Calls(1)
    calls.asked(call(b"one"), CLIENT, 0.0)
    calls.asked(call(b"late"), CLIENT, 0.0)
    calls.asked(call(b"two"), CLIENT, 0.0)
    calls.asked(call(b"two"), CLIENT, 1.0)
    done = calls.answered(Handle(b"one", CLIENT), Response(b""), PATIENCE + 0.5)
    assert done[1:] == [Handle(b"two", CLIENT)]


def test_what_there_is_no_room_for_is_dropped_and_counted():
    calls = Calls(1)
    for number in range(WAITING_MAX + 1):
        calls.asked(call(b"%d" % number), CLIENT, 0.0)
    (dropped,) = calls.asked(call(b"one more"), CLIENT, 0.0)
    assert isinstance(dropped, Report)
    assert dropped.event is Event.CALL_DROPPED


def test_a_failure_is_answered_reported_and_answered_again():
    calls = Calls(1)
    asked, failure = Handle(b"one", CLIENT, 7), Response(b"", trailer=Failed(error=b"KeyError: 7"))
    calls.asked(call(b"one", 7), CLIENT, 0.0)
    answer, report = calls.answered(asked, failure, 0.1)
    assert answer == Send(failure, CLIENT)
    assert (report.event, report.why) == (Event.CALL_FAILED, "KeyError: 7")
    assert calls.asked(call(b"one", 7), CLIENT, 0.2) == [Send(failure, CLIENT)]


@pytest.mark.smoke
def test_answers_are_bounded():
    calls = Calls(1)
    for number in range(ANSWERS_MAX + 100):
        (asked,) = calls.asked(call(b"one", number), CLIENT, 0.0)
        calls.answered(asked, Response(b""), 0.0)
        assert calls.kept <= ANSWERS_MAX
    newest = call(b"one", ANSWERS_MAX + 99)
    assert calls.asked(newest, CLIENT, 0.0) == [Send(Response(b""), CLIENT)]
    assert calls.asked(call(b"one", 0), CLIENT, 0.0) == [Handle(b"one", CLIENT, 0)]
