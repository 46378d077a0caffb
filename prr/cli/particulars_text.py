"""How particulars are shown: to programs, and to people."""

from collections.abc import Mapping
from typing import Any

from prr.cli.output import in_one_line
from prr.wire.particulars import Particulars


def particulars_row(said: Particulars) -> dict[str, Any]:
    """As plain data."""
    return {"weight": said.weight, "zone": said.zone or None, "tags": dict(said.tags)}


def tags_text(tags: Mapping[str, str]) -> str:
    """On one line."""
    return in_one_line(" ".join(f"{key}={value}" for key, value in tags.items()))
