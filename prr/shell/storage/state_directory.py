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
from dataclasses import replace
from pathlib import Path
from zlib import crc32

from prr.config import BadInput
from prr.core.effects import Update
from prr.shell.storage.rows import Row
from prr.shell.storage.state_file import StateFile, copied, create
from prr.shell.storage.state_meta import Damaged, Failing, Meta, place_of
from prr.wire.instance import Instance

SET_ASIDE_MAX = 3
"""Files set aside that are kept, the newest ones, for whoever wants to know what happened."""

_WITNESS = struct.Struct("<8sQ")


_ENDINGS = ("-wal", "-journal", "-shm", "")
"""Of the names of a file and of what SQLite has beside it; the log first."""


class StateDirectory:
    """Opens, writes and replaces the file. Its calls wait for the disk; one at a time."""

    def __init__(self, path: Path) -> None:
        """Take the directory, made if there is none; BadInput if it cannot be had."""
        self.path = path
        self._database = path / "binder.sqlite"
        self._witness = path / "witness"
        self._file: StateFile | None = None
        self._is_copy = False  # and the file itself cannot be opened
        self._inode: int | None = None
        self._known: Meta | None = None  # what the file said of itself last
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = self._open_lock()
            self._place = place_of(path)
        except OSError as error:
            why = f"{error.strerror}; use a directory that this user may write to"
            raise BadInput(f"cannot keep the state in {path}: {why}") from error
        if self._database.exists() and not os.access(self._database, os.R_OK):
            raise BadInput(f"{self._database} belongs to another user; use another directory")
        self._take_lock()

    def open(self, identity: int) -> tuple[Meta, list[str]]:
        """Open the file, or begin a new one for a binder with `identity`: what it says of itself,
        and what is to be told of losses. Raises Failing if neither can be done now."""
        self._clear_way()
        if not self._database.exists():
            lost = self._witnessed()[1]
            said = [f"the file is gone, with {lost} groups of changes"] if lost else []
            return self.begin_anew(identity, 0, True), said
        try:
            self._file = self._open_to_read()
        except Damaged as error:
            return self._replace(identity, str(error))
        meta = self._file.meta
        losses = self._losses(meta)
        if meta.place not in (b"", self._place):
            meta = replace(meta, identity=identity)
            losses.append("it was written on another host or in another directory: this binder")
            losses[-1] += " gets an identity of its own"
        self._known = self._file.meta = replace(meta, place=self._place)
        return self._known, losses

    def begin_anew(self, identity: int, counter: int, whole: bool) -> Meta:
        """Set aside what is there, and begin a new file. Raises Failing."""
        self.close()
        try:
            self._set_aside()
            create(self._database, identity, counter, whole, self._place)
        except OSError as error:
            raise Failing(error.strerror or str(error)) from error
        self._file = self._open_to_write()
        self._known = self._file.meta
        self._write_witness(self._known)
        return self._known

    def read(self) -> list[Row]:
        """The next rows of the file that was opened; none at the end. Raises Damaged, Failing."""
        if self._file is None:  # a full disk, which refused the first commit, can still be read
            if self._known is None:
                return []
            self._file = self._open_again()
        rows = self._file.read()
        if not rows and self._is_copy:
            self.close()
        return rows

    def commit(
        self,
        updates: Mapping[Instance, Update | None],
        counter: int,
        whole: bool,
        clear: bool = False,
    ) -> None:
        """Put a group of changes on disk. Raises Damaged, and Failing: it may be tried again."""
        if self._file is None or self._is_copy:
            file = self._open_again()
            self.close()
            self._file = file
        try:
            self._file.commit(updates, counter, whole, clear)
            self._known = self._file.meta
            self._write_witness(self._known)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the file; it is opened again when it is needed."""
        if self._file is not None:
            self._file.close()
            self._file, self._is_copy = None, False

    def is_in_place(self) -> bool:
        """The file is still the one that was opened last: what was committed will be found."""
        try:
            return self._database.stat().st_ino == self._inode
        except OSError:
            return False

    def leave(self) -> None:
        """Close the file and give up the directory, for good."""
        self.close()
        os.close(self._lock)

    def _open_again(self) -> StateFile:
        if self._known is None:
            raise Damaged("it could not be read when this binder started")
        if not self._database.exists():
            raise Damaged("the file is gone")
        file, known = self._open_to_write(), self._known
        if file.meta.file != known.file or file.meta.commits < known.commits:
            file.close()
            raise Damaged("it has forgotten what was on disk already")
        file.meta = replace(file.meta, identity=known.identity, place=known.place)
        return file

    def _open_to_write(self) -> StateFile:
        if not os.access(self.path, os.W_OK | os.X_OK) or not os.access(self._database, os.W_OK):
            raise Failing("it may only be read")
        file = StateFile(self._database)
        self._inode = file.inode
        return file

    def _open_to_read(self) -> StateFile:
        """Where the file cannot be written to, SQLite cannot even read it: it reads a copy."""
        try:
            return self._open_to_write()
        except Failing:
            file = copied(self._database)
        self._is_copy, self._inode = True, self._database.stat().st_ino
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
        for ending in _ENDINGS:
            with suppress(FileNotFoundError):
                os.replace(f"{self._database}{ending}", f"{aside}{ending}")
        for number in sorted(numbers)[: -(SET_ASIDE_MAX - 1)]:
            for ending in (*_ENDINGS, "-witness"):
                with suppress(OSError):  # it may be a directory, which somebody made
                    (self.path / f"{self._name_aside(number)}{ending}").unlink()

    def _clear_way(self) -> None:
        """What has one of our names and is no file is set aside alone."""
        number = max(self._numbers_aside(), default=0) + 1
        for ending in (*_ENDINGS, "-witness"):
            found = self._witness if ending == "-witness" else Path(f"{self._database}{ending}")
            if found.exists() and not found.is_file():
                with suppress(OSError):
                    found.rename(self.path / f"{self._name_aside(number)}{ending}")

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
        try:
            data = self._witness.read_bytes()
        except OSError:
            return b"", 0
        row, check = data[: _WITNESS.size], data[_WITNESS.size : _WITNESS.size + 4]
        if len(check) != 4 or crc32(row).to_bytes(4, "little") != check:
            return b"", 0
        file, commits = _WITNESS.unpack(row)
        return file, commits

    def _write_witness(self, meta: Meta) -> None:
        """Not synced: a witness that is behind accuses nobody."""
        row = _WITNESS.pack(meta.file, meta.commits)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            witness = os.open(self._witness, flags, 0o600)
            try:
                os.pwrite(witness, row + crc32(row).to_bytes(4, "little"), 0)
            finally:
                os.close(witness)
        except OSError as error:
            raise Failing(error.strerror or str(error)) from error

    def _open_lock(self) -> int:
        """The file that is locked; where none can be made, but read, whatever stands for it."""
        lock = self.path / "lock"
        try:
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            if not lock.is_dir() and not os.access(self._database, os.R_OK):
                raise
            return os.open(lock if lock.exists() else self.path, os.O_RDONLY | os.O_CLOEXEC)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = ""
            with suppress(OSError):
                holder = os.pread(self._lock, 20, 0).decode(errors="replace").strip()
            holder = holder or "?"
            raise BadInput(
                f"the state in {self.path} is in use by the binder with process id {holder}; "
                f"stop that one, or use another directory for this one"
            ) from None
        except OSError as error:
            why = f"it cannot be locked ({error.strerror}); use a directory on a local disk"
            raise BadInput(f"cannot keep the state in {self.path}: {why}") from error
        with suppress(OSError):  # only humans read it, and the disk may be full
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
