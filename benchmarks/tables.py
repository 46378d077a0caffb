"""Figures as tables in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.figures import Figures


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table with this head."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(said, line)) + " |\n" for line in lines)


def table_of(rows: Figures) -> str:
    """A table with a row for each name, and a column for each key; "" without rows."""
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    cells = [[words(name), *(row.get(one, "") for one in columns)] for name, row in rows.items()]
    return table(["", *map(words, columns)], cells) if rows else ""


def turned(rows: Figures) -> Figures:
    """The figures by key, and then by name."""
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    return {key: {name: row.get(key, "") for name, row in rows.items()} for key in keys}


def said(value: Any) -> str:
    """A figure, or some of them, in words."""
    if isinstance(value, dict):
        return ", ".join(f"{words(name)} {said(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def words(key: str) -> str:
    """A figure's name in words."""
    return key.replace("_", " ")
