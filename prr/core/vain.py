"""What is told, and nothing else done: decided without a step, so that a flood of it costs little.

Whoever floods a binder with what changes nothing delays everybody by what each datagram takes. The
rules are those of `Binder.handle`, to which the tests compare this.
"""

from prr.core.directory.directory import Directory
from prr.core.effects import Event, Report
from prr.core.gate import Gate
from prr.core.replication.peers import Peers
from prr.wire.instance import Address, Instance, describe_address


class Vain:
    """Words in vain, as one binder knows them. It changes nothing."""

    def __init__(self, directory: Directory, peers: Peers, gate: Gate) -> None:
        self._directory = directory
        self._peers = peers
        self._gate = gate

    def complaint(self, instance: Instance, source: Address) -> Report | None:
        """What a complaint about `instance` that says nothing else comes to, if that is all; None:
        it is for `handle`. What a peer says shows that it is there, too."""
        is_vain = instance not in self._directory and source not in self._peers
        return not_held(source) if is_vain and self._gate.takes_words(source[0]) else None


def not_held(source: Address) -> Report:
    """A Report about a complaint of `source` about what is not held."""
    return Report(Event.NOT_HELD, "a complaint", describe_address(source))
