"""The ONE table that declares the thirteen frames.

Decoding, encoding, who may send what to whom, docs/protocol.md and the tests all read TABLE.
Codes, widths and byte order are those of the legacy (2016) programs, since the spec is silent about
them.

Theory of operation: byte 0 is the code. A code may have several forms, told apart by who receives
it (SERVICE_EXISTE_PAS is a complaint to a binder and a "no" to a client) and then by length (the
legacy programs put the type into REPONSE_DEMANDE_DE_SERVICE). Behind a frame stands nothing or
a trailer; behind the form that is `padded` may stand anything, and what is no trailer is ignored.
"""

from enum import StrEnum
from typing import NamedTuple

from prr.record import record
from prr.wire.fields import ADDRESS, INSTANCE, INSTANCES, MESSAGE, TYPE, Field
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
    FoundInstance,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    Request,
    Response,
    Role,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
    Verify,
)


class Claim(StrEnum):
    """What makes a receiver believe that a frame comes from who may send it."""

    ANYBODY = "always"
    PEER = "a peer"
    PEER_WITH_NONCE = "a peer, with a nonce"
    NAMED = "from the host in it"
    LOCAL = "from the same host, or an operator"
    ASKED = "asked"


class Route(NamedTuple):
    """A form is legal from `sender` to `receiver`, which demands `claim`."""

    sender: Role
    receiver: Role
    claim: Claim


@record
class Form:
    """One row of the table.

    `routes` are whom the form is legal between; the first whose claim fits counts.
    `padded`: what stands behind the fields and is no trailer is ignored.
    """

    code: int
    name: str
    frame: type[Frame]
    fields: tuple[Field, ...]
    routes: tuple[Route, ...]
    when: str
    padded: bool = False


_CALL = Route(Role.CLIENT, Role.SERVER, Claim.ANYBODY)
_CALLED = Route(Role.SERVER, Role.CLIENT, Claim.ASKED)
_FROM_CLIENT = Route(Role.CLIENT, Role.BINDER, Claim.ANYBODY)
_TO_CLIENT = Route(Role.BINDER, Role.CLIENT, Claim.ASKED)
_FROM_SERVER = Route(Role.SERVER, Role.BINDER, Claim.ANYBODY)
_TO_SERVER = Route(Role.BINDER, Role.SERVER, Claim.ASKED)
_QUESTION = Route(Role.BINDER, Role.SERVER, Claim.ANYBODY)
_FROM_PEER = Route(Role.BINDER, Role.BINDER, Claim.PEER)
_OPINION = Route(Role.BINDER, Role.BINDER, Claim.PEER_WITH_NONCE)
_FROM_PROGRAM = Route(Role.CLIENT, Role.BINDER, Claim.LOCAL)
_FROM_ITSELF = Route(Role.SERVER, Role.BINDER, Claim.NAMED)

TABLE = (
    Form(0, "CONTACT_SERVICE", Request, (MESSAGE,), (_CALL,), "a request to the service"),
    Form(
        1,
        "REPONSE_DU_SERVICE",
        Response,
        (MESSAGE,),
        (_CALLED,),
        "the answer to 0; a legacy (2016) server pads it with zeros to 1000 bytes",
        padded=True,
    ),
    Form(
        2,
        "DEMANDE_DE_SERVICE",
        Lookup,
        (TYPE,),
        (_FROM_CLIENT,),
        "who provides this type of service?",
    ),
    Form(
        3,
        "REPONSE_DEMANDE_DE_SERVICE",
        Found,
        (ADDRESS,),
        (_TO_CLIENT,),
        "the answer to 2",
    ),
    Form(
        3,
        "REPONSE_DEMANDE_DE_SERVICE",
        FoundInstance,
        (INSTANCE,),
        (_TO_CLIENT,),
        "the answer to 2 as legacy (2016) binders send it (`--wire lab2016`)",
    ),
    Form(
        4,
        "SERVICE_EXISTE_PAS",
        Complaint,
        (INSTANCE,),
        (_OPINION, _FROM_CLIENT),
        '"I could not reach this one"; between binders of ours, with a nonce: could you?',
    ),
    Form(
        4,
        "SERVICE_EXISTE_PAS",
        Unknown,
        (),
        (_OPINION, _TO_CLIENT),
        '"I know none of that type", the answer to 2; between binders of ours the answer to 4: '
        "I could not reach it either",
    ),
    Form(
        5,
        "ABONNEMENT",
        Subscribe,
        (TYPE,),
        (_FROM_SERVER,),
        "subscribe; ip and port are the datagram's source",
    ),
    Form(6, "CONFIRMATION_ABONNEMENT", Subscribed, (), (_TO_SERVER,), "the answer to 5"),
    Form(
        7,
        "DEMANDE_DE_LISTE_DE_SERVICES",
        ListRequest,
        (),
        (_FROM_PEER, _FROM_PROGRAM),
        "at start: send me your list",
    ),
    Form(
        8,
        "REPONSE_DEMANDE_LISTE_DE_SERVICES",
        ServiceList,
        (INSTANCES,),
        (_FROM_PEER,),
        "the answer to 7, at most 100 instances a datagram",
    ),
    Form(
        9,
        "AJOUT_SERVICE",
        Added,
        (INSTANCE,),
        (_FROM_PEER,),
        "after 5, to every other binder; between binders of ours also after a question to it went "
        "unanswered, in a trailer, and when it has answered after all",
    ),
    Form(
        10,
        "SUPPRESSION_SERVICE",
        Removed,
        (INSTANCE,),
        (_FROM_PEER, _FROM_ITSELF, _TO_SERVER),
        "after 11 went unanswered, to every other binder; from a server that leaves, for its own "
        "address, or its agent, and back to it as the answer",
    ),
    Form(11, "VERIFIE_N_EXISTE_PAS", Verify, (), (_QUESTION,), "after 4: are you there?"),
    Form(
        12,
        "J_EXISTE",
        Alive,
        (),
        (_OPINION, _FROM_SERVER),
        "the answer to 11; between binders of ours the answer to 4: it answered me; from a server "
        "of ours, unasked: are you ours?",
    ),
)


FORM_OF = {form.frame: form for form in TABLE}
"""The row of each frame: every frame has exactly one."""
