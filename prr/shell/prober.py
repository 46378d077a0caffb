"""The questions to instances in doubt, from fresh connected sockets.

Connected, so that a refusal (ICMP port unreachable) reaches us; fresh, so that its port can be
guessed by nobody and nothing but the answer arrives there. Silence costs nothing while it lasts:
no greenlet and no timer of its own waits for it, one sweep closes the sockets whose time is over.
"""

import socket
import time
from collections.abc import Callable
from typing import TypeAlias

from gevent.hub import get_hub

from prr.addresses import family_of
from prr.core.deadlines import Deadlines
from prr.core.effects import Outcome, Probe
from prr.shell.udp.mmsg import RECEIVE_BYTES
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.instance import Instance

PROOFS_MAX = 256
"""The same where an answer has to be sealed: who hears the question can send so much before it."""

JUNK_MAX = 8
"""Datagrams that are no answer after which nobody listens any more: one who floods its socket
must not keep the processor from everybody else."""

LAGGING = 0.02
"""Seconds that a first question may wait for its turn of the loop: the time for its answer runs."""

LAGGING_MAX = 8
"""First questions that leave in one turn once they wait for longer."""

URGENT_RUN = 3
"""Urgent questions that leave before one of the others has its turn, while there are both."""

LINGER = 0.1
"""Seconds a socket stays open beyond its time: the next question is to leave from it as well."""

SWEEP_PAUSE = 0.005
"""Seconds between two looks for sockets to close."""

SWEEP_MAX = 4
"""Sockets that one look closes, 10 us each: five hundred verifications end theirs once a second."""

_READ = 1  # libev's mask

_Key: TypeAlias = tuple[Instance, int, bool]
"""One verification: the instance and the serial, and whether that question has been refused."""


class _Line:
    """The socket of one verification, and its last question."""

    def __init__(self, probe: Probe, codec: Codec, hear: Callable[["_Line"], None]) -> None:
        """Raises OSError where the question cannot be asked at all."""
        self.probe = probe
        self._codec = codec
        self.junk_left = PROOFS_MAX if probe.wants_proof else JUNK_MAX
        self.is_refused = False
        self.asking = socket.socket(family_of(probe.at), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.asking.connect(probe.at)
        except OSError:
            self.asking.close()
            raise
        self._readable = get_hub().loop.io(self.asking.fileno(), _READ)
        self._readable.start(hear, self)

    def read(self) -> Outcome | None:
        """What has come, None if it tells nothing. Raises BlockingIOError if nothing has."""
        try:
            data = self.asking.recv(RECEIVE_BYTES)
        except ConnectionRefusedError:
            return Outcome.REFUSED
        try:
            if self.probe.is_answer(self._codec.decode(data)):
                return Outcome.ALIVE
        except MalformedFrame:
            pass
        self.junk_left -= 1
        return None

    @property
    def key(self) -> _Key:
        """Where it stands among the lines."""
        return self.probe.instance, self.probe.serial, self.is_refused

    def close(self) -> None:
        self._readable.stop()
        self._readable.close()
        self.asking.close()


class _FirstQuestions:
    """Those that wait for their turn, the urgent ones apart: one for each verification at most."""

    def __init__(self) -> None:
        self._urgent: dict[_Key, tuple[float, Probe]] = {}  # and since when it waits
        self._others: dict[_Key, tuple[float, Probe]] = {}
        self._run = 0  # of urgent ones that have left since one of the others has

    def __bool__(self) -> bool:
        return bool(self._urgent or self._others)

    def put(self, probe: Probe, now: float) -> Probe | None:
        """Let it wait; what it takes the place of, which has never left."""
        queue = self._urgent if probe.is_urgent else self._others
        since, before = queue.get(key := _key(probe), (now, None))
        queue[key] = since, probe
        return before

    def waited(self, now: float) -> float:
        """Seconds for which one of them has been waiting, as long as any."""
        first = (next(iter(queue.values())) for queue in (self._urgent, self._others) if queue)
        return max((now - since for since, _ in first), default=0.0)

    def pop(self) -> Probe:
        """The one whose turn it is; there must be one."""
        is_urgent = self._urgent and (self._run < URGENT_RUN or not self._others)
        self._run = self._run + 1 if is_urgent else 0
        queue = self._urgent if is_urgent else self._others
        return queue.pop(next(iter(queue)))[1]


class Prober:
    """Asks, and listens: one socket for each verification at a time."""

    def __init__(self, tell: Callable[[Probe, Outcome], None], codec: Codec) -> None:
        """`tell` is called from the loop itself and must not wait."""
        self._tell = tell
        self._codec = codec
        self._lines: dict[_Key, _Line] = {}
        self._ends: Deadlines[_Key] = Deadlines()
        self._sweeps = get_hub().loop.timer(SWEEP_PAUSE, SWEEP_PAUSE)
        self._first_questions = _FirstQuestions()
        self._soon = get_hub().loop.timer(0)

    def ask(self, probe: Probe) -> None:
        """Ask once, and listen. Never waits; silence is told to nobody.

        A first question leaves in the next turn of the loop, or a later one: it needs a socket,
        which takes as long as ten lookups, and these have their turn in between. Should it still
        wait when the next one is asked, it is told as unsent, and that one leaves in its place.
        """
        if _key(probe) in self._lines:
            self._ask(probe)
            return
        if not self._first_questions:
            self._soon.start(self._ask_next)
        if (overtaken := self._first_questions.put(probe, time.monotonic())) is not None:
            self._tell(overtaken, Outcome.UNSENT)

    def _ask_next(self) -> None:
        waited = self._first_questions.waited(time.monotonic())
        for _ in range(1 if waited < LAGGING else LAGGING_MAX):
            self._ask(self._first_questions.pop())
            if not self._first_questions:
                break
        if self._first_questions:
            self._soon.start(self._ask_next)

    def _ask(self, probe: Probe) -> None:
        key = _key(probe)
        line = self._lines.get(key)
        try:
            if line is None:
                line = _Line(probe, self._codec, self._hear)
                if not self._lines:
                    self._sweeps.again(self._sweep)
                self._lines[key] = line
            line.probe = probe
            self._ends.set(key, time.monotonic() + probe.wait + LINGER)
            line.asking.send(self._codec.encode(probe.frame))
        except ConnectionRefusedError:
            self._unasked(key, probe, Outcome.REFUSED)
        except OSError:
            self._unasked(key, probe, Outcome.UNSENT)

    def _unasked(self, key: _Key, probe: Probe, outcome: Outcome) -> None:
        self._drop(key, is_closed=True)
        self._tell(probe, outcome)

    def close(self) -> None:
        """Listen to nobody any more."""
        self._sweeps.close()
        self._soon.close()
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def _hear(self, line: _Line) -> None:
        try:
            outcome = line.read()
        except BlockingIOError:
            return
        except OSError:  # the network says what silence says
            outcome = None
        if outcome is Outcome.REFUSED and line.probe.wants_proof:
            self._mistrust(line)
        elif outcome is not None or not line.junk_left:
            self._end(line, outcome)

    def _mistrust(self, line: _Line) -> None:
        """A refusal may be forged by who hears the question, and an answer cannot: it is waited for
        all the same, while the next question leaves from another socket."""
        if line.is_refused:
            return
        self._drop(line.key)
        line.is_refused = True
        self._drop(line.key, is_closed=True)
        self._lines[line.key] = line
        self._ends.set(line.key, time.monotonic() + line.probe.wait + LINGER)
        self._tell(line.probe, Outcome.REFUSED)

    def _end(self, line: _Line, outcome: Outcome | None) -> None:
        self._drop(line.key, is_closed=True)
        if outcome is not None:
            self._tell(line.probe, outcome)

    def _drop(self, key: _Key, is_closed: bool = False) -> None:
        line = self._lines.pop(key, None)
        if line is not None:
            self._ends.cancel(key)
            if is_closed:
                line.close()

    def _sweep(self) -> None:
        """Close what is over; were we late, the answer may lie there all the same."""
        now = time.monotonic()
        for _ in range(SWEEP_MAX):
            key = self._ends.pop_due(now)
            if key is None:
                break
            line = self._lines[key]
            self._hear(line)
            self._end(line, None)
        if not self._lines:
            self._sweeps.stop()


def _key(probe: Probe) -> _Key:
    return probe.instance, probe.serial, False
