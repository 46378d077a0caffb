"""The thirteen frames, as they are kept, and what may stand in the trailer behind each.

How they look on the wire, and who may send them to whom, is declared by the table in `forms`.
"""

from dataclasses import KW_ONLY
from enum import StrEnum
from types import NoneType
from typing import TypeAlias, get_args, get_type_hints

from prr.record import record
from prr.wire.call_messages import CallNumber, Failed
from prr.wire.inquiries import DrainQuery, ListPage, ListQuery, TextPart, TextQuery
from prr.wire.instance import NAMED, Address, Instance, Service
from prr.wire.message import Message
from prr.wire.messages import (
    AgentAnnouncement,
    Announcement,
    Challenge,
    DigestReply,
    DigestRequest,
    GroupRequest,
    Hello,
    NamedPresence,
    Opinion,
    OpinionRequest,
    Page,
    PageRequest,
    Plain,
    Presence,
    Reason,
    Renew,
    Search,
    Started,
    Suspicion,
    UnaskedPage,
    Versioned,
)
from prr.wire.proofs import Again, Confirmed, Proof
from prr.wire.query import Query
from prr.wire.seal import Seal
from prr.wire.whole_service import WholePage, WholeQuery


class Role(StrEnum):
    """Who speaks the protocol."""

    CLIENT = "client"
    SERVER = "server"
    BINDER = "binder"


@record(kw_only=True)
class _Framed:
    """What every frame may have: the message in the trailer behind it, and what it is sealed with.
    Each class names the messages that may be there, and in this order they are looked for."""

    trailer: Message | None = None
    seal: Seal | None = None


@record(kw_only=True)
class _Alone(_Framed):
    """A frame behind which nothing of use stands."""

    trailer: Hello | Plain | None = None


@record
class Request(_Framed):
    """A request to a service; `message` of at most 255 bytes."""

    message: bytes
    _: KW_ONLY
    trailer: CallNumber | Plain | None = None


@record
class Response(_Framed):
    """The service's answer to a Request."""

    message: bytes
    _: KW_ONLY
    trailer: Failed | Plain | None = None


@record
class Lookup(_Framed):
    """Who provides this type of service?"""

    type: int
    _: KW_ONLY
    trailer: WholeQuery | Query | Hello | Plain | None = None

    @property
    def service(self) -> Service:
        """What is looked for."""
        said = self.trailer
        if self.type == NAMED and isinstance(said, Query | WholeQuery) and said.name is not None:
            return said.name.decode()
        return self.type


@record
class Found(_Framed):
    """The answer to a Lookup: ask there."""

    address: Address
    _: KW_ONLY
    trailer: WholePage | Hello | Plain | None = None


@record
class FoundInstance(_Alone):
    """The answer to a Lookup as legacy (2016) binders send it, with the type."""

    instance: Instance


@record
class Complaint(_Framed):
    """I could not reach this instance."""

    instance: Instance
    _: KW_ONLY
    trailer: OpinionRequest | Reason | Hello | Plain | None = None


@record
class Unknown(_Framed):
    """The answer to a Lookup: I know none of that type."""

    _: KW_ONLY
    trailer: Opinion | Hello | Plain | None = None


@record
class Subscribe(_Framed):
    """I provide this type; my address is the datagram's source."""

    type: int
    _: KW_ONLY
    trailer: Started | Hello | Plain | None = None


@record
class Subscribed(_Framed):
    """The answer to a Subscribe."""

    _: KW_ONLY
    trailer: Confirmed | Renew | Hello | Plain | None = None


@record
class ListRequest(_Framed):
    """Send me your list."""

    _: KW_ONLY
    trailer: (
        GroupRequest | PageRequest | DigestRequest | DrainQuery | TextQuery | ListQuery | None
    ) = None


@record
class ServiceList(_Framed):
    """The answer to a ListRequest."""

    instances: tuple[Instance, ...]
    _: KW_ONLY
    trailer: Page | DigestReply | UnaskedPage | Again | Hello | TextPart | ListPage | None = None


@record
class Added(_Framed):
    """This instance subscribed."""

    instance: Instance
    _: KW_ONLY
    trailer: Suspicion | Versioned | Hello | Plain | None = None


@record
class Removed(_Framed):
    """This instance is gone."""

    instance: Instance
    _: KW_ONLY
    trailer: Versioned | Reason | Hello | Plain | None = None


@record
class Verify(_Framed):
    """Are you there?"""

    _: KW_ONLY
    trailer: Challenge | Again | Hello | Plain | None = None


@record
class Alive(_Framed):
    """The answer to a Verify."""

    _: KW_ONLY
    trailer: (
        Presence
        | NamedPresence
        | Opinion
        | Search
        | Announcement
        | AgentAnnouncement
        | Proof
        | Hello
        | Plain
        | None
    ) = None


Frame: TypeAlias = (
    Request
    | Response
    | Lookup
    | Found
    | FoundInstance
    | Complaint
    | Unknown
    | Subscribe
    | Subscribed
    | ListRequest
    | ServiceList
    | Added
    | Removed
    | Verify
    | Alive
)


def messages_of(frame: type[Frame]) -> tuple[type[Message], ...]:
    """The messages that may stand behind a frame, in the order in which they are looked for."""
    named = get_args(get_type_hints(frame)["trailer"])
    return tuple(message for message in named if message is not NoneType)
