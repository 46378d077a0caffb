"""What a key is, for people: who has it and for what, and nothing that is secret."""

from prr.trust.credential import decode_credential
from prr.trust.keyring import Held, Keyring, secret_id
from prr.wire.instance import describe_service


def describe_key(key: Keyring | Held) -> list[str]:
    """A line for each thing that there is to say."""
    return _describe_keyring(key) if isinstance(key, Keyring) else _describe_held(key)


def key_line(key: Keyring | Held) -> str:
    """The same on one line."""
    return f"key: {'; '.join(describe_key(key))}"


def _describe_keyring(keyring: Keyring) -> list[str]:
    newest, *older = (secret_id(secret).hex() for secret in keyring.secrets)
    revoked = ", ".join(sorted(keyring.revoked)) or "none"
    return [
        f"keyring: secret {newest} signs",
        *(f"secret {one} is still believed" for one in older),
        f"revoked: {revoked}",
    ]


def _describe_held(held: Held) -> list[str]:
    credential = decode_credential(held.credential)
    assert credential is not None
    lines = [f"credential of {credential}"]
    if credential.service is not None:
        lines.append(f"service: {describe_service(credential.service)}")
    lines += [f"host: {network}" for network in credential.hosts]
    return [*lines, f"of secret {held.secret_id.hex()}"]
