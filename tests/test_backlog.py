"""First subscriptions wait in the binder, not in the kernel: all of a herd, each once."""

import socket
import struct
from collections import Counter
from contextlib import closing

import gevent
import pytest

from prr.shell.udp import backlog as backlog_module
from prr.shell.udp.backlog import BURSTS_MAX, WAITING_OF_HOST_MAX, Backlog
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.reader import Reader
from prr.shell.udp.sorting import Queue
from prr.shell.udp.steering import LANES
from prr.shell.worker_pool import WorkerPool
from prr.wire.instance import make_instance
from tests.families import LOOPBACKS, udp
from tests.turns import until

MOST = BURST_MAX // 2

IP_PKTINFO = 8  # linux/in.h: with it any address of the loopback can be a source


@pytest.fixture
def bound():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        yield one


@pytest.fixture
def sender(bound):
    """Sends there from any host, by its number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("0.0.0.0", 0))

        def send(host, data=b"\x05\x07"):
            ip = bytes((127, 50, host >> 8, host & 255))
            info = [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4x", 0, ip))]
            one.sendmsg([data], info, 0, bound.getsockname())
            return socket.inet_ntoa(ip), one.getsockname()[1]

        yield send


def handed_out(burst):
    """What the next `receive` hands out."""
    return [(burst.source(at), burst.datagram(at)) for at in range(burst.receive())]


def all_of(burst):
    """What is handed out until nothing is."""
    rows = []
    while some := handed_out(burst):
        rows += some
    return rows


def test_a_herd_that_the_kernel_cannot_hold_waits(bound, sender):
    """It comes faster than the binder gets to it."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * BURST_MAX * 1024)
    waiting, sent, taken = Backlog(bound, MOST), [], []
    for first in range(0, 20 * BURST_MAX, BURST_MAX):
        sent += [sender(host) for host in range(first, first + BURST_MAX)]
        taken += handed_out(waiting)
        assert len(taken) == len(sent) // BURST_MAX * MOST
    assert waiting.has_more
    taken += all_of(waiting)
    assert taken == [(source, b"\x05\x07") for source in sent]
    assert not waiting.has_more


def test_who_waits_already_waits_once(bound, sender):
    waiting = Backlog(bound, MOST)
    ones = [(host, bytes((5, type_))) for host in range(20) for type_ in (1, 2)]
    sent = [(sender(*one), one[1]) for _ in range(3) for one in ones]
    assert all_of(waiting) == sent[: len(ones)]
    for _ in range(2):  # it waits no more, and so it may
        sent = sender(3), b"\x05\x07"
        assert handed_out(waiting) == [sent]


def test_one_host_does_not_fill_it(bound, monkeypatch):
    monkeypatch.setattr(backlog_module, "WAITING_OF_HOST_MAX", 100)
    lane = Datagrams(bound, LANES[Queue.FIRST])
    with closing(lane), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
        flooder.bind(("127.0.0.9", 0))
        for type_ in range(250):
            flooder.sendto(bytes((5, type_)), bound.getsockname())
        with udp("127.0.0.1") as honest:
            honest.sendto(b"\x05\x07", bound.getsockname())
            taken = Counter(ip for (ip, _), _ in all_of(lane.burst))
        assert taken == {"127.0.0.9": 100, "127.0.0.1": 1}
        assert lane.dropped == 150
        flooder.sendto(b"\x05\x01", bound.getsockname())  # nothing of it waits any more
        assert lane.burst.receive() == 1


def test_who_has_waited_too_long_is_dropped(bound, sender, monkeypatch):
    """The server asks elsewhere by then, or has ended."""
    lane = Datagrams(bound, LANES[Queue.FIRST])
    with closing(lane):
        sent = [sender(host) for host in range(3 * BURST_MAX)]
        assert handed_out(lane.burst) == [(one, b"\x05\x07") for one in sent[:BURST_MAX]]
        monkeypatch.setattr(backlog_module, "WAIT_MAX", -1.0)
        assert all_of(lane.burst) == []
        assert (lane.dropped, lane.has_waiting()) == (2 * BURST_MAX, False)
        monkeypatch.setattr(backlog_module, "WAIT_MAX", 60.0)
        assert all_of(lane.burst) == []


def test_after_a_long_stop_few_are_looked_at_in_a_turn(bound, sender, monkeypatch):
    waiting = Backlog(bound, MOST)
    ages = [(sender(host), b"\x05\x07") for host in range(BURST_MAX)]
    assert handed_out(waiting) == ages[:MOST]
    monkeypatch.setattr(backlog_module, "WAIT_MAX", -1.0)
    monkeypatch.setattr(backlog_module, "LOOKED_AT_MAX", 10)
    assert (waiting.receive(), waiting.dropped, waiting.has_more) == (0, 10, True)


@pytest.mark.parametrize("ip", LOOPBACKS)
def test_who_leaves_waits_no_more(ip):
    """Its deregistration has overtaken its first subscription."""
    with udp(ip) as bound, udp(ip) as leaves, udp(ip) as stays:
        bound.setblocking(False)
        waiting = Backlog(bound, MOST)
        for type_ in range(BURST_MAX // 2):
            for asking in (leaves, stays):
                asking.sendto(bytes((5, type_)), bound.getsockname())
        first = handed_out(waiting)
        address = tuple(leaves.getsockname()[:2])
        waiting.forget(make_instance(BURST_MAX // 2 - 1, address))
        waiting.forget(make_instance("by name", address))
        for there in ("127.0.0.1", "::1"):  # of which one is no address of this family
            waiting.forget(make_instance(7, (there, 9)))
        rest = handed_out(waiting)
        assert len(first) + len(rest) == BURST_MAX - 1
        assert rest[-1] == (tuple(stays.getsockname()[:2]), bytes((5, BURST_MAX // 2 - 1)))
        assert not waiting.has_more


def test_as_much_waits_of_a_host_as_its_quota_lets_in(bound):
    assert BURSTS_MAX * BURST_MAX < WAITING_OF_HOST_MAX < backlog_module.WAITING_MAX / 10


def test_it_is_bounded_and_leaves_the_rest_to_the_kernel(bound, sender, monkeypatch):
    monkeypatch.setattr(backlog_module, "WAITING_MAX", 2 * BURST_MAX)
    waiting = Backlog(bound, MOST)
    sent = [sender(host) for host in range(500)]
    assert len(handed_out(waiting)) == MOST
    left = 0
    while True:  # what lies in the kernel's queue
        try:
            bound.recv(10)
        except BlockingIOError:
            break
        left += 1
    assert left == len(sent) - 2 * BURST_MAX
    assert len(all_of(waiting)) == 2 * BURST_MAX - MOST


@pytest.mark.parametrize("junk", [b"\x05", b"\x05\x07\xc1\x80", b"\x02\x07", b"", b"\x0c" * 1400])
def test_what_is_none_is_handed_out_at_once_as_it_came(bound, sender, junk):
    """A kernel that cannot sort may put anything here."""
    waiting = Backlog(bound, MOST)
    before = [(sender(host), b"\x05\x07") for host in range(BURST_MAX)]
    came = [(sender(1, data), data) for data in (b"\x05\x08", junk, b"\x05\x09")]
    assert handed_out(waiting) == came
    assert all_of(waiting) == before


def test_who_floods_it_with_junk_keeps_nobody_waiting(bound, sender):
    waiting = Backlog(bound, MOST)
    before = [(sender(host), b"\x05\x07") for host in range(BURST_MAX)]
    taken = []
    for _ in range(2 * BURST_MAX // MOST):
        for _ in range(BURST_MAX):
            sender(0, b"\x05")
        taken += handed_out(waiting)
    assert [one for one in taken if len(one[1]) > 1] == before


def test_what_nobody_has_to_wait_for_is_handed_out_as_it_came(bound, sender):
    waiting = Backlog(bound, MOST)
    for count in (1, MOST):
        sent = [(sender(3), b"\x05\x07") for _ in range(count)]
        assert handed_out(waiting) == sent
        assert not waiting.has_more


@pytest.mark.parametrize("ip", LOOPBACKS)
def test_of_either_family(ip):
    with udp(ip) as bound, udp(ip) as one, udp(ip) as other:
        bound.setblocking(False)
        waiting = Backlog(bound, MOST)
        for asking in (one, other) * MOST:
            asking.sendto(b"\x05\x07", bound.getsockname())
        sources = [tuple(asking.getsockname()[:2]) for asking in (one, other)]
        assert all_of(waiting) == [(source, b"\x05\x07") for source in sources]


def test_its_reader_goes_on_though_the_kernel_has_nothing_more(bound, sender):
    for host in range(4 * MOST):
        sender(host)
    lane, served = Datagrams(bound, LANES[Queue.FIRST]), []

    def serve(reader):
        served.append(reader.datagrams.burst.source(reader.at))
        reader.at += MOST

    reader = Reader(lane, WorkerPool(), serve)
    reader.start()
    until(lambda: len(served) == 4)
    gevent.sleep(0)
    assert not lane.has_waiting()
    reader._greenlet.kill()
    lane.close()


def test_what_waits_here_shows_that_the_reader_has_not_read_all(bound, sender):
    for host in range(2 * BURST_MAX):
        sender(host)
    with closing(Datagrams(bound, LANES[Queue.FIRST])) as lane:
        lane.burst.receive()
        assert lane.has_waiting()
        lane.burst.receive()
        assert not lane.has_waiting()
