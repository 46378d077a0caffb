"""The questions to instances in doubt, from fresh connected sockets.

Connected, so that a refusal (ICMP port unreachable) reaches us; fresh, so that its port can be
guessed by nobody and nothing but the answer arrives there.
"""

import socket
import time

import gevent.socket

from prr.core.effects import Outcome, Probe
from prr.shell.mmsg import RECEIVE_BYTES
from prr.wire.address import Instance, address_of
from prr.wire.codec import decode, encode
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Role

JUNK_MAX = 8
"""Datagrams that are no answer after which nobody listens any more: one who floods its socket
must not keep the processor from everybody else."""


class _Line:
    """The socket of one verification, and until when it is listened to."""

    def __init__(self, asking: gevent.socket.socket, ends_at: float) -> None:
        self.asking = asking
        self.ends_at = ends_at


class Prober:
    """Asks, and listens: one socket for each verification at a time."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Instance, int], _Line] = {}

    def ask(self, probe: Probe) -> Outcome | None:
        """Ask once, and listen; None if it is silent, or somebody listens there already."""
        key = (probe.instance, probe.serial)
        ends_at = time.monotonic() + probe.wait
        line = self._lines.get(key)
        if line is not None:
            line.ends_at = ends_at
            return _send(line.asking, probe)
        try:
            asking = gevent.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:
            return Outcome.UNSENT
        with asking:
            try:
                asking.connect(address_of(probe.instance))
            except OSError:
                return Outcome.UNSENT
            line = self._lines[key] = _Line(asking, ends_at)
            try:
                return _send(asking, probe) or _listen(line, probe)
            finally:
                del self._lines[key]


def _send(asking: gevent.socket.socket, probe: Probe) -> Outcome | None:
    try:
        asking.send(encode(probe.frame))
    except ConnectionRefusedError:
        return Outcome.REFUSED
    except OSError:
        return Outcome.UNSENT
    return None


def _listen(line: _Line, probe: Probe) -> Outcome | None:
    junk = 0
    is_last_look = False
    while junk < JUNK_MAX and not is_last_look:
        # The last look does not wait: were we late, the answer may lie there all the same.
        left = line.ends_at - time.monotonic()
        is_last_look = left <= 0
        line.asking.settimeout(max(0.0, left))
        try:
            data = line.asking.recv(RECEIVE_BYTES)
        except ConnectionRefusedError:
            return Outcome.REFUSED
        except (TimeoutError, BlockingIOError):
            continue
        except OSError:  # the network says what silence says
            return None
        try:
            if probe.is_answer(decode(data, Role.BINDER)):
                return Outcome.ALIVE
        except MalformedFrame:
            pass
        junk += 1
    return None
