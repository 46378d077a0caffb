"""What a frame has to pass before the rules see it, and what seals what they answer.

Without a keyring that is the frame table alone. With one, a frame of a peer's session shows how
fresh it is, and one that proves nothing is dropped, told, or believed all the same: see `Trust`.
"""

from dataclasses import replace
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.config import Require
from prr.core.claims import sender_of
from prr.core.effects import Answer, Confirm, Effect, Event, Report, Send, Tell, stray
from prr.core.replication.peers import Kind, Peer, Peers
from prr.core.replication.sessions import Belief, Sessions
from prr.core.tickets import Tickets
from prr.core.trust import Trust, is_operator, is_valid, whose
from prr.record import record
from prr.wire.frames import Alive, Frame, Role
from prr.wire.instance import Address, Instance, describe_address, is_usable
from prr.wire.messages import Hello
from prr.wire.seal import Seal

_NOT_TO_BE_HEARD = (Belief.HELLO, Belief.STALE, Belief.ANOTHERS)


@record
class Entry:
    """In which role a frame comes in, None if it does not; from which peer, if it is certain that
    it is one; and what follows from it in any case."""

    role: Role | None
    peer: Peer | None
    effects: list[Effect]


class Gate:
    """That of one binder."""

    def __init__(
        self,
        trust: Trust,
        peers: Peers,
        own_ips: frozenset[str],
        identity: int,
        rng: Random,
    ) -> None:
        """`own_ips` are those of the binder's host."""
        self.trust = trust
        self.tickets = Tickets(rng) if trust.is_keyed else None
        self._sessions = Sessions(rng, peers) if trust.is_keyed else None
        self._peers = peers
        self._own_ips = own_ips
        self._identity = identity

    def enter(self, frame: Frame, source: Address) -> Entry:
        """Whether, and as whose, a frame is believed."""
        peer = self._peers.get(source)
        if not self.trust.is_keyed:
            role = sender_of(frame, source, peer is not None, self._own_ips)
            return Entry(role, peer, [stray(frame, source)] if role is None else [])
        belief, effects = self._session(frame.seal, peer)
        is_on = self.trust.require is Require.ON
        if belief in _NOT_TO_BE_HEARD or (belief is Belief.UNKNOWN and is_on):
            return Entry(None, None, effects)
        role = sender_of(frame, source, peer is not None, self._own_ips, is_operator(frame.seal))
        if role is None:
            return Entry(None, None, [*effects, stray(frame, source)])
        is_of_session = belief is Belief.FRESH
        if self.trust.is_proved(frame, role, is_of_session):
            is_certain = is_of_session or not is_on
            return Entry(role, peer if is_certain else None, effects)
        if is_on and not self.trust.is_legacy(source[0]):
            return Entry(None, None, [*effects, not_believed(frame, source)])
        if self.trust.require is Require.LOG:
            why = f"{describe_address(source)}: {whose(frame.seal)}"
            effects.append(Report(Event.UNPROVED, type(frame).__name__, why))
        return Entry(role, peer, effects)

    def takes_words(self, ip: str) -> bool:
        """What anybody may say is believed from this address unproved, and that is not told."""
        trust = self.trust
        is_legacy = trust.require is Require.ON and trust.is_legacy(ip)
        return is_usable(ip) and (trust.takes_words or is_legacy)

    def _session(self, seal: Seal | None, peer: Peer | None) -> tuple[Belief | None, list[Effect]]:
        """What a peer's seal is worth, None without a valid one; and what it is answered."""
        sessions = self._sessions
        if sessions is None or peer is None or not is_valid(seal) or not seal.session:
            return None, []
        belief = sessions.believe(seal, peer.address)
        match belief:
            case Belief.HELLO:
                unheard = sessions.unheard(seal, peer.address)
                return belief, [Send(frame, peer.address) for frame in unheard]
            case Belief.UNKNOWN:
                said = Hello(binder=self._identity)
                hello = Alive(trailer=said, seal=sessions.hello(seal, peer.address))
                return belief, [Send(hello, peer.address)]
            case Belief.STALE:
                return belief, [Report(Event.REPLAYED, "a word", describe_address(peer.address))]
            case Belief.ANOTHERS:
                why = f"{describe_address(peer.address)}, to another binder"
                return belief, [Report(Event.REPLAYED, "a word", why)]
            case Belief.FRESH:
                return belief, []

    def seal(self, effects: list[Effect]) -> list[Effect]:
        """The same, sealed where they go to peers; legacy ones know no seals."""
        sessions = self._sessions
        if sessions is None:
            return effects
        return [
            self._sealed(effect, sessions) if isinstance(effect, Send) else effect
            for effect in effects
        ]

    def forget(self, peer: Address) -> None:
        """It is no peer any more. No error if it was none."""
        if self._sessions is not None:
            self._sessions.forget(peer)

    def _sealed(self, send: Send, sessions: Sessions) -> Send:
        peer = self._peers.get(send.target)
        if peer is None or peer.kind is Kind.LAB or send.frame.seal is not None:
            return send
        seal = sessions.sealed(send.frame, send.target)
        return Send(replace(send.frame, seal=seal), send.target)


def answered(effects: list[Effect], source: Address, seal: Seal | None) -> list[Effect]:
    """The same, but what goes to `source` is sealed for it, if it has sealed what it said."""
    if not is_valid(seal) or not seal.credential:
        return effects
    return [_answered(effect, source, seal.answer()) for effect in effects]


def _answered(effect: Effect, source: Address, seal: Seal) -> Effect:
    match effect:
        case Send(frame=frame, target=target) if target == source:
            return Send(replace(frame, seal=seal), target)
        case Confirm(frame=frame, target=target) if target == source:
            return replace(effect, frame=replace(frame, seal=seal))
        case Answer(target=target) | Tell(target=target) if target == source:
            return replace(effect, seal=seal)
    return effect


def not_believed(frame: Frame, source: Address, instance: Instance | None = None) -> Report:
    """A Report about a frame whose sender does not prove that he may say it, of `instance`."""
    why = whose(frame.seal) if instance is None else f"{whose(frame.seal)} may not speak for it"
    of = instance or type(frame).__name__
    return Report(Event.NOT_BELIEVED, of, f"from {describe_address(source)}: {why}")
