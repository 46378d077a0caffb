"""What one setting is."""

from collections.abc import Callable
from typing import Any

from prr.record import record


@record
class Setting:
    """One setting: `key` in the file and in the configuration, PRR_KEY in the environment.

    `many`: the flag may be repeated, the variable holds a list with commas, the file an array.
    `is_switch`: the flag has no value, the variable and the file say true or false. `is_command`:
    it is what stands behind `--`, the variable has words as in a shell, the file an array. `check`
    raises ValueError where all values together are not valid.
    """

    key: str
    flag: str
    parse: Callable[[str], Any]
    metavar: str
    help: str
    many: bool = False
    is_switch: bool = False
    is_command: bool = False
    check: Callable[[list[Any]], None] | None = None

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"PRR_{self.key.upper()}"
