"""The file in which a binder keeps what it knows: SQLite, with checks of our own.

SQLite sees to it that a group of changes is on disk whole or not at all (WAL, synchronous FULL).
What it cannot see is a byte that has changed on the disk. So each row has a check, and one row of
`meta`, written with every group, says how many rows there are and what their checks add up to.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory, mkstemp
from typing import TypeAlias

from prr.config import Limits
from prr.core.effects import Update
from prr.shell.storage import statements
from prr.shell.storage.rows import Row, keys_of, rows_for
from prr.shell.storage.state_meta import FILE_BYTES, Damaged, Failing, Meta
from prr.shell.storage.statements import values
from prr.wire.instance import Instance

APPLICATION_ID = 0x70727231
"""Tells our file from all other SQLite files."""

FORMAT = 1
"""The version of the tables below. A file with a higher one was written by a newer program."""

ROWS_MAX = Limits().instances + 2 * Limits().removals
"""More rows than a binder ever keeps: such a file is damaged."""

READ_MAX = 400
"""Rows read at a time: what follows in the binder takes 2 ms, for which a lookup may wait."""

WAL_BYTES_MAX = 16 << 20
"""The write-ahead log is cut down to this when a great change is through."""

_SCHEMA = {
    b"CREATE TABLE entry (place BLOB PRIMARY KEY, version BLOB, present INTEGER, hash INTEGER)"
    b" WITHOUT ROWID",
    b"CREATE TABLE meta (file BLOB, identity BLOB, counter BLOB, whole INTEGER, commits INTEGER,"
    b" entries INTEGER, hashes INTEGER, hash INTEGER)",
}

_DAMAGE = {
    *(sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB),
    *(sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA),
}
"""SQLite's words for a file that is no good. What else it may say, a disk may recover from."""


_REPLACED = "the file is gone, or another one is in its place"


_Execute: TypeAlias = Callable[..., sqlite3.Cursor]


def create(path: Path, identity: int, counter: int, whole: bool, place: bytes) -> None:
    """Put a new, empty state file in the place of whatever is at `path`.

    It is made under another name first: who is killed meanwhile leaves nothing half done. That name
    is a new one: whatever else lies there may be no file, and not go away. Raises Failing.
    """
    with _told():
        for leftover in path.parent.glob(f"{path.name}.new*"):
            with suppress(OSError):
                leftover.unlink()
        descriptor, name = mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
        os.close(descriptor)
    with _told(), closing(_connect(Path(name), "rw")) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        for statement in sorted(_SCHEMA):
            connection.execute(statement.decode())
        meta = Meta(os.urandom(FILE_BYTES), identity, counter, whole, place=place)
        connection.execute(f"INSERT INTO meta {values(1, 8)}", meta.row())
        connection.execute("PRAGMA journal_mode = WAL")
    os.replace(name, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def copied(path: Path) -> "StateFile":
    """The file at `path`, and its log, opened from a copy that is gone once it is closed, since
    neither can be written to. Raises Damaged or Failing."""
    with _told(), TemporaryDirectory() as scratch:
        for ending in ("", "-wal"):
            with suppress(FileNotFoundError):
                copyfile(f"{path}{ending}", f"{scratch}/{path.name}{ending}")
        return StateFile(Path(scratch, path.name))


class StateFile:
    """One open file. Its calls wait for the disk, and may come from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Raises Damaged or Failing."""
        self._path = path
        with _told():
            self._connection = _connect(path, "rw")
            try:
                self._prepare()
                self._identify()
                self.meta = self._read_meta()
                self._stamp = self._look()
            except BaseException:
                self._connection.close()
                raise
        self._reading: sqlite3.Cursor | None = None
        self._entries_read = self._hashes_read = 0
        self._were_new = False  # all rows of the group before

    def read(self) -> list[Row]:
        """The next rows; none at the end. Raises Damaged, and Failing.

        Nothing may be committed before the end: the rows are compared with what the file says of
        itself.
        """
        with _told():
            if self._reading is None:
                self._reading = self._connection.execute("SELECT * FROM entry")
            rows: list[Row] = self._reading.fetchmany(READ_MAX)
        self._entries_read += len(rows)
        try:
            self._hashes_read += sum(row[-1] for row in rows)
        except TypeError:
            raise Damaged("a row without a check") from None
        if self._entries_read > self.meta.entries or (not rows and not self._is_complete()):
            raise Damaged(f"of {self.meta.entries} entries some are missing or not the last ones")
        return rows

    def commit(
        self,
        updates: Mapping[Instance, Update | None],
        counter: int,
        whole: bool,
        clear: bool = False,
    ) -> None:
        """Put a group of changes on disk; with `clear` everything else goes. When this returns it
        is there. Raises Damaged, and Failing: then it may be there or not."""
        if self._look() != self._stamp:
            raise Damaged(_REPLACED)
        rows = rows_for({one: last for one, last in updates.items() if last is not None})
        forgotten = keys_of([one for one, last in updates.items() if last is None])
        with _told(), self._transaction() as execute:
            meta = self._cleared(execute) if clear else self._without(execute, forgotten)
            meta = self._with(execute, rows, meta)
            meta = replace(meta, counter=counter, whole=whole, commits=meta.commits + 1)
            execute("DELETE FROM meta")
            execute(f"INSERT INTO meta {values(1, 8)}", meta.row())
        stamp = self._look()
        if stamp is None or stamp[0] != self.inode:  # while this was written
            raise Damaged(_REPLACED)
        self.meta, self._stamp = meta, stamp

    def close(self) -> None:
        """Close the file properly, all of it in one piece, if the disk lets us."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _prepare(self) -> None:
        for pragma in (
            "locking_mode = EXCLUSIVE",  # SQLite needs no shared memory beside the file then
            "synchronous = FULL",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "temp_store = MEMORY",  # for pages that a statement may have to undo: else in a file
        ):
            self._connection.execute(f"PRAGMA {pragma}")

    def _identify(self) -> None:
        execute = self._connection.execute
        if execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise Damaged("it is no state of a binder")
        (version,) = execute("PRAGMA user_version").fetchone()
        if version != FORMAT:
            raise Damaged(f"it has format {version}, and this program knows {FORMAT}")
        if {sql for (sql,) in execute("SELECT sql FROM sqlite_master")} != _SCHEMA:
            raise Damaged("its tables are not ours")
        if execute("PRAGMA journal_mode = WAL").fetchone() != (b"wal",):
            raise Damaged("it cannot be written to by way of a log")
        execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")

    def _read_meta(self) -> Meta:
        rows = self._connection.execute("SELECT * FROM meta LIMIT 2").fetchall()
        if len(rows) != 1:
            raise Damaged("it does not say how much it holds")
        meta = Meta.of(rows[0])
        if not 0 <= meta.entries <= ROWS_MAX:
            raise Damaged(f"it says that it holds {meta.entries} entries")
        return meta

    @property
    def inode(self) -> int | None:
        """Which file of the file system it is."""
        return self._stamp[0] if self._stamp else None

    def _look(self) -> tuple[int, int, int] | None:
        """What changes where somebody puts another file in its place, or writes into it; None if it
        is gone. Nothing but a commit of ours writes into it."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _cleared(self, execute: _Execute) -> Meta:
        """Take out all rows; what is left."""
        execute("DELETE FROM entry")
        return replace(self.meta, entries=0, hashes=0)

    def _with(self, execute: _Execute, rows: Sequence[Row], meta: Meta) -> Meta:
        """Put in rows; what is there then, where `meta` was. To look for those that they replace
        takes a third of the time. So after a group of new ones, as in a herd, they are taken for
        new, and only if that fails they are looked for."""
        if not rows:
            return meta
        if not (self._were_new and self._are_inserted(execute, rows)):
            sums = _sums(execute, [row[0] for row in rows])
            self._were_new = not sums[0]
            meta = _less(meta, *sums)
            execute(*statements.put(rows))
        return _less(meta, -len(rows), -sum(row[-1] for row in rows))

    def _are_inserted(self, execute: _Execute, rows: Sequence[Row]) -> bool:
        """They are in, as none was there; else they are not."""
        try:
            execute(*statements.insert(rows))
        except sqlite3.IntegrityError:
            return False
        return True

    def _without(self, execute: _Execute, keys: Sequence[bytes]) -> Meta:
        """Take out the rows that have these keys; what is left."""
        if not keys:
            return self.meta
        sums = _sums(execute, keys)
        execute(*statements.delete(keys))
        return _less(self.meta, *sums)

    def _is_complete(self) -> bool:
        seen = self._entries_read, self._hashes_read
        return seen == (self.meta.entries, self.meta.hashes)

    @contextmanager
    def _transaction(self) -> Iterator[_Execute]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that is told where a transaction begins and ends."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = bytes  # damaged text must not raise anything
    return connection


def _sums(execute: _Execute, keys: Sequence[bytes]) -> tuple[int, int]:
    entries, hashes = execute(*statements.sums(keys)).fetchone()
    return entries, hashes


def _less(meta: Meta, entries: int, hashes: int) -> Meta:
    return replace(meta, entries=meta.entries - entries, hashes=meta.hashes - hashes)


@contextmanager
def _told() -> Iterator[None]:
    """Say in our own words what SQLite and the system raise."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in _DAMAGE:
            raise Damaged(str(error)) from error
        raise Failing(str(error)) from error
    except UnicodeDecodeError as error:  # an error's text, with names out of a damaged file
        raise Damaged("SQLite cannot even say what is wrong with it") from error
    except OSError as error:
        raise Failing(error.strerror or str(error)) from error
