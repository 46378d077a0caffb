"""An agent, running."""

import signal
from collections.abc import Sequence
from typing import Any, assert_never

import gevent

from prr.core.agent.agent import Agent
from prr.core.agent.effects import AgentEffect, Check, End, Launch
from prr.core.effects import Report, Send, Stop
from prr.shell.agent.check_runner import CheckRunner
from prr.shell.agent.checks import Check as Attempt
from prr.shell.agent.process import Process
from prr.shell.node import Node

PASSED_ON = (
    *(signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGWINCH, signal.SIGALRM, signal.SIGCONT),
)
"""Signals that mean the program. SIGTERM and SIGINT are the agent's, which then ends the program;
no other but these is sent to a program by others."""


class AgentNode(Node[AgentEffect]):
    """Runs an agent's core, its checks, and its program if it has one."""

    def __init__(
        self,
        core: Agent,
        *node: Any,  # noqa: ANN401 as Node's
        attempt: Attempt | None,
        timeout: float,
        command: Sequence[str],
    ) -> None:
        """`attempt`: the check, None if there is none, and `timeout` the seconds it may take;
        `command`: the program, empty if somebody else runs it."""
        super().__init__(core, *node)
        self._agent = core
        self._checks = CheckRunner(attempt, timeout, self._checked) if attempt else None
        self._process = Process(command, self._exited) if command else None

    def discard(self) -> None:
        """Give back the sockets of one that is not going to serve."""
        for lane in self._lanes:
            lane.close()

    def _begin(self) -> None:
        if self._process:
            for number in PASSED_ON:
                gevent.signal_handler(number, self._process.signal, number)
        super()._begin()

    def _do(self, effect: AgentEffect) -> None:
        match effect:
            case Send():
                self._send(effect.frame, effect.target)
            case Report():
                self._report(effect)
            case Check():
                assert self._checks
                self._checks.start()
            case Launch():
                assert self._process
                self._process.start()
            case End():
                assert self._process
                self._process.kill() if effect.at_once else self._process.signal(signal.SIGTERM)
            case Stop():
                self._stopped.set(effect)
            case _:
                assert_never(effect)

    def _close(self) -> None:
        super()._close()
        if self._checks:
            self._checks.close()

    def _asked_to_stop(self) -> None:
        """Each further signal has it wait no longer for the next thing that it waits for."""
        self._notifier.stopping()
        self.step(self._core.stop)

    def _checked(self, passed: bool, words: str) -> None:
        self.step(self._agent.checked, passed, words)

    def _exited(self, status: int) -> None:
        self.step(self._agent.exited, status)
