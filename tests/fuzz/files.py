"""Files: a binder's state, settings, keys."""

import re
import tempfile
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from random import Random

from prr.cli.settings import gather_each
from prr.cli.settings_table import SETTINGS
from prr.config import BadInput
from prr.core.directory.digests import hash_of
from prr.core.effects import Update
from prr.shell.storage import state_file
from prr.shell.storage.rows import CHECK_MAX, keys_of, read_rows, rows_for
from prr.shell.storage.state_meta import Damaged, Failing
from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.key_file import (
    credential_text,
    keyring_text,
    pruned,
    read_key_file,
    rotated,
    without_keys,
)
from prr.trust.keyring import SECRET_BYTES, Keyring
from prr.wire import particulars
from prr.wire.instance import Instance, is_instance
from prr.wire.version import VERSION_BYTES, decode_version, encode_version
from tests.cores import random_instance, random_version
from tests.fuzz.target import RUNS_OF_MANY_LINES, RUNS_ON_DISK, Target
from tests.sim.particulars import random_particulars


def _state_row(data: bytes) -> bool:
    """A row of a state file is damaged, or comes out as it was. The first byte says whether its
    check is made to fit, which no random one does."""
    if len(data) < 2:
        return False
    mode, size, rest = data[0], data[1], data[2:]
    instance, value = rest[:size], rest[size:]
    present, check = mode & 3, int.from_bytes(value[:5], "big")
    key = keys_of([Instance(instance)])[0] if mode & 4 and is_instance(instance) else instance
    if mode & 8 and len(value) >= VERSION_BYTES and is_instance(instance):
        check = hash_of(Instance(instance), value) & CHECK_MAX
        check = check if present else check ^ CHECK_MAX
    row = (key, value, present, check)
    there, gone, damaged = read_rows([row])
    assert len(there) + len(gone) + damaged == 1
    for entry in (*there, *gone):
        version = decode_version(entry[1][:VERSION_BYTES])
        update = Update(version, bool(there), entry[1][VERSION_BYTES:])
        assert rows_for({entry[0]: update}) == [row]
    return not damaged


def _good_state_rows() -> list[bytes]:
    rng, rows = Random(5), []
    for number in range(8):
        instance, version = random_instance(rng), encode_version(random_version(rng))
        said = particulars.encode_particulars(random_particulars(rng)) if number % 2 else b""
        rows.append(bytes((12 | number % 2, len(instance))) + instance + version + said)
    return rows


@cache
def _scratch() -> Path:
    scratch = tempfile.TemporaryDirectory()
    _KEPT.append(scratch)  # until the process ends
    return Path(scratch.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _state_file(data: bytes) -> bool:
    """A state file is damaged, or holds as many rows as it says. The data are the changes to a good
    one: the place of each in two bytes, and the byte that stands there then."""
    path = _scratch() / "state"
    content = bytearray(_good_state_file())
    for number in range(0, len(data) - 2, 3):
        place = int.from_bytes(data[number : number + 2], "big")
        content[place % len(content)] = data[number + 2]
    path.write_bytes(content)
    Path(f"{path}-wal").unlink(missing_ok=True)
    try:
        with closing(state_file.StateFile(path)) as opened:
            count = 0
            while rows := opened.read():
                count += len(rows)
                read_rows(rows)
            assert count == opened.meta.entries
    except (Damaged, Failing):
        return False
    return True


@cache
def _good_state_file() -> bytes:
    path, rng = _scratch() / "good", Random(6)
    state_file.create(path, 1, 0, True, b"")
    with closing(state_file.StateFile(path)) as opened:
        updates = {random_instance(rng): Update(random_version(rng), True) for _ in range(40)}
        opened.commit(updates, 1, True)
    return path.read_bytes()


def _settings_file(data: bytes) -> bool:
    """A file of settings is refused, or has values for each of its role's settings. The first byte
    chooses the role."""
    roles = list(SETTINGS)
    role = roles[data[0] % len(roles)] if data else roles[0]
    path = _scratch() / "prr.toml"
    path.write_bytes(data[1:])
    try:
        tables = gather_each(role, SETTINGS[role], {"config": str(path)})
    except BadInput as error:
        assert str(error)
        return False
    keys = {setting.key for setting in SETTINGS[role]}
    assert all(set(table) <= keys for table in tables)
    return True


def _good_settings_files() -> list[bytes]:
    example = (Path(__file__).parents[2] / "conf" / "prr.toml").read_bytes()
    lines = [line for line in example.splitlines() if b"=" in line or line.startswith(b"[")]
    bare = b"\n".join(line.lstrip(b"# ") for line in lines)
    small = [b'[binder]\nlisten = "127.0.0.1:2222"\npeers = ["10.0.0.2:2222"]\n', b""]
    return [bytes((role,)) + one for role in range(len(SETTINGS)) for one in (*small, bare)]


_RING = Keyring((bytes(range(SECRET_BYTES)), bytes(SECRET_BYTES)), frozenset(("web-7", "x")))
_NEW_SECRET = b"n" * SECRET_BYTES


def _key_file(data: bytes) -> bool:
    """A key file is refused, with a reason in which no secret stands, or gets another secret and
    loses it again, all else as it was; or is a credential that is written the same again."""
    written = data.decode(errors="replace")
    try:
        found = read_key_file(written)
    except ValueError as error:
        _check_reason(str(error))
        return False
    if not isinstance(found, Keyring):
        assert read_key_file(credential_text(found)) == found
        return True
    for change, secrets in (
        (partial(rotated, secret=_NEW_SECRET), (_NEW_SECRET, *found.secrets)),
        (pruned, found.secrets[:1]),
    ):
        try:
            after = read_key_file(change(written))
        except ValueError as error:
            _check_reason(str(error))
            continue
        assert isinstance(after, Keyring)
        assert (after.secrets, after.revoked) == (secrets, found.revoked)
    return True


def _check_reason(reason: str) -> None:
    """It says something, and none of the keys that the good files have."""
    assert reason
    shown = without_keys(reason)
    assert not any(key in shown for key in _keys())


@cache
def _keys() -> frozenset[str]:
    return frozenset(
        key for one in _good_key_files() for key in re.findall(r'"([^"]{40,})"', one.decode())
    )


def _good_key_files() -> list[bytes]:
    ring = keyring_text(_RING.secrets[0])
    revoking = ring.replace("revoked = []", 'revoked = ["web-7", "x"]')
    credentials = (
        Credential(Holder.CLIENT, "app"),
        Credential(Holder.OPERATOR, "me"),
        Credential(Holder.SERVER, "web-7", "billing"),
    )
    held = [credential_text(_RING.issue(encode_credential(one))) for one in credentials]
    written = [ring, rotated(ring, _RING.secrets[1]), revoking, *held]
    bare = [re.sub(r"(?m)^(#.*)?\n", "", one) for one in written]
    return [one.encode() for one in (*bare, *written)]


TARGETS = [
    Target("state-rows", _state_row, _good_state_rows),
    Target("state-file", _state_file, lambda: [b"", b"\0\0\0"], RUNS_ON_DISK),
    Target("settings-file", _settings_file, _good_settings_files, RUNS_OF_MANY_LINES),
    Target("key-files", _key_file, _good_key_files),
]
