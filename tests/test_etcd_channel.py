"""How a binder speaks to one server of etcd, and what it makes of a server that is broken, hostile,
or no etcd: here on loopback and in this process. What a real one says is in tests/test_etcd.py."""

import socket
import struct
import threading
import time
from contextlib import closing, suppress
from random import Random

import gevent
import pytest
from gevent.lock import BoundedSemaphore
from gevent.server import StreamServer
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from prr.shell.etcd import connect, http2
from prr.shell.etcd.channel import MESSAGE_MAX, Channel
from prr.shell.etcd.failures import Failure, LeaseGone, Unavailable
from prr.shell.etcd.schema import (
    PUT,
    RANGE,
    WATCH,
    PutRequest,
    RangeRequest,
    RangeResponse,
    WatchRequest,
    WatchResponse,
)
from tests.nodes import PATIENCE, seldom_late
from tests.turns import go_on

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
DONE = [("grpc-status", "0")]
ASKED = RangeRequest(key=b"k")
ANSWER = RangeResponse(header={"cluster_id": 1, "revision": 5}).SerializeToString()

QUIET = 0.2
"""Seconds of silence that are too many here."""


def message(data: bytes, *, flag: int = 0, size: int | None = None) -> bytes:
    """As gRPC sends it."""
    return struct.pack("!BI", flag, len(data) if size is None else size) + data


class Server:
    """Answers requests as a test has it: `answer` gets this, and a stream whose request is whole;
    or has begun, if it `begins`. The windows are of 65,535 bytes, unless it `widens` them."""

    def __init__(self, connection, answer, begins=False, widens=False):
        self.socket = connection
        self.h2 = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        self._flushing = BoundedSemaphore()
        self._answer, self._begins, self._widens = answer, begins, widens

    def run(self):
        self.h2.initiate_connection()
        self.flush()
        while data := self.socket.recv(1 << 16):
            for event in self.h2.receive_data(data):
                if isinstance(event, RequestReceived if self._begins else StreamEnded):
                    self._answer(self, event.stream_id)
                if isinstance(event, DataReceived) and self._widens:
                    size = event.flow_controlled_length
                    self.h2.acknowledge_received_data(size, event.stream_id)
            self.flush()

    def flush(self):
        with self._flushing:
            self.socket.sendall(self.h2.data_to_send())

    def say(self, stream, *data, head=HEAD, trailers=DONE):
        self.h2.send_headers(stream, head)
        for one in data:
            self.send(stream, one)
        self.h2.send_headers(stream, trailers, end_stream=True)

    def send(self, stream, data):
        for at in range(0, len(data), 1 << 14):
            self.h2.send_data(stream, data[at : at + (1 << 14)])
            self.flush()


@pytest.fixture
def serve():
    """Starts a server, which does with each connection what it is told; a channel to it."""
    opened = []

    def start(handle):
        def run(socket, _):
            with suppress(OSError, H2Error):
                handle(socket)

        server = StreamServer(("127.0.0.1", 0), run)
        server.start()
        channel = Channel(("127.0.0.1", server.server_port), None)
        opened.append((channel, server))
        return channel

    yield start
    for channel, server in opened:
        channel.close()
        server.stop(0)


@pytest.fixture
def answering(serve):
    """Starts a server that speaks HTTP/2."""
    return lambda answer, **how: serve(lambda socket: Server(socket, answer, **how).run())


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for module in (connect, http2):
        monkeypatch.setattr(module, "SILENCE", QUIET)


def test_all_requests_share_one_connection(serve):
    connections = []

    def handle(socket):
        connections.append(socket)
        Server(socket, lambda server, stream: server.say(stream, message(ANSWER))).run()

    channel = serve(handle)
    calls = [gevent.spawn(channel.call, RANGE, ASKED) for _ in range(10)]
    answers = [call.get() for call in calls]
    assert {answer.header.revision for answer in answers} == {5} and len(connections) == 1


@pytest.mark.parametrize("split", [1, 3, 5, 7, 100], ids=str)
def test_messages_are_whole_however_they_come(answering, split):
    said = [WatchResponse(compact_revision=number).SerializeToString() for number in (1, 2, 300)]
    data = b"".join(map(message, said))

    def answer(server, stream):
        server.say(stream, *(data[at : at + split] for at in range(0, len(data), split)))

    heard = []
    with pytest.raises(Unavailable, match="has ended the stream"):
        heard.extend(one.compact_revision for one in _watch(answering(answer, begins=True)))
    assert heard == [1, 2, 300]


def _watch(channel):
    return channel.stream(WATCH, WatchRequest())


def test_a_large_request_and_answer_pass_the_windows(answering):
    """Of 65,535 bytes the server's, and of 1 MB the one here."""
    value = bytes(3 << 20)

    def answer(server, stream):
        server.h2.send_headers(stream, HEAD)
        gevent.spawn(slowly, server, stream)

    def slowly(server, stream):
        data = message(RangeResponse(kvs=[{"value": value}]).SerializeToString())
        while data:
            if size := min(server.h2.local_flow_control_window(stream), 1 << 14, len(data)):
                server.h2.send_data(stream, data[:size])
                data = data[size:]
                server.flush()
            gevent.sleep(0.0001)
        server.h2.send_headers(stream, DONE, end_stream=True)
        server.flush()

    channel = answering(answer, widens=True)
    assert channel.call(RANGE, RangeRequest(key=value)).kvs[0].value == value


def test_room_that_is_made_while_others_send_is_not_overlooked(answering, monkeypatch):
    """Else a request that is longer than the windows waits until its server is taken for silent."""
    send = http2.Connection._send

    def slowly(connection):
        send(connection)
        gevent.sleep(QUIET / 10)  # for which a full socket would keep it

    monkeypatch.setattr(http2.Connection, "_send", slowly)
    channel = answering(says(message(ANSWER)), widens=True)
    for _ in range(3):
        assert channel.call(PUT, PutRequest(value=bytes(1 << 17))) is not None


def test_who_is_late_himself_takes_no_other_for_silent(answering):
    """As a process that was stopped: what has come meanwhile is read first."""

    def answer(server, stream):
        server.say(stream, message(ANSWER))
        server.flush()
        time.sleep(2 * QUIET)  # of the client, too: they share a thread

    assert answering(answer).call(RANGE, ASKED).header.revision == 5


def test_what_was_said_before_a_request_was_given_up_keeps_no_other_from_answering(answering):
    def answer(server, stream):
        if stream > 600:
            server.say(stream, message(ANSWER))
            return
        server.h2.send_headers(stream, HEAD)
        server.h2.send_data(stream, message(ANSWER, size=1 << 17) + bytes(9 << 10))
        server.h2.send_data(stream, bytes(15 << 10))
        server.h2.reset_stream(stream)

    channel = answering(answer)
    for _ in range(300):
        with pytest.raises(Unavailable, match="given up"):
            channel.call(RANGE, ASKED)
    assert channel._connection._h2.inbound_flow_control_window > http2.WINDOW / 2


def test_a_server_that_takes_few_requests_at_once_keeps_its_connection(answering):
    def answer(server, stream):
        server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        gevent.spawn_later(QUIET / 4, say, server, stream)

    def say(server, stream):
        server.say(stream, message(ANSWER))
        server.flush()

    channel = answering(answer)
    assert channel.call(RANGE, ASKED).header.revision == 5
    waiting = gevent.spawn(channel.call, RANGE, ASKED)
    gevent.sleep(0)
    with pytest.raises(Unavailable, match="no more requests at once"):
        channel.call(RANGE, ASKED)
    assert waiting.get().header.revision == 5


def test_a_server_that_takes_nothing_is_silent_and_is_connected_to_anew(answering):
    channel = answering(says(message(ANSWER)))
    with pytest.raises(Unavailable, match="silent"):
        channel.call(PUT, PutRequest(value=bytes(1 << 20)))
    assert channel.call(RANGE, ASKED).header.revision == 5


def _no_trailers(server, stream):
    server.h2.send_headers(stream, HEAD)
    server.h2.send_data(stream, message(ANSWER), end_stream=True)


def _reset(server, stream):
    server.h2.send_headers(stream, HEAD)
    server.h2.reset_stream(stream)


def _goes_away(server, stream):
    server.h2.close_connection()


def _hangs_up(server, stream):
    server.h2.send_headers(stream, HEAD)
    server.h2.send_data(stream, message(ANSWER)[:-1])
    server.flush()
    server.socket.close()


def _continues(server, stream):
    """Headers without end."""
    server.flush()
    server.socket.sendall(frame(1, 0, stream))
    for _ in range(1000):
        server.socket.sendall(frame(9, 0, stream, b"\0\1a\1b" * 3000))


def _has_long_headers(server, stream):
    server.say(stream, head=[*HEAD, *((f"x{number}", "y" * 1000) for number in range(100))])


def _promises(server, stream):
    server.flush()
    server.socket.sendall(frame(5, 4, stream, b"\0\0\0\2\x82"))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One of HTTP/2."""
    return len(payload).to_bytes(3, "big") + struct.pack("!BBI", kind, flags, stream) + payload


def says(*data, **how):
    """What answers so."""
    return lambda server, stream: server.say(stream, *data, **how)


BROKEN = [
    (
        says(b"<html>", head=[(":status", "404"), ("content-type", "text/html")]),
        "404.*no answer of",
    ),
    (says(b"{}", head=[(":status", "200"), ("content-type", "application/json")]), "no answer of"),
    (says(b"?", head=[(":status", "503")], trailers=[("x", "y")]), "503.*no answer of"),
    (says(), "no answer"),
    (says(message(ANSWER), trailers=[("x", "y")]), "status"),
    (says(message(ANSWER), trailers=[("grpc-status", "14"), ("grpc-message", "why%21")]), "why!"),
    (says(message(ANSWER), message(ANSWER)), "second answer"),
    (says(message(ANSWER)[:-1]), "no answer"),
    (says(message(ANSWER, flag=1)), "compressed"),
    (says(message(ANSWER, size=MESSAGE_MAX + 1)), "a message of"),
    (says(message(b"\xff")), "no etcd gives"),
    (_no_trailers, "status"),
    (_reset, "given up"),
    (_goes_away, "goes away"),
    (_hangs_up, "hung up|reset"),
    (_continues, "continuation"),
    (_has_long_headers, "header"),
    (_promises, "push"),
    (lambda server, stream: None, "is silent"),
]


@pytest.mark.parametrize(("answer", "why"), BROKEN)
def test_an_answer_that_no_etcd_gives_is_a_failure_and_says_why(answering, answer, why):
    with pytest.raises(Unavailable, match=f"127.0.0.1:.*({why})"):
        answering(answer).call(RANGE, ASKED)


def test_a_failure_that_etcd_tells_is_the_one_that_is_raised(answering):
    status = [("grpc-status", "5"), ("grpc-message", "etcdserver: requested lease not found")]
    only = [*HEAD, *status]
    for answer in (
        says(trailers=status),
        lambda server, stream: server.h2.send_headers(stream, only, end_stream=True),
    ):
        with pytest.raises(LeaseGone, match="lease not found"):
            answering(answer).call(RANGE, ASKED)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "hung up; if it wants TLS, use --store-ca|reset by peer; if it wants TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "hung up; if it wants TLS, use --store-ca"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no answer of an etcd: b'HTTP/1.1 400"),
        (b"220 mail ESMTP\r\n", "no answer of an etcd: b'220 mail"),
        (b"hm", "no answer of an etcd: b'hm'"),
    ],
)
def test_what_is_no_http_2_is_told(serve, said, why):
    channel = serve(lambda socket: (socket.recv(1 << 16), socket.sendall(said), socket.close()))
    with pytest.raises(Unavailable, match=why):
        channel.call(RANGE, ASKED)


def test_a_server_that_is_not_there_or_has_no_name_is_told():
    for endpoint in (("127.0.0.1", 1), ("x" * 70, 2379)):
        with closing(Channel(endpoint, None)) as channel:
            _fails(channel.call, RANGE, ASKED)


def test_a_silent_connection_is_opened_anew_and_one_of_which_others_hear_is_kept(serve):
    connections, deaf = [], [True]

    def answer(server, stream):
        if not deaf[0] and stream % 4 == 1:
            server.say(stream, message(ANSWER))

    def handle(socket):
        connections.append(socket)
        Server(socket, answer).run()

    def watched_until_silent():
        """How many connections there were."""
        connections.clear()
        channel, deaf[0] = serve(handle), True
        with pytest.raises(Unavailable, match="silent"):
            channel.call(RANGE, ASKED)
        deaf[0] = False
        channel.call(RANGE, ASKED)
        assert len(connections) == 2
        waits = gevent.spawn(lambda: [*_watch(channel)])
        go_on(0.75 * QUIET)
        channel.call(RANGE, ASKED)
        try:
            assert waits.get() == []
        except Unavailable:  # it was ended
            return 3
        with suppress(Unavailable):
            channel.call(RANGE, ASKED)
        return len(connections)

    seldom_late(watched_until_silent, 3)  # a process that is stopped hears nobody meanwhile


def test_a_watch_that_nobody_reads_is_held_up_and_holds_up_nothing_else(answering):
    sent = [0]

    def answer(server, stream):
        if sent[0]:
            server.say(stream, message(ANSWER))
            return
        server.h2.send_headers(stream, HEAD)
        server.send(stream, message(WatchResponse(created=True).SerializeToString()))
        while size := min(server.h2.local_flow_control_window(stream), 1 << 14):
            server.send(stream, message(bytes(size - 5))[:size])
            sent[0] += size

    channel = answering(answer, begins=True)
    watching = _watch(channel)
    assert next(watching).created
    gevent.sleep(0.05)
    assert channel.call(RANGE, ASKED).header.revision == 5
    assert 0 < sent[0] <= http2.STREAM_WINDOW
    watching.close()
    assert channel.call(RANGE, ASKED).header.revision == 5
    assert not channel._connection._streams and not channel._connection._h2.open_outbound_streams


def test_a_stream_that_is_ended_here_ends_for_who_reads_it(answering, monkeypatch):
    monkeypatch.setattr(http2, "SILENCE", 60.0)  # by which it would end, too
    channel = answering(lambda server, stream: server.h2.send_headers(stream, HEAD), begins=True)
    reader = gevent.spawn(_fails, list, _watch(channel))
    gevent.sleep(0.05)
    channel.end_stream()
    reader.get(timeout=PATIENCE)


def test_others_have_their_turn_while_a_server_sends_without_end():
    """In a thread, so that there is always more to read; for a while, lest this test go on, too."""

    def given_up_after():
        listener = socket.create_server(("127.0.0.1", 0))
        began_at = time.monotonic()

        def flood():
            with suppress(OSError), listener.accept()[0] as connection:
                while time.monotonic() < began_at + 20 * QUIET:
                    connection.sendall(frame(4, 0, 0) + frame(6, 1, 0, bytes(8)) * 10_000)

        threading.Thread(target=flood, daemon=True).start()
        with closing(Channel(listener.getsockname(), None)) as channel:
            _fails(channel.call, RANGE, ASKED)
        listener.close()
        return time.monotonic() - began_at

    seldom_late(given_up_after, 10 * QUIET)


def _fails(act, *arguments):
    with pytest.raises(Unavailable):
        act(*arguments)


def test_a_connection_that_has_no_more_numbers_is_followed_by_another(answering):
    channel = answering(says(message(ANSWER)))
    channel.call(RANGE, ASKED)
    channel._connection._h2.highest_outbound_stream_id = 2**31 - 1
    with pytest.raises(Unavailable, match="no more requests"):
        channel.call(RANGE, ASKED)
    assert channel.call(RANGE, ASKED).header.revision == 5


@pytest.mark.parametrize("seed", range(40))
def test_garbage_ends_in_an_answer_or_in_a_failure(serve, seed):
    """Good bytes of a server, some of them changed."""
    rng = Random(seed)
    server = H2Connection(H2Configuration(client_side=False))
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(
        1, [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "x")]
    )
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    server.send_headers(1, HEAD)
    server.send_data(1, message(ANSWER))
    server.send_headers(1, DONE, end_stream=True)
    said = bytearray(server.data_to_send())
    for _ in range(rng.randint(1, 4)):
        said[rng.randrange(len(said))] = rng.randrange(256)

    def handle(socket):
        socket.recv(1 << 16)
        socket.sendall(said)
        socket.close()

    with suppress(Failure):
        serve(handle).call(RANGE, ASKED)
