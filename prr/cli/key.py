"""The verb key: makes and changes key files, and says what one is."""

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from prr.cli.exits import YES
from prr.cli.output import say
from prr.config import BadInput
from prr.key_files import PRIVATE, change_private, load_key, load_keyring, place_of
from prr.services import numbers_by_name
from prr.text import parse_network, parse_service
from prr.trust.credential import HOSTS_MAX, Credential, Holder, encode_credential, is_id
from prr.trust.describing import describe_key
from prr.trust.key_file import credential_text, keyring_text, pruned, rotated, without_keys
from prr.trust.keyring import SECRET_BYTES, Held

STDOUT = 1


def run_key(action: str, flags: Mapping[str, Any]) -> int:
    """Do what `action` names, with the flags of the command line; returns the exit code."""
    try:
        match action:
            case "new":
                _print_key(keyring_text(secrets.token_bytes(SECRET_BYTES)))
            case "rotate":
                secret = secrets.token_bytes(SECRET_BYTES)
                _change(flags, lambda text: rotated(text, secret))
            case "prune":
                _change(flags, pruned)
            case "show":
                say("\n".join(describe_key(load_key(place_of(flags["file"])))))
            case holder:
                _print_key(credential_text(_issued(_credential(holder, flags), flags)))
    except ValueError as error:
        raise BadInput(str(error)) from None
    return YES


def _print_key(text: str) -> None:
    """Print what is secret. A file that stdout goes to is its owner's alone before that: a shell
    makes it for all to read."""
    if _is_shared_file():
        with suppress(OSError):
            os.fchmod(STDOUT, PRIVATE)
    if _is_shared_file():
        raise BadInput(
            "stdout is a file that others may read, and that cannot be changed; use a file of your "
            "own, on a file system that has modes"
        )
    say(text.rstrip("\n"))


def _is_shared_file() -> bool:
    mode = os.fstat(STDOUT).st_mode
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))


def _change(flags: Mapping[str, Any], change: Callable[[str], str]) -> None:
    path = place_of(flags["file"])
    change_private(path, change)
    say("\n".join(describe_key(load_keyring(path))))


def _credential(action: str, flags: Mapping[str, Any]) -> Credential:
    try:
        return _described(Holder[action.upper()], flags)
    except ValueError as error:  # it quotes what was given, which may be a key
        raise ValueError(without_keys(str(error))) from None


def _described(holder: Holder, flags: Mapping[str, Any]) -> Credential:
    name = flags["id"]
    if not is_id(name):
        raise ValueError(
            f"--id: {name!r} is not an id; use 1 to 32 of a to z and 0 to 9, and inside also dots, "
            f"hyphens and underscores, such as web-7"
        )
    if holder is not Holder.SERVER:
        return Credential(holder, name)
    hosts = tuple(dict.fromkeys(map(parse_network, flags["host"] or [])))
    if len(hosts) > HOSTS_MAX:
        raise ValueError(f"--host: {len(hosts)} networks; use {HOSTS_MAX} at most")
    return Credential(holder, name, parse_service(flags["type"], numbers_by_name()), hosts)


def _issued(credential: Credential, flags: Mapping[str, Any]) -> Held:
    path = place_of(flags["file"])
    keyring = load_keyring(path)
    if credential.id in keyring.revoked:
        raise ValueError(f"{credential.id} is revoked in {path}; use another id")
    return keyring.issue(encode_credential(credential))
