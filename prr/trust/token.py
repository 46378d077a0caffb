"""An operator's credential in a line of text, as HTTP's `Authorization: Bearer` takes it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from prr.trust.credential import CREDENTIAL_BYTES_MAX, Holder, decode_credential
from prr.trust.keyring import SECRET_ID_BYTES, Held, Keyring, derive, equal

KEY_BYTES = 32
"""Of a derived key."""

TOKEN_CHARACTERS_MAX = (SECRET_ID_BYTES + CREDENTIAL_BYTES_MAX + KEY_BYTES + 2) // 3 * 4
"""Of the longest one: what is longer is not even decoded."""


def token_of(held: Held) -> str:
    """The credential and its key in letters, digits, - and _."""
    return _encoded(held.secret_id + held.credential + held.key_bytes)


def held_in_token(token: str) -> Held | None:
    """What `token_of` has encoded; None if there is none in it. Whether the key is the one of this
    credential only who has the keyring can tell."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        return None
    try:
        data = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        return None
    credential = data[SECRET_ID_BYTES:-KEY_BYTES]
    if decode_credential(credential) is None or _encoded(data) != token:
        return None
    return Held(credential, data[:SECRET_ID_BYTES], data[-KEY_BYTES:])


def operator_of(token: str, keyring: Keyring) -> str | None:
    """The id of the operator who has this token; None if it is not one of this keyring's, or is
    revoked."""
    held = held_in_token(token)
    credential = decode_credential(held.credential) if held else None
    if held is None or credential is None or credential.holder is not Holder.OPERATOR:
        return None
    if credential.id in keyring.revoked:
        return None
    secret = keyring.secret(held.secret_id)
    # Not the keyring's own way, which remembers: whoever reaches the port may invent credentials.
    if secret is None or not equal(derive(secret, held.credential), held.key_bytes):
        return None
    return credential.id


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
