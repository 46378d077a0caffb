"""Several agents in one process, each for one program that somebody else runs."""

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import gevent
import gevent.event

from prr.config import AnnounceConfig, BadInput
from prr.shell.agent.agent_node import AgentNode
from prr.shell.log.handler import close_log


class Announcer:
    """Has one agent run for each of the configurations that are wanted."""

    def __init__(self, make: Callable[[AnnounceConfig], AgentNode]) -> None:
        """`make` makes the agent of one; it raises BadInput where that cannot be."""
        self._make = make
        self._nodes: dict[AnnounceConfig, AgentNode] = {}
        self._serving: dict[gevent.Greenlet[..., None], AnnounceConfig] = {}  # leaving ones too
        self._hung_up = gevent.event.Event()
        self._is_over = gevent.event.Event()

    def run(self, wanted: Sequence[AnnounceConfig], reread: Callable[[], None]) -> None:
        """Serve until a signal; at SIGHUP, `reread`, which is to call `follow`.

        Not where the log goes to a terminal: there SIGHUP means that the terminal is gone.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._stop)
        if not sys.stderr.isatty():
            gevent.signal_handler(signal.SIGHUP, self._hung_up.set)
            gevent.spawn(self._read_again, reread)
        self.follow(wanted)
        self._is_over.wait()
        gevent.joinall(list(self._serving))
        close_log()

    def follow(self, wanted: Sequence[AnnounceConfig]) -> None:
        """Start and stop agents, so that there is one for each of `wanted`. Those that stay notice
        nothing but that they have another key, if they have. Raises BadInput, and changes nothing,
        where one cannot be started."""
        stay = {_but_for_its_key(config): config for config in self._nodes}
        new = self._make_all([one for one in wanted if _but_for_its_key(one) not in stay])
        for config in wanted:
            self._change_key(stay.get(_but_for_its_key(config)), config)
        for config in [config for config in self._nodes if config not in wanted]:
            self._nodes.pop(config).leave()
        for config, node in new.items():
            self._nodes[config] = node
            before = [
                one for one, its in self._serving.items() if _instance(its) == _instance(config)
            ]
            self._serving[gevent.spawn(self._serve, node, before)] = config

    def _change_key(self, old: AnnounceConfig | None, config: AnnounceConfig) -> None:
        if old is not None and old != config and config.key is not None:
            self._nodes[config] = node = self._nodes.pop(old)
            node.change_keys(config.key)

    def _make_all(self, wanted: Sequence[AnnounceConfig]) -> dict[AnnounceConfig, AgentNode]:
        made: dict[AnnounceConfig, AgentNode] = {}
        try:
            for config in wanted:
                made[config] = self._make(config)
        except BadInput:
            for node in made.values():
                node.discard()
            raise
        return made

    def _serve(self, node: AgentNode, before: "list[gevent.Greenlet[..., None]]") -> None:
        """Serve once those `before` are over: they deregister the same instance."""
        gevent.joinall(before)
        node.serve()

    def _stop(self) -> None:
        """Each agent deregisters; a second signal has none of them wait for that."""
        for node in self._nodes.values():
            node.leave()
        self._is_over.set()

    def _read_again(self, reread: Callable[[], None]) -> None:
        while self._hung_up.wait():
            self._hung_up.clear()
            reread()


def _but_for_its_key(config: AnnounceConfig) -> tuple[AnnounceConfig, bool]:
    """What has to stay as it is for an agent to stay; that it has a key is part of that."""
    return replace(config, key=None), config.key is not None


def _instance(config: AnnounceConfig) -> object:
    return config.type, config.at
