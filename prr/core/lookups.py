"""Lookups: the one path by which they are answered, alone or in runs, now or later."""

from prr.config import WireForm
from prr.core.directory.rotation import Rotation
from prr.core.effects import Answer, Effect
from prr.wire.found import AnswerRun, encode_found_instance_run, encode_found_run
from prr.wire.instance import Address

WAITING_MAX = 16384
"""Lookups kept that cannot be answered yet, some 3 MB: all that a queue of 8 MiB held while the
binder was down. Those beyond are asked again by their clients."""


class Lookups:
    """Answers one binder's clients. Until it `denies` it does not know what does not exist."""

    def __init__(self, rotation: Rotation, wire: WireForm) -> None:
        self._rotation = rotation
        self._encode = encode_found_run if wire is WireForm.SPEC else encode_found_instance_run
        self._waiting: list[tuple[int, Address]] = []

    def answers(self, types: bytes, denies: bool) -> AnswerRun:
        """The answers to a run of lookups, up to the first one that has to wait."""
        return self._encode(self._rotation.next(types, denies))

    def answer(self, type_: int, source: Address, denies: bool) -> list[Effect]:
        """The answer to one lookup, or, as long as it has to wait, none."""
        answers = self.answers(bytes((type_,)), denies)
        if answers.data:
            return [Answer(answers.data, source)]
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((type_, source))
        return []

    def answer_waiting(self) -> list[Effect]:
        """Answer those who had to wait: what is not known now does not exist."""
        waiting, self._waiting = self._waiting, []
        return [effect for asked in waiting for effect in self.answer(*asked, denies=True)]
