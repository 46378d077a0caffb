"""SQLite's statements about many rows at once, made so that each is compiled once.

There is one for all rows of a group, since after each one the thread that waits for it has to wait
for its turn to run Python. To compile it would take as long as to carry it out. So there is one for
each power of two, and what it has room for beyond the rows is filled up.
"""

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

from prr.shell.storage.rows import Row

Statement: TypeAlias = tuple[str, list[object]]
"""Its text, and what stands for the question marks."""


def insert(rows: Sequence[Row]) -> Statement:
    """Put in rows, at least one, of which none is there; IntegrityError, and nothing is put in, if
    one is."""
    return _put("INSERT", rows)


def put(rows: Sequence[Row]) -> Statement:
    """Put in rows, at least one, in the place of those that are there."""
    return _put("REPLACE", rows)


def sums(keys: Sequence[bytes]) -> Statement:
    """How many rows have these keys, at least one, and what their checks add up to."""
    return _about("SELECT count(*), coalesce(sum(hash), 0)", keys)


def delete(keys: Sequence[bytes]) -> Statement:
    """Take out the rows that have these keys, at least one."""
    return _about("DELETE", keys)


def values(rows: int, columns: int) -> str:
    """What stands for so many rows of values."""
    row = "(" + ",".join("?" * columns) + ")"
    return "VALUES " + ",".join([row] * rows)


def _put(verb: str, rows: Sequence[Row]) -> Statement:
    size = _room_for(len(rows))
    filled: list[object] = [value for row in rows for value in row]
    return _text_to_put(verb, size), filled + [None] * (4 * (size - len(rows)))


def _about(what: str, keys: Sequence[bytes]) -> Statement:
    size = _room_for(len(keys))
    filled: list[object] = [*keys]
    return _text_about(what, size), filled + [keys[-1]] * (size - len(keys))


def _room_for(count: int) -> int:
    return 1 << (count - 1).bit_length()


@cache
def _text_to_put(verb: str, size: int) -> str:
    return f"{verb} INTO entry SELECT * FROM ({values(size, 4)}) WHERE column1 IS NOT NULL"


@cache
def _text_about(what: str, size: int) -> str:
    return f"{what} FROM entry WHERE place IN ({values(size, 1)})"
