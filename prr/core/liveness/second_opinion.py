"""Opinions: other binders are asked before silence evicts, and ask in their turn.

One asks with SERVICE_EXISTE_PAS and a nonce: I could not reach this one, could you? Who is asked
verifies for itself, and answers with the nonce: J_EXISTE, it answered me; or the "no" of one byte.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.effects import Effect, Send
from prr.core.replication.peers import Peer, Peers
from prr.wire.frames import Alive, Complaint, Unknown
from prr.wire.instance import Address, Instance, is_wide
from prr.wire.messages import Opinion, OpinionRequest

OPINIONS = 2
"""Other binders that are asked before silence evicts."""


@dataclass(slots=True)
class Consulted:
    """The binders that were asked for their opinion on an instance."""

    nonce: int  # which they repeat
    binders: int  # how many
    awaited: dict[Address, None]  # those of them that have not answered
    silent: int = 0  # how many have not been answered by the instance either


class SecondOpinions:
    """Who wants this binder's opinion, and whom it asks for theirs. One row each for an instance
    that is being verified, one entry in it for a peer."""

    def __init__(self, identity: int, peers: Peers, rng: Random) -> None:
        self._identity = identity
        self._peers = peers
        self._rng = rng
        self._askers: dict[Instance, dict[Address, int]] = {}
        self._consulted: dict[Instance, Consulted] = {}
        self._by_nonce: dict[int, Instance] = {}  # of those consulted

    def __len__(self) -> int:
        return len(self._askers)

    # Who asks us.

    def owed(self) -> dict[Instance, frozenset[Address]]:
        """The peers that wait for this binder's opinion."""
        return {instance: frozenset(peers) for instance, peers in self._askers.items()}

    def is_asked(self, instance: Instance) -> bool:
        """A peer waits for this binder's opinion."""
        return instance in self._askers

    def has_none_of(self, instances: Iterable[Instance]) -> bool:
        """No peer waits for an opinion on any of `instances`."""
        return self._askers.keys().isdisjoint(instances)

    def remember(self, instance: Instance, peer: Address, nonce: int) -> None:
        """A peer wants to know; its answer repeats the nonce."""
        self._askers.setdefault(instance, {})[peer] = nonce

    def forget(self, instance: Instance) -> None:
        """There is nothing to be said any more."""
        self._askers.pop(instance, None)

    def answer(self, instance: Instance, is_alive: bool) -> list[Effect]:
        """Tell whoever wanted to know."""
        frame = Alive if is_alive else Unknown
        return [
            Send(frame(trailer=Opinion(binder=self._identity, nonce=nonce)), peer)
            for peer, nonce in self._askers.pop(instance, {}).items()
        ]

    # Whom we ask.

    def choose(self, instance: Instance, now: float) -> list[Address]:
        """Whom to ask about an instance; nobody if there is nobody to be asked."""
        able = _addresses(self._peers.heard_lately(now), instance)
        if not able and not self._peers.are_gone(now):
            able = _addresses(self._peers.ours(), instance)  # whose silence says something too
        return self._rng.sample(able, min(OPINIONS, len(able)))

    def ask(self, instance: Instance, binders: list[Address], nonce: int) -> list[Effect]:
        """Ask these binders, at least one; those asked before need not answer any more. `nonce` is
        that of the verification, 64 bits."""
        self._consulted[instance] = Consulted(nonce, len(binders), dict.fromkeys(binders))
        self._by_nonce[nonce] = instance
        return self.remind(instance)

    def remind(self, instance: Instance) -> list[Effect]:
        """Ask those once more that have not answered."""
        consulted = self._consulted[instance]
        trailer = OpinionRequest(binder=self._identity, nonce=consulted.nonce)
        return [Send(Complaint(instance, trailer=trailer), binder) for binder in consulted.awaited]

    def consulted(self, instance: Instance) -> Consulted | None:
        """Who was asked about it; None if nobody was."""
        return self._consulted.get(instance)

    def hear(self, binder: Address, nonce: int, is_alive: bool) -> Instance | None:
        """A binder has answered: the instance, if that says that it lives. An answer that nobody
        waits for is ignored, and silence is for the verification to judge, when the instance has
        had its time."""
        instance = self._by_nonce.get(nonce)
        if instance is None or binder not in (consulted := self._consulted[instance]).awaited:
            return None
        del consulted.awaited[binder]
        consulted.silent += not is_alive
        return instance if is_alive else None

    def settle(self, instance: Instance) -> None:
        """Its verification is over: no opinion is waited for. No error if none was."""
        if (consulted := self._consulted.pop(instance, None)) is not None:
            self._by_nonce.pop(consulted.nonce, None)


def _addresses(peers: list[Peer], instance: Instance) -> list[Address]:
    """Those of some peers that may know an instance."""
    return [peer.address for peer in peers if peer.is_wide or not is_wide(instance)]
