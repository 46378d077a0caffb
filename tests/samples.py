"""How many of many parameters a default run takes."""

from collections.abc import Iterable
from typing import Any

import pytest


def sample(count: int, values: Iterable[Any], rest: Any = pytest.mark.smoke) -> list[Any]:
    """The first `count` of `values` as they are, and the others with the mark `rest`."""
    return [
        value if at < count else pytest.param(value, marks=rest) for at, value in enumerate(values)
    ]
