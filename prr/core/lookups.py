"""Lookups: the one path by which they are answered, alone or in runs, now or later."""

from prr.config import WireForm
from prr.core.directory.directory import Directory
from prr.core.effects import Answer, Effect
from prr.wire.found import FoundForm
from prr.wire.frames import Found, FoundInstance
from prr.wire.instance import Address, Instance

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
        self._lookup_run = directory.lookup_run
        self._waiting: list[tuple[int, Address]] = []

    def find(self, types: bytes, denies: bool) -> list[Instance]:
        """The answers to a run of lookups, up to the first one that has to wait; NOBODY where
        there is none."""
        return self._lookup_run(types, denies)

    def answer(self, type_: int, source: Address, denies: bool) -> list[Effect]:
        """The answer to one lookup, or, as long as it has to wait, none."""
        if found := self.find(bytes((type_,)), denies):
            return [Answer(found[0], source)]
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((type_, source))
        return []

    def answer_waiting(self) -> list[Effect]:
        """Answer those who had to wait: what is not known now does not exist."""
        waiting, self._waiting = self._waiting, []
        return [effect for asked in waiting for effect in self.answer(*asked, denies=True)]
