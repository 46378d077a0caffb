"""A server, running."""

from typing import assert_never

from prr.core.effects import Report, Send, ServerEffect, Stop
from prr.shell.node import Node


class ServerNode(Node[ServerEffect]):
    """Runs a server's core."""

    def _do(self, effect: ServerEffect) -> None:
        match effect:
            case Send():
                self._send(effect.frame, effect.target)
            case Report():
                self._report(effect)
            case Stop():
                self._stopped.set(effect)
            case _:
                assert_never(effect)
