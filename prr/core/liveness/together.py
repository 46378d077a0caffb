"""The first questions of several verifications, asked from one socket.

Intuition: after a partition hundreds are said to be gone that this binder has heard itself, and
most of them live. A socket, a timer and a datagram of its own for each cost more than all else that
follows. So those that begin together are asked together, and an answer counts as to any question:
it has the nonce, and the start number that is held. That is all such a question can tell: on a
socket with many ends nobody sees a refusal. Whoever has not answered in time is asked on by itself.
"""

from prr.core.effects import Effect, Probe, ProbeAll
from prr.wire.first_questions import NONCES
from prr.wire.frames import Verify
from prr.wire.instance import Address, address_of
from prr.wire.messages import Challenge
from prr.wire.version import FIRST_START

FEW = 8
"""Fewer than these are asked one by one, from a socket each, where a refusal is seen and a bare
answer counts at once."""


def asked_together(effects: list[Effect]) -> list[Effect]:
    """The same effects, but those of the questions among them that may go together as one, unless
    they are few. All are first ones, with one wait."""
    others: list[Effect] = []
    joined: dict[Address, Probe] = {}
    for effect in effects:
        if isinstance(effect, Probe) and effect.at not in joined and _may_join(effect):
            joined[effect.at] = effect
        else:
            others.append(effect)
    if len(joined) < FEW:
        return effects
    return [*others, _as_one([*joined.values()])]


def _may_join(probe: Probe) -> bool:
    """It asks a numbered instance itself, and one of ours, which repeats the nonce: who answers is
    known by its address."""
    asked = probe.frame.trailer
    return (
        isinstance(asked, Challenge)
        and asked.nonce in NONCES
        and probe.frame == Verify(trailer=Challenge(nonce=asked.nonce))
        and probe.start >= FIRST_START
        and probe.at == address_of(probe.instance)
    )


def _as_one(probes: list[Probe]) -> ProbeAll:
    trailers = [probe.frame.trailer for probe in probes]
    return ProbeAll(
        [probe.instance for probe in probes],
        [asked.nonce for asked in trailers if isinstance(asked, Challenge)],
        [probe.start for probe in probes],
        probes[0].wait,
        [probe.serial for probe in probes],
    )
