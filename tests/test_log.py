"""The log never makes the node wait, and never hides that something is missing."""

import fcntl
import logging
import os

import gevent
import pytest

from prr.shell.log import GATHER, LINES_PER_SECOND_MAX, LossyHandler


@pytest.fixture
def pipe():
    """A handler that writes into a small pipe, and the end that reads it."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 16384)
    os.set_blocking(reading, False)
    yield LossyHandler(writing), reading
    os.close(reading)
    os.close(writing)


def say(handler, line):
    handler.emit(logging.LogRecord("prr", logging.INFO, "", 0, line, None, None))


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
        gevent.sleep(2 * GATHER)


def test_lines_that_follow_one_another_are_written_together_soon(pipe):
    handler, reading = pipe
    for line in ("one", "two", "three"):
        say(handler, line)
    assert read(reading) == ["one"]
    gevent.sleep(3 * GATHER)
    assert read(reading) == ["two", "three"]


def test_flush_leaves_nothing_behind(pipe):
    handler, reading = pipe
    say(handler, "one")
    say(handler, "two")
    handler.flush()
    assert read(reading) == ["one", "two"]
    gevent.sleep(3 * GATHER)
    assert read(reading) == []


def test_what_nobody_reads_is_left_out_and_counted(pipe):
    handler, reading = pipe
    for _ in range(40):
        say(handler, "x" * 999)
        handler.flush()
    kept = len(read(reading))
    assert 0 < kept < 40
    say(handler, "after")
    handler.flush()
    note = f"({40 - kept} lines left out: more than could be written)"
    assert read(reading) == [note, "after"]


def test_a_storm_is_cut_short_and_its_size_is_told(pipe, monkeypatch):
    handler, reading = pipe
    now = [1000.0]
    monkeypatch.setattr("prr.shell.log.time.monotonic", lambda: now[0])
    lines = []
    for number in range(LINES_PER_SECOND_MAX + 5):
        say(handler, str(number))
        handler.flush()
        lines += read(reading)
    assert lines == [str(number) for number in range(LINES_PER_SECOND_MAX)]
    now[0] += 1
    say(handler, "after")
    assert read(reading) == ["(5 lines left out: more than could be written)", "after"]


def test_a_line_of_any_length_is_one_line(pipe):
    handler, reading = pipe
    say(handler, "x" * 10_000)
    handler.flush()
    assert read(reading) == ["x" * 4095]
