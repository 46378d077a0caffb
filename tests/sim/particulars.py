"""What servers say of themselves in the simulator, and what binders make of it."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from prr.core.binder import Binder
from prr.wire.drain import own_particulars
from prr.wire.instance import describe
from prr.wire.particulars import Particulars, as_held

if TYPE_CHECKING:
    from tests.sim.processes import ServerProcess

WEIGHTS = (1, 1, 2, 5, 16)
ZONES = ("", "eu", "us")
TAGS = ({}, {}, {"build": "1"}, {"build": "2", "disk": "ssd"})
"""What servers say of themselves, if they say anything; "" is no zone."""


def random_particulars(rng: Random) -> Particulars:
    """What one may say."""
    return Particulars(rng.choice(WEIGHTS), rng.choice(ZONES), rng.choice(TAGS))


def misunderstood(core: Binder, servers: Iterable[ServerProcess]) -> str | None:
    """Of one of these, which a binder holds, it thinks otherwise than that says."""
    for one in (server for server in servers if server.instance in core.directory):
        held = own_particulars(core.directory.particulars(one.instance))
        if as_held(held, None) != one.particulars:  # whose it is stands there as well
            return f"has other particulars of {describe(one.instance)} than that says"
    return None
