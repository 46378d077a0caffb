"""Lookups: the one path by which they are answered, alone or in runs, now or later."""

from prr.config import WireForm
from prr.core.directory.directory import Directory
from prr.core.effects import Answer, Effect, stray
from prr.wire.found import FoundForm
from prr.wire.frames import Found, FoundInstance, Lookup
from prr.wire.instance import Address, Instance, Service
from prr.wire.query import Query

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
        self._slots = directory.slots
        self._slots_of_names = directory.slots_of_names
        self._waiting: list[tuple[Service, Address]] = []

    def find(self, types: bytes, denies: bool) -> list[Instance]:
        """The answers to a run of lookups, up to the first one that has to wait; NOBODY where
        there is none."""
        return self._lookup_run(types, denies)

    def find_names(self, names: list[bytes], denies: bool) -> list[Instance]:
        """Likewise, of services with these names, as far as they are names."""
        return self._lookup_run(self._slots_of_names(names), denies)

    def answer(self, asked: Lookup, source: Address, denies: bool) -> list[Effect]:
        """The answer to one lookup, or, as long as it has to wait, none. It is never longer than
        the question: where it would be, there is none."""
        is_named = isinstance(asked.service, str)
        if is_named and isinstance(asked.trailer, Query) and not asked.trailer.has_room:
            return [stray(asked, source)]
        return self._answer_one(asked.service, source, denies)

    def _answer_one(self, service: Service, source: Address, denies: bool) -> list[Effect]:
        if found := self._lookup_run(self._slots((service,)), denies):
            return [Answer(found[0], source, isinstance(service, str))]
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((service, source))
        return []

    def answer_waiting(self) -> list[Effect]:
        """Answer those who had to wait: what is not known now does not exist."""
        waiting, self._waiting = self._waiting, []
        return [effect for asked in waiting for effect in self._answer_one(*asked, denies=True)]
