"""Sockets to binders that a client keeps: fewer calls of the system, and no answer mixed up."""

import os
import socket
import threading
import time

import pytest

from prr import Client, NoBinderAnswered
from prr.client.kept_sockets import KEPT_MAX, SOCKETS_MAX, KeptSockets
from prr.wire.codec import Codec
from prr.wire.frames import Found, Role
from tests.nodes import seldom_wrong
from tests.test_service import in_a_thread

CODEC = Codec(Role.BINDER)


class FakeBinder:
    """Answers each lookup for a type with that type as the port, and whatever else it is told."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.sources, self.copies, self.delay = [], 1, 0.0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            data, source = self.socket.recvfrom(999)
            if not data:
                return
            self.sources.append(source)
            answer = CODEC.encode(Found(("10.0.0.1", CODEC.decode(data).type)))
            for _ in range(self.copies):
                self.socket.sendto(answer, source)
                time.sleep(self.delay)

    def close(self):
        self.socket.sendto(b"", self.socket.getsockname())
        self._thread.join(5)
        self.socket.close()


@pytest.fixture
def binder():
    made = FakeBinder()
    yield made
    made.close()


@in_a_thread
@seldom_wrong  # who is answered late has asked again, and keeps no such socket
def test_each_service_has_one_socket_for_one_lookup_after_the_other(binder):
    binder.sources.clear()
    client = Client(binder.name)
    for _ in range(20):
        for type_ in (7, 8):
            assert client.lookup(type_) == ("10.0.0.1", type_)
    asked_again = len(binder.sources) - 40  # on a busy machine; such a socket is not kept
    assert 2 <= len(set(binder.sources)) <= 2 + asked_again


@in_a_thread
def test_threads_have_sockets_of_their_own(binder):
    client = Client(binder.name)
    found = []

    def look(type_):
        found.extend(client.lookup(type_)[1] == type_ for _ in range(50))

    threads = [threading.Thread(target=look, args=(type_,)) for type_ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert found == [True] * 400


@pytest.mark.smoke
@in_a_thread
def test_a_copy_of_an_answer_is_not_taken_for_the_next_one(binder):
    client = Client(binder.name)
    binder.copies, binder.delay = 3, 0.0002
    for number in range(500):
        assert client.lookup(number % 5) == ("10.0.0.1", number % 5)


@in_a_thread
def test_a_socket_on_which_a_question_was_asked_again_is_not_kept(binder):
    client = Client(binder.name)
    binder.copies = 0  # the first question stays open
    with pytest.raises(NoBinderAnswered):
        client.lookup(1, timeout=0.05)
    binder.copies = 1
    assert client.lookup(2) == ("10.0.0.1", 2)
    assert len(set(binder.sources)) == 2


@in_a_thread
@seldom_wrong  # likewise
def test_a_child_process_has_sockets_of_its_own(binder):
    binder.sources.clear()
    client = Client(binder.name)
    client.lookup(1)
    if (child := os.fork()) == 0:
        try:
            client.lookup(1)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.lookup(1)
    assert len(binder.sources) == 3
    before, in_child, after = binder.sources
    assert before == after != in_child


def connected(address):
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.connect(address)
    return opened


def test_so_many_are_kept_and_the_others_closed():
    kept = KeptSockets()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind(("127.0.0.1", 0))
        address = target.getsockname()
        opened = [connected(address) for _ in range(KEPT_MAX + 2)]
        for one in opened:
            kept.give_back((address, 7), one)
        assert [one.fileno() >= 0 for one in opened] == [False] * 2 + [True] * KEPT_MAX
        target.sendto(b"late", opened[2].getsockname())
        taken = kept.take((address, 7))
        assert taken is opened[2]  # and what came late is gone
        with pytest.raises(BlockingIOError):
            taken.recv(9)
        taken.close()
        assert kept.take((address, 8)) is None
        many = [connected(address) for _ in range(SOCKETS_MAX)]
        for number, one in enumerate(many):
            kept.give_back((address, f"other-{number}"), one)
        assert {one.fileno() for one in opened} == {-1}  # those of the oldest use go first
        assert all(one.fileno() >= 0 for one in many)
    kept.forget()
    assert {one.fileno() for one in many} == {-1}
