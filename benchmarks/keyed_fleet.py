"""A fleet of servers that have credentials: what each says is sealed, under a ticket."""

from random import Random

from benchmarks.fleet import LEAVE, Fleet, Message
from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.keyring import Keyring
from prr.wire.codec import Codec
from prr.wire.frames import Alive, Frame, Removed, Role, Verify
from prr.wire.instance import Address
from prr.wire.messages import ANNOUNCEMENT_PADDING, AgentAnnouncement, Challenge
from prr.wire.proofs import Again, Proof
from prr.wire.seal import Seal

_CONFIRMED, _TICKET_BYTES = b"\x06\xc1\x82\x1f\xcf", 8
"""How a confirmation begins that says nothing but the next ticket, and has that behind it. It is
believed unopened: to open it takes several times as long as the binder needs for all of a renewal,
which would come to it one by one then and not, as those without a seal, many at once."""


class KeyedFleet(Fleet):
    """As a fleet, but a binder that wants to hear something with a ticket is told it so at once."""

    def __init__(self, count: int, types: bytes, net: int, keyring: Keyring) -> None:
        """`keyring` is the binder's; all servers of a type have one credential."""
        super().__init__(count, types, net)
        self._codecs = {
            type_: Codec(
                Role.SERVER,
                keys=keyring.issue(encode_credential(Credential(Holder.SERVER, "fleet", type_))),
            )
            for type_ in types
        }
        rng = Random(net)
        self._tickets = [rng.getrandbits(64) for _ in range(count)]
        self._said: Message = self.first

    def first(self, number: int) -> bytes:
        """It subscribes, or does so again."""
        self._said = self.first
        said = AgentAnnouncement(
            instance=self.instance(number),
            start=self._starts[number],
            padding=bytes(ANNOUNCEMENT_PADDING),
        )
        return self._sealed(number, Alive(trailer=said, seal=Seal(self._tickets[number])))

    renewal = first

    def leave(self, number: int) -> bytes:
        """It deregisters."""
        self._said = self.leave
        said = Removed(self.instance(number), seal=Seal(self._tickets[number]))
        return self._sealed(number, said)

    def _sealed(self, number: int, frame: Frame) -> bytes:
        return self._codecs[self._types[number]].encode(frame)

    def _take(self, number: int, data: bytes, source: Address, said: int) -> bool:
        if data.startswith(_CONFIRMED):
            self._tickets[number] = int.from_bytes(data[len(_CONFIRMED) :][:_TICKET_BYTES], "big")
            return said != LEAVE
        match self._codecs[self._types[number]].decode(data):
            case Verify(trailer=Again(ticket=ticket)):
                self._tickets[number] = ticket
                self.send(number, self._said(number), source)
            case Verify(trailer=Challenge(nonce=nonce, wants_proof=True)):
                self.questions[number] += 1
                if self.answers:
                    proof = Proof(instance=self.instance(number), start=self._starts[number])
                    answer = Alive(trailer=proof, seal=Seal(nonce))
                    self.send(number, self._sealed(number, answer), source)
            case Removed():
                return said == LEAVE
        return False
