"""Requests that come in pieces, together, or never: where they wait, and that they come through."""

import errno
import os
import socket
import struct
import time
from contextlib import ExitStack

import gevent.socket
import pytest

from prr.shell.http import server, waiting_room
from prr.shell.http.listener import Listener
from prr.shell.http.waiting_room import HEAD_BYTES_MAX, WaitingRoom, length_of_head
from tests.http_of import HELLO, all_of, ask, binder_with_http, connect, front_of
from tests.nodes import PATIENCE, eventually

LAST = HELLO + b"Connection: close\r\n"
POST = (
    b"POST /v1/drains HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\n"
)


def answer_to(binder, *parts, is_over=False):
    """What is answered to `parts`, each of which is sent on its own, and a moment later."""
    with connect(binder) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            opened.sendall(part)
            time.sleep(0.0005)
        if is_over:
            opened.shutdown(socket.SHUT_WR)
        return all_of(opened)


def padded(length):
    """A request whose line and headers have so many bytes."""
    return LAST + b"X: " + b"a" * (length - len(LAST) - 7) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("come", "length"),
    [
        (b"", None),
        (b"\n", None),
        (b"GET / HTTP/1.1\r\nA: b\r\n", None),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r", None),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 24),
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 18),
        (b"GET / HTTP/1.1\n\nGET / HTTP/1.1\r\n\r\n", 16),
        (b"GET / HTTP/1.1\n\r\n\n", 17),
        (b"\r\n\r\n", 4),
    ],
)
def test_a_request_s_head_ends_with_its_first_empty_line(come, length):
    assert length_of_head(come) == length


def test_a_request_may_come_byte_by_byte(cluster):
    binder = binder_with_http(cluster)
    request = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"
    parts = [request[at : at + 1] for at in range(len(request))]
    assert answer_to(binder, *parts).startswith(b"HTTP/1.1 200 OK")


def test_lines_may_end_with_a_line_feed_alone(cluster):
    binder = binder_with_http(cluster)
    request = LAST.replace(b"\r\n", b"\n") + b"\n"
    assert answer_to(binder, request[:-1], request[-1:]).startswith(b"HTTP/1.1 200 OK")


def test_a_head_may_be_as_long_as_is_allowed_and_no_longer(cluster):
    binder = binder_with_http(cluster)
    assert answer_to(binder, padded(HEAD_BYTES_MAX)).startswith(b"HTTP/1.1 200 OK")
    assert answer_to(binder, padded(HEAD_BYTES_MAX + 1)).startswith(b"HTTP/1.1 431 ")
    longest = padded(HEAD_BYTES_MAX)
    assert answer_to(binder, longest[:-1], longest[-1:]).startswith(b"HTTP/1.1 200 OK")


def test_what_has_come_of_the_next_request_is_not_lost(cluster):
    binder = binder_with_http(cluster)
    both = HELLO + b"\r\n" + LAST + b"\r\n"
    cut = len(HELLO) + 12
    assert answer_to(binder, both[:cut], both[cut:]).count(b"HTTP/1.1 200 OK") == 2
    body = POST.replace(b"close", b"keep-alive") + b"Content-Length: 2\r\n\r\n{}" + LAST + b"\r\n"
    answers = answer_to(binder, body)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200 OK" in answers


def test_who_has_said_all_is_answered_and_who_stops_in_the_middle_is_told(cluster):
    binder = binder_with_http(cluster)
    assert answer_to(binder, HELLO + b"\r\n", is_over=True).startswith(b"HTTP/1.1 200 OK")
    assert answer_to(binder, HELLO, is_over=True).startswith(b"HTTP/1.1 400 ")
    assert answer_to(binder, is_over=True) == b""


def test_an_old_client_s_connection_is_closed_unless_it_wants_to_keep_it(cluster):
    binder = binder_with_http(cluster)
    old = HELLO.replace(b"1.1", b"1.0")
    assert answer_to(binder, old + b"\r\n").count(b"HTTP/1.1 200 OK") == 1
    kept = old + b"Connection: keep-alive\r\n\r\n"
    assert answer_to(binder, kept + old + b"\r\n").count(b"HTTP/1.1 200 OK") == 2


def test_a_body_comes_in_its_own_time(cluster):
    binder = binder_with_http(cluster)
    head = POST + b"Content-Length: 2\r\n"
    assert b"the body lacks" in answer_to(binder, head + b"\r\n", b"{", b"}")
    with connect(binder) as opened:
        opened.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert opened.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(b"{}")
        assert b"the body lacks" in all_of(opened)


def test_who_sends_no_body_gives_its_place_to_who_asks(cluster):
    binder = binder_with_http(cluster, limits={f"{server.__name__}.CONNECTIONS_MAX": 4})
    with ExitStack() as stack:
        for _ in range(4):
            opened = stack.enter_context(connect(binder))
            opened.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert opened.recv(100).startswith(b"HTTP/1.1 100 ")
        assert ask(binder, "/healthz").status == 200


def test_a_body_that_nobody_asks_for_is_not_waited_for(cluster):
    binder = binder_with_http(cluster)
    began = time.monotonic()
    answer = answer_to(binder, HELLO + b"Content-Length: 10\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert time.monotonic() < began + 5  # and not ANSWER_LIMIT
    both = HELLO + b"Content-Length: 10\r\n\r\n0123456789" + LAST + b"\r\n"
    assert answer_to(binder, both).count(b"HTTP/1.1 200 OK") == 2  # that has come at once


def test_who_has_waited_longest_makes_room_be_it_for_a_body_or_for_a_request(cluster):
    binder = binder_with_http(cluster, limits={f"{server.__name__}.CONNECTIONS_MAX": 4})
    with ExitStack() as stack:
        for _ in range(3):
            opened = stack.enter_context(connect(binder))
            opened.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert opened.recv(100).startswith(b"HTTP/1.1 100 ")
        patient = stack.enter_context(connect(binder))
        for _ in range(2):
            assert ask(binder, "/healthz").status == 200
        patient.sendall(LAST + b"\r\n")
        assert all_of(patient).startswith(b"HTTP/1.1 200 OK")


def test_what_an_epoll_has_no_room_for_is_hung_up_and_the_process_goes_on(monkeypatch):
    dropped = []

    def is_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(WaitingRoom, "enter", is_full)
    with gevent.socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        listening = Listener(bound, lambda *_: [], 4, dropped.append)
        listening.start()
        for _ in range(2):
            with gevent.socket.create_connection(listening.address, PATIENCE) as opened:
                assert opened.recv(1) == b""
        assert dropped == ["connection lost"] * 2
        listening.close()


@pytest.mark.parametrize(
    "odd",
    [
        b"Foo : bar\r\nContent-Length: 2",
        b"Foo: a\r\r\nContent-Length: 2",
        b"Content-Length: 2\r\nContent-Length: 0",
        b"Content-Length: 0_2",
        b"Content-Length: +2",
    ],
)
def test_headers_that_others_read_otherwise_are_none(odd, cluster):
    """Else what a proxy takes for a body is the next request here."""
    binder = binder_with_http(cluster)
    answers = answer_to(binder, POST.replace(b"close", b"keep-alive") + odd + b"\r\n\r\n{}" + LAST)
    assert answers.startswith(b"HTTP/1.1 400 ") and answers.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("odd", [b"Upgrade: websocket", b"Connection: upgrade"])
def test_who_wants_another_protocol_is_answered_in_this_one(odd, cluster):
    binder = binder_with_http(cluster)
    post = POST.replace(b"Connection: close", odd) + b"Content-Length: 2\r\n\r\n{}"
    assert b"the body lacks" in answer_to(binder, post, is_over=True)
    assert not binder.matching("bug")


def test_nobody_gives_its_place_away_who_has_asked(cluster):
    binder = binder_with_http(cluster, limits={f"{server.__name__}.CONNECTIONS_MAX": 1})
    for _ in range(10):
        with connect(binder) as one:
            one.sendall(LAST + b"\r\n")
            with connect(binder) as other:
                other.sendall(LAST + b"\r\n")
                assert all_of(one)[9:12] == b"200"
                assert all_of(other)[9:12] in (b"200", b"503")


def test_whoever_waits_too_long_is_given_up_however_many_they_are(cluster):
    limits = {f"{waiting_room.__name__}.HEAD_LIMIT": 0.1}
    binder = binder_with_http(cluster, limits=limits)
    with ExitStack() as stack:
        many = [stack.enter_context(connect(binder)) for _ in range(12)]
        assert [all_of(one) for one in many] == [b""] * len(many)
    assert b'reason="too slow"} %d.0' % len(many) in ask(binder, "/metrics").body


def test_no_descriptor_stays_behind_whatever_became_of_a_connection(cluster):
    binder = binder_with_http(cluster)
    files = f"/proc/{front_of(binder)}/fd"
    before = len(os.listdir(files))
    for _ in range(3):
        for sent in (
            b"",
            b"GET",
            LAST + b"\r\n",
            padded(9000),
            POST + b"Content-Length: 9\r\n\r\n",
        ):
            with connect(binder) as opened:
                opened.sendall(sent)
                opened.setsockopt(  # closing ends it with a reset
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            with connect(binder) as opened:
                opened.sendall(sent)
    eventually(lambda: len(os.listdir(files)) <= before)
    assert ask(binder, "/healthz").status == 200
    assert binder.matching("bug|Traceback") == []


def test_who_stops_in_the_middle_of_a_body_is_told_and_nobody_takes_it_for_a_bug(cluster):
    binder = binder_with_http(cluster)
    cut_off = answer_to(binder, POST + b"Content-Length: 9\r\n\r\n{}", is_over=True)
    assert cut_off.startswith(b"HTTP/1.1 400 ")
    assert b"ends too early" in cut_off
    assert binder.matching("bug|Traceback") == []
