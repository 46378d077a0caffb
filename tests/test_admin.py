"""The link between a binder and what serves its HTTP: what either side takes, and how much."""

import socket
import subprocess
import sys
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace

import gevent
import gevent.socket
import msgpack
import pytest

from prr.core.directory.changes import HISTORY_MAX, Change, ChangeFeed
from prr.shell.admin import answering, calls, front, telling
from prr.shell.admin.answering import Answering
from prr.shell.admin.authorizer import HostOnly
from prr.shell.admin.calls import CALLS, Kind, Malformed, Refusal, Settings, read_call, write
from prr.shell.admin.interface import Interface
from prr.shell.admin.link import Link, Over
from prr.shell.admin.telling import Telling
from prr.shell.admin.turns import Turns
from prr.shell.http.binder import Binder
from prr.shell.http.problems import Problem
from prr.shell.http.shared import Shared
from prr.wire.trailer import Listed
from tests.cores import at
from tests.turns import until

ONE = at(2, "10.0.0.1", 1)
SETTINGS = Settings("1", ["here"], {2: "time"}, True, False, 7)

GOOD = [
    ("standing", []),
    ("why", [ONE]),
    ("lookup", ["billing", "eu"]),
    ("services", [100, None]),
    ("instances", [2, 1000, ONE]),
    ("operator", [None, ""]),
    ("complain", ["T0ken", "::1", ONE, b"slow"]),
    ("drain", [None, "127.0.0.1", ONE, 60, b"", True]),
]


@contextmanager
def linked():
    """A binder's end, and the other one."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = Link(here)
    other = gevent.socket.socket(fileno=there.detach())
    try:
        yield link, other
    finally:
        other.close()
        link.close()


@pytest.mark.parametrize(("name", "arguments"), GOOD)
def test_a_call_is_read_as_it_was_written(name, arguments):
    call = read_call(write((1, name, arguments)))
    assert (call.number, call.name, call.arguments) == (1, name, arguments)


@pytest.mark.parametrize(
    "said",
    [
        (0, "standing", []),
        (True, "standing", []),
        (1, "close", []),
        (1, "__init__", []),
        (1, ["standing"], []),
        (1, "standing", [1]),
        (1, "standing", None),
        (1, "why", [b"x"]),
        (1, "why", ["2"]),
        (1, "lookup", [256, ""]),
        (1, "lookup", ["No", ""]),
        (1, "lookup", [True, ""]),
        (1, "lookup", [2, "x" * 9000]),
        (1, "services", [1 << 40, None]),
        (1, "instances", [2, 0, None]),
        (1, "operator", [None, "nowhere"]),
        (1, "operator", [b"x", ""]),
        (1, "complain", [None, "", ONE, b"x" * 201]),
        (1, "drain", [None, "", ONE, -1, b"", False]),
        (1, "drain", [None, "", ONE, 1, b"a\nb", False]),
        (1, "drain", [None, "", ONE, 1, b"", 0]),
    ],
    ids=str,
)
def test_what_is_not_in_the_table_is_not_taken(said):
    with pytest.raises(Malformed):
        read_call(write(said))


def odd(rng):
    """A message of some kind, or bytes."""
    name, arguments = rng.choice(GOOD)
    values = [None, -1, 1 << 63, 1.5, "x", b"\xff", [], {}, [[]], {"a": b"b"}, True, "2", ONE]
    said = [rng.choice([1, *values]), rng.choice([name, *values]), list(arguments)]
    if said[2] and rng.random() < 0.7:
        said[2][rng.randrange(len(said[2]))] = rng.choice(values)
    data = bytearray(msgpack.packb(said))
    for _ in range(rng.randrange(3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.3 else data)


def test_whatever_either_side_says_it_is_valid_or_malformed():
    rng, refused = Random(1), 0
    for _ in range(3000):
        data = odd(rng)
        for read in (read_call, calls.read_answer, calls.read_settings):
            try:
                read(data)
            except Malformed:
                refused += 1
        try:
            values = msgpack.unpackb(data, strict_map_key=False)
        except (TypeError, ValueError, msgpack.exceptions.UnpackException):
            continue
        for read in (calls.row_from, calls.news_from, calls.service_from):
            with pytest.raises(Malformed):
                read(values)
                raise Malformed
    assert refused > 1000


class Answers:
    """Stands for the interface."""

    def standing(self):
        return [7, 8, True]

    def why(self, instance):
        yield b""
        raise ZeroDivisionError

    def lookup(self, service, zone):
        raise ZeroDivisionError

    def status(self):
        yield msgpack.packb({"ok": True})[:3]
        yield msgpack.packb({"ok": True})[3:]

    def services(self, limit, after):
        yield [(2, 1, 0, 0)] * limit
        return 2

    def complain(self, token, source, instance, why):
        gevent.sleep(60)


def test_calls_are_answered_each_in_its_way_and_a_bug_ends_none_of_the_others(caplog):
    with linked() as (link, other):
        link.send(write(SETTINGS))
        answered = Answering(link, Answers())
        running = [gevent.spawn(answered.run)]
        binder = Binder(other)
        assert binder.settings == SETTINGS
        running.append(gevent.spawn(binder.run))
        assert binder.standing() == (7, 8, True)
        assert binder.status() == {"ok": True}
        seen = []
        assert binder.services(3, None, seen.append) == 2
        assert [*map(tuple, seen)] == [(2, 1, 0, 0)] * 3
        for fails in (lambda: binder.why(ONE), lambda: binder.lookup(2, "")):
            with pytest.raises(Problem, match="a bug in this binder"):
                fails()
        assert caplog.text.count("bug where HTTP asks") == 2
        assert binder.standing() == (7, 8, True)
        answered.close()
        gevent.killall(running)


def test_a_call_that_is_not_answered_has_a_time_limit_and_there_are_not_many(monkeypatch):
    monkeypatch.setattr("prr.shell.http.binder.CALL_LIMIT", 0.05)
    monkeypatch.setattr(answering, "CHANGES_MAX", 1)
    with linked() as (link, other):
        link.send(write(SETTINGS))
        answered = Answering(link, Answers())
        running = [gevent.spawn(answered.run)]
        binder = Binder(other)
        running.append(gevent.spawn(binder.run))
        with pytest.raises(Problem, match="has not answered for"):
            binder.complain((None, ""), ONE, b"")
        with pytest.raises(Problem, match="too much to do"):
            binder.complain((None, ""), ONE, b"")
        monkeypatch.setattr("prr.shell.http.binder.CALLS_MAX", 0)
        with pytest.raises(Problem, match="too much is asked"):
            binder.standing()
        answered.close()
        gevent.killall(running)


def test_garbage_ends_the_link():
    with linked() as (link, other):
        answered = Answering(link, Answers())
        other.send(b"\xc1\xff")
        with pytest.raises(Malformed):
            answered.run()
        answered.close()
    with linked() as (link, other):
        link.send(write(SETTINGS))
        binder = Binder(other)
        link.send(b"\xc1\xff")
        with pytest.raises(Malformed):
            binder.run()


def test_the_longest_message_is_sent_however_little_the_host_holds():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    link = Link(here)
    with there:
        link.send(bytes(calls.MESSAGE_BYTES_MAX))
        assert len(there.recv(calls.MESSAGE_BYTES_MAX)) == calls.MESSAGE_BYTES_MAX
    link.close()


def test_the_end_of_the_other_side_is_told():
    with linked() as (link, other):
        answered = Answering(link, Answers())
        other.close()
        with pytest.raises(Over):
            answered.run()
        with pytest.raises(Over):
            link.send(b"x")
        answered.close()


def test_from_who_takes_no_answers_nothing_more_is_taken():
    with linked() as (link, other):
        answered = Answering(link, Answers())
        running = gevent.spawn(answered.run)
        other.setblocking(False)
        sent = 0
        for _ in range(50):
            try:
                for number in range(1, 100):
                    other.send(write((number, "standing", [])))
                    sent += 1
            except BlockingIOError:
                pass
            gevent.sleep(0.005)
        heard = answered.heard
        gevent.sleep(0.05)
        assert answered.heard == heard < sent < 5000
        link.close()  # wakes whoever waits
        running.join(1)
        assert isinstance(running.exception, Over)
        answered.close()


def test_who_hears_too_late_is_told_that_it_has_missed_something():
    held = {}
    feed = ChangeFeed(lambda one: (held.get(one), b""))

    def change(count):
        for _ in range(count):
            feed.note(ONE)
            held[ONE] = Listed.UP if held.get(ONE) is not Listed.UP else Listed.SUSPECT
            feed.settle([])

    def told():
        return [calls.news_from(one) for one in calls.read_answer(other.recv(65536)).payload]

    with linked() as (link, other), gevent.Timeout(10):
        tells = Telling(link, feed, 0, Turns())
        change(20)
        assert [one.number for _ in range(2) for one in told()] == [*range(1, 21)]
        for _ in range(5):
            change(HISTORY_MAX)
            gevent.sleep(0.05)
        change(1)
        seen = []
        while not seen or seen[-1].number < feed.last:
            seen += told()
        gaps = [one for one in seen if one.instance is None]
        assert gaps
        assert len(seen) < 5 * HISTORY_MAX
        tells.close()


def test_the_longest_changes_are_a_message():
    change = Change(1 << 60, ONE, Listed.UP, "x" * 40, "\U0001f600" * 2000)
    told = [telling._news(change, 1.5)] * telling.CHANGES_IN_PART
    assert len(write((calls.NEWS, Kind.PART, told))) <= calls.MESSAGE_BYTES_MAX


def test_the_binder_judges_who_may_change_something():
    core = SimpleNamespace(directory=SimpleNamespace(feed=object()))
    interface = Interface(SimpleNamespace(core=core), None, HostOnly(), Turns())
    assert interface.drain("T0ken", "10.0.0.9", ONE, 60, b"", True) == "denied"
    assert interface.complain("T0ken", "", ONE, b"") == "denied"


def test_one_question_is_asked_for_all_who_want_to_know_and_none_for_who_comes_later():
    asked, begun = [], []

    def ask():
        begun.append(None)
        gevent.sleep(0.02)
        asked.append(None)
        return len(asked)

    shared = Shared(ask)
    first = [gevent.spawn(shared) for _ in range(5)]
    gevent.sleep(0.01)
    assert len(begun) == 1
    later = [gevent.spawn(shared) for _ in range(5)]
    gevent.joinall(first + later)
    assert [one.value for one in first] == [1] * 5
    assert [one.value for one in later] == [2] * 5


def test_a_question_that_fails_fails_for_all():
    def fail():
        raise Problem(503, "not now")

    shared = Shared(fail)
    for _ in range(2):
        with pytest.raises(Problem, match="not now"):
            shared()


def test_answers_that_are_refused_are_known():
    assert Kind(2) is Kind.REFUSED
    assert {*Refusal} == {"busy", "bug"}
    assert {name for name, _ in GOOD} <= CALLS.keys()
    assert all(hasattr(Interface, name) for name in CALLS)


def test_one_that_ends_by_itself_says_why_and_others_come_after_longer_and_longer_pauses(
    monkeypatch, caplog
):
    def start(address, listening, there):
        ends = "import socket; socket.socket(fileno=0).recv(1); raise SystemExit(3)"
        return subprocess.Popen([sys.executable, "-S", "-c", ends], stdin=there)

    monkeypatch.setattr(front, "start_process", start)
    monkeypatch.setattr(front, "PAUSE_MIN", 0.01)
    listening = socket.create_server(("127.0.0.1", 0))
    interface = SimpleNamespace(feed=ChangeFeed(lambda one: (None, b"")))
    served = front.Front(listening, SETTINGS, interface, Turns())
    with gevent.Timeout(10):
        while "in 0.04 s" not in caplog.text:
            gevent.sleep(0.01)
    served.close()
    assert caplog.text.count("ended with exit code 3; another one starts") == 3
    assert listening.fileno() == -1


def test_what_cannot_be_started_is_tried_again(monkeypatch, caplog):
    def start(address, listening, there):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(front, "start_process", start)
    monkeypatch.setattr(front, "PAUSE_MIN", 0.01)
    interface = SimpleNamespace(feed=ChangeFeed(lambda one: (None, b"")))
    served = front.Front(socket.create_server(("127.0.0.1", 0)), SETTINGS, interface, Turns())
    until(lambda: caplog.text.count("cannot start: Too many open files") >= 2)
    served.close()
