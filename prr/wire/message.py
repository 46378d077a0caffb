"""What a message in a trailer is made of, and how one is found among those that may be there."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Self

from prr.record import record
from prr.wire.keys import KEYS


@record(kw_only=True)
class Message:
    """What any message may say besides: which binder of ours has sent it."""

    binder: int | None = None

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        """A trailer with these values, by field, is one of this kind."""
        return _required(cls) <= values.keys()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The message, of a trailer that `fits`."""
        return cls(**{name: values[name] for name in _fields(cls) if name in values})

    def values(self) -> dict[str, Any]:
        """What the trailer holds, by field, in the order of KEYS."""
        said = {name: getattr(self, name) for name in _fields(type(self))}
        return {name: value for name, value in said.items() if value is not None}


def message_in(values: Mapping[str, Any], among: Sequence[type[Message]]) -> Any:  # noqa: ANN401
    """What a trailer with these values says: the first message of `among` that it fits, one of
    which always does. Any, since it is for the frame to say what may stand behind it."""
    return next(message for message in among if message.fits(values)).of(values)


_ORDER = [key.field for key in KEYS]


_FIELDS: dict[type[Message], tuple[list[str], set[str]]] = {}
"""Of the messages that were met so far: see `_fields` and `_required`."""


def _known(message: type[Message]) -> tuple[list[str], set[str]]:
    known = _FIELDS.get(message)
    if known is None:
        names = sorted((field.name for field in fields(message)), key=_ORDER.index)
        required = {field.name for field in fields(message) if field.default is MISSING}
        known = _FIELDS[message] = names, required
    return known


def _fields(message: type[Message]) -> list[str]:
    """Its fields, in the order of KEYS."""
    return _known(message)[0]


def _required(message: type[Message]) -> set[str]:
    """The fields that must be there."""
    return _known(message)[1]
