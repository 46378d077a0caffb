"""Telling those who waited for the disk, while lookups go on."""

from collections.abc import Mapping, Sequence

import gevent

from prr.shell.event_loop import TURN
from prr.shell.storage.store import Act
from prr.wire.instance import Instance

TOLD_AT_ONCE = 64
"""Of those who waited, that are told before others have their turn: one system call, 0.3 ms."""


def tell(acts: Mapping[Act, Sequence[Instance]]) -> None:
    """Do what those have waited for, for each of them."""
    for act, instances in acts.items():
        for at in range(0, len(instances), TOLD_AT_ONCE):
            if at:
                gevent.sleep(TURN)
            act(instances[at : at + TOLD_AT_ONCE])
