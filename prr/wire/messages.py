"""What a trailer says: one message for each use of it, and which one a trailer is.

A frame's class names the messages that may stand behind it. A trailer is the first of them all of
whose keys are there; those with a default may be missing, and keys that a message does not have are
skipped, like unknown ones. So every legal map behind every frame is some message, at worst one that
says little.

A field has the name, the values and the meaning of its key: see KEYS. None is not sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from prr.wire.trailer import KEYS
from prr.wire.version import VERSION_BYTES, Version, decode_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What any message may say besides: which binder of ours has sent it."""

    binder: int | None = None

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        """A trailer with these values, by field, is one of this kind."""
        return _REQUIRED[cls] <= values.keys()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The message, of a trailer that `fits`."""
        return cls(**{name: values[name] for name in _FIELDS[cls] if name in values})

    def values(self) -> dict[str, Any]:
        """What the trailer holds, by field, in the order of KEYS."""
        said = {name: getattr(self, name) for name in _FIELDS[type(self)]}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain(Message):
    """Nothing: that there is a trailer shows that its sender is one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """A binder of ours says which one it is. Behind a list: it is the answer to a question without
    a trailer, and there may be more to ask for."""

    binder: int


# From servers, and to them.


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Message):
    """Behind a subscription: the server is one of ours, and this is its start number. It renews
    within `renewal` seconds, 5 if it does not say."""

    start: int
    renewal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Message):
    """Behind a confirmation: renew within `renewal` seconds, instead of 5."""

    renewal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Message):
    """Behind a sign of life that nobody has asked for: are you a binder of ours? Then take this
    for a subscription to the first of `types`."""

    types: bytes
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge(Message):
    """Behind "are you there?": say who you are, and this nonce."""

    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence(Message):
    """The answer to a Challenge: who is there."""

    nonce: int
    types: bytes
    start: int


# Between binders.


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionRequest(Message):
    """Behind a complaint: could you reach it?"""

    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion(Message):
    """The answer to an OpinionRequest; the frame in front says which."""

    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned(Message):
    """Behind "it is there" and "it is gone": with which version, and why it is gone, if it was
    silent."""

    versions: bytes
    cause: int | None = None

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        return bool(values.get("versions"))  # without any it is what a legacy (2016) binder says

    @property
    def version(self) -> Version:
        """The version of the instance in front: the only one, or the first."""
        return decode_version(self.versions[:VERSION_BYTES])


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion(Versioned):
    """Behind "it is there": with which version, but I have asked it in vain so far; do not hand it
    out first."""

    doubt: int

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        return Versioned.fits(values) and "doubt" in values


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRequest(Message):
    """Do you know the same?"""

    digest: bytes
    nonce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestReply(Message):
    """The answer to a DigestRequest: the digest of what I know, and where it differs the digests of
    the groups."""

    binder: int
    digest: bytes
    digests: bytes | None = None
    nonce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest(Message):
    """Send me what lies in the buckets of `group` that differ from these."""

    group: int
    digests: bytes
    nonce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest(Message):
    """Send me the next page of these buckets of `group`."""

    group: int
    buckets: int = 0
    cursor: bytes = b""
    nonce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Message):
    """The answer to a GroupRequest or a PageRequest: the versions of the instances in front, and
    what is gone; with a cursor there is more."""

    binder: int
    group: int
    buckets: int | None = None
    versions: bytes = b""
    removals: bytes = b""
    cursor: bytes | None = None
    nonce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnaskedPage(Message):
    """Behind a list that nobody has asked for: the versions of the instances in front."""

    binder: int
    versions: bytes
    nonce: int


# From programs on a binder's own host, and to them.


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery(Message):
    """Send me your list, from behind the instance in `cursor` on."""

    cursor: bytes = b""
    nonce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Message):
    """The answer to a ListQuery; with a cursor there is more."""

    cursor: bytes | None = None
    nonce: int | None = None
    states: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuery(Message):
    """Answer a Question, from byte `offset` on."""

    question: int
    nonce: int | None = None
    offset: int = 0
    cursor: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart(Message):
    """The answer to a TextQuery: a part of the text, which is `offset` bytes long."""

    text: bytes
    offset: int = 0
    nonce: int | None = None


def message_in(values: Mapping[str, Any], among: Sequence[type[Message]]) -> Any:  # noqa: ANN401
    """What a trailer with these values says: the first message of `among` that it fits, one of
    which always does. Any, since it is for the frame to say what may stand behind it."""
    return next(message for message in among if message.fits(values)).of(values)


_ORDER = [key.field for key in KEYS]
_MESSAGES = [
    one for one in list(vars().values()) if isinstance(one, type) and issubclass(one, Message)
]
_FIELDS = {
    message: sorted((field.name for field in fields(message)), key=_ORDER.index)
    for message in _MESSAGES
}
_REQUIRED = {
    message: {field.name for field in fields(message) if field.default is MISSING}
    for message in _MESSAGES
}
