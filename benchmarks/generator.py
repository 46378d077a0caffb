"""The load in Python, where there is no C compiler: as `generator.c`, but lookups by UDP only."""

import gc
import socket
import sys
import time
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector

from benchmarks.tally import ANSWER_BYTES, BATCH, Tally
from prr.text import parse_peer
from prr.wire.instance import Address

ANSWER_LIMIT = 1.0
"""Seconds of silence after which what is under way on a socket is lost."""

LOOK_PAUSE = 0.1
"""Seconds between two looks for sockets that have been silent for so long."""

SOCKETS_MAX = 960
"""An open loop opens more sockets where all are waiting, up to these."""

RECEIVE_BUFFER = 8 << 20


class Line:
    """One socket, and the burst of lookups that is under way on it."""

    def __init__(self, target: Address, wanted: int) -> None:
        self.target, self.wanted = target, wanted  # lookups at once
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.connect(target)
        self.is_asking = False
        self._active_at = self._asked_at = 0.0
        self._open: list[int] = []  # the numbers of the questions that have no answer
        self._answers: list[tuple[int | None, bytes]] = []

    def is_silent(self, now: float) -> bool:
        """Nothing more will come from it."""
        return self.is_asking and now - self._active_at > ANSWER_LIMIT

    def ask(self, questions: list[tuple[int, bytes]], when: float) -> None:
        """Send questions, `BATCH` at most, that should leave at `when`."""
        self._open = [number for number, _ in questions]
        self._asked_at, self.is_asking = when, True
        with suppress(ConnectionRefusedError):  # silence will say it too
            for _, question in questions:
                self.socket.send(question)
        self._active_at = time.perf_counter()

    def hear(self, now: float, tally: Tally) -> None:
        """Take what has come."""
        self._active_at = now
        with suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                data = self.socket.recv(2048)
                if self._open:
                    self._answers.append((self._open.pop(0), data[:ANSWER_BYTES]))
                    tally.waits[int((now - self._asked_at) * 1e6)] += 1
                else:
                    tally.unasked += 1
        if not self._open:
            self.end_burst(tally)

    def end_burst(self, tally: Tally) -> None:
        """What is still under way is lost."""
        if self._open:  # so that it is unsure which questions the others answer
            tally.lost += len(self._open)
            self._answers = [(None, answer) for _, answer in self._answers]
        tally.answers.update(self._answers)
        self._open, self._answers, self.is_asking = [], [], False


class Generator:
    """Runs one load: at a `rate`, or, where that is 0, in a closed loop."""

    def __init__(self, targets: list[Address], questions: list[bytes], rate: float) -> None:
        self._targets, self._rate = targets, rate
        self._questions = list(enumerate(questions)) * (2 + BATCH // len(questions))
        self._question_count = len(questions)
        self._asked = 0
        self._tally = Tally()
        self._selector = DefaultSelector()
        self._lines: dict[int, Line] = {}
        self._look_at = self._heard_at = self._ends_at = 0.0

    def run(self, seconds: float, sockets: int, in_flight: int) -> Tally:
        """Ask for so long, then wait for what is under way."""
        for number in range(sockets):
            self._open(number, in_flight // sockets + (number < in_flight % sockets))
        print("began", flush=True)
        began_at = self._heard_at = time.perf_counter()
        self._ends_at = began_at + seconds
        for line in self._lines.values():
            self._ask_again(line, began_at)
        while (now := time.perf_counter()) < self._ends_at:
            if self._rate:  # every question has its moment, and its wait counts from there
                due = int((now - began_at) * self._rate) + 1 - self._asked  # the first is at once
                if due > 0 and (idle := self._next_idle()):
                    self._ask(idle, min(due, BATCH), began_at + self._asked / self._rate)
            self._hear(0 if self._rate else LOOK_PAUSE)
        self._tally.asking = time.perf_counter() - began_at
        ends_at = time.perf_counter() + 2 * ANSWER_LIMIT
        while time.perf_counter() < ends_at and any(one.is_asking for one in self._lines.values()):
            self._hear(LOOK_PAUSE)
        for line in self._lines.values():
            line.end_burst(self._tally)
        self._tally.asked = self._asked
        self._tally.elapsed = self._heard_at - began_at
        return self._tally

    def _ask_again(self, line: Line, now: float) -> None:
        """In the closed loop: answers make room for the next questions."""
        if line.wanted and not self._rate and not line.is_asking and now < self._ends_at:
            self._ask(line, line.wanted, now)

    def _ask(self, line: Line, count: int, when: float) -> None:
        first = self._asked % self._question_count
        line.ask(self._questions[first : first + count], when)
        self._asked += count

    def _hear(self, wait: float) -> None:
        """Take what has come, or comes within `wait` seconds; silent sockets are exchanged."""
        heard = [key.data for key, _ in self._selector.select(wait)]
        now = time.perf_counter()
        if heard:
            self._heard_at = now
        for line in heard:
            line.hear(now, self._tally)
            self._ask_again(line, now)
        if now < self._look_at:
            return
        self._look_at = now + LOOK_PAUSE
        for line in [one for one in self._lines.values() if one.is_silent(now)]:
            line.end_burst(self._tally)
            self._selector.unregister(line.socket)
            del self._lines[line.socket.fileno()]
            line.socket.close()
            self._ask_again(self._add(Line(line.target, line.wanted)), now)

    def _next_idle(self) -> Line | None:
        """The one that has waited longest for its turn; a new one if none is idle."""
        for number, line in self._lines.items():
            if not line.is_asking:
                self._lines[number] = self._lines.pop(number)
                return line
        return self._open(len(self._lines), 0) if len(self._lines) < SOCKETS_MAX else None

    def _open(self, number: int, wanted: int) -> Line:
        return self._add(Line(self._targets[number % len(self._targets)], wanted))

    def _add(self, line: Line) -> Line:
        self._lines[line.socket.fileno()] = line
        self._selector.register(line.socket, EVENT_READ, line)
        return line


def main(arguments: list[str]) -> None:
    """Run the load that the arguments say, and print the tally: see `tally.py`."""
    _, targets, seconds, sockets, in_flight, rate, _, questions, *_ = arguments
    generator = Generator(
        [parse_peer(target) for target in targets.split(",")],
        [bytes.fromhex(question) for question in questions.split(",")],
        float(rate),
    )
    gc.freeze()  # no garbage collection: there is none, and the answers wait
    gc.disable()
    tally = generator.run(float(seconds), int(sockets), int(in_flight))
    print("\n".join(tally.lines()))


if __name__ == "__main__":
    main(sys.argv[1:])
