"""What programs on a binder's own host ask it, and what it answers: messages as in `messages`."""

from prr.record import record
from prr.wire.message import Message


@record(kw_only=True)
class ListQuery(Message):
    """Send me your list, from behind the instance in `cursor` on."""

    cursor: bytes = b""
    wide: int | None = None
    nonce: int | None = None
    padding: bytes | None = None


@record(kw_only=True)
class ListPage(Message):
    """The answer to a ListQuery; with a cursor there is more."""

    others: bytes | None = None
    cursor: bytes | None = None
    nonce: int | None = None
    states: bytes | None = None


@record(kw_only=True)
class TextQuery(Message):
    """Answer a Question, from byte `offset` on."""

    question: int
    nonce: int | None = None
    offset: int = 0
    cursor: bytes | None = None
    instance: bytes | None = None
    padding: bytes | None = None


@record(kw_only=True)
class DrainQuery(Message):
    """Take an instance out of turn for so many `seconds`, and keep `text`, why; with 0 put it back.
    The last one in turn of its service only with `last`."""

    question: int
    seconds: int
    nonce: int | None = None
    text: bytes = b""
    cursor: bytes | None = None
    instance: bytes | None = None
    last: int | None = None
    padding: bytes | None = None


@record(kw_only=True)
class TextPart(Message):
    """The answer to a TextQuery: a part of the text, which is `offset` bytes long; or to a
    DrainQuery: what became of it, in a word."""

    text: bytes
    offset: int = 0
    nonce: int | None = None
