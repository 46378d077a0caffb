"""What answers a question to an instance, "are you there?"."""

from prr.core.trust import speaks_for
from prr.wire.frames import Alive, Frame, Verify
from prr.wire.instance import Address, Instance, Service, has_name, service_of
from prr.wire.messages import Challenge, NamedPresence, Presence
from prr.wire.proofs import Proof
from prr.wire.version import LEFT, NO_START

ANY_START = LEFT
"""The `start` of a question that any server of ours may answer: what it asks about had left, so
whoever is there now has drawn another number."""


def answers(question: Verify, answer: Frame, instance: Instance, start: int) -> bool:
    """The frame answers this question to an instance with a start number (or ANY_START, NO_START).

    A server of ours repeats the question's nonce and says its types and its start; a legacy (2016)
    one answers with the bare frame.
    """
    if not isinstance(answer, Alive):
        return False
    asked, said = question.trailer, answer.trailer
    if not isinstance(asked, Challenge):
        return True
    if said is None:
        return start == NO_START and not has_name(instance)
    return (
        isinstance(said, Presence | NamedPresence)
        and said.nonce == asked.nonce
        and _provides(said, service_of(instance))
        and start in (NO_START, ANY_START, said.start)
    )


def proves(question: Verify, answer: Frame, instance: Instance, start: int, at: Address) -> bool:
    """The same, but under the seal of somebody who may speak for the instance, `at` which address
    it is asked; and the seal has the question's nonce."""
    asked, said, seal = question.trailer, answer.trailer, answer.seal
    return (
        isinstance(asked, Challenge)
        and isinstance(said, Proof)
        and seal is not None
        and seal.number == asked.nonce
        and said.instance == instance
        and start in (NO_START, ANY_START, said.start)
        and speaks_for(seal, instance, at)
    )


def _provides(said: Presence | NamedPresence, service: Service) -> bool:
    """Whoever says this provides the service."""
    if isinstance(service, int):
        return isinstance(said, Presence) and service in said.types
    return isinstance(said, NamedPresence) and said.name == service.encode()
