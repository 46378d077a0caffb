"""Who seals what is sent, and opens what has come: a binder with its keyring, or whoever holds a
credential."""

from prr.trust.credential import decode_credential
from prr.trust.keyring import Held, Key, Keyring, equal
from prr.wire.seal import (
    SESSION_BYTES,
    SIGNATURES_MAX,
    Fault,
    Read,
    Seal,
    blank,
    covered,
    read_seal,
    signed,
)

_BETWEEN_BINDERS = b"\0"


class BinderSealer:
    """A binder's: it derives every holder's key."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._own = keyring.of_binders[:SIGNATURES_MAX]
        self._of_binders = {key.secret_id: key for key in keyring.of_binders}

    def blank(self, seal: Seal) -> bytes:
        """The seal's value, to be signed."""
        if seal.credential:
            return blank(b"", seal.number)
        return blank(_BETWEEN_BINDERS + seal.session, seal.number, len(self._own))

    def sign(self, data: bytes, seal: Seal) -> bytes:
        """The datagram, whose last value is `blank`, with its tags. One for the holder of a
        credential that is not known any more is left without, and so believed by nobody."""
        if not seal.credential:
            said = covered(data, len(self._own))
            return signed(said, [(key.secret_id, key.tag_between(said)) for key in self._own])
        key = self._keyring.key(seal.secret, seal.credential)
        if key is None:
            return data
        said = covered(data)
        return signed(said, [(key.secret_id, key.tag_from_binder(said))])

    def open(self, data: bytes) -> Seal | None:
        """What the seal of a datagram says, and whether it holds; None if there is none."""
        read = read_seal(data)
        if read is None:
            return None
        if read.who[:1] == _BETWEEN_BINDERS:
            return self._open_peer(data, read)
        ((secret, tag),) = list(read.tags(data))[:1]
        key, fault = self.holder(secret, read.who)
        if key is not None and not equal(tag, key.tag_to_binder(data[: read.covered])):
            fault = Fault.TAG
        return Seal(read.number, read.who, secret, fault=fault)

    def holder(self, secret: bytes, credential: bytes) -> tuple[Key | None, Fault | None]:
        """The key of a credential, and why it is worth nothing all the same, if it is."""
        said = decode_credential(credential)
        if said is None:
            return None, Fault.CREDENTIAL
        key = self._keyring.key(secret, credential)
        if key is None:
            return None, Fault.SECRET
        return key, Fault.REVOKED if said.id in self._keyring.revoked else None

    def _open_peer(self, data: bytes, read: Read) -> Seal:
        session = read.who[1:]
        said = data[: read.covered]
        fault: Fault | None = Fault.SECRET
        if len(session) != SESSION_BYTES:
            return Seal(read.number, fault=Fault.CREDENTIAL)
        for secret, tag in read.tags(data):
            key = self._of_binders.get(secret)
            if key is not None:
                fault = None if equal(tag, key.tag_between(said)) else Fault.TAG
                break
        return Seal(read.number, session=session, fault=fault)


class HolderSealer:
    """That of a client, a server or an operator."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._key = held.key()

    def blank(self, seal: Seal) -> bytes:
        """The seal's value, to be signed."""
        return blank(self._held.credential, seal.number)

    def sign(self, data: bytes, seal: Seal) -> bytes:
        """The datagram, whose last value is `blank`, with its tag."""
        said = covered(data)
        return signed(said, [(self._key.secret_id, self._key.tag_to_binder(said))])

    def open(self, data: bytes) -> Seal | None:
        """As BinderSealer's; what binders say to others is not for this one."""
        read = read_seal(data)
        if read is None:
            return None
        if read.who or read.signatures != 1:
            return Seal(read.number, fault=Fault.CREDENTIAL)
        ((secret, tag),) = list(read.tags(data))
        if secret != self._key.secret_id:
            return Seal(read.number, fault=Fault.SECRET)
        is_valid = equal(tag, self._key.tag_from_binder(data[: read.covered]))
        return Seal(read.number, fault=None if is_valid else Fault.TAG)


Sealer = BinderSealer | HolderSealer
