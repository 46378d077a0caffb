"""Operators who take servers out of turn for a time, and what then may not happen anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from prr.core.trust import is_valid
from prr.trust.keyring import Held
from prr.wire.codec import Codec
from prr.wire.drain import decode_drain
from prr.wire.frames import Frame, ListRequest, Role
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import Address, Instance, describe, is_wide
from prr.wire.proofs import Again
from prr.wire.seal import Seal
from prr.wire.trailer import Question
from tests.sim import adapter
from tests.sim.network import Socket, read
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.processes import BinderProcess

OPERATORS_HOST = "10.0.2.1"
"""Where operators are who have a key: on a client's host."""

SECONDS = (0, 0, 1, 2, 4, 8)
"""For how long an instance may be drained; 0: it is put back."""

SPREADS = 1.0
"""Seconds after which every binder that can be told is to know of it."""

LATE = 0.1
"""Seconds by which a drain may end late, at a binder that runs."""

AGAINS = 3
"""Times that an operator says the same with another ticket."""

_BINDER = Codec(Role.BINDER)


class Said(NamedTuple):
    """The last word of an operator on an instance."""

    word: bytes
    moment: float
    binder: BinderProcess


class Operators:
    """Say at some binder that some instance is drained, or no longer. Apart from all else that is
    chosen by chance, so that the rest of a run is what it would be without."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rng = Random(f"{cluster.options.seed}/operators")
        self._said = 0
        self._over = False

    def start(self) -> None:
        """Begin, if there are any."""
        if self._cluster.options.drains:
            self._wait()

    def end(self) -> None:
        """Nobody says anything any more."""
        self._over = True

    def _wait(self) -> None:
        pause = self._rng.expovariate(self._cluster.options.drains)
        self._cluster.world.after(pause, self._act)

    def _act(self) -> None:
        if self._over:
            return
        running = [binder for binder in self._cluster.live_binders() if not binder.paused]
        known = sorted(self._cluster.truth.up)  # some of them are gone
        if running and known:
            self._say(self._rng.choice(running), self._rng.choice(known))
        self._wait()

    def _say(self, binder: BinderProcess, instance: Instance) -> None:
        rng, seconds = self._rng, self._rng.choice(SECONDS)
        self._said += 1
        asked = DrainQuery(
            question=Question.DRAIN,
            nonce=self._said,
            seconds=seconds,
            text=f"{self._said}".encode(),  # no two say the same
            last=1 if rng.random() < 0.5 else None,
            cursor=None if is_wide(instance) else instance,
            instance=instance if is_wide(instance) else None,
        )
        frame, truth = ListRequest(trailer=asked), self._cluster.truth
        if (held := self._cluster.keys.of_operator) is not None:
            _Operator(self._cluster, held, binder, frame, rng.getrandbits(64)).say()
            return
        data = _BINDER.encode(frame)
        truth.drain_words[data] = binder
        binder.receive(data, (binder.host.ip, rng.randint(1024, 9999)))


class _Operator:
    """One with a credential, on another host, who says one thing."""

    role = Role.BINDER
    paused = False

    def __init__(
        self,
        cluster: Cluster,
        held: Held,
        binder: BinderProcess,
        frame: ListRequest,
        number: int,
    ) -> None:
        self._cluster = cluster
        self._codec = Codec(self.role, keys=held)
        self._binder = binder
        self._frame = replace(frame, seal=Seal(number))
        host = cluster.network.hosts[OPERATORS_HOST]
        address = host.ip, host.free_port()
        self._line = Socket(cluster.network, address, self, self._receive, binder.address)
        self._agains = 0

    def say(self) -> None:
        """Say it, as often as the binder wants to hear it with a ticket."""
        data = self._codec.encode(self._frame)
        self._cluster.truth.drain_words[data] = self._binder
        self._line.send(data, self._binder.address)

    def _receive(self, data: bytes, _: Address) -> None:
        frame = read(data, self._codec)
        if frame is None or not is_valid(frame.seal):
            return
        if isinstance(frame.trailer, Again) and self._agains < AGAINS:
            self._agains += 1
            self._frame = replace(self._frame, seal=Seal(frame.trailer.ticket))
            self.say()
        else:  # done, or not to be done: whoever has said it is gone
            self._line.close()


def _drained(said: DrainQuery) -> Instance:
    return Instance(said.instance or said.cursor or b"")


class DrainLedger:
    """What one binder process makes of what operators say, and the rules it must keep."""

    def __init__(self, binder: BinderProcess) -> None:
        self._binder = binder
        self._words: dict[Instance, tuple[bytes, float]] = {}  # that drain, and since when
        if binder.disk is not None:
            self._words = binder.disk.words_heard
        self._held_since: dict[Instance, float] = {}
        self._has_begun = False

    def begin(self) -> None:
        """It has read what it had kept."""
        self._has_begun = True

    def word(self, frame: Frame) -> bytes:
        """The last word of an operator on the instance that a frame drains; b"" if none does."""
        said = frame.trailer
        if not isinstance(said, DrainQuery) or not _drained(said):
            return b""
        return adapter.drain_word(self._binder.core, _drained(said))

    def heard(self, frame: Frame, data: bytes, before: bytes) -> None:
        """A frame has been handled, and before it this was the `word`: what an operator has said
        holds here from now on, and counts once."""
        said, word = frame.trailer, self.word(frame)
        if not isinstance(said, DrainQuery) or word == before:
            return
        truth, instance = self._binder.cluster.truth, _drained(said)
        if truth.drain_words.pop(data, None) is not self._binder and not self._is_unsure:
            what = f"drains {describe(instance)}, or does no longer, as no operator has said"
            raise Violation(f"{self._binder.name}: {what}")
        last = truth.drains.get(instance)
        if last is None or word > last.word or self._is_forgotten(instance, last.word):
            truth.drains[instance] = Said(word, self._binder.world.now, self._binder)
            self.stepped()

    def _is_forgotten(self, instance: Instance, word: bytes) -> bool:
        """Nobody knows a drain of what has been gone since, whose words are counted anew."""
        binders = self._binder.cluster.live_binders()
        return all(adapter.drain_word(one.core, instance) < word for one in binders)

    def stepped(self) -> None:
        """A step is over."""
        if self._binder.paused or not self._has_begun or self._is_unsure:
            return
        for instance, said in self._said.items():
            word = adapter.drain_word(self._binder.core, instance)
            self._check_time(instance, word)
            if not adapter.holds(self._binder.core, instance):
                self._held_since.pop(instance, None)
                continue
            held_since = self._held_since.setdefault(instance, self._binder.world.now)
            if word < said.word:
                self._check_told(instance, said, held_since)

    def _check_told(self, instance: Instance, said: Said, held_since: float) -> None:
        """It does not know what was said. Who does hands out others: see `turns`."""
        now, seconds = self._binder.world.now, decode_drain(said.word).seconds
        is_over = seconds and now > said.moment + seconds * (1 - self._drift)
        if is_over or now < max(said.moment, held_since) + SPREADS:
            return
        is_known = adapter.drain_word(said.binder.core, instance) >= said.word
        if is_known and self._binder.cluster.could_tell(said.binder, self._binder, said.moment):
            what = f"{describe(instance)} was {'drained' if seconds else 'put back'}"
            raise Violation(
                f"{self._binder.name}: has not heard in {now - said.moment:.1f} s that {what}"
            )

    def _check_time(self, instance: Instance, word: bytes) -> None:
        """It knows of a drain until its end, and no longer."""
        now, name = self._binder.world.now, describe(instance)
        was, since = self._words.get(instance, (b"", now))
        seconds = decode_drain(was).seconds
        if word < was and now < since + seconds * (1 - self._drift):
            raise Violation(f"{self._binder.name}: forgets that {name} is drained")
        if not decode_drain(word).seconds:
            self._words.pop(instance, None)
        elif word != was:
            self._words[instance] = word, now
        elif now > since + seconds / (1 - self._drift) + LATE and self._has_run(LATE):
            what = f"{name} drained for {now - since:.1f} s of {seconds}"
            raise Violation(f"{self._binder.name}: has {what}")

    def _has_run(self, seconds: float) -> bool:
        """It was not stopped lately."""
        return self._binder.world.now - self._binder.changed_at > seconds

    @property
    def _said(self) -> Mapping[Instance, Said]:
        return self._binder.cluster.truth.drains

    @property
    def _drift(self) -> float:
        return self._binder.cluster.options.drift

    @property
    def _is_unsure(self) -> bool:
        """Damaged bytes have passed for sound ones, or a peer is hostile: anybody may be drained,
        or put back."""
        cluster = self._binder.cluster
        return cluster.network.forged > 0 or cluster.options.hostile > 0
