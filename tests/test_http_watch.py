"""Who watches: every change once, in order, with its reason; and nobody waits for anybody."""

import os
import socket
import time
from contextlib import ExitStack
from itertools import pairwise

import gevent.socket
import jsonschema
import pytest

from prr.shell.admin.calls import News
from prr.shell.http import watchers
from prr.wire.trailer import Listed
from tests.cores import at
from tests.http_of import Stream, ask, binder_with_http, watching, where
from tests.nodes import PATIENCE, UNASKED, eventually, wire

ONE = at(2, "10.0.0.1", 1)


@pytest.fixture
def binder(cluster):
    return binder_with_http(cluster, limits=UNASKED)


def subscribe(peers, binder, type_):
    peer = peers()
    assert peer.ask(bytes([5, type_]), binder.address) == b"\x06"
    return peer


def seen(binder):
    """The number of the last change that a watcher who comes now is not told."""
    with watching(binder) as stream:
        return int(stream.next()[1].partition("-")[2])


@pytest.mark.smoke
def test_a_death_its_verification_and_the_return_are_told_as_they_happen(cluster, binder, peers):
    server = cluster.server(2, binder)
    with watching(binder) as stream:
        assert stream.next()[0] == "hello"
        server.kill()
        peers().send(b"\x04" + wire(2, server.address), binder.address)
        _, _, suspect = stream.until(state="suspect")
        assert (suspect["event"], suspect["service"], suspect["type"]) == ("complaint", "time", 2)
        assert "could not reach it" in suspect["why"]
        _, _, gone = stream.until(state="gone")
        assert gone["event"] == "evicted"
        assert gone["address"] == suspect["address"] == server.name
        assert "refused 2 questions" in gone["why"]
        assert abs(gone["at"] - time.time()) < 5
        again = cluster.start(
            *("server", "--type", "2", "--listen", server.name, "--binder", binder.name)
        )
        again.wait_for("confirmed")
        _, _, up = stream.until(state="up")
        assert up["address"] == server.name


def test_what_is_told_is_in_the_document(binder, peers):
    components = ask(binder, "/openapi.json").json["components"]
    with watching(binder) as stream:
        stream.next()
        subscribe(peers, binder, 7)
        _, _, told = stream.next()
    change = {"$ref": "#/components/schemas/Change", "components": components}
    jsonschema.Draft202012Validator(change).validate(told)


def test_whoever_asks_for_the_headers_alone_is_sent_nothing_else(binder):
    with socket.create_connection(where(binder), timeout=PATIENCE) as opened:
        opened.sendall(b"HEAD /v1/watch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = all_of(opened).partition(b"\r\n\r\n")
    assert b"Content-Type: text/event-stream" in head
    assert body == b""


def test_one_service_alone_may_be_watched(binder, peers):
    with watching(binder, "/v1/watch?service=7") as stream:
        stream.next()
        subscribe(peers, binder, 6)
        seven = subscribe(peers, binder, 7)
        _, _, told = stream.next()
        assert (told["type"], told["address"], told["event"]) == (7, seven.name, "subscribed")


@pytest.mark.smoke
def test_who_comes_back_is_told_what_was_missed_and_nothing_twice(binder, peers):
    with watching(binder) as stream:
        _, first, _ = stream.next()
        one = subscribe(peers, binder, 7)
        _, second, told = stream.next()
        assert told["address"] == one.name
    two, three = (subscribe(peers, binder, 7) for _ in range(2))
    with watching(binder, last=second) as stream:
        assert [stream.next()[2]["address"] for _ in range(2)] == [two.name, three.name]
    with watching(binder, last=first) as stream:
        told = [stream.next()[2]["address"] for _ in range(3)]
        assert told == [one.name, two.name, three.name]


@pytest.mark.smoke
@pytest.mark.parametrize("last", ["other-1", "x", "-", "a-999999999999999999999999", "1"])
def test_who_comes_from_another_process_is_told_to_look_at_everything_anew(last, binder, peers):
    subscribe(peers, binder, 7)
    eventually(lambda: seen(binder) == 1)
    with watching(binder, last=last) as stream:
        event, at, _ = stream.next()
        assert event == "resync"
        assert at.endswith("-1")
    run = at.partition("-")[0]
    for ahead in ("2", "0" * 20 + "2", "0" * 5000):  # which has not happened yet, or is no number
        with watching(binder, last=f"{run}-{ahead}") as stream:
            assert stream.next()[0] == "resync"
    with watching(binder, last=f"{run}-0") as stream:
        assert stream.next()[0] == "change"


@pytest.mark.smoke
def test_beyond_the_history_there_is_a_resync(cluster, peers):
    limits = {f"{watchers.__name__}.HISTORY_MAX": 3}
    binder = binder_with_http(cluster, limits=limits | UNASKED)
    with watching(binder) as stream:
        _, first, _ = stream.next()
    for _ in range(4):
        subscribe(peers, binder, 7)
    eventually(lambda: seen(binder) >= 4)
    with watching(binder, last=first) as stream:
        event, last, _ = stream.next()
        assert event == "resync"
        subscribe(peers, binder, 7)
        event, after, _ = stream.next()
        assert event == "change"
        assert int(after.partition("-")[2]) == int(last.partition("-")[2]) + 1


@pytest.mark.smoke
def test_many_changes_at_once_come_in_order_and_all_of_them(binder, peers):
    with watching(binder) as stream:
        stream.next()
        addresses = [subscribe(peers, binder, 7).name for _ in range(200)]
        numbers, told = [], []
        while len(told) < len(addresses):
            _, last, data = stream.next()
            numbers.append(int(last.partition("-")[2]))
            told += [data["address"]] if data["event"] == "subscribed" else []
        assert told == addresses
        assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]


def test_there_are_no_more_watchers_than_the_limit(cluster):
    binder = binder_with_http(cluster, limits={f"{watchers.__name__}.WATCHERS_MAX": 2})
    streams = [Stream(binder) for _ in range(2)]
    try:
        answer = ask(binder, "/v1/watch")
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert "ask another binder" in answer.json["detail"]
        streams.pop().close()
        eventually(lambda: b"prr_http_watchers 1.0" in ask(binder, "/metrics").body)
        streams.append(Stream(binder))
        assert streams[-1].next()[0] == "hello"
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.smoke
def test_a_sign_of_life_comes_though_nothing_changes(cluster):
    binder = binder_with_http(cluster, limits={f"{watchers.__name__}.HEARTBEAT": 0.2})
    with watching(binder) as stream:
        stream.next()
        assert [stream._lines.readline() for _ in range(4)] == [b":\n", b"\n", b":\n", b"\n"]


class Beaten:
    """Stands for a watcher, and notes when it is sent a sign of life."""

    def __init__(self, clock):
        self.clock = clock
        self.at = [clock[0]]

    def beat(self):
        self.at.append(self.clock[0])


@pytest.mark.parametrize("pause", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("count", [1, 300])
def test_signs_of_life_come_in_time_however_long_a_round_takes(count, pause):
    everyone = watchers.Watchers(0, None, 9, None)
    everyone.close()  # it goes round by hand
    clock = [time.monotonic()]
    beaten = [Beaten(clock) for _ in range(count)]
    everyone._watchers = dict.fromkeys(beaten)
    most = 0
    for _ in range(int(4 * watchers.HEARTBEAT / pause)):
        clock[0] += pause
        before = sum(len(one.at) for one in beaten)
        everyone._beat(clock[0])
        most = max(most, sum(len(one.at) for one in beaten) - before)
    waits = [later - at for one in beaten for at, later in pairwise([*one.at, clock[0]])]
    assert max(waits) <= 1.5 * watchers.HEARTBEAT + pause
    assert most <= 1 + count * pause / watchers.BEATING  # never many at once


@pytest.mark.smoke
def test_who_does_not_read_is_cut_off_and_costs_nobody_else_anything(cluster):
    limits = {f"{watchers.__name__}.HEARTBEAT": 0.3}
    binder = binder_with_http(cluster, limits=limits)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(10)
    slow.connect(where(binder))
    slow.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with slow, watching(binder) as stream:
        stream.next()
        body = {"service": "7", "address": cluster.server(7, binder).name, "last": True}
        for seconds in range(1000, 1500):  # 200 kB: more than all buffers on the way hold
            body |= {"seconds": seconds, "why": "x" * 100}
            assert ask(binder, "/v1/drains", "POST", body).status == 200
        stream.until(why=f"for {seconds} s, by 127.0.0.1: " + "x" * 100)
        eventually(lambda: b"prr_http_watchers 1.0" in ask(binder, "/metrics").body)
        dropped = b'prr_http_connections_dropped_total{reason="did not read"} 1.0'
        assert dropped in ask(binder, "/metrics").body


def test_a_bug_ends_who_watches_and_not_the_binder(monkeypatch, caplog):
    monkeypatch.setattr(watchers, "AFTER_BUG", 0.01)
    made = []

    def row(*change):
        made.append(change)
        return {"state": "up", "share": 1 / (len(made) - 1)}

    def change(number, state):
        everyone.hear([News(number, ONE, state, "learned", "", 0.0)])

    everyone = watchers.Watchers(0, row, 9, lambda why: None)
    with ExitStack() as stack:
        stack.callback(everyone.close)

        def joined():
            here, there = (stack.enter_context(one) for one in gevent.socket.socketpair())
            everyone.join(lambda: socket.socket(fileno=os.dup(there.fileno())), None, "")
            there.close()
            here.settimeout(PATIENCE)
            return here

        first = joined()
        change(1, Listed.UP)
        assert b"event: hello" in all_of(first)
        assert "ZeroDivisionError" in caplog.text
        second = joined()
        change(2, Listed.SUSPECT)
        said = b""
        while b"event: change" not in said:
            said += second.recv(4096)


def all_of(opened):
    """All that comes until the other side hangs up."""
    data = b""
    while part := opened.recv(4096):
        data += part
    return data
