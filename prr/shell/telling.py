"""Answers to a program on this host: texts that may be longer than a datagram, told in parts."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prr.core.binder import Binder
from prr.core.effects import Send, Tell
from prr.shell.journal import Journal
from prr.wire.address import Address, Instance
from prr.wire.frames import ServiceList
from prr.wire.trailer import PART_BITS, TEXT_BYTES_MAX, Question, Trailer

if TYPE_CHECKING:
    from prr.shell.state import State

TEXTS_MAX = 8
"""Texts kept while their parts are fetched, so that all parts are of one moment."""


class Teller:
    """Composes the texts, and hands out their parts."""

    def __init__(
        self,
        core: Binder,
        counts: Callable[[], dict[str, int]],
        journal: Journal,
        state: "State | None",
    ) -> None:
        self._core = core
        self._counts = counts
        self._journal = journal
        self._state = state
        self._began_at = time.monotonic()
        self._texts: OrderedDict[tuple[Address, int], bytes] = OrderedDict()

    def answer(self, tell: Tell) -> Send:
        """One part of the text that is asked for; its nonce says of which asking."""
        key = (tell.target, tell.nonce >> PART_BITS)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._compose(tell)
            if len(self._texts) > TEXTS_MAX:
                self._texts.popitem(last=False)
        part = text[tell.offset : tell.offset + TEXT_BYTES_MAX]
        trailer = Trailer(nonce=tell.nonce, offset=len(text), text=part)
        return Send(ServiceList((), trailer=trailer), tell.target)

    def _compose(self, tell: Tell) -> bytes:
        match tell.question:
            case Question.STATUS:
                now = time.monotonic()
                uptime = {"uptime_s": round(now - self._began_at, 3)}
                counts = {"counters": self._counts()}
                kept = {"state": self._state and self._state.status()}
                return json.dumps(self._core.status(now) | uptime | kept | counts).encode()
            case Question.WHY:
                return json.dumps(self._why(tell.instance)).encode()

    def _why(self, instance: Instance | None) -> dict[str, Any]:
        if instance is None:
            return {"held": False, "suspect": False, "events": []}
        return {
            "held": instance in self._core.registry,
            "suspect": self._core.registry.turns.is_suspect(instance),
            "events": self._journal.about(instance),
        }
