"""The directory of one binder's state: its lock, its file, its witness, and files set aside.

The witness is a number beside the file: how many groups of changes have been committed. SQLite
takes a log whose end is missing or damaged for one that was never longer; the witness knows better.
"""

import fcntl
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from prr.config import BadInput
from prr.core.effects import Word
from prr.core.restoring import Row
from prr.shell.statefile import Damaged, Failing, Meta, StateFile, create
from prr.wire.address import Instance

SET_ASIDE_MAX = 3
"""Files set aside that are kept, the newest ones, for whoever wants to know what happened."""

_WITNESS = struct.Struct("<8sQ")


class StateDirectory:
    """Opens, writes and replaces the file. Its calls wait for the disk; one at a time."""

    def __init__(self, path: Path) -> None:
        """Take the directory, made if there is none; BadInput if it cannot be had."""
        self.path = path
        self._database = path / "binder.sqlite"
        self._file: StateFile | None = None
        self._known: Meta | None = None  # what the file said of itself last
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._witness = os.open(path / "witness", flags, 0o600)
        except OSError as error:
            why = f"{error.strerror}; write a directory that this user may write to"
            raise BadInput(f"cannot keep the state in {path}: {why}") from error
        if self._database.exists() and not os.access(self._database, os.R_OK | os.W_OK):
            raise BadInput(f"{self._database} belongs to another user; write another directory")
        self._take_lock()

    def open(self, identity: int) -> tuple[Meta, list[str]]:
        """Open the file, or begin a new one for a binder with `identity`: what it says of itself,
        and what is to be told of losses. Raises Failing if neither can be done now."""
        if not self._database.exists():
            lost = self._witnessed()[1]
            said = [f"the file is gone, with {lost} groups of changes"] if lost else []
            return self.begin_anew(identity, 0, True), said
        try:
            self._file = StateFile(self._database)
        except Damaged as error:
            return self._replace(identity, str(error))
        self._known = self._file.meta
        return self._known, self._losses(self._known)

    def begin_anew(self, identity: int, counter: int, whole: bool) -> Meta:
        """Set aside what is there, and begin a new file. Raises Failing."""
        self.close()
        try:
            self._set_aside()
            create(self._database, identity, counter, whole)
        except OSError as error:
            raise Failing(error.strerror or str(error)) from error
        self._file = StateFile(self._database)
        self._known = self._file.meta
        self._write_witness(self._known)
        return self._known

    def read(self) -> list[Row]:
        """The next rows of the file that was opened; none at the end. Raises Damaged, Failing."""
        if self._file is None:  # a full disk, which refused the first commit, can still be read
            if self._known is None:
                return []
            self._file = self._open_again()
        return self._file.read()

    def commit(
        self, words: Mapping[Instance, Word | None], counter: int, whole: bool, clear: bool = False
    ) -> None:
        """Put a group of changes on disk. Raises Damaged, and Failing: it may be tried again."""
        if self._file is None:
            self._file = self._open_again()
        try:
            self._file.commit(words, counter, whole, clear)
            self._known = self._file.meta
            self._write_witness(self._known)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the file; it is opened again when it is needed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def leave(self) -> None:
        """Close the file and give up the directory, for good."""
        self.close()
        os.close(self._witness)
        os.close(self._lock)

    def _open_again(self) -> StateFile:
        if self._known is None:
            raise Damaged("it could not be read when this binder started")
        if not self._database.exists():
            raise Damaged("the file is gone")
        file = StateFile(self._database)
        known = self._known
        if file.meta.file != known.file or file.meta.commits < known.commits:
            file.close()
            raise Damaged("it has forgotten what was on disk already")
        return file

    def _replace(self, identity: int, why: str) -> tuple[Meta, list[str]]:
        meta = self.begin_anew(identity, 0, True)
        return meta, [f"{why}; it was set aside as {self.newest_set_aside()}"]

    def newest_set_aside(self) -> str:
        """The name of the file that was set aside last."""
        return self._name_aside(max(self._numbers_aside(), default=0))

    def _set_aside(self) -> None:
        """The log first: one that lies beside another file would be taken for its own."""
        numbers = self._numbers_aside()
        aside = self.path / self._name_aside(max(numbers, default=0) + 1)
        for ending in ("-wal", "-journal", "-shm", ""):
            with suppress(FileNotFoundError):
                os.replace(f"{self._database}{ending}", f"{aside}{ending}")
        for number in sorted(numbers)[: -(SET_ASIDE_MAX - 1)]:
            for ending in ("-wal", "-journal", "-shm", ""):
                (self.path / f"{self._name_aside(number)}{ending}").unlink(missing_ok=True)

    def _name_aside(self, number: int) -> str:
        return f"{self._database.name}.damaged-{number}"

    def _numbers_aside(self) -> list[int]:
        pattern = re.compile(re.escape(self._name_aside(0)[:-1]) + r"(\d+)(-\w+)?")
        found = map(pattern.fullmatch, os.listdir(self.path))
        return sorted({int(match[1]) for match in found if match})

    def _losses(self, meta: Meta) -> list[str]:
        file, commits = self._witnessed()
        losses = []
        if commits and file != meta.file:
            losses.append("it is another file than the one that was here; some may be missing")
        elif commits > meta.commits:
            losses.append(f"the last {commits - meta.commits} groups of changes are missing")
        if not meta.whole:
            losses.append("it was being filled again when the binder ended; some may be missing")
        return losses

    def _witnessed(self) -> tuple[bytes, int]:
        """Of which file there were how many commits; 0 if it is not known."""
        data = os.pread(self._witness, _WITNESS.size + 4, 0)
        row, check = data[: _WITNESS.size], data[_WITNESS.size :]
        if len(check) != 4 or crc32(row).to_bytes(4, "little") != check:
            return b"", 0
        file, commits = _WITNESS.unpack(row)
        return file, commits

    def _write_witness(self, meta: Meta) -> None:
        """Not synced: a witness that is behind accuses nobody."""
        row = _WITNESS.pack(meta.file, meta.commits)
        try:
            os.pwrite(self._witness, row + crc32(row).to_bytes(4, "little"), 0)
        except OSError as error:
            raise Failing(error.strerror or str(error)) from error

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "?"
            raise BadInput(
                f"the state in {self.path} is in use by the binder with process id {holder}; "
                f"stop that one, or write another directory for this one"
            ) from None
        except OSError as error:
            why = f"it cannot be locked ({error.strerror}); write a directory on a local disk"
            raise BadInput(f"cannot keep the state in {self.path}: {why}") from error
        with suppress(OSError):  # it is for people only, and the disk may be full
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
