"""A binder, running: what it does beyond what every node does.

Lookups are answered a run at a time, as are subscriptions that are alike. Instances in doubt are
asked from sockets of their own, what it knows is kept, and programs on this host hear how it is.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, assert_never, cast

from prr.core.binder import Binder
from prr.core.directory.results import NOBODY
from prr.core.effects import (
    Answer,
    AskAgain,
    Confirm,
    ConfirmAll,
    ConfirmSealed,
    Effect,
    KeepDrains,
    Persist,
    Probe,
    ProbeAll,
    Report,
    ReportAll,
    Send,
    Stop,
    Tell,
)
from prr.core.metrics import Metric, by_key
from prr.shell.confirmations import Confirmations
from prr.shell.control import ControlAnswers
from prr.shell.event_history import EventHistory
from prr.shell.group_prober import GroupProber
from prr.shell.node import Node
from prr.shell.prober import Prober
from prr.shell.storage.drains_file import DrainsFile
from prr.shell.storage.store import Store
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.reader import Reader
from prr.trust.keyring import Held, Keyring
from prr.wire.codec import Codec
from prr.wire.forms import FORM_OF
from prr.wire.found import AnswerRun
from prr.wire.frames import Alive, Complaint, Frame, Lookup, Removed, Subscribe
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import Address, Instance, address_of
from prr.wire.questions import Asked

_LOOKUP, *_SUBSCRIBING = (bytes((FORM_OF[one].code,)) for one in (Lookup, Subscribe, Alive))
_FRAMES_RECEIVED, _LOOKUPS = Metric.FRAMES_RECEIVED, Metric.LOOKUPS  # 0.15 us to find in there

_log = logging.getLogger("prr")


class BinderNode(Node[Effect]):
    """Runs a binder's core."""

    def __init__(
        self,
        core: Binder,
        codec: Codec,
        lanes: Sequence[Datagrams],
        first_line: str,
        store: Store,
        names: Mapping[int, str] | None = None,
        drains: DrainsFile | None = None,
    ) -> None:
        """As of every node; `store` keeps what this binder knows, and gives it back first, and
        `drains` until when what is drained; None: nothing is kept."""
        super().__init__(core, codec, lanes, first_line, names)
        self._binder = core
        self._store, self._drains = store, drains
        self._confirmations = Confirmations(store, codec, self._outbox, self._send)
        self._prober = Prober(partial(self._later, core.probed), codec)
        self._group_prober = GroupProber(partial(self._later, core.answered_all), codec)
        self._history = EventHistory()
        self._control = ControlAnswers(core, self._history, self._overload)
        self.tell("state", store.status)
        self.tell("counters", lambda: by_key(self._count_all()))
        if codec.has_keys:
            self.tell("seals", lambda: codec.opened)

    @property
    def core(self) -> Binder:
        """What decides; to be read only."""
        return self._binder

    @property
    def keyring(self) -> Keyring | None:
        """The cluster's, as it is now; None without keys."""
        return self._codec.keyring

    def status(self) -> dict[str, Any]:
        """How the binder is, as `prr status` shows it."""
        return self._control.status()

    def why(self, instance: Instance) -> dict[str, Any]:
        """What is known of an instance, as `prr why` shows it."""
        return self._control.why(instance)

    def counts(self) -> Counter[Metric]:
        """What has happened so far, how often."""
        return self._count_all()

    def queue_drops(self) -> dict[str, int]:
        """How many datagrams the kernel has dropped, by what the queue holds."""
        drops = dict.fromkeys((lane.holds for lane in self._lanes), 0)
        for lane in self._lanes:
            drops[lane.holds] += lane.dropped
        return drops

    def look_up(self, asked: Asked) -> Instance | None:
        """The instance whose turn it is, as for who asks with a datagram and may; None if there is
        none, or none is known yet."""
        found = self._binder.look_up_asked([asked], is_proved=True)
        self._counts[Metric.LOOKUPS] += len(found)
        self._counts[Metric.UNKNOWN] += found.count(NOBODY)
        return found[0] if found and found[0] != NOBODY else None

    def operate(
        self, what: Complaint | DrainQuery, source: Address, hear: Callable[[Frame], None]
    ) -> list[Report]:
        """Have the core do what an operator says, and return its reports; `hear` is called with
        what it answers him at `source`, once what that says is kept."""
        effects = self._binder.operators.do(what, source, time.monotonic())
        told = [one for one in effects if isinstance(one, Send | Confirm) and one.target == source]
        self._follow([one for one in effects if one not in told])
        for one in told:
            if isinstance(one, Confirm):
                self._store.confirm(one.instance, partial(hear, one.frame))
            else:
                hear(one.frame)
        return [one for one in effects if isinstance(one, Report)]

    def change_keys(self, keys: Keyring | Held) -> None:
        """Seal and open with these from now on; whose credentials are revoked goes."""
        super().change_keys(keys)
        if isinstance(keys, Keyring):
            self.step(self._binder.operators.revoke, keys.revoked)

    def tell(self, key: str, ask: Callable[[], Any]) -> None:
        """Have `status` say under `key` what `ask` says then."""
        self._control.add(key, ask)

    def _begin(self) -> None:
        if not self._store.keeps:
            _log.info("state in memory only: started without --state DIR")
        self._workers.spawn(self._load)

    def _load(self) -> None:
        """Learn what was kept, while others are served; then start."""
        self._store.load(self._binder.directory, partial(self.step, self._binder.learn))
        drains = self._drains.read() if self._drains else []
        self.step(partial(self._binder.start, drains=drains))

    def _is_serving(self) -> bool:
        return self._binder.is_serving

    def _do_all(self, effects: Sequence[Effect]) -> None:
        """The reports of one event that follow each other at once: a herd makes many."""
        for event, alike in groupby(effects, lambda one: isinstance(one, Report) and one.event):
            if not event:
                for effect in alike:
                    self._do(effect)
            else:
                self._tell_all(*cast(Iterator[Report], alike))

    def _tell_all(self, *reports: Report | ReportAll) -> None:
        self._history.note(*reports)
        self._report(*reports)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect.frame, effect.target)
            case Answer():
                self._counts[Metric.LOOKUPS] += 1
                self._counts[Metric.UNKNOWN] += not effect.found
                found = self._codec.found(effect.found, effect.asked, effect.seal)
                self._outbox.send(found, effect.target)
            case Persist() | KeepDrains():
                self._keep(effect)
            case Confirm() | ConfirmAll() | ConfirmSealed() | AskAgain():
                self._confirmations.give(effect)
            case Probe():
                self._prober.ask(effect)
            case ProbeAll():
                self._group_prober.ask(effect)
            case Report() | ReportAll():
                self._tell_all(effect)
            case Tell():
                told = self._control.answer(effect)
                self._send(replace(told.frame, seal=effect.seal), told.target)
            case Stop():
                self._stopped.set(effect)
            case _:
                assert_never(effect)

    def _keep(self, effect: Persist | KeepDrains) -> None:
        if isinstance(effect, Persist):
            self._store.persist(effect)
        elif self._drains is not None:
            self._drains.keep(effect.rows)

    def _is_peer(self, source: Address) -> bool:
        return source in self._binder.peers

    def _handle(self, frame: Frame, source: Address) -> None:
        if isinstance(frame, Removed) and source == address_of(frame.instance):
            for lane in self._lanes:
                lane.forget(frame.instance)
        super()._handle(frame, source)

    def _serve_next(self, reader: Reader) -> None:
        """Serve the next run of a burst, or one datagram."""
        burst, at = reader.datagrams.burst, reader.at
        types = self._codec.types_asked(burst, at)
        if types and (found := self._binder.look_up(types)):
            self._answer(reader, self._codec.found_run(found))
        elif types or not self._serve_run(reader, burst.column(at, 1, 0)):
            super()._serve_next(reader)

    def _serve_run(self, reader: Reader, code: bytes) -> bool:
        """Serve the next run of others than bare lookups, or what is in vain; False if there is
        none. The first of them has this code."""
        if code == _LOOKUP:
            return self._binder.is_ready and self._answer_asked(reader)
        return self._subscribe(reader) if code in _SUBSCRIBING else self._ignore(reader)

    def _answer_asked(self, reader: Reader) -> bool:
        """Answer the next lookups that say what they ask, or are sealed; False if none is."""
        burst, at = reader.datagrams.burst, reader.at
        asked = self._codec.questions_asked(burst, at)
        if asked and (found := self._binder.look_up_asked(asked)):
            self._answer(reader, self._codec.found_read_run(found, asked))
            return True
        if sealed := self._codec.sealed_asked(burst, at):
            found = self._binder.look_up_asked([one.asked for one in sealed], is_proved=True)
            self._answer(reader, self._codec.found_sealed_run(found, sealed))
        return bool(sealed)

    def _subscribe(self, reader: Reader) -> bool:
        """Serve the next subscriptions, as many as are alike; False if that is none."""
        burst, at, now = reader.datagrams.burst, reader.at, time.monotonic()
        if run := self._codec.subscription_run(burst, at):
            count, effects = self._binder.subscribe_run(run, now)
        else:
            said = self._codec.sealed_subscriptions(burst, at)
            count, effects = self._binder.sealed_runs.subscribe(said, now)
        if count:
            reader.pass_run(count)
            self._counts[Metric.FRAMES_RECEIVED] += count
            self._follow(effects)
        return bool(count)

    def _answer(self, reader: Reader, answers: AnswerRun) -> None:
        """Send a run of answers."""
        at, count = reader.at, answers.count
        reader.at += count
        self._counts[_FRAMES_RECEIVED] += count
        self._counts[_LOOKUPS] += count
        if answers.unknown:
            self._counts[Metric.UNKNOWN] += answers.unknown
        self._outbox.answer(reader.datagrams.burst, at, answers)

    def _ignore(self, reader: Reader) -> bool:
        """Count the next complaint, if nothing else follows from it; False if something may."""
        burst, at = reader.datagrams.burst, reader.at
        accused = self._codec.accused(burst, at)
        if report := accused and self._binder.vain.complaint(accused, burst.source(at)):
            reader.at += 1
            self._counts[Metric.FRAMES_RECEIVED] += 1
            self._report(report)
        return bool(report)

    def _later(self, decide: Callable[..., Sequence[Effect]], *about: object) -> None:
        """Let a greenlet of its own tell the core: what follows may have to wait."""
        self._workers.spawn(partial(self.step, decide, *about))

    def _count_all(self) -> Counter[Metric]:
        return super()._count_all() + self._store.counts

    def _health(self) -> str:
        why = "; ".join(self._control.status()["degraded"])
        return f"DEGRADED: {why}; " if why else ""

    def _close(self) -> None:
        super()._close()
        self._prober.close()
        self._group_prober.close()
        if self._drains is not None:
            self._drains.close()
        self._store.close()
