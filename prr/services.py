"""The names in conf/services.toml, each of which stands for a number.

A service of any other name needs no entry there.
"""

from pathlib import Path
from typing import Any

from prr.config import BadInput

_PLACES = [Path(__file__).parents[up] / "conf" / "services.toml" for up in (0, 1)]
SERVICES_FILE = next((place for place in _PLACES if place.exists()), _PLACES[-1])
"""Within the package where that is installed, beside it in a clone of the repository."""


def numbers_by_name() -> dict[str, int]:
    """The names of conf/services.toml and their numbers; none if there is no such file.

    Raises BadInput for an invalid one.
    """
    if not SERVICES_FILE.exists():
        return {}
    names = read_toml(SERVICES_FILE).get("services", {})
    if not isinstance(names, dict):
        raise BadInput(f"{SERVICES_FILE}: services is not a table; put [services] above the names")
    for name, type_ in names.items():
        if type(type_) is not int or not 0 <= type_ <= 255:
            raise BadInput(
                f"{SERVICES_FILE}: {name} = {type_!r} is not a service type; "
                f"use a number from 0 to 255"
            )
    return dict(names)


def names_by_number() -> dict[int, str]:
    """The names of numbers: `numbers_by_name` inverted."""
    return {number: name for name, number in numbers_by_name().items()}


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises BadInput."""
    import tomllib  # 10 ms, which a client that has no such file need not take

    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise BadInput(
            f"cannot read {path}: {error.strerror}; use the path of a readable file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path} is not valid TOML: {error}; see conf/prr.toml for an example"
        ) from error
