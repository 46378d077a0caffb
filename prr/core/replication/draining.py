"""Takes instances out of turn for a time, because an operator says so, and puts them back."""

from collections.abc import Sequence
from math import ceil

from prr.core.effects import Confirm, DrainRow, Effect, Event, Report, Send, stray
from prr.core.replication.drains import DRAINS_MAX
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.drain import Drain, decode_drain, drain_in, encode_drain, with_drain
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.inquiries import DrainQuery, TextPart
from prr.wire.instance import Address, Instance
from prr.wire.particulars import DRAIN_WHY_BYTES_MAX, is_line
from prr.wire.trailer import Drained, Question

ASKED_AGAIN = 2.0
"""Seconds within which the same word counts as a copy of the first, whose answer was lost."""


class Draining:
    """The rules of one binder."""

    def __init__(self, versioned: VersionedDirectory, keeps: bool) -> None:
        """`keeps`: an answer goes out once what it says is on disk."""
        self._versioned = versioned
        self._directory = versioned.directory
        self._drains = versioned.drains
        self._keeps = keeps

    def asked(self, asked: DrainQuery, source: Address, now: float) -> list[Effect]:
        """An operator, at a program on this binder's host, drains an instance, or does so no
        longer."""
        is_text = is_line(asked.text) and len(asked.text) <= DRAIN_WHY_BYTES_MAX
        if not is_text or asked.question != Question.DRAIN:
            return [stray(ListRequest(trailer=asked), source)]
        instance = Instance(asked.instance or asked.cursor or b"")
        became, effects = self._decide(instance, asked, source, now)
        said = became.value.encode()
        part = TextPart(nonce=asked.nonce, offset=len(said), text=said)
        answer = ServiceList((), trailer=part)
        is_kept = self._keeps and became is Drained.DONE
        promise = Confirm(instance, answer, source) if is_kept else Send(answer, source)
        return [*effects, promise]

    def hear(self, instance: Instance, particulars: bytes, who: str, now: float) -> list[Effect]:
        """A binder, `who`, has said with which particulars an instance is there, in whichever
        version: what operators said of it counts in any."""
        word = drain_in(particulars)
        if instance not in self._directory or word <= self._drains.word(instance):
            return []
        was = self._directory.is_drained(instance)
        self._put(instance, word, now)
        return _report(instance, was, decode_drain(word), f"says {who}")

    def resume(self, kept: Sequence[DrainRow], now: float) -> list[Effect]:
        """These were drained, and are for so many seconds yet, unless a later word is known."""
        effects: list[Effect] = []
        for instance, word, left in kept:
            known = self._drains.word(instance)
            if word > known and instance in self._directory:  # it came back before this was read
                effects += self._say(instance, decode_drain(word), now)
            if word >= known:
                self._drains.note(instance, word, now, left)
        return effects + self.tick(now)

    def tick(self, now: float) -> list[Effect]:
        """Put back those whose time is over, and tell the others. Safe to call too often."""
        effects: list[Effect] = []
        while (instance := self._drains.pop_over(now)) is not None:
            if self._directory.is_drained(instance):
                over = self._last(instance).followed_by(0, "")
                effects += self._say(instance, over, now)
                effects.append(Report(Event.UNDRAINED, instance, "its time is over"))
        return effects

    def _decide(
        self, instance: Instance, asked: DrainQuery, source: Address, now: float
    ) -> tuple[Drained, list[Effect]]:
        if instance not in self._directory:
            return self._decide_of_gone(instance, asked, source, now)
        was = self._directory.is_drained(instance)
        why = asked.text.decode()
        if self._is_copy(instance, asked.seconds, why, now) or not (was or asked.seconds):
            return Drained.DONE, []
        if asked.seconds and not was:
            if len(self._drains) >= DRAINS_MAX or self._last(instance).is_last:
                return Drained.TOO_MANY, []
            if not asked.last and self._directory.is_last_in_turn(instance):
                return Drained.LAST, []
        word = self._last(instance).followed_by(asked.seconds, why if asked.seconds else "")
        told = self._say(instance, word, now)
        return Drained.DONE, told + _report(instance, was, word, f"by {source[0]}")

    def _decide_of_gone(
        self, instance: Instance, asked: DrainQuery, source: Address, now: float
    ) -> tuple[Drained, list[Effect]]:
        """It is not held, but may be known as drained for when it is back."""
        if asked.seconds or instance not in self._drains:
            return Drained.NOT_HELD, []
        was = self._drains.seconds_left(instance, now) is not None
        word = self._last(instance).followed_by(0, "")
        if was:
            self._drains.note(instance, encode_drain(word), now)
        return Drained.GONE, _report(instance, was, word, f"by {source[0]}")

    def _is_copy(self, instance: Instance, seconds: int, why: str, now: float) -> bool:
        last, left = self._last(instance), self._drains.seconds_left(instance, now)
        is_same = (last.seconds, last.why) == (seconds, why)
        return is_same and left is not None and left >= seconds - ASKED_AGAIN

    def _last(self, instance: Instance) -> Drain:
        return decode_drain(self._drains.word(instance))

    def _say(self, instance: Instance, word: Drain, now: float) -> list[Effect]:
        """Decide this, and tell the others."""
        self._put(instance, encode_drain(word), now)
        return self._versioned.tell_added(instance, is_news=False)

    def _put(self, instance: Instance, word: bytes, now: float) -> None:
        self._drains.note(instance, word, now)
        particulars = self._directory.particulars(instance)
        self._directory.describe(instance, with_drain(particulars, word))


def seconds_text(seconds: float) -> str:
    """A duration as people say it: whole minutes where it is that many, else seconds."""
    whole = ceil(seconds)
    return f"{whole // 60} min" if whole and whole % 60 == 0 else f"{whole} s"


def _report(instance: Instance, was: bool, word: Drain, who: str) -> list[Effect]:
    """What has become of an instance that `was` drained, or not; `who` has said so."""
    if not word.seconds:
        return [Report(Event.UNDRAINED, instance, who)] if was else []
    why = f"for {seconds_text(word.seconds)}, {who}" + (f": {word.why}" if word.why else "")
    return [Report(Event.DRAINED, instance, why)]
