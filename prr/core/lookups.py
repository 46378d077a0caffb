"""Lookups: the one path by which they are answered, alone or in runs, now or later."""

from collections.abc import Sequence

from prr.config import WireForm
from prr.core.directory.directory import Directory
from prr.core.effects import Answer, Effect, stray
from prr.core.whole_service import answer_whole
from prr.wire.found import FoundForm
from prr.wire.frames import Found, FoundInstance, Lookup
from prr.wire.instance import Address, Instance
from prr.wire.query import Query
from prr.wire.questions import Asked, asked_by
from prr.wire.seal import Seal
from prr.wire.whole_service import WholeQuery

FOUND_FORMS: dict[WireForm, FoundForm] = {
    WireForm.SPEC: Found,
    WireForm.LAB2016: FoundInstance,
}
"""What its codec answers a lookup with, for each form that a binder may be told to use."""

WAITING_MAX = 16384
"""Lookups kept that cannot be answered yet, some 3 MB: all that a queue of 8 MiB held while the
binder was down. Those beyond are asked again by their clients."""


class Lookups:
    """Answers one binder's clients. Until it `denies` it does not know what does not exist."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._lookup_run = directory.lookup_run
        self._slots = directory.slots
        self._waiting: list[tuple[Asked, bool, Address, Seal | None]] = []

    def find(self, types: bytes, denies: bool) -> list[Instance]:
        """The answers to a run of lookups, up to the first one that has to wait; NOBODY where
        there is none."""
        return self._lookup_run(types, denies)

    def find_asked(self, asked: Sequence[Asked], denies: bool) -> list[Instance]:
        """Likewise, of those that say more than a number."""
        return self._lookup_run(self._slots(asked), denies)

    def answer(self, lookup: Lookup, source: Address, denies: bool) -> list[Effect]:
        """The answer to one lookup, or, as long as it has to wait, none. It is never longer than
        the question, or than an answer to a bare one: a name that leaves no room gets none."""
        if isinstance(lookup.trailer, WholeQuery):
            return answer_whole(self._directory, lookup, lookup.trailer, source) if denies else []
        said = lookup.trailer if isinstance(lookup.trailer, Query) else None
        has_room = said is not None and said.has_room
        if said is not None and not has_room and isinstance(lookup.service, str):
            return [stray(lookup, source)]
        return self._answer_one(asked_by(lookup), has_room, source, lookup.seal, denies)

    def _answer_one(
        self, asked: Asked, is_read: bool, source: Address, seal: Seal | None, denies: bool
    ) -> list[Effect]:
        if found := self._lookup_run(self._slots((asked,)), denies):
            answer = seal.answer() if seal is not None and seal.fault is None else None
            return [Answer(found[0], source, asked if is_read else None, answer)]
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((asked, is_read, source, seal))
        return []

    def answer_waiting(self) -> list[Effect]:
        """Answer those who had to wait: what is not known now does not exist."""
        waiting, self._waiting = self._waiting, []
        return [effect for asked in waiting for effect in self._answer_one(*asked, denies=True)]
