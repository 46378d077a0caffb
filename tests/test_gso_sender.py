"""Answers that leave together: as if each had been sent alone."""

import ctypes
import errno
from random import Random

import pytest

from prr.shell.udp import gso_sender as answers
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.mmsg import Burst, has_mmsg
from prr.wire.found import AnswerRun
from tests.families import LOOPBACKS, udp
from tests.samples import sample

pytestmark = pytest.mark.skipif(not has_mmsg(), reason="this system has no sendmmsg")


class Calls:
    """sendmmsg, and with how many messages it was called. `fails` are errors it has first; it
    sends `most` messages at once."""

    def __init__(self, libc, fails=(), most=BURST_MAX):
        self.counts = []
        self._libc, self._fails, self._most = libc, list(fails), most

    def sendmmsg(self, number, headers, count, flags):
        self.counts.append(count)
        if self._fails:
            ctypes.set_errno(self._fails.pop())
            return -1
        return self._libc.sendmmsg(number, headers, min(count, self._most), flags)


@pytest.fixture(params=LOOPBACKS)
def asked(request):
    """Makes a burst of so many datagrams from each sender in turn; and the senders."""
    opened = [udp(request.param) for _ in range(5)]
    bound, *senders = opened
    bound.setblocking(False)
    for sender in senders:
        sender.connect(bound.getsockname())
        sender.settimeout(10)
    burst = Burst(bound)

    def ask(*counts):
        for number, count in enumerate(counts):
            for _ in range(count):
                senders[number % len(senders)].send(b"\x02\x01")
        assert burst.receive() == sum(counts)
        return burst

    yield ask, senders
    for one in opened:
        one.close()


@pytest.fixture
def calls(monkeypatch):
    def patch(**how):
        patched = Calls(answers.libc, **how)
        monkeypatch.setattr(answers, "libc", patched)
        return patched

    return patch


def numbered(count, size):
    return [bytes([number]).ljust(size, b".") for number in range(count)]


@pytest.mark.parametrize("size", [1, 7, 8, 30])
@pytest.mark.parametrize("seed", sample(10, range(30)))
def test_each_sender_gets_its_own_answers_in_their_order(asked, seed, size):
    ask, senders = asked
    rng = Random(seed)
    for _ in range(3):  # the buffers of the last time are used again
        counts, left = [], rng.randrange(1, BURST_MAX + 1)
        while left:
            counts.append(rng.randrange(1, left + 1) if rng.random() < 0.5 else 1)
            left -= counts[-1]
        burst, sent = ask(*counts), numbered(sum(counts), size)
        half = rng.randrange(len(sent) + 1)
        for first, part in ((0, sent[:half]), (half, sent[half:])):
            if part:
                assert burst.answer(first, AnswerRun(b"".join(part), size)) == len(part)
        for number, count in enumerate(counts):
            for _ in range(count):
                assert senders[number % len(senders)].recv(100) == sent.pop(0)


@pytest.mark.parametrize("seed", range(10))
def test_answers_of_two_lengths_go_out_by_one_call(asked, calls, seed):
    ask, senders = asked
    counted, rng = calls(), Random(seed)
    for _ in range(3):
        counts = [rng.randrange(1, 6) for _ in range(10)]
        burst, total = ask(*counts), sum(counts)
        answers = [rng.choice((b"\x04", b"\x03" + bytes([n]) * 6)) for n in range(total - 2)]
        answers = [b"\x04", *answers, b"\x03------"]
        sizes = bytes(map(len, answers))
        assert burst.answer(0, AnswerRun(b"".join(answers), 0, sizes)) == total
        for number, count in enumerate(counts):
            for _ in range(count):
                assert senders[number % len(senders)].recv(100) == answers.pop(0)
    assert len(counted.counts) == 3


def test_the_answers_to_one_sender_that_stand_in_a_row_are_one_send(asked, calls):
    ask, _ = asked
    counted = calls()
    for counts, sends in (((20, 20, 4, 20), 4), ((BURST_MAX,), 1), ((1, 1, 1, 1), 4), ((1,), 1)):
        burst = ask(*counts)
        burst.answer(0, AnswerRun(b"".join(numbered(sum(counts), 7)), 7))
        assert counted.counts.pop() == sends
    assert not counted.counts


def test_what_did_not_go_is_told_in_answers_not_in_sends(asked, calls):
    ask, senders = asked
    calls(most=2)
    burst = ask(5, 3, 8)
    assert burst.answer(0, AnswerRun(b"".join(numbered(16, 7)), 7)) == 8
    for number, count in ((0, 5), (1, 3)):
        for _ in range(count):
            senders[number].recv(100)
    assert burst.answer(8, AnswerRun(b"".join(numbered(8, 7)), 7)) == 8


@pytest.mark.parametrize("error", [errno.EIO, errno.EINVAL])
def test_an_interface_that_cannot_cut_is_asked_once(asked, calls, error):
    ask, senders = asked
    counted = calls(fails=[error])
    for sends in ([1, 10], [10]):
        burst, sent = ask(10), numbered(10, 7)
        assert burst.answer(0, AnswerRun(b"".join(sent), 7)) == 10
        assert [senders[0].recv(100) for _ in sent] == sent
        assert counted.counts == sends
        counted.counts.clear()


def test_a_sender_that_cannot_be_answered_does_not_end_the_cutting(asked, calls):
    ask, _ = asked
    counted = calls(fails=[errno.EINVAL, errno.EINVAL])  # one whose port is 0
    burst = ask(10)
    with pytest.raises(OSError, match="Invalid"):
        burst.answer(0, AnswerRun(b"".join(numbered(10, 7)), 7))
    assert burst.answer(0, AnswerRun(b"".join(numbered(10, 7)), 7)) == 10
    assert counted.counts == [1, 10, 1]


def test_no_room_is_raised_and_changes_nothing(asked, calls):
    ask, _ = asked
    counted = calls(fails=[errno.EAGAIN])
    burst = ask(10)
    with pytest.raises(BlockingIOError):
        burst.answer(0, AnswerRun(b"".join(numbered(10, 7)), 7))
    assert burst.answer(0, AnswerRun(b"".join(numbered(10, 7)), 7)) == 10
    assert counted.counts == [1, 1]


def test_a_kernel_that_does_not_know_how_to_cut_is_not_asked_to(asked, calls, monkeypatch):
    monkeypatch.setattr(answers, "_UDP_SEGMENT", 9999)
    ask, senders = asked
    counted = calls()
    asking = ask(10)
    asking._answers = answers.GsoSender(asking._socket, asking._names)
    assert asking.answer(0, AnswerRun(b"".join(numbered(10, 7)), 7)) == 10
    assert counted.counts == [10]
    assert [senders[0].recv(100) for _ in range(10)] == numbered(10, 7)
