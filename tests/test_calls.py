"""Requests that a program answers: a few at a time, and each of them once."""

from prr.core.calls import ANSWERS_MAX, KEPT, WAITING_MAX, Calls
from prr.core.effects import Event, Handle, Report, Send
from prr.wire.frames import Response
from prr.wire.messages import Failed

CLIENT, OTHER = ("10.0.2.1", 5000), ("10.0.2.1", 5001)


def test_a_request_that_is_repeated_is_handled_once_and_answered_again():
    calls = Calls(4)
    asked = Handle(b"one", CLIENT)
    assert calls.asked(b"one", CLIENT, 0.0) == [asked]
    assert calls.asked(b"one", CLIENT, 0.1) == []
    assert calls.answered(asked, Response(b"1"), 0.5) == [Send(Response(b"1"), CLIENT)]
    assert calls.asked(b"one", CLIENT, 0.6) == [Send(Response(b"1"), CLIENT)]
    assert calls.running == 0


def test_one_that_takes_long_is_not_begun_a_second_time():
    calls = Calls(4)
    assert calls.asked(b"one", CLIENT, 0.0) == [Handle(b"one", CLIENT)]
    assert calls.asked(b"one", CLIENT, 60.0) == []


def test_another_client_or_other_bytes_are_another_request():
    calls = Calls(4)
    assert calls.asked(b"one", CLIENT, 0.0) == [Handle(b"one", CLIENT)]
    assert calls.asked(b"one", OTHER, 0.0) == [Handle(b"one", OTHER)]
    assert calls.asked(b"two", CLIENT, 0.0) == [Handle(b"two", CLIENT)]


def test_after_the_clients_time_the_same_bytes_are_a_new_request():
    calls = Calls(4)
    asked = Handle(b"one", CLIENT)
    calls.asked(b"one", CLIENT, 0.0)
    calls.answered(asked, Response(b"1"), 0.0)
    assert calls.asked(b"one", CLIENT, KEPT + 0.01) == [asked]


def test_so_many_at_once_and_the_others_in_their_order():
    calls = Calls(2)
    begun = [calls.asked(bytes((n,)), CLIENT, 0.0) for n in range(4)]
    first, second, third = (Handle(bytes((n,)), CLIENT) for n in range(3))
    assert begun == [[first], [second], [], []]
    assert calls.asked(b"\2", CLIENT, 0.1) == []  # waits already
    assert calls.answered(second, Response(b"x"), 0.2) == [Send(Response(b"x"), CLIENT), third]
    assert calls.running == 2


def test_whoever_has_waited_too_long_has_given_up():
    calls = Calls(1)
    calls.asked(b"one", CLIENT, 0.0)
    calls.asked(b"late", CLIENT, 0.0)
    calls.asked(b"two", CLIENT, 1.0)
    done = calls.answered(Handle(b"one", CLIENT), Response(b""), KEPT + 0.5)
    assert done[1:] == [Handle(b"two", CLIENT)]


def test_what_there_is_no_room_for_is_dropped_and_counted():
    calls = Calls(1)
    for number in range(WAITING_MAX + 1):
        calls.asked(b"%d" % number, CLIENT, 0.0)
    (dropped,) = calls.asked(b"one more", CLIENT, 0.0)
    assert isinstance(dropped, Report)
    assert dropped.event is Event.CALL_DROPPED


def test_a_failure_is_answered_reported_and_answered_again():
    calls = Calls(1)
    asked, failure = Handle(b"one", CLIENT), Response(b"", trailer=Failed(error=b"KeyError: 7"))
    calls.asked(b"one", CLIENT, 0.0)
    answer, report = calls.answered(asked, failure, 0.1)
    assert answer == Send(failure, CLIENT)
    assert (report.event, report.why) == (Event.CALL_FAILED, "KeyError: 7")
    assert calls.asked(b"one", CLIENT, 0.2) == [Send(failure, CLIENT)]


def test_answers_are_forgotten_in_time_and_bounded_before():
    calls = Calls(1)

    def call(number, now):
        message = b"%d" % number
        (asked,) = calls.asked(message, CLIENT, now)
        calls.answered(asked, Response(b""), now)

    for number in range(ANSWERS_MAX + 100):
        call(number, 0.0)
    assert calls.asked(b"%d" % (ANSWERS_MAX + 99), CLIENT, 0.0) != [
        Handle(b"%d" % (ANSWERS_MAX + 99), CLIENT)
    ]
    assert calls.kept <= ANSWERS_MAX
    for number in range(ANSWERS_MAX):
        call(-1 - number, KEPT + 1.0)
    assert calls.kept <= ANSWERS_MAX
    call(-ANSWERS_MAX - 1, 3 * KEPT)
    assert calls.asked(b"-1", CLIENT, 3 * KEPT) == [Handle(b"-1", CLIENT)]
