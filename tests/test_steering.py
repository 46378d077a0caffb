"""A binder's queues: what the kernel puts into which, and what a flood of one does to others."""

import json
import os
import signal
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from prr.client.control import fetch_text
from prr.config import BadInput
from prr.core.replication.pages import others_page
from prr.shell.udp import steering as opening
from prr.shell.udp.overload import LOOK_PAUSE
from prr.shell.udp.sorting import Queue
from prr.shell.udp.steering import (
    ASKED_BUFFER,
    LANES,
    LANES_BEFORE,
    open_lanes,
    open_socket,
    sort_into,
)
from prr.trust.credential import Holder
from prr.trust.keyring import Keyring
from prr.wire.codec import Codec
from prr.wire.frames import Added, Alive, Complaint, ListRequest, Lookup, Removed, Role, ServiceList
from prr.wire.inquiries import DrainQuery, ListQuery, TextQuery
from prr.wire.instance import Instance
from prr.wire.messages import (
    Announcement,
    DigestRequest,
    OpinionRequest,
    Page,
    PageRequest,
    Reason,
    Suspicion,
    UnaskedPage,
    Versioned,
)
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.query import Query
from prr.wire.questions import QUESTION_BYTES_MAX
from prr.wire.seal import SESSIONS_BYTES, Seal
from prr.wire.trailer import DIGEST_BYTES, Question
from prr.wire.version import Version, encode_version
from prr.wire.whole_service import WholeQuery
from prr.wire.wide import Said, WideUpdate
from tests.cores import at, encode
from tests.families import LOOPBACKS, udp
from tests.keyed import OLD_SECRET, SECRET, held_by
from tests.nodes import Node, run, wire
from tests.stopping import stop

NODES, LOOKUPS, LAST, FIRST, DEAD, OPERATORS = Queue
UDP_SEGMENT = 103  # linux/udp.h

NAMED, ONE = at("billing", "10.0.0.1", 1), at(1, "10.0.0.1", 1)

IDENTITY, NONCE = 0x123456789ABCDEF0, 0x3456789ABCDEF012  # 64 bits, as are drawn

WORD = {"binder": IDENTITY, "versions": encode_version(Version(5, IDENTITY, 9))}

WEIGHT = encode_particulars(Particulars(weight=3))
LONG = encode_particulars(Particulars(tags={"key": 250 * "x"}))

BETWEEN = [
    Codec(Role.BINDER, keys=Keyring(secrets)) for secrets in ((SECRET,), (SECRET, OLD_SECRET))
]

WIDE = (NAMED, at("x", "2001:db8::1", 1), at(7, "2001:db8::1", 1))

SAID_TO = {Said.THERE: NODES, Said.GONE: DEAD, Said.SILENT: DEAD, Said.DOUBTED: DEAD}


def of_wide(instance, said, particulars=b""):
    """What a binder tells of one wide instance."""
    row = WideUpdate(instance, Version(5, IDENTITY, 9), said, particulars)
    return others_page(IDENTITY, [row])


def sealed(codec, frame):
    """A frame under a peer's seal."""
    return codec.encode(replace(frame, seal=Seal(5, session=bytes(SESSIONS_BYTES[0]))))


OF_BINDERS = [
    (Removed(ONE, trailer=Versioned(**WORD)), DEAD),
    (Removed(ONE, trailer=Versioned(**WORD, cause=1)), DEAD),
    (Added(ONE, trailer=Suspicion(**WORD, doubt=1)), DEAD),
    (Added(ONE, trailer=Suspicion(**WORD, doubt=1, particulars=WEIGHT)), DEAD),
    (Added(ONE, trailer=Versioned(**WORD)), NODES),
    (Added(ONE, trailer=Versioned(**WORD, particulars=WEIGHT)), NODES),
    *((of_wide(one, said), lane) for one in WIDE for said, lane in SAID_TO.items()),
    (of_wide(NAMED, Said.DOUBTED, WEIGHT), DEAD),
    (of_wide(NAMED, Said.DOUBTED, LONG), NODES),  # too long to be recognized
    (ServiceList((), trailer=Page(binder=IDENTITY, group=1, nonce=5)), NODES),
    (ServiceList((), trailer=Page(binder=IDENTITY, group=1, nonce=5, others=bytes(99))), NODES),
    (ServiceList((ONE,), trailer=UnaskedPage(**WORD, nonce=0)), NODES),
]

QUESTIONS = [
    (ListQuery(cursor=b"", wide=1, nonce=5), OPERATORS),
    (ListQuery(cursor=ONE, wide=1, nonce=NONCE), OPERATORS),
    (TextQuery(question=Question.STATUS, nonce=NONCE, offset=5), OPERATORS),
    (TextQuery(question=Question.WHY, nonce=NONCE, cursor=ONE), OPERATORS),
    (TextQuery(question=Question.WHY, nonce=NONCE, instance=NAMED), OPERATORS),
    (DrainQuery(question=Question.DRAIN, seconds=9, nonce=NONCE, cursor=ONE), OPERATORS),
    (DigestRequest(binder=IDENTITY, nonce=NONCE, digest=bytes(DIGEST_BYTES)), NODES),
    (DigestRequest(binder=IDENTITY, nonce=5, digest=bytes(DIGEST_BYTES)), NODES),
    (PageRequest(binder=IDENTITY, nonce=5, group=1, buckets=1, cursor=ONE), NODES),
    (PageRequest(binder=IDENTITY, nonce=NONCE, group=1, buckets=1, cursor=ONE), NODES),
]

ASKING = Codec(Role.CLIENT, keys=held_by(Holder.CLIENT, "app"))

ROWS = [
    (b"\x02\x01", LOOKUPS),
    (b"\x02", LOOKUPS),
    (b"\x02\x01\xc1\x80", LOOKUPS),
    (b"\x04" + wire(1, ("10.0.0.1", 1)), LAST),  # a complaint
    (b"\x04" + wire(1, ("10.0.0.1", 1)) + b"\xc1\x81\x01\x05", NODES),  # a binder asks another
    (b"\x04\xc1\x81\x01\x05", NODES),  # and has its answer
    (encode(Complaint(NAMED)), LAST),
    (encode(Complaint(NAMED, trailer=OpinionRequest(nonce=5, binder=1))), NODES),
    (b"\x04" + wire(255, ("10.0.0.1", 1)) + b"\xc1\x81\x01\x05", NODES),
    (encode(Complaint(at(1, "10.0.0.1", 1), trailer=Reason(error=b"no"))), LAST),
    (encode(Complaint(NAMED, trailer=Reason(error=b"no"))), LAST),
    (ASKING.encode(Complaint(at(1, "10.0.0.1", 1), seal=Seal(5))), LAST),
    (ASKING.encode(Complaint(NAMED, seal=Seal(5))), LAST),
    (ASKING.encode(Lookup(7, trailer=Query.about("billing", True, "eu"), seal=Seal(5))), LOOKUPS),
    (encode(Lookup(255, trailer=Query.about("billing"))), LOOKUPS),
    (encode(Lookup(7, trailer=WholeQuery.about(7, 5))), LAST),
    (b"\x02" + bytes(QUESTION_BYTES_MAX - 1), LOOKUPS),
    (b"\x02" + bytes(QUESTION_BYTES_MAX), LAST),
    (encode(Alive(trailer=Announcement.of_server("billing", 9))), NODES),
    (encode(Removed(NAMED)), NODES),
    (b"\x05\x01", FIRST),
    (b"\x05", FIRST),
    (b"\x05\x01\x00", FIRST),
    (b"\x05\x01" + bytes(1000), FIRST),
    (b"\x05\x01\xc1\x80", NODES),  # a renewal
    (b"\x05\x01\xc1\x81\x0a\xce\x01\x02\x03\x04", NODES),
    (b"\x07", NODES),
    *((encode(ListRequest(trailer=asked)), lane) for asked, lane in QUESTIONS),
    *((ASKING.encode(ListRequest(trailer=asked, seal=Seal(5))), lane) for asked, lane in QUESTIONS),
    (b"\x0a" + wire(1, ("10.0.0.1", 1)), NODES),
    (b"\x0c", NODES),
    (encode(Removed(ONE, trailer=Reason(error=b"no"))), NODES),  # a server says it of itself
    (encode(Added(ONE)), NODES),
    *((encode(frame), lane) for frame, lane in OF_BINDERS),
    *((sealed(codec, frame), lane) for frame, lane in OF_BINDERS for codec in BETWEEN),
    (encode(ServiceList((ONE,))), NODES),
    (b"\x08", NODES),
    (b"\x09", NODES),
    (b"\x00\x01x", LAST),
    (b"\x01", LAST),
    (b"\x03", LAST),
    (b"\x0d", LAST),
    (b"\xff" * 1400, LAST),
]


@pytest.fixture(params=LOOPBACKS)
def opened(request):
    """The six sockets, and one that sends to them."""
    (sockets,) = open_lanes((request.param, 0))
    sender = udp(request.param)
    sender.connect(sockets[0].getsockname())
    yield sockets, sender
    for one in (*sockets, sender):
        one.close()


def test_the_kernel_sorts(opened):
    sockets, sender = opened
    assert len(sockets) == len(Queue) == len(LANES) == 6
    for data, lane in ROWS:
        sender.send(data)
        sockets[lane].settimeout(1)
        assert sockets[lane].recv(2048) == data
    sender.send(b"")  # nothing to sort it by
    for one in sockets:
        one.setblocking(False)
    assert any(received(one) == b"" for one in sockets)
    assert [received(one) for one in sockets] == [None] * len(LANES)


@pytest.mark.parametrize("type_", [7, 0xC1])  # the trailer's mark, too
def test_what_is_cut_out_of_one_send_goes_where_each_would_go(opened, type_):
    """The kernel sorts it before it is cut."""
    sockets, sender = opened
    complaint = encode(Complaint(at(type_, "10.0.0.1", 4000)))
    for data, lane in ((complaint, LAST), (bytes((2, type_)), LOOKUPS), (bytes((5, 7)), FIRST)):
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(data))
        sender.send(64 * data)
        sockets[lane].settimeout(1)
        assert [sockets[lane].recv(2048) for _ in range(64)] == [data] * 64


@pytest.mark.parametrize("count", LANES_BEFORE)
def test_what_has_no_queue_among_those_of_before_goes_with_the_nodes_own(opened, count):
    sockets, sender = opened
    for one in sockets[count:]:
        one.close()
    sort_into(sockets[:count])
    for data, lane in ROWS:
        sender.send(data)
        there = sockets[lane if lane < count else NODES]
        there.settimeout(1)
        assert there.recv(2048) == data


def test_what_operators_ask_has_a_short_queue(opened):
    sizes = [one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for one in opened[0]]
    assert len({*sizes[:OPERATORS]}) == 1
    assert sizes[OPERATORS] == 2 * ASKED_BUFFER  # of which the kernel makes twice


def received(one):
    """What is in a queue, None if nothing is."""
    try:
        return one.recv(2048)
    except BlockingIOError:
        return None


def test_a_second_one_on_the_same_address_is_told(opened):
    sockets, _ = opened
    for again in (open_lanes, open_socket):
        with pytest.raises(BadInput, match="another program has that port"):
            again(sockets[0].getsockname()[:2])


def test_where_the_kernel_cannot_sort_one_queue_takes_all(monkeypatch, caplog):
    monkeypatch.setattr(opening, "_SO_ATTACH_REUSEPORT_CBPF", 9999)  # no kernel has that
    with caplog.at_level("INFO", "prr"):
        ((only,),) = open_lanes(("127.0.0.1", 0))
    assert "one queue for all datagrams" in caplog.text
    with only, pytest.raises(BadInput):
        open_lanes(only.getsockname())


@pytest.mark.smoke
@pytest.mark.parametrize(
    "flood",
    [
        b"\x02\x07",
        b"\x04" + wire(9, ("10.0.0.1", 1)),
        b"\xee" * 20,
        encode(Removed(ONE, trailer=Versioned(**WORD))),  # as if it were a peer's
    ],
)
def test_a_flood_does_not_keep_a_server_from_being_confirmed(cluster, peers, flood):
    binder, server, client = cluster.binder(), peers(), peers()
    assert server.ask(b"\x05\x02", binder.address) == b"\x06"
    stop = threading.Event()
    flooding = threading.Thread(target=keep_sending, args=(flood, binder.address, stop))
    flooding.start()
    try:
        for _ in range(20):  # each is answered at its first sending
            server.send(b"\x05\x02", binder.address)
            assert server.receive(b"\x0b") == b"\x06"  # a newcomer is asked meanwhile
            if flood[0] != 2:
                client.send(b"\x02\x02", binder.address)
                assert client.receive() == b"\x03" + wire(2, server.address)[1:]
    finally:
        stop.set()
        flooding.join()


@pytest.mark.smoke
def test_a_stranger_who_fills_the_queue_of_operators_makes_no_binder_overloaded(cluster):
    """It is short, and what it drops is theirs, who ask again."""
    binder = cluster.binder()
    asked = encode(ListRequest(trailer=TextQuery(question=Question.STATUS, nonce=NONCE)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        stop(binder.process.pid)
        for _ in range(500):
            asking.sendto(asked, binder.address)
        binder.process.send_signal(signal.SIGCONT)
    time.sleep(2 * LOOK_PAUSE)
    said = json.loads(run("status", "--binder", binder.name, "--output", "json").stdout)
    assert not said["overload"]
    assert not binder.matching("overloaded")


SOON = 0.25
"""Seconds. What came before takes a second or two."""


@pytest.mark.smoke
def test_what_a_peer_says_of_the_dead_does_not_wait_behind_a_flood_of_subscriptions(cluster, peers):
    peer, client = peers(), peers()
    binder = cluster.binder("--peer", peer.name)
    binder.wait_for("synced")
    words = [  # of each type one that is gone, and one that is in doubt
        [at(type_, host, 1) for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3")]
        for type_ in range(1, 6)
    ]
    for gone, doubted, well in words:
        for one in (gone, doubted, well):
            peer.send(encode(Added(one, trailer=Versioned(**WORD))), binder.address)
    in_turn = [{handed_out(client, binder, ones) for _ in range(3)} for ones in words]
    assert in_turn == [set(ones) for ones in words]
    stop, flood = threading.Event(), encode(Alive(trailer=Announcement.of_server("billing", 9)))
    flooding = threading.Thread(target=keep_sending, args=(flood, binder.address, stop))
    flooding.start()
    waits = []
    try:
        time.sleep(1.0)  # the queue is full
        for gone, doubted, well in words:
            began_at = time.monotonic()
            removal = Versioned(binder=IDENTITY, versions=encode_version(Version(6, IDENTITY, 9)))
            peer.send(encode(Removed(gone, trailer=removal)), binder.address)
            peer.send(encode(Added(doubted, trailer=Suspicion(**WORD, doubt=1))), binder.address)
            while {handed_out(client, binder, (gone,)) for _ in range(3)} != {well}:
                assert time.monotonic() < began_at + 10
            waits.append(time.monotonic() - began_at)
    finally:
        stop.set()
        flooding.join()
    assert statistics.median(waits) < SOON, waits  # a busy machine is late now and then


def test_what_an_operator_asks_does_not_wait_behind_what_nodes_say(cluster, peers):
    """Else nobody could see how a binder is that has too much to do."""
    binder, stranger = cluster.binder(), peers()
    stop(binder.process.pid)
    for _ in range(WAITING):
        stranger.send(b"\x0a" + wire(1, ("10.0.0.1", 1)), binder.address)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(fetch_text, binder.address, Question.STATUS)
        time.sleep(0.2)
        binder.process.send_signal(signal.SIGCONT)
        status = json.loads(asking.result())
    assert status["counters"].get("frames received", 0) < WAITING / 4


WAITING = 200
"""Datagrams: any queue has room for them."""


def handed_out(client, binder, ones):
    """The instance whose turn it is, of the service of these."""
    answer = client.ask(bytes((2, ones[0][0])), binder.address)
    return Instance(ones[0][:1] + answer[1:])


def keep_sending(data, target, stop):
    """Fill the queue faster than it is emptied, for 10 s at most."""
    ends_at = time.monotonic() + 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(target)
        while not stop.is_set() and time.monotonic() < ends_at:
            for _ in range(1000):
                sender.send(data)


@pytest.mark.smoke
def test_without_recvmmsg_it_works_all_the_same_and_says_so_once(cluster, peers):
    binder = Node("binder", "--listen", "127.0.0.1:0", program=("-m", "tests.one_by_one"))
    cluster.nodes.append(binder)
    server, client = peers(), peers()
    assert server.ask(b"\x05\x02", binder.address) == b"\x06"
    for _ in range(200):  # several at once: more than a burst
        client.send(b"\x02\x02", binder.address)
    for _ in range(200):
        assert client.receive() == b"\x03" + wire(2, server.address)[1:]
    assert client.ask(b"\x02\x09", binder.address) == b"\x04"
    client.send(b"\x04" + wire(2, server.address), binder.address)
    assert server.receive() == b"\x0b"
    assert len(binder.matching("one datagram at a time")) == 1


def test_with_recvmmsg_it_says_nothing_of_it(cluster, peers):
    binder = cluster.binder()
    assert peers().ask(b"\x05\x02", binder.address) == b"\x06"
    binder.wait_for("subscribed")
    assert not binder.matching("one datagram|one queue")


@pytest.mark.slow
def test_ports_that_name_all_types_in_turn_keep_nobody_waiting(cluster, peers):
    """2,634 subscriptions a second from 40 ports, and the processor is free for others."""
    binder, server, client = cluster.binder(), peers(), peers()
    assert server.ask(b"\x05\x02", binder.address) == b"\x06"
    flooding = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(40)]
    for one in flooding:
        one.bind(("127.0.0.9", 0))
    ticks, began_at, sent, waits = cpu_of(binder), time.monotonic(), 0, []
    while (passed := time.monotonic() - began_at) < 4.0:
        for _ in range(int(passed * 2634) - sent):
            type_ = bytes((5, sent // 40 % 256))
            flooding[sent % 40].sendto(type_, binder.address)
            sent += 1
        for asked, answer in ((b"\x02\x02", 3), (b"\x05\x02\xc1\x80", 6)):
            asking = client if answer == 3 else server
            asked_at = time.monotonic()
            asking.send(asked, binder.address)
            while asking.receive(b"\x0b")[0] != answer:
                pass
            waits.append(time.monotonic() - asked_at)
        assert run("list", "--binder", binder.name).returncode == 0
    for one in flooding:
        one.close()
    share = (cpu_of(binder) - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began_at)
    print(f"{sent} subscriptions, CPU {share:.2f}, longest wait {1000 * max(waits):.0f} ms")
    assert sent > 5000
    assert share < 0.5
    assert max(waits) < 0.2


def cpu_of(node):
    """Ticks of the processor that a node has used."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
