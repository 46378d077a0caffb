"""Reads key files, and lets nobody else read them.

No gevent here: clients without a node read theirs too.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from prr.trust.credential import Credential, Holder, decode_credential
from prr.trust.key_file import KEY_FILE_BYTES_MAX, read_key_file, without_keys
from prr.trust.keyring import Held, Keyring
from prr.wire.instance import Service, describe_service

PRIVATE = 0o600
"""The mode of a key file: its owner may read and change it, nobody else may."""

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Variable that says where systemd has put a unit's credentials."""

_HOW_TO_MAKE = {
    Holder.SERVER: ("a server's", "key server --type SERVICE --id ID CLUSTER.key"),
    Holder.CLIENT: ("a client's", "key client --id ID CLUSTER.key"),
    Holder.OPERATOR: ("an operator's", "key operator --id ID CLUSTER.key"),
}


def place_of(name: str) -> Path:
    """Where a key file is that one has named. Under systemd a mere name is one of the unit's
    credentials, as LoadCredential= calls them. Raises ValueError."""
    if not name or "\0" in name:
        raise ValueError("an empty path; use the path of a key file")
    directory = os.environ.get(CREDENTIALS)
    return Path(directory, name) if directory and "/" not in name else Path(name)


def load_keyring(path: Path) -> Keyring:
    """The cluster's keyring. Raises ValueError, which says what to do."""
    found = load_key(path)
    if isinstance(found, Held):
        what = f"{path} is the credential of {credential_of(found)}"
        raise ValueError(f"{what}; use the cluster's keyring, which `key new` makes")
    return found


def load_held(path: Path, *holders: Holder) -> Held:
    """A credential whose holder is one of `holders`. Raises ValueError, which says what to do."""
    found = load_key(path)
    if isinstance(found, Keyring):
        what = f"{path} is a keyring, with which one may do anything"
        raise ValueError(f"{what}; {_instead_of(holders)}")
    check_holder(found, *holders)
    return found


def check_holder(held: Held, *holders: Holder) -> None:
    """Raises ValueError if the holder of a credential is none of `holders`."""
    credential = credential_of(held)
    if credential.holder not in holders:
        raise ValueError(f"the key is that of {credential}; {_instead_of(holders)}")


def check_provides(held: Held, service: Service) -> None:
    """Raises ValueError if a credential is not one of a server of this very service."""
    check_holder(held, Holder.SERVER)
    credential = credential_of(held)
    assert credential.service is not None
    if credential.service != service:
        raise ValueError(
            f"the key of {credential} is for {describe_service(credential.service)}, not for "
            f"{describe_service(service)}; use one for this service"
        )


def credential_of(held: Held) -> Credential:
    """What a credential says: one that was made or read is valid."""
    credential = decode_credential(held.credential)
    assert credential is not None
    return credential


def load_key(path: Path) -> Keyring | Held:
    """What a key file has in it. Raises ValueError, which says what to do."""
    try:
        return read_key_file(read_private(path))
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from None


def read_private(path: Path) -> str:
    """The text of a file that nobody else may read or change. Raises ValueError."""
    try:
        with open(path, "rb", opener=_open_private) as file:
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"cannot read it: {error.strerror}; {_where()}") from None
    if len(data) > KEY_FILE_BYTES_MAX:
        raise ValueError(f"it has more than {KEY_FILE_BYTES_MAX} bytes; {_where()}")
    try:
        return data.decode()
    except UnicodeDecodeError:  # whose text has some of the bytes
        raise ValueError(f"it is not text; {_where()}") from None


def _open_private(path: str, flags: int) -> int:
    number = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe is not waited for
    try:
        _check_private(Path(path), os.fstat(number))
    except ValueError:
        os.close(number)
        raise
    return number


def change_private(path: Path, change: Callable[[str], str]) -> None:
    """Replace the text of such a file, at once or not at all: whatever fails, the file is as it
    was. Raises ValueError; so may `change`, which gets the text as it is."""
    real = Path(os.path.realpath(path))
    beside = real.with_name(f".{real.name}.new")
    try:
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    except FileExistsError:
        raise ValueError(
            f"{path}: another `key` is changing it, or was killed while it did; if none is, remove "
            f"{beside}, and try again"
        ) from None
    except OSError as error:
        raise ValueError(f"{shown(path)}: cannot write beside it: {error.strerror}") from None
    try:
        with open(number, "w", encoding="utf-8", newline="") as file:
            file.write(change(read_private(path)))
            file.flush()
            os.fsync(number)
        os.rename(beside, real)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ValueError(f"{path}: {error.strerror}; it is as it was") from None
        if isinstance(error, ValueError):
            raise ValueError(f"{shown(path)}: {error}") from None
        raise
    _sync_directory(real.parent)


def _sync_directory(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def shown(path: Path) -> str:
    """A path in an error, unless a key was given in its place."""
    return str(path) if os.path.exists(path) else without_keys(str(path))


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"it is not a regular file; {_where()}")
    directory = os.environ.get(CREDENTIALS)
    # systemd may let the unit's user in by an access list, whose mask shows as the group's rights.
    own = stat.S_IRGRP if directory and path.parent == Path(directory) else 0
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~own:
        raise ValueError(f"others may read or change it; run `chmod 600 {path}`, or make a new one")
    if found.st_uid not in (0, os.geteuid()):
        raise ValueError(
            f"it belongs to user {found.st_uid}, and this runs as user {os.geteuid()}; "
            f"run `chown {os.geteuid()} {path}`"
        )


def _where() -> str:
    """What to use in place of a file that is not one."""
    if os.environ.get(CREDENTIALS):
        return "use the name of a credential that the unit loads, such as main.key"
    return "use the path of a key file"


def _instead_of(holders: tuple[Holder, ...]) -> str:
    whose = " or ".join(_HOW_TO_MAKE[one][0] for one in holders)
    return f"use {whose} key, as `{_HOW_TO_MAKE[holders[0]][1]}` makes it"
