"""A server, running, whose requests a program answers: each in a greenlet of its own."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, assert_never

import gevent

from prr.core.calls import Calls, Handle, ServiceEffect
from prr.core.effects import Report, Send, Stop
from prr.core.server import Server
from prr.shell.node import Node
from prr.shell.udp.datagrams import Datagrams
from prr.wire.call_messages import Failed
from prr.wire.codec import Codec
from prr.wire.fields import MESSAGE_BYTES_MAX
from prr.wire.frames import Frame, Request, Response
from prr.wire.instance import Address
from prr.wire.trailer import ERROR_BYTES_MAX

GRACE = 5.0
"""Seconds that requests under way are given when the server stops."""

LOOK_PAUSE = 0.01
"""Seconds between two looks whether they are answered."""

Handler: TypeAlias = Callable[[bytes], bytes]
"""Answers one request: at most 255 bytes in, and out."""

_log = logging.getLogger("prr")


class ServiceNode(Node[ServiceEffect]):
    """Runs a server's core, and the program behind it."""

    def __init__(
        self,
        core: Server,
        codec: Codec,
        lanes: Sequence[Datagrams],
        first_line: str,
        handler: Handler,
        at_once: int,
    ) -> None:
        """As of every node; `handler` answers at most `at_once` requests at a time."""
        super().__init__(core, codec, lanes, first_line)
        self._calls = Calls(at_once)
        self._handler = handler

    def _do(self, effect: ServiceEffect) -> None:
        match effect:
            case Send():
                self._send(effect.frame, effect.target)
            case Report():
                self._report(effect)
            case Handle():
                self._workers.spawn(partial(self._answer, effect))
            case Stop():
                self._workers.spawn(partial(self._end, effect))
            case _:
                assert_never(effect)

    def _handle(self, frame: Frame, source: Address) -> None:
        if isinstance(frame, Request):
            self.step(self._calls.asked, frame, source)
        else:
            super()._handle(frame, source)

    def _answer(self, request: Handle) -> None:
        """Have the program answer, and tell the core, whatever becomes of it."""
        try:
            answer = Response(_checked(self._handler(request.message)))
        except BaseException as error:  # a Timeout, or sys.exit: the service goes on
            _log.debug("the program failed at a request", exc_info=True)
            said = f"{type(error).__name__}: {error}".encode(errors="backslashreplace")
            answer = Response(b"", trailer=Failed(error=said[:ERROR_BYTES_MAX]))
        self.step(self._calls.answered, request, answer)

    def _end(self, stop: Stop) -> None:
        ends_at = time.monotonic() + GRACE
        while self._calls.running and time.monotonic() < ends_at:
            gevent.sleep(LOOK_PAUSE)
        self._stopped.set(stop)


def _checked(answer: object) -> bytes:
    """The program's answer, if it fits into a frame."""
    if not isinstance(answer, bytes | bytearray | memoryview):
        raise TypeError(f"the handler returned {type(answer).__name__}; return bytes")
    if len(answer) > MESSAGE_BYTES_MAX:
        raise ValueError(
            f"the handler returned {len(answer)} bytes; a frame holds {MESSAGE_BYTES_MAX} at most"
        )
    return bytes(answer)
