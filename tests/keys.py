"""Key files for tests."""

import os
from pathlib import Path

from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.key_file import credential_text, keyring_text
from prr.trust.keyring import Held, Keyring

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))

BILLING = Credential(Holder.SERVER, "web-7", "billing")
APP = Credential(Holder.CLIENT, "app")
ME = Credential(Holder.OPERATOR, "me")


def held(credential: Credential, secret: bytes = SECRET) -> Held:
    """What its holder has."""
    return Keyring((secret,)).issue(encode_credential(credential))


def write_private(path: Path, text: str) -> Path:
    """A file for its owner alone."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def replace_private(path: Path, text: str) -> None:
    """Another text for such a file, at once: somebody may be reading it."""
    os.replace(write_private(path.with_suffix(".new"), text), path)


def write_keyring(directory: Path, name: str = "cluster.key", secret: bytes = SECRET) -> Path:
    """A keyring's file."""
    return write_private(directory / name, keyring_text(secret))


def write_credential(directory: Path, credential: Credential, secret: bytes = SECRET) -> Path:
    """The file of a credential, named after its id."""
    path = directory / f"{credential.id}.key"
    return write_private(path, credential_text(held(credential, secret)))
