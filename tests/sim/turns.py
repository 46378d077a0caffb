"""Whose turn it may be, told anew from all that a binder holds, as one flat table."""

from __future__ import annotations

from collections import Counter

from prr.core.binder import Binder
from prr.wire.instance import Instance, describe, is_ipv6, service_of
from prr.wire.particulars import decode_particulars
from prr.wire.questions import Asked
from tests.sim import adapter


def turns_of(core: Binder, asked: Asked) -> dict[Instance, int]:
    """Who has turns where this is asked for, and how many in a round."""
    ones = {
        one: decode_particulars(core.directory.particulars(one))
        for one in adapter.instances(core)
        if service_of(one) == asked.service and (asked.wide or not is_ipv6(one))
    }
    trusted = {one for one in ones if not adapter.is_out_of_turn(core, one)}
    in_turn = {one for one in trusted if not adapter.is_drained(core, one)}
    in_turn = {one for one in in_turn if asked.zone and ones[one].zone == asked.zone} or in_turn
    heard = {one for one in in_turn if not core.directory.is_unheard(one)}
    return {one: ones[one].weight for one in heard or in_turn or trusted or ones}


def passed_over(core: Binder, asked: Asked, found: Instance) -> str | None:
    """What is wrong with naming `found`, which is held: others come before it."""
    directory = core.directory
    is_behind = directory.is_suspect(found) or directory.is_unheard(found)
    if not is_behind and not adapter.is_drained(core, found) and not asked.zone:
        return None  # mostly so, and nobody comes before it
    turns = turns_of(core, asked)
    if found in turns:
        return None
    before = ", ".join(map(describe, turns))
    where = f" in {asked.zone!r}" if asked.zone else ""
    return f"{describe(found)} to who asked{where}, before {before}"


def uneven(core: Binder, asked: Asked) -> str | None:
    """What is wrong with the turns of a whole round, in which nothing changes."""
    turns = turns_of(core, asked)
    found = core.look_up_asked([asked] * sum(turns.values()))
    if Counter(found) == Counter(turns):
        return None
    given = {describe(one): number for one, number in Counter(found).items()}
    due = {describe(one): number for one, number in turns.items()}
    return f"gives {asked} the turns {given} in a round of {due}"
