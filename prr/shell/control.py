"""Answers to a program on this host: texts that may be longer than a datagram, told in parts."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from prr.core.binder import Binder
from prr.core.effects import Send, Tell
from prr.core.health import degraded
from prr.core.lease import lease_row
from prr.shell.event_history import EventHistory
from prr.shell.udp.overload import Overload
from prr.wire.frames import ServiceList
from prr.wire.inquiries import TextPart
from prr.wire.instance import Address, Instance
from prr.wire.trailer import PART_BITS, TEXT_BYTES_MAX, Question

TEXTS_MAX = 8
"""Texts kept while their parts are fetched, so that all parts are of one snapshot."""


class ControlAnswers:
    """Composes the texts, and hands out their parts."""

    def __init__(self, core: Binder, history: EventHistory, overload: Overload) -> None:
        self._core = core
        self._history = history
        self._known_here: dict[str, Callable[[], Any]] = {"overload": overload.status}
        self._began_at = time.monotonic()
        self._texts: OrderedDict[tuple[Address, int], bytes] = OrderedDict()

    def add(self, key: str, ask: Callable[[], Any]) -> None:
        """Have one more key in `status`, with what `ask` says then: what only the shell knows."""
        self._known_here[key] = ask

    def status(self) -> dict[str, Any]:
        """How the binder is: whether it is well, and if not why; then all that is known of it."""
        now = time.monotonic()
        told = self._core.status(now) | {"uptime_s": round(now - self._began_at, 3)}
        told |= {key: ask() for key, ask in self._known_here.items()}
        reasons = degraded(told)
        return {"ok": not reasons, "degraded": reasons} | told

    def answer(self, tell: Tell) -> Send:
        """One part of the text that is asked for; its nonce says of which asking."""
        key = (tell.target, tell.nonce >> PART_BITS)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._compose(tell)
            if len(self._texts) > TEXTS_MAX:
                self._texts.popitem(last=False)
        piece = text[tell.offset : tell.offset + TEXT_BYTES_MAX]
        part = TextPart(nonce=tell.nonce, offset=len(text), text=piece)
        return Send(ServiceList((), trailer=part), tell.target)

    def _compose(self, tell: Tell) -> bytes:
        match tell.question:
            case Question.STATUS:
                return json.dumps(self.status()).encode()
            case Question.WHY:
                return json.dumps(self.why(tell.instance)).encode()
            case Question.DRAIN:
                raise AssertionError("the core answers that itself")

    def why(self, instance: Instance | None) -> dict[str, Any]:
        """What is known of an instance, and what has happened to it."""
        if instance is None:
            return {"held": False, "suspect": False, "events": []}
        return {
            "held": instance in self._core.directory,
            "suspect": self._core.directory.is_suspect(instance),
            **lease_row(self._core.lease(instance), time.monotonic()),
            "events": self._history.about(instance),
        }
