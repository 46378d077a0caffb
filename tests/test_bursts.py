"""Datagrams in bursts: as one by one, only faster."""

import errno
import socket
import time
from random import Random

import gevent
import pytest

from prr.config import WireForm
from prr.core.binder import Binder
from prr.core.directory.results import NOBODY
from prr.core.effects import Answer
from prr.core.metrics import Metric
from prr.shell.binder_node import BinderNode
from prr.shell.storage.store import NoStore
from prr.shell.udp import datagrams as datagrams_module
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.mmsg import RECEIVE_BYTES, Burst, OneByOne
from prr.shell.udp.reader import TURN_MAX, Reader
from prr.shell.udp.steering import Lane
from prr.shell.worker_pool import WorkerPool
from prr.wire.codec import Codec
from prr.wire.found import AnswerRun
from prr.wire.frames import (
    Added,
    Found,
    FoundInstance,
    Lookup,
    Removed,
    Role,
    Subscribe,
    Unknown,
)
from prr.wire.instance import address_of, make_instance
from prr.wire.messages import Versioned
from prr.wire.version import Version, encode_version
from tests.cores import CODECS, encode, random_instance
from tests.families import LOOPBACKS, udp
from tests.samples import sample
from tests.turns import until

PEER, STRANGER = ("127.0.0.1", 9), ("127.0.0.1", 10)


@pytest.fixture(params=LOOPBACKS)
def ip(request):
    return request.param


@pytest.fixture(params=[Burst, OneByOne])
def received(request, ip):
    """Both ways to receive, on a socket of their own, and a few that send to it."""
    bound, *senders = (udp(ip) for _ in range(4))
    bound.setblocking(False)
    for sender in senders:
        sender.connect(bound.getsockname()[:2])
        sender.settimeout(10)
    yield request.param(bound), senders
    for opened in (bound, *senders):
        opened.close()


def take(burst):
    """Everything that is there: the runs of lookups, and each datagram with its sender."""
    runs, datagrams = [], []
    while count := burst.receive():
        runs.append([CODECS[Role.BINDER].types_asked(burst, at) for at in range(count)])
        datagrams += [(burst.datagram(at), burst.source(at)) for at in range(count)]
    return runs, datagrams


def runs_by_hand(datagrams):
    """What `pairs` has to say, told by looking at one datagram after the other."""
    runs = [b""] * (len(datagrams) + 1)
    for at, data in reversed(list(enumerate(datagrams))):
        runs[at] = data[1:] + runs[at + 1] if len(data) == 2 and data[0] == 2 else b""
    return runs[:-1]


def test_nothing_there_is_no_burst(received):
    burst, _ = received
    assert burst.receive() == 0


@pytest.mark.parametrize("seed", range(20))
def test_each_datagram_comes_whole_with_its_sender_and_the_runs_are_right(received, seed):
    burst, senders = received
    rng, sent = Random(seed), []
    for _ in range(rng.randrange(1, 2 * BURST_MAX)):
        sender = rng.choice(senders)
        lengths = (0, 1, 2, 3, 258, 514, 1400, RECEIVE_BYTES)
        data = b"\x02" + rng.randbytes(1)  # a lookup, or what differs from one in one respect
        if rng.random() < 0.3:
            data = bytes([rng.choice((2, 5))]) + rng.randbytes(rng.choice(lengths))
        sender.send(data := data[:RECEIVE_BYTES])
        sent.append((data, sender.getsockname()[:2]))
    runs, datagrams = take(burst)
    assert datagrams == sent
    for run in runs:
        part, sent = sent[: len(run)], sent[len(run) :]
        assert run == runs_by_hand([data for data, _ in part])


@pytest.mark.parametrize("size", [7, 8])
def test_each_answer_goes_to_who_asked(received, size):
    burst, senders = received
    for round_ in range(2):  # the buffers of the first time are used again
        for number in range(9):
            senders[number % 3].send(bytes([2, number]))
        done = 0
        while count := burst.receive():
            for first in range(0, count, 2):
                row = range(done + first, done + min(first + 2, count))
                answers = b"".join(bytes([round_, number]).ljust(size) for number in row)
                assert burst.answer(first, AnswerRun(answers, size)) == len(row)
            done += count
        assert done == 9
        for number in range(9):
            assert senders[number % 3].recv(100) == bytes([round_, number]).ljust(size)


def test_what_the_socket_has_to_say_is_raised(received, ip):
    burst, (sender, *_) = received
    sender.send(b"\x02\x01")
    burst.receive()
    errors = (socket.IPPROTO_IPV6, 25) if ":" in ip else (socket.IPPROTO_IP, 11)
    burst._socket.setsockopt(*errors, 1)  # IPV6_RECVERR, IP_RECVERR: errors come back to us
    burst._socket.sendto(b"", (ip, 1))
    with pytest.raises(OSError) as caught:
        burst.receive()
    assert caught.value.errno == errno.ECONNREFUSED
    assert burst.receive() == 0  # it goes on


@pytest.mark.parametrize("seed", range(9))
def test_a_run_of_answers_is_the_frames_one_behind_the_other(seed):
    rng = Random(seed)
    share = (0.0, 0.3, 1.0)[seed % 3]  # of those that are not there
    found = [NOBODY if rng.random() < share else random_instance(rng) for _ in range(seed * 7)]
    for codec, frame in (
        (Codec(Role.BINDER), lambda one: Found(address_of(one))),
        (Codec(Role.BINDER, FoundInstance), FoundInstance),
    ):
        run = codec.found_run(found)
        by_hand = [codec.encode(frame(one) if one else Unknown()) for one in found]
        assert list(map(codec.found, found)) == by_hand
        assert (run.data, run.count) == (b"".join(by_hand), len(found))
        assert list(run.datagrams()) == by_hand


@pytest.mark.parametrize("wire", WireForm)
@pytest.mark.parametrize("seed", sample(4, range(10)))
def test_the_short_way_answers_what_the_long_way_answers(wire, seed):
    rng = Random(seed)
    short, long = (Binder(frozenset(), (PEER,), 1, Random(seed), wire=wire) for _ in range(2))
    for number in range(40):
        if number == 20:  # until then it has not heard its peers, and denies nothing
            for core in (short, long):
                core.tick(10.0)
        change = rng.choice((Added, Removed))(make_instance(number % 4, ("10.0.0.1", number // 8)))
        short.handle(change, PEER, 0.0)
        long.handle(change, PEER, 0.0)
        types = bytes(rng.choice((0, 1, 2, 3, 9)) for _ in range(rng.randrange(2 * BURST_MAX)))
        by_hand = []
        for type_ in types:
            sent = [e for e in long.handle(Lookup(type_), PEER, 0.0) if isinstance(e, Answer)]
            if not sent:
                break  # it has to wait, which is left to the long way
            by_hand.append(sent[0].found)
        assert short.look_up(types) == by_hand
        assert len(by_hand) == len(types) or number < 20


def test_no_is_said_in_runs_and_no_longer_once_there_is_one():
    core = Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    codec = CODECS[Role.BINDER]
    assert codec.found_run(core.look_up(b"\x05" * 100)).data == b"\x04" * 100
    assert len(core.look_up(b"\x05" * 3)) == 3  # these lie ready
    core.handle(Subscribe(5), ("10.0.0.1", 9), 0.0)
    core.handle(Subscribe(6), ("10.0.0.1", 9), 0.0)
    answers = codec.found_run(core.look_up(b"\x05\x06\x07\x05")).datagrams()
    assert [answer[:1] for answer in answers] == [b"\x03", b"\x03", b"\x04", b"\x03"]
    core.handle(Removed(make_instance(5, ("10.0.0.1", 9))), ("10.0.0.1", 9), 0.0)
    assert codec.found_run(core.look_up(b"\x05\x05")).data == b"\x04\x04"


class Narrow:
    """A socket that sends `room` answers of a run, then has no room until it is told so."""

    dropped, steps, bursts, is_full = 0, BURST_MAX, 1, False
    is_ipv6 = is_of_peers = is_short = False

    def __init__(self, room, error=None):
        self.burst, self.sent, self.may_send = self, [], gevent.event.Event()
        self._room, self._error, self._bursts = room, error, [4, 1]
        self.waits = 0

    def wait(self):
        if not self._bursts:
            gevent.get_hub().switch()  # for ever

    def receive(self):
        return self._bursts.pop(0)

    def pairs(self, at, first):
        return b"\x01" * (4 - at) if self._bursts else b""

    def alike(self, at, size, fixed):
        return 0

    def column(self, at, count, place):
        return count * self.datagram(at)[place : place + 1]

    def rows(self, at, first, least, most):
        return iter(())

    def datagram(self, at):
        return b"\x05\x07"  # the second burst: somebody subscribes

    def source(self, at):
        return ("10.0.0.2", 100 * len(self._bursts) + at + 1)

    def answer(self, at, answers):
        if self._error is not None:
            raise self._error
        return self._room

    def send(self, data, target):
        if not self.may_send.is_set() and data[:1] == b"\x03":
            return False
        self.sent.append((data, target))
        return True

    def wait_to_send(self):
        self.waits += 1
        self.may_send.wait()


@pytest.mark.parametrize(
    ("room", "error"), [(2, None), (0, BlockingIOError(errno.EAGAIN, "no room"))]
)
def test_who_waits_to_send_holds_up_nobody_and_keeps_its_own_answers(room, error):
    core = Binder(frozenset(), (PEER,), 1, Random(1))
    for number in range(5):
        core.handle(Added(make_instance(1, ("10.0.0.1", number))), PEER, 0.0)
    narrow = Narrow(room, error)
    node = BinderNode(core, CODECS[Role.BINDER], [narrow], "", NoStore(1))
    [reader] = node._readers
    reader.start()
    gevent.sleep(0)
    for _ in range(5):
        gevent.sleep(0)
    assert narrow.waits == 1
    # The burst behind was served meanwhile, by another greenlet.
    assert (b"\x06", ("10.0.0.2", 1)) in narrow.sent
    narrow.may_send.set()
    for _ in range(5):
        gevent.sleep(0)
    answers = [(data, target) for data, target in narrow.sent if data[0] == 3]
    assert [target[1] for _, target in answers] == [101 + at for at in range(room, 4)]
    ports = [data[5] for data, _ in answers]
    assert ports == list(range(room, 4))  # in turn, each what was decided for it
    node._timer.close()  # what this node would report later is no other test's


class OfPeers(Narrow):
    """A socket of the queue of the dead: a stranger, then a peer says that somebody is gone."""

    is_of_peers = True

    def __init__(self):
        super().__init__(0)
        self._bursts, self.read = [2], []

    def datagram(self, at):
        self.read.append(at)
        gone = Versioned(binder=1 << 63, versions=encode_version(Version(9, 1 << 63, 0)))
        return encode(Removed(make_instance(1, ("10.0.0.1", at)), trailer=gone))

    def source(self, at):
        return (STRANGER, PEER)[at]


def test_what_a_stranger_says_of_the_dead_is_not_even_read():
    core, lane = Binder(frozenset(), (PEER,), 1, Random(1)), OfPeers()
    node = BinderNode(core, CODECS[Role.BINDER], [lane], "", NoStore(1))
    [reader] = node._readers
    reader.start()
    for _ in range(5):
        gevent.sleep(0)
    assert lane.read == [1]
    assert node.counts()[Metric.OUT_OF_PLACE] == 1
    assert node.counts()[Metric.FRAMES_RECEIVED] == 1
    node._timer.close()


def test_strangers_take_no_peer_his_turn_in_the_queue_of_the_dead():
    core, lane = Binder(frozenset(), (PEER,), 1, Random(1)), OfPeers()
    lane.steps, lane._bursts = 4, [60]
    lane.source = lambda at: PEER if at % 10 == 9 else STRANGER
    lane.wait_for_turn = gevent.get_hub().switch  # never again
    node = BinderNode(core, CODECS[Role.BINDER], [lane], "", NoStore(1))
    [reader] = node._readers
    reader.start()
    for _ in range(5):
        gevent.sleep(0)
    assert lane.read == [9, 19, 29, 39]
    node._timer.close()


def test_a_reader_that_waits_has_the_rest_of_the_burst_read_by_another():
    served, gate, workers = [], gevent.event.Event(), WorkerPool()

    class Three:
        burst, steps, bursts, is_full = None, BURST_MAX, 1, False

        def __init__(self):
            self.burst, self._bursts = self, [3]

        def wait(self):
            if not self._bursts:
                gevent.get_hub().switch()

        def receive(self):
            return self._bursts.pop()

    def serve(reader):
        at = reader.at
        reader.at += 1
        if at == 0:
            reader.step_aside()
            gate.wait()
        served.append((at, id(gevent.getcurrent())))

    reader = Reader(Three(), workers, serve)
    reader.start()
    for _ in range(5):
        gevent.sleep(0)
    assert [at for at, _ in served] == [1, 2]
    gate.set()
    for _ in range(5):
        gevent.sleep(0)
    assert [at for at, _ in served] == [1, 2, 0]
    assert served[0][1] == served[1][1] != served[2][1]


@pytest.mark.parametrize(
    ("run", "takes", "bursts", "served"),
    [
        (BURST_MAX, 0, 1, [64, 128, 192, 200]),
        (BURST_MAX, 0, 3, [192, 200]),
        (BURST_MAX, 0, 8, [200]),
        (16, 0, 3, [128, 200]),  # no more than `steps` in a turn, in however many bursts
        (1, 0, 8, [8, 16, 24]),
        (BURST_MAX, TURN_MAX, 8, [64, 128, 192, 200]),  # whatever the sender has thought of
    ],
)
def test_in_one_turn_as_many_are_read_as_the_lane_allows(run, takes, bursts, served, monkeypatch):
    """Where the others need long in each turn, one burst of lookups in each is not enough."""
    if not takes:  # a slow machine takes no time
        monkeypatch.setattr("prr.shell.udp.reader.TURN_MAX", 60.0)
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(200):
            sender.sendto(b"\x02\x01", bound.getsockname())
    lane = Datagrams(bound, Lane(0, BURST_MAX, 8, "lookups", bursts))
    count, turns, looks = 0, [], gevent.get_hub().loop.prepare()

    def serve(reader):
        nonlocal count
        taken = len(reader.datagrams.burst.pairs(reader.at, b"\x02")[:run])
        time.sleep(takes)
        reader.at += taken
        count += taken

    looks.start(lambda: turns.append(count))
    reader = Reader(lane, WorkerPool(), serve)
    reader.start()
    until(lambda: len({*filter(None, turns)}) >= len(served))
    looks.close()
    reader._greenlet.kill()
    lane.close()
    assert [*dict.fromkeys(filter(None, turns))][: len(served)] == served


@pytest.fixture
def coming(monkeypatch):
    """Has so many datagrams come; gives how many were served together, with a long pause."""
    monkeypatch.setattr(datagrams_module, "PAUSE", 60.0)
    bound, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with bound, sender:
        bound.bind(("127.0.0.1", 0))
        lane, served = Datagrams(bound, Lane(0, BURST_MAX, 1, "servers")), []

        def serve(reader):
            taken = len(reader.datagrams.burst.pairs(reader.at, b"\x05"))
            served.append(taken)
            reader.pass_run(taken)

        def come(count):
            for _ in range(count):
                sender.sendto(b"\x05\x01", bound.getsockname())
            return served

        reader = Reader(lane, WorkerPool(), serve)
        reader.start()
        yield come
        reader._greenlet.kill()
        lane.close()


def test_after_several_at_a_time_more_may_come_together(coming, monkeypatch):
    monkeypatch.setattr(datagrams_module, "PAUSE", 0.2)
    served = coming(3)
    until(lambda: served == [3])
    for _ in range(5):
        coming(1)
        gevent.sleep(0)
    until(lambda: served == [3, 5])


def test_one_after_the_other_is_served_at_once(coming):
    served = coming(0)
    for count in range(1, 10):
        coming(1)
        until(lambda count=count: len(served) == count)


def test_what_fills_a_burst_lets_nobody_wait(coming):
    served = coming(2 * BURST_MAX + 1)
    until(lambda: sum(served) == 2 * BURST_MAX + 1)


def test_datagrams_that_nobody_took_are_counted():
    bound, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with bound, sender:
        bound.bind(("127.0.0.1", 0))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lane = Datagrams(bound)
        assert lane.dropped == 0
        for _ in range(200):
            sender.sendto(b"\x02\x01", lane.address)
        taken = 0
        while count := lane.burst.receive():
            taken += count
        assert 0 < taken < 200
        assert lane.dropped == 200 - taken
        lane.close()
