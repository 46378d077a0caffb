"""What the kernel drops is said: when it begins, every ten seconds, and when it is over."""

import logging
import socket

import pytest

from prr.shell.udp import overload
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.overload import REMIND_PAUSE, Overload


class Queue:
    """A lane whose drops the test counts."""

    def __init__(self, holds, dropped=0):
        self.holds = holds
        self.dropped = dropped


@pytest.fixture
def heard(monkeypatch):
    """The lines that are logged."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(f"{record.levelname} {record.getMessage()}")
    logger = logging.Logger("prr")
    logger.addHandler(handler)
    monkeypatch.setattr(overload, "_log", logger)
    return lines


def test_an_overload_is_told_once_then_every_ten_seconds_then_that_it_is_over(heard):
    lookups, rest = Queue("lookups", dropped=7), Queue("complaints")
    detector = Overload([lookups, rest])
    detector.look(0.0)
    assert heard == []
    assert detector.status() is None
    for second in range(1, 26):
        lookups.dropped += 100
        rest.dropped += 1
        detector.look(float(second))
    assert heard == [
        "WARNING overloaded: 101 datagrams dropped by the kernel within 1 s (100 lookups, "
        "1 complaints); more come than this process can take",
        "WARNING still overloaded: 1,010 more datagrams dropped in 10 s; in all 1,100 lookups, "
        "11 complaints",
        "WARNING still overloaded: 1,010 more datagrams dropped in 10 s; in all 2,100 lookups, "
        "21 complaints",
    ]
    assert detector.status()["dropped"] == 25 * 101
    for second in range(26, 60):
        detector.look(float(second))
    assert heard[3].startswith("WARNING still overloaded: 404 more datagrams dropped in 10 s")
    assert heard[4:] == [
        "INFO no longer overloaded: 2,525 datagrams were dropped in 24 s (2,500 lookups, "
        "25 complaints)"
    ]
    assert detector.status() is None
    lookups.dropped += 1
    detector.look(60.0 + REMIND_PAUSE)
    assert heard[5].startswith("WARNING overloaded: 1 datagrams")


def test_the_kernels_count_may_begin_anew(heard):
    queue = Queue("lookups", dropped=(1 << 32) - 5)
    detector = Overload([queue])
    queue.dropped = 5
    detector.look(1.0)
    assert heard[0].startswith("WARNING overloaded: 10 datagrams")


def test_what_a_real_queue_drops_is_seen(heard):
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bound.bind(("127.0.0.1", 0))
    lane = Datagrams(bound)
    detector = Overload([lane])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooding:
        for _ in range(200):
            flooding.sendto(b"\x02\x07", lane.address)
    detector.look(1.0)
    assert "datagrams dropped by the kernel" in heard[0]
    detector.close()
    lane.close()
