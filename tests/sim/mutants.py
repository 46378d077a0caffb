"""Rules switched off: what holds of each such mutant, so that what notices it notices the rule."""

import re
from random import Random

from prr.core import binder
from prr.core.effects import Answer, Send
from prr.wire.frames import Lookup, Subscribe, Subscribed
from prr.wire.instance import make_instance

ROTTEN = re.compile(r"raised (Type|Attribute|Name)Error")
"""What becomes of a mutant when what it patches has another signature or name by now."""


def serves_a_healthy_lookup() -> bool:
    """A binder takes in two servers and names one after the other, by either way."""
    core = binder.Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    servers = [("10.0.0.1", 9), ("10.0.0.2", 9)]
    for server in servers:
        sent = core.handle(Subscribe(7), server, 0.0)
        if Send(Subscribed(), server) not in sent:
            return False
    named = core.look_up(b"\x07\x07")
    client = "10.0.0.9", 9
    answers = core.handle(Lookup(7), client, 0.0)
    by_hand = [make_instance(7, server) for server in servers]
    return named == by_hand and answers == [Answer(by_hand[0], client)]


def is_noticed(reason: str | None, complaint: str = "") -> bool:
    """A run has failed, and for `complaint`. No run may fail by an error of the mutant itself."""
    assert not ROTTEN.search(reason or ""), f"the mutant itself has rotted: {reason}"
    return reason is not None and complaint in reason
