"""The log never makes the node wait, and never hides that something is missing."""

import fcntl
import logging
import os
import time
from types import SimpleNamespace

import pytest

from prr.shell.log import handler as log_handler
from prr.shell.log.handler import GATHER, LossyHandler, iso_time
from prr.shell.log.throttle import BURST, PAUSE, Throttle
from tests.turns import go_on, until


@pytest.fixture
def pipe():
    """A handler that writes into a small pipe, and the end that reads it."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 16384)
    os.set_blocking(reading, False)
    yield LossyHandler(writing), reading
    os.close(reading)
    os.close(writing)


def say(handler, line, **extra):
    """Log a line; each is of a kind of its own unless `extra` says otherwise."""
    record = logging.LogRecord("prr", logging.INFO, "", 0, line, None, None)
    record.__dict__.update(extra)
    handler.emit(record)


def read(reading):
    try:
        return os.read(reading, 1 << 16).decode().splitlines()
    except BlockingIOError:
        return []


def test_a_line_that_comes_alone_is_written_at_once(pipe):
    handler, reading = pipe
    for line in ("one", "two"):
        say(handler, line)
        assert read(reading) == [line]
        go_on(2 * GATHER)


def test_lines_that_follow_one_another_are_written_together_soon(pipe, monkeypatch):
    handler, reading = pipe
    now = SimpleNamespace(monotonic=lambda: 7.0)  # they do follow, whatever stops this process
    monkeypatch.setattr(log_handler, "time", now)
    for line in ("one", "two", "three"):
        say(handler, line)
    assert read(reading) == ["one"]
    written = []
    until(lambda: written.extend(read(reading)) or written, 1.0)
    assert written == ["two", "three"]


def test_flush_leaves_nothing_behind(pipe):
    handler, reading = pipe
    say(handler, "one")
    say(handler, "two")
    handler.flush()
    assert read(reading) == ["one", "two"]
    go_on(3 * GATHER)
    assert read(reading) == []


def test_what_nobody_reads_is_left_out_and_counted(pipe):
    handler, reading = pipe
    for number in range(40):
        say(handler, "x" * 999, kind=str(number))
        handler.flush()
    kept = len(read(reading))
    assert 0 < kept < 40
    say(handler, "after")
    handler.flush()
    note = f"({40 - kept} lines dropped: more than could be written)"
    assert read(reading) == [note, "after"]


def test_a_storm_of_one_kind_leaves_the_others_their_room(pipe):
    handler, reading = pipe
    for number in range(1000):
        say(handler, f"storm {number}", kind="storm")
        say(handler, f"other {number}", kind=f"other {number // 10}")
        handler.flush()
    lines = read(reading)
    assert len([line for line in lines if line.startswith("storm")]) == BURST
    assert [line for line in lines if line.startswith("other")][-1] == "other 999"
    handler.close()
    assert read(reading)[-1].startswith("storm 999 (and 979 more within ")


@pytest.mark.smoke
def test_a_storm_is_summed_up_once_a_second(pipe):
    handler, reading = pipe
    for number in range(100):
        say(handler, f"storm {number}", kind="storm")
    lines = []
    until(lambda: lines.extend(read(reading)) or len(lines) > BURST, 3 * PAUSE)
    assert len(lines) == BURST + 1
    assert lines[-1].startswith(f"storm 99 (and {100 - BURST - 1} more within ")


@pytest.mark.smoke
def test_what_must_be_kept_waits_for_its_reader_and_nothing_else_does(pipe, monkeypatch):
    monkeypatch.setattr(log_handler, "PAUSE", 0.1)
    handler, reading = pipe
    for number in range(40):
        say(handler, f"{number} " + "x" * 990, kind=str(number))
        handler.flush()
    say(handler, "kept", kept=True)
    handler.flush()
    assert handler.is_clogged
    read(reading)
    until(lambda: not handler.is_clogged, 1.0)
    assert read(reading)[-1] == "kept"


def test_what_has_a_name_with_a_line_in_it_is_one_line(pipe):
    handler, reading = pipe
    say(handler, "one\ntwo\x1b[1m")
    assert read(reading) == [r"one\ntwo\x1b[1m"]


def test_times_have_their_zone(monkeypatch):
    for zone, expected in (
        ("UTC0", "1970-01-01T00:00:00.250+00:00"),
        ("XXX-5:45", "1970-01-01T05:45:00.250+05:45"),
        ("XXX3:30", "1969-12-31T20:30:00.250-03:30"),
    ):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert iso_time(0.25) == expected
    monkeypatch.undo()
    time.tzset()


def test_a_throttle_gives_a_burst_then_one_a_second_and_counts_the_rest():
    throttle = Throttle()
    assert sum(throttle.admits("a", number, 10.0) for number in range(50)) == BURST
    assert throttle.admits("b", 0, 10.0)
    assert throttle.due(10.5) == []
    (held,) = throttle.due(11.0)
    assert (held.line, held.count, held.seconds) == (49, 50 - BURST, 1.0)
    assert not throttle.is_holding
    assert not throttle.admits("a", 50, 11.5)  # what came has had its line for this second
    assert [one.line for one in throttle.due(12.0)] == [50]


def test_a_throttle_that_had_rest_allows_a_burst_again():
    throttle = Throttle()
    for number in range(50):
        throttle.admits("a", number, 10.0)
    throttle.due(11.0)
    later = 11.0 + BURST * PAUSE
    assert sum(throttle.admits("a", number, later) for number in range(50)) == BURST


def test_a_line_of_any_length_is_one_line(pipe):
    handler, reading = pipe
    say(handler, "x" * 10_000)
    handler.flush()
    assert read(reading) == ["x" * 4095]
