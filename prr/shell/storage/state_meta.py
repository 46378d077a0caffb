"""What a state file says of itself, and what may be wrong with one."""

from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

from prr.record import record

FILE_BYTES = 8
"""Random bytes by which a file is told from all others. Behind them stands its place."""


def place_of(directory: Path) -> bytes:
    """Eight bytes that tell a directory, on this host, from its copies. May raise OSError."""
    try:
        host = Path("/etc/machine-id").read_bytes()
    except OSError:
        host = b""
    number = directory.stat().st_ino
    return blake2b(host + number.to_bytes(8, "little"), digest_size=8).digest()


class Damaged(Exception):
    """The file cannot be believed. The text says why."""


class Failing(Exception):
    """The disk does not do what it should. The text says how."""


@record
class Meta:
    """What a file says of itself. `whole`: it holds all that the binder had to keep. `place`: the
    host and directory that it was written in; b"" if it is older than that."""

    file: bytes
    identity: int
    counter: int
    whole: bool
    commits: int = 0
    entries: int = 0
    hashes: int = 0
    place: bytes = b""

    def row(self) -> tuple[bytes | int, ...]:
        """Its row; SQLite's integers are too short for two of the numbers."""
        identity, counter = (n.to_bytes(8, "little") for n in (self.identity, self.counter))
        counts = self.commits, self.entries, self.hashes
        row = self.file + self.place, identity, counter, int(self.whole), *counts
        return *row, crc32(repr(row).encode())

    @staticmethod
    def of(row: tuple[Any, ...]) -> "Meta":
        """The meaning of a row that was read; Damaged if it does not agree with its check."""
        *values, check = row
        if crc32(repr(tuple(values)).encode()) != check:
            raise Damaged("what it says of itself is damaged")
        file, identity, counter, whole, commits, entries, hashes = values
        identity, counter = (int.from_bytes(n, "little") for n in (identity, counter))
        counts = commits, entries, hashes
        file, place = file[:FILE_BYTES], file[FILE_BYTES:]
        return Meta(file, identity, counter, bool(whole), *counts, place)
