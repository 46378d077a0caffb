"""The questions to instances in doubt, from fresh connected sockets.

Connected, so that a refusal (ICMP port unreachable) reaches us; fresh, so that its port can be
guessed by nobody and nothing but the answer arrives there. Silence costs nothing while it lasts:
no greenlet and no timer of its own waits for it, one sweep closes the sockets whose time is over.
"""

import socket
import time
from collections.abc import Callable

from gevent.hub import get_hub

from prr.core.effects import Outcome, Probe
from prr.shell.mmsg import RECEIVE_BYTES
from prr.wire.address import Instance, address_of
from prr.wire.codec import decode, encode
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Role

JUNK_MAX = 8
"""Datagrams that are no answer after which nobody listens any more: one who floods its socket
must not keep the processor from everybody else."""

SWEEP_PAUSE = 0.1
"""Seconds between two looks for sockets whose time is over: as much longer they may be open."""

_READ = 1  # libev's mask


class _Line:
    """The socket of one verification, its last question, and until when it is listened to."""

    def __init__(self, probe: Probe, hear: Callable[["_Line"], None]) -> None:
        """Raises OSError where the question cannot be asked at all."""
        self.probe = probe
        self.ends_at = 0.0
        self.junk = 0
        self.asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.asking.setblocking(False)
            self.asking.connect(address_of(probe.instance))
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
            if self.probe.is_answer(decode(data, Role.BINDER)):
                return Outcome.ALIVE
        except MalformedFrame:
            pass
        self.junk += 1
        return None

    def close(self) -> None:
        self._readable.stop()
        self._readable.close()
        self.asking.close()


class Prober:
    """Asks, and listens: one socket for each verification at a time."""

    def __init__(self, tell: Callable[[Probe, Outcome], None]) -> None:
        """`tell` is called from the loop itself and must not wait."""
        self._tell = tell
        self._lines: dict[tuple[Instance, int], _Line] = {}
        self._sweeps = get_hub().loop.timer(SWEEP_PAUSE, SWEEP_PAUSE)

    def ask(self, probe: Probe) -> None:
        """Ask once, and listen. Never waits; silence is told to nobody."""
        key = (probe.instance, probe.serial)
        line = self._lines.get(key)
        try:
            if line is None:
                line = _Line(probe, self._hear)
                if not self._lines:
                    self._sweeps.again(self._sweep)
                self._lines[key] = line
            line.probe, line.ends_at = probe, time.monotonic() + probe.wait
            line.asking.send(encode(probe.frame))
        except ConnectionRefusedError:
            self._end(probe, Outcome.REFUSED)
        except OSError:
            self._end(probe, Outcome.UNSENT)

    def close(self) -> None:
        """Listen to nobody any more."""
        self._sweeps.close()
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
        if outcome is not None or line.junk == JUNK_MAX:
            self._end(line.probe, outcome)

    def _end(self, probe: Probe, outcome: Outcome | None) -> None:
        line = self._lines.pop((probe.instance, probe.serial), None)
        if line is not None:
            line.close()
        if outcome is not None:
            self._tell(probe, outcome)

    def _sweep(self) -> None:
        """Close what is over; were we late, the answer may lie there all the same."""
        now = time.monotonic()
        for line in [line for line in self._lines.values() if line.ends_at <= now]:
            self._hear(line)
            self._end(line.probe, None)
        if not self._lines:
            self._sweeps.stop()
