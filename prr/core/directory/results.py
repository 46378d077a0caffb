"""What a directory says: whose turn it is if there is nobody, what became of an update, and all
that it holds."""

from collections.abc import Mapping
from enum import Enum, auto

from prr.core.effects import Update
from prr.record import record
from prr.wire.instance import Instance

NOBODY = Instance(b"")
"""Stands for the instance of a service that has none."""


class Added(Enum):
    """What became of an `add`."""

    NEW = auto()
    KNOWN = auto()
    FULL = auto()
    EXCLUDED = auto()  # a loopback address: see `reach`


@record
class DirectorySnapshot:
    """What a directory holds at one moment, for whoever checks it from outside."""

    updates: Mapping[Instance, Update]
    """The last update about each instance: those held, and the removals remembered."""

    suspects: frozenset[Instance]
    """Those in doubt, out of turn."""

    drained: frozenset[Instance] = frozenset()
    """Those that an operator has taken out of turn, in doubt or not."""
