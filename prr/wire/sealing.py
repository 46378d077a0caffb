"""Who seals what is sent, and opens what has come: a binder with its keyring, or whoever holds a
credential."""

from collections import Counter

from prr.trust.credential import decode_credential
from prr.trust.keyring import Held, Key, Keyring, derive, equal, tag_to_binder
from prr.wire.seal import (
    SESSIONS_BYTES,
    SIGNATURES_MAX,
    Fault,
    Read,
    Seal,
    blank,
    covered,
    read_seal,
    signed,
    tag_in,
    tags_in,
)

_BETWEEN_BINDERS = b"\0"

_FAULTY = {fault: Seal(0, fault=fault) for fault in Fault}
"""What a seal comes to that proves nothing."""


class BinderSealer:
    """A binder's: it derives every holder's key."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self.opened: Counter[bytes] = Counter()
        """How many seals held, for the id of each secret."""
        self._last: tuple[bytes, Seal | None] = b"", None
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
        key = self.keyring.key(seal.secret, seal.credential)
        if key is None:
            return data
        said = covered(data)
        return signed(said, [(key.secret_id, key.tag_from_binder(said))])

    def open(self, data: bytes) -> Seal | None:
        """What the seal of a datagram says, and whether it holds; None if there is none.

        Made so that one that does not hold costs little: it is looked at in the order of the
        cheapest, once if it is read twice in a row, and nothing more of it is remembered.
        """
        if self._last[0] != data:
            self._last = data, self._opened(data)
        return self._last[1]

    def _opened(self, data: bytes) -> Seal | None:
        read = read_seal(data)
        if read is None:
            return None
        if read.who[:1] == _BETWEEN_BINDERS:
            return self._open_peer(data, read)
        secret_id, tag = tag_in(data)
        secret = self.keyring.secret(secret_id)
        if secret is None:
            return _FAULTY[Fault.SECRET]
        who, said = read.who, data[: read.covered]
        known = self.keyring.known(secret_id, who)
        made = known.tag_to_binder(said) if known else tag_to_binder(derive(secret, who), said)
        if not equal(tag, made):
            return _FAULTY[Fault.TAG]
        holder = decode_credential(who)
        if holder is None:
            return _FAULTY[Fault.CREDENTIAL]
        self.keyring.key(secret_id, who)
        self.opened[secret_id] += 1
        fault = Fault.REVOKED if holder.id in self.keyring.revoked else None
        return Seal(read.number, who, secret_id, fault=fault)

    def key(self, seal: Seal) -> Key | None:
        """The key with which a seal was made that holds."""
        return self.keyring.key(seal.secret, seal.credential)

    def _open_peer(self, data: bytes, read: Read) -> Seal:
        session = read.who[1:]
        said = data[: read.covered]
        fault: Fault | None = Fault.SECRET
        if len(session) not in SESSIONS_BYTES:
            return _FAULTY[Fault.CREDENTIAL]
        for secret, tag in tags_in(data, read):
            key = self._of_binders.get(secret)
            if key is not None:
                fault = None if equal(tag, key.tag_between(said)) else Fault.TAG
                self.opened[secret] += fault is None
                break
        return Seal(read.number, session=session) if fault is None else _FAULTY[fault]


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
            return _FAULTY[Fault.CREDENTIAL]
        secret, tag = tag_in(data)
        if secret != self._key.secret_id:
            return _FAULTY[Fault.SECRET]
        is_valid = equal(tag, self._key.tag_from_binder(data[: read.covered]))
        return Seal(read.number) if is_valid else _FAULTY[Fault.TAG]


Sealer = BinderSealer | HolderSealer
