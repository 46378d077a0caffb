"""What a client's core and a server's hold, for whoever checks them from outside.

Apart from what a binder holds: a program that imports the client loads nothing of a binder.
"""

from prr.record import record
from prr.wire.instance import Address


@record
class ClientInspection:
    """What a client holds at one moment: for whoever checks it from outside, to be read only."""

    binders: tuple[Address, ...]
    """Those it knows."""

    services: tuple[Address, ...]
    """Those that it is calling."""


@record
class ServerInspection:
    """What a server holds at one moment: for whoever checks it from outside, to be read only."""

    start: int
    """What tells this process from an earlier one at the same address."""

    binders: tuple[Address, ...]
    """Those it knows, the one to ask first at the front."""

    left_to_ask: tuple[Address, ...]
    """Those it asks next while nobody answers."""

    is_asking: bool
    """A question is open."""
