"""Answers what the process that serves HTTP asks: each call in its own way, never many at once."""

import logging
from contextlib import suppress

import gevent
import gevent.event
from gevent.queue import Full, Queue

from prr.shell.admin.calls import Call, Kind, Refusal, read_call, write
from prr.shell.admin.interface import Interface
from prr.shell.admin.link import Link, Over

LONG_MAX = 64
"""Calls that wait to be answered in parts; those beyond are refused. The process asks for one list
at a time, and for what operators want to see."""

CHANGES_MAX = 32
"""Changes that wait for the disk at once; those beyond are refused."""

IN_PARTS = ("status", "why", "services", "instances")
CHANGING = ("complain", "drain")

_log = logging.getLogger("prr")


class Answering:
    """Answers on one link."""

    def __init__(self, link: Link, interface: Interface) -> None:
        self._link = link
        self._interface = interface
        self._long: Queue[Call] = Queue(LONG_MAX)
        self._greenlet = gevent.spawn(self._answer_long)
        self._changing = 0
        self.heard = 0
        """Calls so far."""
        self.begun = gevent.event.Event()
        """There was one."""

    def run(self) -> None:
        """Until the other side is gone. Raises Over, or Malformed."""
        while True:
            call = read_call(self._link.receive())
            self.heard += 1
            self.begun.set()
            if call.name in IN_PARTS:
                self._answer_later(call)
            elif call.name in CHANGING:
                self._change(call)
            else:
                self._answer(call)

    def close(self) -> None:
        """Answer no more. What changes something comes to its end."""
        self._greenlet.kill()

    def _answer(self, call: Call) -> None:
        try:
            kind, said = Kind.LAST, getattr(self._interface, call.name)(*call.arguments)
        except Exception:  # that must not end the binder
            kind, said = self._bug(call)
        self._link.send(write((call.number, kind, said)))

    def _answer_later(self, call: Call) -> None:
        try:
            self._long.put_nowait(call)
        except Full:
            self._link.send(write((call.number, Kind.REFUSED, Refusal.BUSY)))

    def _answer_long(self) -> None:
        """One after the other: they are long, and each is made while it is sent."""
        try:
            for call in self._long:
                self._answer_in_parts(call)
        except Over:
            return  # which `run` tells

    def _answer_in_parts(self, call: Call) -> None:
        parts = getattr(self._interface, call.name)(*call.arguments)
        kind = Kind.PART
        while kind is Kind.PART:
            try:
                said = next(parts)
            except StopIteration as over:
                kind, said = Kind.LAST, over.value
            except Exception:  # that must not end the binder
                kind, said = self._bug(call)
            self._link.send(write((call.number, kind, said)))

    def _change(self, call: Call) -> None:
        """What that changes may have to be on disk first: others are answered meanwhile."""
        if self._changing >= CHANGES_MAX:
            self._link.send(write((call.number, Kind.REFUSED, Refusal.BUSY)))
            return
        self._changing += 1
        gevent.spawn(self._answer_change, call)

    def _answer_change(self, call: Call) -> None:
        try:
            with suppress(Over):
                self._answer(call)
        finally:
            self._changing -= 1

    def _bug(self, call: Call) -> tuple[Kind, Refusal]:
        _log.exception("bug where HTTP asks the binder: %s", call.name)
        return Kind.REFUSED, Refusal.BUG
