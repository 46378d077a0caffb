"""Key files: the text in which keyrings and credentials are kept.

They are TOML, so that people can read them and strike an id off. What is secret in them ends with
four bytes that are made of the rest: a file that was damaged, or edited where it must not be, does
not fit together any more. No error shows what is secret.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import blake2s
from ipaddress import ip_network
from typing import Any

from prr.trust.credential import (
    HOSTS_MAX,
    Credential,
    Holder,
    Network,
    decode_credential,
    encode_credential,
    is_id,
)
from prr.trust.keyring import (
    SECRET_BYTES,
    SECRET_ID_BYTES,
    SECRETS_MAX,
    Held,
    Keyring,
    equal,
    secret_id,
)
from prr.trust.token import token_of
from prr.wire.instance import describe_service, is_name

KEY_FILE_BYTES_MAX = 1 << 16
"""Of a key file: four secrets, and thousands of revoked ids."""

CHECK_BYTES = 4
"""Behind what is secret: one of four billion damaged files is not noticed."""

DAMAGED = "it is damaged, or was edited; use a copy of it, or make another one"

_KEYRING = """\
# A keyring of prr: the secrets of one cluster, for its binders alone. Who has this file may do
# anything in the cluster: keep it to yourself (mode 600), and copy it over ssh or the like.

# The newest secret stands first and signs, the others are still believed. `key rotate` puts a new
# one in front, `key prune` leaves the newest.
secrets = [
{rows}]

# Ids of credentials that are no longer believed, such as ["web-7"].
revoked = []
"""

_CREDENTIAL = """\
# A credential of prr: who has this file may {may}.
# Keep it to yourself (mode 600), and copy it over ssh or the like. Nothing in it can be edited.

holder = "{holder}"
id = "{id}"
{only_servers}
# The id of the cluster's secret from which the key is derived.
secret_id = "{secret_id}"
key = "{key}"
"""

_TOKEN = """
# The same for HTTP. Whoever reads it on the way has it too: use it over TLS, or on one host.
token = "{token}"
"""

_MAY = {
    Holder.SERVER: "provide the service {service}",
    Holder.CLIENT: "look services up, and complain about them",
    Holder.OPERATOR: "drain instances, and ask binders how they are",
}

_KEYS_OF_KEYRING = {"secrets", "revoked"}
_KEYS_OF_CREDENTIAL = {"holder", "id", "service", "hosts", "secret_id", "key", "token"}

_LONG = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
"""A key in base64 has 48 letters and more, and a secret as well; so have some paths."""

_MIXED = 3
"""Capitals, and small letters, that a key has at least."""

_WHERE = re.compile(r"\(at [^()]*\)$")

_SECRETS = re.compile(r"^secrets\s*=\s*\[", re.MULTILINE)
_NO_BRACKET = re.compile(r'(?:#[^\n]*|"[^"\n]*"|\'[^\'\n]*\'|[^\]"\'#])*')


def read_key_file(text: str) -> Keyring | Held:
    """What stands in a key file. Raises ValueError, which says what is wrong and what to do."""
    values = _toml(text)
    if not values:
        raise ValueError("there is no key in it; make one with `key`, for a unit in /etc/prr")
    known = _KEYS_OF_KEYRING if "secrets" in values else _KEYS_OF_CREDENTIAL
    for name in values:
        if name not in known:  # `revokd` would have no effect
            raise ValueError(f"no key file has {name!r} here; use {', '.join(sorted(known))}")
    return _keyring(values) if "secrets" in values else _held(values)


def without_keys(text: str) -> str:
    """A text in which nothing stands that may be a key: for errors that quote what was given."""
    return _LONG.sub(lambda found: "(not shown)" if _is_mixed(found[0]) else found[0], text)


def keyring_text(secret: bytes) -> str:
    """The file of a keyring with one secret."""
    return _KEYRING.format(rows=_row(secret))


def rotated(text: str, secret: bytes) -> str:
    """The text of a keyring with one more secret, the newest; all else as it stands there. Raises
    ValueError if it is not one, or has as many as possible."""
    secrets = _secrets_in(text)
    if len(secrets) >= SECRETS_MAX:
        raise ValueError(
            f"it has {SECRETS_MAX} secrets already; once all credentials are made anew, `key prune`"
        )
    wanted = (secret, *secrets)
    return _with_secrets(text, lambda rows: "\n" + _row(secret) + rows.lstrip("\n"), wanted)


def pruned(text: str) -> str:
    """The text of a keyring without all secrets but the newest. Raises ValueError if it is none."""
    newest, *_ = _secrets_in(text)
    return _with_secrets(text, lambda _: "\n" + _row(newest), (newest,))


def credential_text(held: Held) -> str:
    """The file of a credential."""
    credential = decode_credential(held.credential)
    assert credential is not None
    service = "" if credential.service is None else describe_service(credential.service)
    text = _CREDENTIAL.format(
        may=_MAY[credential.holder].format(service=service),
        holder=credential.holder,
        id=credential.id,
        only_servers=_only_servers(credential),
        secret_id=held.secret_id.hex(),
        key=_checked(held.key_bytes, _check_of(held)),
    )
    if credential.holder is Holder.OPERATOR:
        text += _TOKEN.format(token=token_of(held))
    return text


def _only_servers(credential: Credential) -> str:
    if credential.service is None:
        return ""
    is_name = isinstance(credential.service, str)
    service = f'"{credential.service}"' if is_name else str(credential.service)
    hosts = ", ".join(f'"{network}"' for network in credential.hosts)
    return (
        f"service = {service}\n\n# Where its instances may be, besides on the host that speaks for "
        f"them.\nhosts = [{hosts}]\n"
    )


def _is_mixed(text: str) -> bool:
    """Three capitals and three small letters are in it, as in all but one of 50 million keys."""
    return all(len(re.findall(kind, text)) >= _MIXED for kind in ("[A-Z]", "[a-z]"))


def _toml(text: str) -> dict[str, Any]:
    import tomllib  # 10 ms, which a program without a key need not take

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        where = _WHERE.search(str(error))  # and nothing of what stands there
        raise ValueError(f"not valid TOML {where[0] if where else ''}: {DAMAGED}") from None


def _keyring(values: dict[str, Any]) -> Keyring:
    secrets = _texts(values["secrets"])
    revoked = _texts(values.get("revoked", []))
    if secrets is None or revoked is None:
        raise ValueError('secrets and revoked are arrays of texts; use revoked = ["web-7"]')
    if not 0 < len(secrets) <= SECRETS_MAX:
        raise ValueError(f"it has {len(secrets)} secrets; use 1 to {SECRETS_MAX}")
    for one in revoked:
        if not is_id(one):
            raise ValueError(f"revoked has {one!r}, which is not an id; use one such as web-7")
    found = [_secret(one) for one in secrets]
    if len(set(found)) < len(found):
        raise ValueError("it has the same secret twice; strike one off")
    return Keyring(tuple(found), frozenset(revoked))


def _held(values: dict[str, Any]) -> Held:
    credential = encode_credential(_credential(values))
    number, key = values.get("secret_id"), values.get("key")
    if not (isinstance(number, str) and isinstance(key, str)):
        raise ValueError(f"secret_id or key is missing: {DAMAGED}")
    data = _decoded(key)
    if not re.fullmatch(f"[0-9a-f]{{{2 * SECRET_ID_BYTES}}}", number) or data is None:
        raise ValueError(f"secret_id or key is not one: {DAMAGED}")
    held = Held(credential, bytes.fromhex(number), data[:SECRET_BYTES])
    if not equal(data[SECRET_BYTES:], _check_of(held)):
        raise ValueError(f"its key is not the one of this credential: {DAMAGED}")
    if values.get("token", token_of(held)) != token_of(held):
        raise ValueError(f"its token is not the one of this credential: {DAMAGED}")
    return held


def _credential(values: dict[str, Any]) -> Credential:
    holder, name = values.get("holder"), values.get("id")
    service, hosts = values.get("service"), _texts(values.get("hosts", []))
    if holder not in [str(one) for one in Holder] or not (isinstance(name, str) and is_id(name)):
        raise ValueError(f"holder or id is missing, or is not one: {DAMAGED}")
    kind = next(one for one in Holder if str(one) == holder)
    if kind is not Holder.SERVER:
        if service is not None or hosts != []:
            raise ValueError(f"a {holder} has neither service nor hosts: {DAMAGED}")
        return Credential(kind, name)
    if not _is_service(service) or hosts is None or len(hosts) > HOSTS_MAX:
        raise ValueError(f"service or hosts is missing, or is not one: {DAMAGED}")
    try:
        networks: tuple[Network, ...] = tuple(ip_network(one) for one in hosts)
    except ValueError:
        raise ValueError(f"hosts has what is not a network: {DAMAGED}") from None
    return Credential(kind, name, service, networks)


def _is_service(service: Any) -> bool:  # noqa: ANN401 what stands in a file
    if type(service) is int:
        return 0 <= service <= 255
    return isinstance(service, str) and service.isascii() and is_name(service.encode())


def _texts(value: object) -> list[str] | None:
    """An array of texts; None if it is not one."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    return None


def _secret(text: str) -> bytes:
    data = _decoded(text)
    if data is None or not equal(data[SECRET_BYTES:], secret_id(data[:SECRET_BYTES])):
        raise ValueError(f"a secret in it is not one: {DAMAGED}")
    return data[:SECRET_BYTES]


def _secrets_in(text: str) -> tuple[bytes, ...]:
    found = read_key_file(text)
    if not isinstance(found, Keyring):
        raise ValueError("it is a credential, not a keyring; use the cluster's keyring")
    return found.secrets


def _with_secrets(text: str, change: Callable[[str], str], wanted: tuple[bytes, ...]) -> str:
    """The text, what stands between the brackets behind `secrets` changed, so that the keyring has
    the secrets that are `wanted`, and those revoked that it had."""
    before = read_key_file(text)
    start = _SECRETS.search(text)
    if start:
        rows = _NO_BRACKET.match(text, start.end())
        assert rows is not None
        text = text[: start.end()] + change(rows[0]) + text[rows.end() :]
    after = read_key_file(text)
    assert isinstance(before, Keyring) and isinstance(after, Keyring)
    if (after.secrets, after.revoked) != (wanted, before.revoked):
        raise ValueError('it is written in another way than usual; write secrets = ["...", ...]')
    return text


def _row(secret: bytes) -> str:
    number = secret_id(secret)
    return f'    "{_checked(secret, number)}",  # {number.hex()}\n'


def _check_of(held: Held) -> bytes:
    """What tells whether a key belongs to its credential."""
    rest = held.secret_id + held.credential
    return blake2s(rest, key=held.key_bytes, digest_size=CHECK_BYTES, person=b"checksum").digest()


def _checked(data: bytes, check: bytes) -> str:
    return b64encode(data + check).decode()


def _decoded(text: str) -> bytes | None:
    """What `_checked` has encoded; None if it has not."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
    return data if len(data) == SECRET_BYTES + CHECK_BYTES else None
