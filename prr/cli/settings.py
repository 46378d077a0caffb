"""Where a setting's value comes from: flag, else environment, else file, else default."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from prr.cli.setting import Setting
from prr.cli.settings_table import BINDERS, SETTINGS, SEVERAL
from prr.config import BadInput
from prr.services import read_toml
from prr.text import split_words
from prr.wire.instance import describe_address


def default_text(config: type[Any], key: str) -> str:
    """The default of a setting as one would write it; "" where it has none, or none to write.
    `config` is the dataclass that it ends up in."""
    default = {field.name: field.default for field in fields(config)}.get(key)
    if default is None or default is MISSING or default is False or default == ():
        return ""
    if not isinstance(default, tuple):
        return f"{default:g}" if isinstance(default, float) else str(default)
    addresses = default if isinstance(default[0], tuple) else (default,)
    return ", ".join(map(describe_address, addresses))


def gather(role: str, settings: tuple[Setting, ...], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are set for `settings`; the others are left to the defaults.

    `role` names the file's table; `flags` are those of the command line, None where not given.
    Raises BadInput.
    """
    (values,) = gather_each(role, settings, flags)
    return values


def gather_each(
    role: str, settings: tuple[Setting, ...], flags: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The same for each table of a role that may have several; one without any."""
    in_file = _read_role(role, flags.get("config") or os.environ.get("PRR_CONFIG") or None)
    return [_values(settings, flags, table) for table in in_file]


def _values(
    settings: tuple[Setting, ...], flags: Mapping[str, Any], in_file: Mapping[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in settings:
        given = _given(setting, flags, in_file)
        if given is not None:
            origin, texts = given
            values[setting.key] = _parse(setting, origin, texts)
    return values


def _given(
    setting: Setting, flags: Mapping[str, Any], in_file: Mapping[str, Any]
) -> tuple[str, list[str]] | None:
    """Where the value of a setting comes from, and its text or texts; None if it is not set."""
    flag = flags.get(setting.key)
    if flag not in (None, []):
        return setting.flag, flag if setting.many or setting.is_command else [flag]
    variable = os.environ.get(setting.variable)
    if variable is not None:
        return setting.variable, _in_variable(setting, variable)
    if setting.key in in_file:
        return f"key {setting.key}", _texts(setting, in_file[setting.key])
    return None


def _in_variable(setting: Setting, value: str) -> list[str]:
    if setting.is_command:
        try:
            return split_words(value)
        except ValueError as error:
            raise BadInput(f"{setting.variable}: {error}") from error
    return value.split(",") if setting.many else [value]


def _texts(setting: Setting, value: object) -> list[str]:
    if setting.many or setting.is_command:
        if not isinstance(value, list):
            raise BadInput(f'key {setting.key} is not an array; use {setting.key} = ["..."]')
        if not value and setting.key == BINDERS.key:
            raise BadInput('key binders is empty; name at least one, as in ["127.0.0.1:2222"]')
        return [str(one) for one in value]
    if setting.is_switch and type(value) is bool:
        return [str(value).lower()]
    if type(value) not in (str, int, float):
        raise BadInput(f"key {setting.key}: {value!r} is neither a text nor a number; use one")
    if type(value) is int and value.bit_length() > 64:  # Python refuses to write out the largest
        raise BadInput(f"key {setting.key}: no setting takes a number as large as this")
    return [str(value)]


def _parse(setting: Setting, origin: str, texts: list[str]) -> Any:  # noqa: ANN401 any setting's
    try:
        values = [
            setting.parse(text.strip()) if setting.many else setting.parse(text) for text in texts
        ]
        if setting.check is not None:
            setting.check(values)
    except ValueError as error:
        raise BadInput(f"{origin}: {error}") from error
    if setting.is_command:
        return tuple(values)
    return tuple(dict.fromkeys(values)) if setting.many else values[0]


def _read_role(role: str, path: str | None) -> list[dict[str, Any]]:
    """The tables of `role` in a TOML file, which may hold other roles' tables too."""
    if path is None:
        return [{}]
    found: list[dict[str, Any]] = [{}]
    for name, content in read_toml(Path(path)).items():
        if name not in SETTINGS:
            known = ", ".join(f"[{role}]" for role in SETTINGS)
            raise BadInput(f"{path}: {name!r} is not a table or key; use one of {known}")
        tables = content if name in SEVERAL and isinstance(content, list) else [content]
        if not all(isinstance(table, dict) for table in tables):
            raise BadInput(f"{path}: {name} is not a table; put [{name}] above its keys")
        keys = [setting.key for setting in SETTINGS[name]]
        for key in (key for table in tables for key in table if key not in keys):
            raise BadInput(f"{path}: [{name}] has no key {key!r}; use one of {', '.join(keys)}")
        found = tables if name == role else found
    return found
