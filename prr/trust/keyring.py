"""Secrets, and the keys that are derived from them.

Everything is keyed BLAKE2s (RFC 7693), whose personalization tells one use from another: the number
of a secret, the key of a credential, the key of the binders, and a tag in each direction. So no tag
can be sent back to whoever made it, or stand for another role's.
"""

from hashlib import blake2s
from hmac import compare_digest

from prr.record import record

SECRET_BYTES = 32
SECRETS_MAX = 2
"""In a keyring: the newest signs, the one before is still believed. Binders tag what they tell each
other with both, so that each may read a new keyring in its own time; with a third there would be
two that have none in common."""

SECRET_ID_BYTES = 4
"""Of the number that tells secrets apart; it is no secret."""

TAG_BYTES = 16
"""128 bits: nobody finds one by trying."""

KEYS_MAX = 4096
"""Derived keys that are remembered, 4 MB; another one costs a microsecond."""


_TO_BINDER, _FROM_BINDER, _BETWEEN = b"to bindr", b"of bindr", b"bindr-2"


def tag_to_binder(key: bytes, data: bytes) -> bytes:
    """The tag of what the holder of a credential says, for once: see `Key`."""
    return blake2s(data, key=key, digest_size=TAG_BYTES, person=_TO_BINDER).digest()


class Key:
    """A derived key, and the tags that it makes and takes."""

    __slots__ = ("_between", "_from", "_to", "secret_id")

    def __init__(self, secret_id: bytes, key: bytes) -> None:
        """`key` of 32 bytes, derived from the secret with this id."""
        self.secret_id = secret_id
        self._to = blake2s(key=key, digest_size=TAG_BYTES, person=_TO_BINDER)
        self._from = blake2s(key=key, digest_size=TAG_BYTES, person=_FROM_BINDER)
        self._between = blake2s(key=key, digest_size=TAG_BYTES, person=_BETWEEN)

    def tag_to_binder(self, data: bytes) -> bytes:
        """The tag of what the holder of a credential says."""
        hasher = self._to.copy()
        hasher.update(data)
        return hasher.digest()

    def tag_from_binder(self, data: bytes) -> bytes:
        """The tag of what the holder of a credential is told."""
        hasher = self._from.copy()
        hasher.update(data)
        return hasher.digest()

    def tag_between(self, data: bytes) -> bytes:
        """The tag of what binders tell each other."""
        hasher = self._between.copy()
        hasher.update(data)
        return hasher.digest()

    def __repr__(self) -> str:
        return "Key(...)"  # whatever shows it


def secret_id(secret: bytes) -> bytes:
    """What tells a secret from others."""
    return blake2s(key=secret, digest_size=SECRET_ID_BYTES, person=b"secretid").digest()


def derive(secret: bytes, credential: bytes) -> bytes:
    """The key of a credential, 32 bytes; `credential` encoded."""
    return blake2s(credential, key=secret, person=b"credentl").digest()


equal = compare_digest
"""`equal(tag, other)`: they are the same; how long that takes does not tell where they differ."""


@record
class Held:
    """A credential as its holder has it: encoded, with its key. Never shown."""

    credential: bytes
    secret_id: bytes
    key_bytes: bytes

    def key(self) -> Key:
        """What tags with it."""
        return Key(self.secret_id, self.key_bytes)

    def __repr__(self) -> str:
        return "Held(...)"


class Keyring:
    """The secrets of one cluster, the newest first, and whose credentials are revoked."""

    def __init__(self, secrets: tuple[bytes, ...], revoked: frozenset[str] = frozenset()) -> None:
        assert 0 < len(secrets) <= SECRETS_MAX
        self.secrets = secrets
        self.revoked = revoked
        self._secrets = {secret_id(secret): secret for secret in secrets}
        self._keys: dict[tuple[bytes, bytes], Key] = {}
        self.of_binders = tuple(self._of_binders(secret) for secret in secrets)
        """The binders' own keys, one of each secret, the newest first."""

    def __repr__(self) -> str:
        return f"Keyring({len(self.secrets)} secrets)"

    @property
    def size(self) -> tuple[int, int]:
        """How many derived keys are remembered, and how many may be."""
        return len(self._keys), KEYS_MAX

    def secret(self, secret_id: bytes) -> bytes | None:
        """The secret with this id, if it is one of these."""
        return self._secrets.get(secret_id)

    def known(self, secret_id: bytes, credential: bytes) -> Key | None:
        """The key of an encoded credential that is remembered."""
        return self._keys.get((secret_id, credential))

    def key(self, secret_id: bytes, credential: bytes) -> Key | None:
        """The key of an encoded credential; None if this keyring does not have that secret. It is
        remembered: the credential has to be one that somebody holds."""
        known = self._keys.get((secret_id, credential))
        if known is None:
            secret = self._secrets.get(secret_id)
            if secret is None:
                return None
            known = Key(secret_id, derive(secret, credential))
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            self._keys[secret_id, credential] = known
        return known

    def issue(self, credential: bytes) -> Held:
        """What the holder of an encoded credential gets."""
        newest = self.secrets[0]
        return Held(credential, secret_id(newest), derive(newest, credential))

    @staticmethod
    def _of_binders(secret: bytes) -> Key:
        return Key(secret_id(secret), blake2s(key=secret, person=b"binders").digest())
