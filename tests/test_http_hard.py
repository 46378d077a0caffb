"""Whoever is slow, loud or many over HTTP: lookups go on, memory is bounded, refusals are clear."""

import random
import re
import socket
import time
from contextlib import ExitStack

import gevent
import pytest
from gevent.hub import get_hub

from prr.shell.admin.turns import PIECE, SLICE, Turns
from prr.shell.http import asked, connection, listener, pages, server, waiting_room
from prr.shell.http.binder import Standing
from tests.http_of import HELLO, all_of, ask, binder_with_http, connect, where
from tests.nodes import PATIENCE, Node, eventually

WITH_FEW_FILES = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
sys.argv[:2] = ["node.py"]
runpy.run_path("node.py", run_name="__main__")
"""


def limits(**names):
    """By the full name of each constant."""
    rooms = {
        "HEAD_LIMIT": waiting_room,
        "ANSWER_LIMIT": connection,
        "CONNECTIONS_MAX": server,
        "WAITING_MAX": pages,
    }
    return {f"{rooms[name].__name__}.{name}": value for name, value in names.items()}


def answers_lookups(node, peers):
    return peers().ask(b"\x02\x09", node.address) == b"\x04"


@pytest.mark.smoke
def test_slow_connections_give_their_places_to_who_asks(cluster, peers):
    rooms = limits(CONNECTIONS_MAX=8, HEAD_LIMIT=60.0)  # none of them is given up meanwhile
    binder = binder_with_http(cluster, limits=rooms)
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(binder)) for _ in range(30)]
        for opened in slow:
            opened.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert ask(binder, "/healthz").status == 200
        assert answers_lookups(binder, peers)
        eventually(lambda: b"prr_http_connections 8.0" in ask(binder, "/metrics").body)


@pytest.mark.smoke
def test_a_request_that_does_not_come_to_its_end_is_given_up(cluster):
    binder = binder_with_http(cluster, limits=limits(HEAD_LIMIT=0.3))
    with connect(binder) as opened:
        began_at = time.monotonic()
        opened.sendall(HELLO)
        try:
            while time.monotonic() - began_at < 5:  # a byte now and then is no request either
                opened.sendall(b"X: y\r\n")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - began_at < 3
    assert b'reason="too slow"} 1.0' in ask(binder, "/metrics").body


@pytest.mark.smoke
def test_who_does_not_take_an_answer_is_given_up(cluster, peers):
    binder = binder_with_http(cluster, limits=limits(ANSWER_LIMIT=3.0))
    for _ in range(300):
        assert peers().ask(b"\x05\x02", binder.address) == b"\x06"
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.settimeout(PATIENCE)
        slow.connect(where(binder))
        request = b"GET /v1/services/2?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        slow.sendall(request * 8)  # more than the kernel holds for both sides
        eventually(lambda: has_given_up(binder))
    eventually(lambda: _status(binder) == 200)


def has_given_up(binder):
    """It says so, unless that takes too long by itself."""
    try:
        return re.search(rb'reason="too slow"} [1-9]', ask(binder, "/metrics").body)
    except OSError:
        return False


@pytest.mark.smoke
def test_new_connections_wait_for_their_turn(cluster):
    pace = {
        f"{listener.__name__}.{name}": value
        for name, value in (("ACCEPT_PAUSE", 0.4), ("ACCEPTED_AT_ONCE", 2))
    }
    binder = binder_with_http(cluster, limits=pace)
    began_at = time.monotonic()
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(binder)) for _ in range(7)]
        for one in opened:
            one.sendall(HELLO + b"Connection: close\r\n\r\n")
        assert [all_of(one)[:15] for one in opened] == [b"HTTP/1.1 200 OK"] * 7
    assert time.monotonic() - began_at > 3 * 0.4


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (HELLO + b"X: " + b"a" * 10_000 + b"\r\n\r\n", 431, b"8192 bytes"),
        (HELLO + b"X: y\r\n" * 2000 + b"\r\n", 431, b"more than"),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 431, b"8192 bytes"),
        (b"\x00\x01\x02\r\n\r\n", 400, b"not a valid HTTP request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, b"not a valid HTTP request"),
        (
            HELLO.replace(b"/healthz", b"/v1/watch?service=\xff") + b"\r\n",
            400,
            b"not a valid HTTP request",
        ),
        (HELLO + b"Content-Length: -5\r\n\r\n", 400, b"not a valid HTTP request"),
        (HELLO + b"Content-Length: many\r\n\r\n", 400, b"not a valid HTTP request"),
    ],
    ids=[
        "one long header",
        "many headers",
        "long path",
        "bytes",
        "version",
        "raw byte",
        "minus",
        "no number",
    ],
)
def test_what_is_no_request_or_too_long_is_refused_and_told_why(sent, status, said, cluster):
    binder = binder_with_http(cluster)
    with connect(binder) as opened:
        opened.sendall(sent)
        answer = all_of(opened)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json" in answer
    assert said in answer
    assert ask(binder, "/healthz").status == 200


@pytest.mark.smoke
@pytest.mark.parametrize(
    "head", [b"Content-Length: 99999999\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_body_that_is_too_long_or_has_no_length_is_not_waited_for(head, cluster):
    binder = binder_with_http(cluster)
    with connect(binder) as opened:
        post = b"POST /v1/drains HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        opened.sendall(post + head + b"\r\n" + b"5\r\nhello\r\n")
        answer = all_of(opened)
    status, said = (413, b"at most") if b"Length" in head else (411, b"Content-Length")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert said in answer


def test_one_connection_may_ask_several_times(cluster):
    binder = binder_with_http(cluster)
    with connect(binder) as opened:
        opened.sendall((HELLO + b"\r\n") * 2 + HELLO + b"Connection: close\r\n\r\n")
        assert all_of(opened).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(6))
def test_garbage_harms_nobody(seed, cluster, peers):
    rng, binder = random.Random(seed), binder_with_http(cluster)
    whole = HELLO + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    for _ in range(40):
        sent = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            sent[rng.randrange(len(sent))] = rng.randrange(256)
        with connect(binder) as opened:
            opened.sendall(sent[: rng.randrange(len(sent) + 1)])
            opened.shutdown(socket.SHUT_WR)
            answer = all_of(opened)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 "), answer
    assert ask(binder, "/healthz").status == 200
    assert answers_lookups(binder, peers)
    assert binder.matching("bug|Traceback") == []


@pytest.mark.smoke
@pytest.mark.parametrize("files", [17, 19, 60])
def test_when_descriptors_run_out_lookups_go_on_and_http_is_back_when_there_are_some(files, peers):
    listening = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    binder = Node(str(files), "binder", *listening, program=("-c", WITH_FEW_FILES))
    try:
        binder.wait_for("HTTP at")
        with ExitStack() as stack:
            opened = [stack.enter_context(connect(binder)) for _ in range(60)]
            for one in opened:
                one.sendall(b"GET /healthz HTTP/1.1\r\n")
            for _ in range(20):
                assert answers_lookups(binder, peers)
        eventually(lambda: _status(binder) == 200)
        assert binder.process.poll() is None
        assert binder.matching("Traceback") == []
    finally:
        binder.close()


def _status(binder):
    try:
        return ask(binder, "/healthz").status
    except OSError:
        return None


def test_too_many_who_wait_for_lists_are_told_to_ask_again(cluster):
    binder = binder_with_http(cluster, limits=limits(WAITING_MAX=0))
    answer = ask(binder, "/v1/services")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


def test_long_work_lets_sockets_and_timers_have_their_turn():
    """Not so if it yielded to other greenlets alone: they run before sockets are looked at."""
    one, other = socket.socketpair()
    one.setblocking(False)
    heard, slices = [], 0
    readable = get_hub().loop.io(one.fileno(), 1)
    readable.start(lambda: heard.append(one.recv(1)))

    def work():
        nonlocal slices
        for number in range(40):
            began_at = time.perf_counter()
            while time.perf_counter() - began_at < SLICE:
                pass
            other.send(bytes([number]))
            yield number

    for number in Turns().in_slices(work()):
        slices = max(slices, number - len(heard))
    gevent.sleep(0.01)
    readable.stop()
    readable.close()
    one.close()
    other.close()
    assert len(heard) == 40
    assert slices <= 3


def busy(seconds):
    began_at = time.perf_counter()
    while time.perf_counter() - began_at < seconds:
        pass


class Arriving:
    """Datagrams that this process sends itself, and hears when the loop has looked at them."""

    def __enter__(self):
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sent = self.heard = 0
        self.readable = get_hub().loop.io(self.here.fileno(), 1)
        self.readable.start(self._hear)
        gevent.sleep(0.01)  # the loop has begun to wait for them
        return self

    def __exit__(self, *_):
        self.readable.stop()
        self.readable.close()
        self.here.close()
        self.there.close()

    def send(self):
        self.sent += 1
        self.there.send(b"x")

    def _hear(self):
        self.here.recv(1)
        self.heard += 1


def test_a_slice_is_over_as_soon_as_something_has_arrived():
    with Arriving() as arriving:

        def work():
            for number in range(200):
                if number % 3 == 0:
                    arriving.send()
                busy(PIECE)  # four of them are a slice
                yield number

        late = []
        for _ in Turns().in_slices(work()):
            late.append(arriving.sent - arriving.heard)
    assert late.count(0) > len(late) // 2  # it is heard behind the piece in which it has come


def test_a_page_is_made_once_for_all_who_wait_and_again_when_something_has_changed():
    stamp, made = [0], []

    def make():
        made.append(stamp[0])
        gevent.sleep(0.01)
        at = stamp[0]
        return lambda: [b"%d" % at]

    kept = pages.Pages(lambda: Standing(stamp[0], 0, True), pages.KEPT_FOR)
    found = [gevent.spawn(kept.get, "a", make) for _ in range(10)]
    gevent.joinall(found)
    assert [one.value for one in found] == [[b"0"]] * 10
    assert made == [0]
    stamp[0] = 1
    assert kept.get("a", make) == [b"1"]
    for number in range(2 * pages.KEPT_MAX):
        kept.get(str(number), lambda: lambda: [b"x"])
    assert len(made) == 2
    kept.get("a", make)
    assert len(made) == 3  # forgotten: not all pages are kept


def test_however_often_something_changes_a_page_is_made_once_for_all_who_wait():
    stamp, made = [0], []

    def make():
        stamp[0] += 1
        made.append(stamp[0])
        gevent.sleep(0.01)
        at = stamp[0]
        stamp[0] += 1
        return lambda: [b"%d" % at]

    kept = pages.Pages(lambda: Standing(stamp[0], stamp[0], True), pages.KEPT_FOR)
    found = [gevent.spawn(kept.get, "a", make) for _ in range(20)]
    gevent.joinall(found)
    assert made == [1, 3]
    assert [one.value for one in found] == [[b"1"]] + [[b"3"]] * 19  # they came behind the first


def test_what_was_read_is_shown_anew_until_somebody_was_heard(monkeypatch):
    noted, shown, read = [0], [], []

    def make():
        read.append(None)
        return lambda: shown.append(None) or [b"%d" % len(shown)]

    kept = pages.Pages(lambda: Standing(0, noted[0], True), 0.3)
    kept.get("a", make)
    noted[0] += 1
    assert kept.get("a", make) == [b"1"]  # a page may be a second old
    monkeypatch.setattr(pages, "FRESH", 0.0)
    for count in (2, 3):
        kept.get("a", make)
        kept.get("a", make)
        assert len(read) == count
        noted[0] += 1
    assert len(shown) == 5
    kept.get("a", make)
    time.sleep(0.3)
    kept.get("a", make)
    assert len(read) == 5


def test_the_limits_are_those_of_the_manual():
    from tests.nodes import ROOT

    manual = (ROOT / "docs" / "http.md").read_text()
    for told in (
        f"{listener.CONNECTIONS_MAX} connections",
        f"{listener.ACCEPTED_AT_ONCE / listener.ACCEPT_PAUSE:g} new connections a second",
        f"{waiting_room.HEAD_BYTES_MAX} bytes of headers, within {waiting_room.HEAD_LIMIT:g} s",
        f"{asked.BODY_BYTES_MAX} bytes sent along",
        f"{connection.ANSWER_LIMIT:g} s for an answer",
        f"{pages.WAITING_MAX} requests that wait",
        f"{listener.FILES_KEPT} descriptors",
        f"at most {asked.ROWS_MAX} rows",
    ):
        assert told in manual, told
