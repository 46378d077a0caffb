"""All instances of one service, told page by page to whoever asks: messages as in `messages`.

A page is never longer than the padding of its question, so that nobody can have a binder send a
stranger more than he sends himself (as QUIC has it: RFC 9000, 8.1).
"""

from typing import Self

from prr.record import record
from prr.wire.instance import WIDE_BYTES_MAX, Service
from prr.wire.message import Message
from prr.wire.particulars import PARTICULARS_BYTES_MAX
from prr.wire.trailer import PADDING_BYTES_MAX
from prr.wire.wide import ROW_BYTES_MIN

_FRONT_BYTES = 50 + WIDE_BYTES_MAX
"""Of a page, beside its rows: the frame, the nonce, a cursor or an offset, and their keys."""

PADDING_BYTES_MIN = _FRONT_BYTES + ROW_BYTES_MIN + WIDE_BYTES_MAX + PARTICULARS_BYTES_MAX
"""Of a question: any row has room in the answer."""


@record(kw_only=True)
class WholeQuery(Message):
    """Behind a lookup: all instances of the service, from behind the one in `cursor` on, or from
    `offset` on, in a page no longer than `padding`."""

    cursor: bytes
    nonce: int
    offset: int = 0
    name: bytes | None = None
    padding: bytes

    @classmethod
    def about(cls, service: Service, nonce: int, cursor: bytes = b"", offset: int = 0) -> Self:
        """The question for as long a page as there are."""
        name = service.encode() if isinstance(service, str) else None
        room = bytes(PADDING_BYTES_MAX)
        return cls(cursor=cursor, nonce=nonce, offset=offset, name=name, padding=room)

    @property
    def room(self) -> int:
        """Bytes of all rows in the answer; 0 if one might find none."""
        size = len(self.padding)
        return size - _FRONT_BYTES if size >= PADDING_BYTES_MIN else 0


@record(kw_only=True)
class WholePage(Message):
    """The answer to a WholeQuery: instances that are there, or were asked in vain lately, without
    their versions; with a cursor or an offset there is more."""

    nonce: int
    others: bytes
    cursor: bytes | None = None
    offset: int | None = None
