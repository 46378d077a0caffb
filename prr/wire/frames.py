"""The thirteen frames, and the ONE table that declares them.

Decoding, encoding, who may send what to whom, the document (PROTOCOL.md) and the tests all read
TABLE. Codes, widths and byte order are those of the lab's programs of 2016, since the spec is
silent about them.

Theory of operation: byte 0 is the code. A code may have several forms, told apart by who receives
it (SERVICE_EXISTE_PAS is a complaint to a binder and a "no" to a client) and then by length (the
programs of 2016 put the type into REPONSE_DEMANDE_DE_SERVICE). Behind a frame stands nothing or
a trailer; behind the form that is `padded` may stand anything, and it is ignored.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from prr.wire.address import Address, Instance
from prr.wire.fields import ADDRESS, INSTANCE, INSTANCES, MESSAGE, TYPE, Field
from prr.wire.trailer import Trailer


class Role(StrEnum):
    """Who speaks the protocol."""

    CLIENT = "client"
    SERVER = "server"
    BINDER = "binder"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Framed:
    """What every frame may have: the trailer behind it."""

    trailer: Trailer | None = None


@dataclass(frozen=True, slots=True)
class Request(_Framed):
    """A request to a service; `message` of at most 255 bytes."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Response(_Framed):
    """The service's answer to a Request."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Lookup(_Framed):
    """Who gives a service of this type?"""

    type: int


@dataclass(frozen=True, slots=True)
class Found(_Framed):
    """The answer to a Lookup: ask there."""

    address: Address


@dataclass(frozen=True, slots=True)
class FoundInstance(_Framed):
    """The answer to a Lookup as the programs of 2016 send it, with the type."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Complaint(_Framed):
    """I could not reach this instance."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Unknown(_Framed):
    """The answer to a Lookup: I know none of that type."""


@dataclass(frozen=True, slots=True)
class Subscribe(_Framed):
    """I give this type; my address is the datagram's source."""

    type: int


@dataclass(frozen=True, slots=True)
class Subscribed(_Framed):
    """The answer to a Subscribe."""


@dataclass(frozen=True, slots=True)
class ListRequest(_Framed):
    """Send me your list."""


@dataclass(frozen=True, slots=True)
class ServiceList(_Framed):
    """The answer to a ListRequest."""

    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Added(_Framed):
    """This instance subscribed."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Removed(_Framed):
    """This instance is gone."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Verify(_Framed):
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Alive(_Framed):
    """The answer to a Verify."""


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


@dataclass(frozen=True, slots=True)
class Form:
    """One row of the table.

    `routes` are the pairs (sender, receiver) the form is legal between. `padded`: whatever
    stands behind the fields is ignored, even a trailer.
    """

    code: int
    name: str
    frame: type[Frame]
    fields: tuple[Field, ...]
    routes: tuple[tuple[Role, Role], ...]
    when: str
    padded: bool = False


_C, _S, _B = Role.CLIENT, Role.SERVER, Role.BINDER

TABLE = (
    Form(0, "CONTACT_SERVICE", Request, (MESSAGE,), ((_C, _S),), "a request to the service"),
    Form(
        1,
        "REPONSE_DU_SERVICE",
        Response,
        (MESSAGE,),
        ((_S, _C),),
        "the answer to 0; a server of 2016 pads it with zeros to 1000 bytes",
        padded=True,
    ),
    Form(
        2,
        "DEMANDE_DE_SERVICE",
        Lookup,
        (TYPE,),
        ((_C, _B),),
        "who gives a service of this type?",
    ),
    Form(
        3,
        "REPONSE_DEMANDE_DE_SERVICE",
        Found,
        (ADDRESS,),
        ((_B, _C),),
        "the answer to 2",
    ),
    Form(
        3,
        "REPONSE_DEMANDE_DE_SERVICE",
        FoundInstance,
        (INSTANCE,),
        ((_B, _C),),
        "the answer to 2 as the programs of 2016 send it (`--wire lab2016`)",
    ),
    Form(
        4,
        "SERVICE_EXISTE_PAS",
        Complaint,
        (INSTANCE,),
        ((_C, _B), (_B, _B)),
        '"I could not reach this one"; between binders of ours, with a nonce: could you?',
    ),
    Form(
        4,
        "SERVICE_EXISTE_PAS",
        Unknown,
        (),
        ((_B, _C), (_B, _B)),
        '"I know none of that type", the answer to 2; between binders of ours the answer to 4: '
        "I could not reach it either",
    ),
    Form(
        5,
        "ABONNEMENT",
        Subscribe,
        (TYPE,),
        ((_S, _B),),
        "subscribe; ip and port are the datagram's source",
    ),
    Form(6, "CONFIRMATION_ABONNEMENT", Subscribed, (), ((_B, _S),), "the answer to 5"),
    Form(
        7,
        "DEMANDE_DE_LISTE_DE_SERVICES",
        ListRequest,
        (),
        ((_B, _B),),
        "at start: send me your list",
    ),
    Form(
        8,
        "REPONSE_DEMANDE_LISTE_DE_SERVICES",
        ServiceList,
        (INSTANCES,),
        ((_B, _B),),
        "the answer to 7, at most 100 instances a datagram",
    ),
    Form(9, "AJOUT_SERVICE", Added, (INSTANCE,), ((_B, _B),), "after 5, to every other binder"),
    Form(
        10,
        "SUPPRESSION_SERVICE",
        Removed,
        (INSTANCE,),
        ((_B, _B), (_S, _B), (_B, _S)),
        "after 11 went unanswered, to every other binder; from a server that leaves, for its own "
        "address, and back to it as the answer",
    ),
    Form(11, "VERIFIE_N_EXISTE_PAS", Verify, (), ((_B, _S),), "after 4: are you there?"),
    Form(
        12,
        "J_EXISTE",
        Alive,
        (),
        ((_S, _B), (_B, _B)),
        "the answer to 11; between binders of ours the answer to 4: it answered me; from a server "
        "of ours, unasked: are you ours?",
    ),
)
