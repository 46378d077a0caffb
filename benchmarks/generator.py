"""The load: look-ups in bulk from a few sockets, in a process of its own without gevent.

A bare look-up has no number, so its answer is known by its place: on loopback the answers to one
socket come in the order of its questions. A loss shifts that order. So each socket asks in rounds,
and runs dry at the end of each: what is missing then is lost, and the socket is exchanged. Until
then the waits on it count too long, never too short.
"""

import gc
import os
import pickle
import select
import socket
import sys
import time
from collections import Counter, deque
from contextlib import suppress

from benchmarks.background import PAUSE, WARM_UP, Background
from benchmarks.proc import cpu_seconds
from benchmarks.tally import Load, Right, Tally, right_answers
from prr.shell.mmsg import received_by
from prr.wire.address import Address
from prr.wire.codec import encode
from prr.wire.frames import Lookup
from prr.wire.runs import LOOKUP_BYTES

BATCH = 64
"""Look-ups that one socket sends at once; the kernel cuts one send into no more datagrams."""

ROUND = 8192
"""Look-ups until a socket runs dry: rare enough to cost nothing; its queue holds their answers."""

ANSWER_LIMIT = 1.0
"""Seconds of silence after which what is under way on a socket is lost."""

LOOK_PAUSE = 0.1
"""Seconds between two looks for sockets that have been silent for so long."""

RECEIVE_BUFFER = 8 << 20

_SOL_UDP, _UDP_SEGMENT = 17, 103


class Line:
    """One socket, and what is under way on it."""

    def __init__(self, binder: Address, types: bytes, right: Right) -> None:
        self.binder = binder
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.connect(binder)
        self.number = self.socket.fileno()
        self.asked = self.answered = 0  # in this round
        self.active_at = time.perf_counter()
        self._burst = received_by(self.socket)
        self._is_cut = _have_kernel_cut(self.socket)
        self._right = right
        self._turns = len(types)
        self._types = types * (1 + BATCH // len(types) + 1)
        self._questions = b"".join(encode(Lookup(type_)) for type_ in self._types)
        self._asked_at: deque[list[float]] = deque()  # when, and how many of them are open
        self._doubtful: Counter[tuple[int, bytes]] = Counter()

    @property
    def under_way(self) -> int:
        """Look-ups that have no answer yet."""
        return self.asked - self.answered

    @property
    def round_is_over(self) -> bool:
        """It must run dry."""
        return self.asked >= ROUND

    def is_spent(self, now: float) -> bool:
        """Nothing more comes from it: its round is answered, or it has been silent too long."""
        if self.under_way:
            return now - self.active_at > ANSWER_LIMIT
        return self.round_is_over

    def ask(self, count: int, when: float) -> None:
        """Send `count` look-ups, `BATCH` at most, that should leave at `when`."""
        start = LOOKUP_BYTES * (self.asked % self._turns)
        questions = self._questions[start : start + LOOKUP_BYTES * count]
        with suppress(ConnectionRefusedError):  # silence will say it too
            if self._is_cut:
                self.socket.send(questions)
            else:
                for at in range(0, len(questions), LOOKUP_BYTES):
                    self.socket.send(questions[at : at + LOOKUP_BYTES])
        self.asked += count
        self.active_at = time.perf_counter()
        self._asked_at.append([when, count])

    def hear(self, now: float, tally: Tally) -> None:
        """Take one burst of answers."""
        try:
            count = self._burst.receive()
        except ConnectionRefusedError:
            return
        self.active_at = now
        tally.unasked += max(0, count - self.under_way)
        count = min(count, self.under_way)
        answers = [self._burst.datagram(number) for number in range(count)]
        start = self.answered % self._turns
        types = self._types[start : start + count]
        if not self._right.issuperset(zip(types, answers, strict=True)):
            pairs = zip(types, answers, strict=True)
            self._doubtful.update(pair for pair in pairs if pair not in self._right)
        self.answered += count
        while count:
            first = self._asked_at[0]
            taken = min(count, first[1])
            tally.waits[int((now - first[0]) * 1e6)] += taken
            count -= taken
            first[1] -= taken
            if not first[1]:
                self._asked_at.popleft()

    def end_round(self, tally: Tally) -> None:
        """What is still under way is lost; all is ready for the next round if nothing is."""
        tally.asked += self.asked
        tally.lost += self.under_way
        is_sure = not self.under_way
        for (type_, answer), count in self._doubtful.items():
            tally.doubtful[type_ if is_sure else None, answer] += count
        self.asked = self.answered = 0
        self._doubtful.clear()
        self._asked_at.clear()


class Generator:
    """Runs one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._tally = Tally()
        self._right = right_answers(load.instances, load.denied)
        self._poller = select.epoll()
        self._by_number: dict[int, Line] = {}
        self._background = Background(
            load.sink or load.binders[0],
            load.types,
            self._right,
            load.subscriptions_per_second,
            load.verifications,
        )
        self._look_at = self._heard_at = 0.0

    def run(self) -> Tally:
        """Ask for so long, then wait for what is under way."""
        load, tally = self._load, self._tally
        count = max(load.sockets, len(load.binders))
        self._warm_up()
        lines = [self._open(load.binders[n % len(load.binders)]) for n in range(count)]
        cpu_before = cpu_seconds(load.pids)
        began_at = self._heard_at = time.perf_counter()
        if load.rate is None:
            self._keep_in_flight(lines, began_at)
        else:
            self._keep_rate(lines, began_at, load.rate)
        self._drain()
        tally.elapsed = self._heard_at - began_at
        cpu_after = cpu_seconds(load.pids)
        if cpu_before is not None and cpu_after is not None:
            tally.cpu = cpu_after - cpu_before
        for line in list(self._by_number.values()):
            self._close(line)
        self._background.close()
        if load.sink is None:
            tally.subscribed = self._background.instances
        return tally

    def _warm_up(self) -> None:
        """Have as many verifications under way as there are meant to be."""
        ends_at = time.perf_counter() + (WARM_UP if self._load.verifications else 0.0)
        while (now := time.perf_counter()) < ends_at:
            if not self._background.step(now):
                time.sleep(PAUSE)

    def _keep_in_flight(self, lines: list[Line], began_at: float) -> None:
        """The closed loop: an answer makes room for the next question."""
        share, more = divmod(self._load.in_flight, len(lines))
        wanted = {line.number: share + (n < more) for n, line in enumerate(lines)}
        ready = list(wanted)
        ends_at = began_at + self._load.seconds
        while (now := time.perf_counter()) < ends_at:
            self._background.step(now)
            for number in ready:
                line = self._by_number[number]
                if line.round_is_over and not line.under_way:
                    line.end_round(self._tally)
                if not line.round_is_over and (room := wanted[number] - line.under_way):
                    line.ask(room, now)
            ready = self._hear(LOOK_PAUSE)
            for line in self._spent():
                room = wanted.pop(line.number)
                fresh = self._exchange(line)
                wanted[fresh.number] = room
                ready = [number for number in ready if number in wanted] + [fresh.number]

    def _keep_rate(self, lines: list[Line], began_at: float, rate: float) -> None:
        """The open loop: every question has its moment, and its wait counts from there."""
        ends_at = began_at + self._load.seconds
        offered = turn = 0
        while (now := time.perf_counter()) < ends_at:
            self._background.step(now)
            due = min(int((now - began_at) * rate) + 1 - offered, BATCH)  # the first is due at once
            if due > 0:
                turn = (turn + 1) % len(lines)
                if lines[turn].round_is_over:  # it runs dry aside
                    lines[turn] = self._open(lines[turn].binder)
                lines[turn].ask(due, began_at + offered / rate)
                offered += due
            self._hear(0)
            for line in self._spent():
                if line in lines:
                    lines[lines.index(line)] = self._exchange(line)
                else:
                    self._close(line)

    def _drain(self) -> None:
        """Wait for what is under way."""
        ends_at = time.perf_counter() + 2 * ANSWER_LIMIT
        while self._by_number and time.perf_counter() < ends_at:
            for line in [line for line in self._by_number.values() if not line.under_way]:
                self._close(line)
            self._hear(LOOK_PAUSE)
            for line in self._spent():
                self._close(line)

    def _hear(self, wait: float) -> list[int]:
        """Take what has come, or comes within `wait` seconds; the sockets it came to."""
        ready = [number for number, _ in self._poller.poll(wait, BATCH)]
        if ready:
            self._heard_at = time.perf_counter()
            for number in ready:
                self._by_number[number].hear(self._heard_at, self._tally)
        return ready

    def _spent(self) -> list[Line]:
        """The sockets that have run dry, or fallen silent; [] too soon after the last look."""
        now = time.perf_counter()
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_PAUSE
        return [line for line in self._by_number.values() if line.is_spent(now)]

    def _open(self, binder: Address) -> Line:
        line = Line(binder, self._load.types, self._right)
        self._by_number[line.number] = line
        self._poller.register(line.number, select.EPOLLIN)
        return line

    def _close(self, line: Line) -> None:
        line.end_round(self._tally)
        del self._by_number[line.number]
        line.socket.close()  # which takes it out of the poller

    def _exchange(self, line: Line) -> Line:
        """A fresh socket: what still comes to the old one must not be taken for the next answer."""
        self._close(line)
        return self._open(line.binder)


def _have_kernel_cut(asking: socket.socket) -> bool:
    """Have the kernel cut what is sent at once into look-ups (UDP_SEGMENT); False if it cannot."""
    try:
        asking.setsockopt(_SOL_UDP, _UDP_SEGMENT, LOOKUP_BYTES)
    except OSError:
        return False
    return True


def main() -> None:
    """Run the load that stdin brings, and put the tally on stdout, both pickled by the parent."""
    load = pickle.load(sys.stdin.buffer)
    if load.core is not None:
        os.sched_setaffinity(0, {load.core})
    generator = Generator(load)
    gc.freeze()  # no search for garbage: there is none, and the answers wait
    gc.disable()
    pickle.dump(generator.run(), sys.stdout.buffer)
