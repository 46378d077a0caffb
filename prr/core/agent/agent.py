"""The agent: a server that speaks for a program, and does so only while that works.

While the program works a `Server` subscribes for it and answers "are you there?", a new one each
time that it works again. As soon as it fails, or ends, that server deregisters. All of them have
one start number, that of the agent's process: a binder that has just been told that the instance is
gone asks whether that is no forgery, and whoever is back by then can answer.
"""

from collections.abc import Callable

from prr.core.agent.effects import AgentEffect, Check
from prr.core.agent.health import Health
from prr.core.agent.program import Program
from prr.core.deadlines import earliest
from prr.core.effects import Event, Report, ServerEffect, Stop, stray
from prr.core.server import Server
from prr.wire.frames import Frame, Request, Verify
from prr.wire.instance import Address

QUESTIONS_MAX = 64
"""Binders whose "are you there?" waits for a check: as many as there are in a cluster."""


class Agent:
    """One agent's decisions."""

    def __init__(
        self,
        name: str,
        make_server: Callable[[], Server],
        health: Health,
        program: Program | None = None,
        grace: float = 0.0,
    ) -> None:
        """`name`: what reports call the instance. `program`: what it runs, None if somebody else
        does. `grace`: seconds between deregistering and having the program end, for calls under
        way."""
        self._name = name
        self._make_server = make_server
        self._health = health
        self._program = program
        self._grace = grace
        self._server: Server | None = None  # subscribes, serves, or leaves
        self._is_leaving = False
        self._questions: dict[Address, Verify] = {}
        self._is_stopping = False
        self._was_up = False  # ever
        self._is_over = False

    @property
    def is_ready(self) -> bool:
        """A binder has confirmed it, and it has not begun to leave."""
        return self._server is not None and self._server.is_ready

    @property
    def status(self) -> int:
        """The exit code of what it has run."""
        return self._program.status if self._program else 0

    def summary(self, now: float) -> str:
        """How it is, in one line."""
        if self._server is None:
            return f"{self._name} is out of turn: {self._health.why}"
        return self._server.summary(now)

    def start(self, now: float) -> list[AgentEffect]:
        """Start the program, if there is one, and begin to check it."""
        effects: list[AgentEffect] = []
        if self._program:
            effects += self._program.launch(now)
        self._health.start(now)
        return [*effects, *self.tick(now)]

    def stop(self, now: float) -> list[AgentEffect]:
        """Deregister, have the program end, and stop. Each further call skips what it waits for."""
        if not self._is_stopping:
            self._is_stopping = True
            return self._settle(now)
        if self._program is None:
            return self._over("stopped at once by a second signal")
        return [*self._program.hurry(now)]

    def handle(self, frame: Frame, source: Address, now: float) -> list[AgentEffect]:
        """Decide about a frame that `source` sent."""
        if self._server is None or isinstance(frame, Request):  # it is no service itself
            return [stray(frame, source)]
        if isinstance(frame, Verify):
            return self._asked(self._server, frame, source, now)
        effects = self._served(self._server.handle(frame, source, now))
        return [*effects, *self._settle(now)]

    def checked(self, passed: bool, words: str, now: float) -> list[AgentEffect]:
        """The check that was asked for has passed or failed; `words`: what it says."""
        effects: list[AgentEffect] = [*self._health.checked(passed, words, now)]
        questions, self._questions = self._questions, {}
        if passed and self._server:
            for source, frame in questions.items():
                effects += self._server.handle(frame, source, now)
        return [*effects, *self._settle(now)]

    def exited(self, status: int, now: float) -> list[AgentEffect]:
        """The program has ended: with this exit code, or 128 and the number of a signal."""
        assert self._program
        why = self._program.exited(status, now)
        self._health.ended(why, now)
        return [Report(Event.ENDED, self._name, why), *self._settle(now)]

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        server = self._server.deadline() if self._server else None
        program = self._program.deadline() if self._program else None
        return earliest(server, program, self._health.deadline())

    def tick(self, now: float) -> list[AgentEffect]:
        """Do what is due. Safe to call too often."""
        effects: list[AgentEffect] = []
        if self._program:
            was_running = self._program.is_running
            effects += self._program.tick(now)
            if self._program.is_running and not was_running:
                self._health.start(now)
        if self._health.due(now):
            effects.append(Check())
        if self._server:
            effects += self._served(self._server.tick(now))
        return [*effects, *self._settle(now)]

    @property
    def _wants_server(self) -> bool:
        return self._server is None and self._health.is_up and not self._is_stopping

    def _asked(
        self, server: Server, frame: Verify, source: Address, now: float
    ) -> list[AgentEffect]:
        """Answer with the truth, or once that is known; or not at all."""
        works = self._health.verdict(now)
        if works:
            return [*server.handle(frame, source, now)]
        if works is None and len(self._questions) < QUESTIONS_MAX:
            self._questions[source] = frame
        return self.tick(now)

    def _served(self, effects: list[ServerEffect]) -> list[AgentEffect]:
        """What the server has decided. When it is over, the agent is not."""
        kept: list[AgentEffect] = []
        for effect in effects:
            if not isinstance(effect, Stop):
                kept.append(effect)
                continue
            kept.append(Report(Event.WITHDRAWN, self._name, effect.why))
            self._server, self._is_leaving = None, False
        return kept

    def _settle(self, now: float) -> list[AgentEffect]:
        """Bring what binders know in line with how it is."""
        effects: list[AgentEffect] = []
        if self._wants_server:
            self._server, self._was_up = self._make_server(), True
            effects += self._served(self._server.start(now))
        elif self._server and not self._is_leaving and not self._stays:
            self._is_leaving = True
            why = "" if self._health.is_up else self._health.why
            effects += self._served(self._server.stop(now, why))
        if self._server is None:
            effects += self._wind_up(now)
        return effects

    @property
    def _stays(self) -> bool:
        return self._health.is_up and not self._is_stopping

    def _wind_up(self, now: float) -> list[AgentEffect]:
        """No binder returns it any more: have the program end, and stop, if it is time."""
        effects: list[AgentEffect] = []
        if self._program is None:
            return self._over("deregistered") if self._is_stopping else []
        if self._is_stopping:
            effects += self._program.end(now, self._grace if self._was_up else 0.0)
        if self._program.is_over:
            effects += self._over("the program has ended")
        return effects

    def _over(self, why: str) -> list[AgentEffect]:
        if self._is_over:
            return []
        self._is_over = True
        return [Stop(True, why)]
