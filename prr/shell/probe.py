"""One question to an accused instance, from a fresh connected socket.

Connected, so that a refusal (ICMP port unreachable) reaches us; fresh, so that its port can be
guessed by nobody and nothing but the answer arrives there.
"""

import socket
import time

import gevent.socket

from prr.core.effects import Outcome
from prr.shell.datagrams import RECEIVE_BYTES
from prr.wire.address import Instance, address_of
from prr.wire.codec import decode, encode
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Alive, Role, Verify

JUNK_MAX = 8
"""Datagrams that are no answer after which nobody listens any more: one who floods its socket
must not keep the processor from everybody else."""


def ask(instance: Instance, wait: float) -> Outcome | None:
    """Ask `instance` whether it lives and listen for `wait` seconds; None if it is silent."""
    ends_at = time.monotonic() + wait
    try:
        asking = gevent.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return Outcome.UNSENT
    with asking:
        try:
            asking.connect(address_of(instance))
            asking.send(encode(Verify()))
        except ConnectionRefusedError:
            return Outcome.REFUSED
        except OSError:
            return Outcome.UNSENT
        return _listen(asking, ends_at)


def _listen(asking: gevent.socket.socket, ends_at: float) -> Outcome | None:
    for _ in range(JUNK_MAX):
        # The last look does not wait: were we late, the answer may lie there all the same.
        asking.settimeout(max(0.0, ends_at - time.monotonic()))
        try:
            data = asking.recv(RECEIVE_BYTES)
        except ConnectionRefusedError:
            return Outcome.REFUSED
        except OSError:  # time is up, or the network says what silence says
            return None
        try:
            if isinstance(decode(data, Role.BINDER), Alive):
                return Outcome.ALIVE
        except MalformedFrame:
            continue  # not an answer; the answer may still come
    return None
