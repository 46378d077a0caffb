"""As whom a binder believes the sender of a frame: the routes of the frame table, read."""

from typing import assert_never

from prr.wire.forms import TABLE, Claim
from prr.wire.frames import Frame, Removed, Role
from prr.wire.instance import Address, is_loopback, is_on_host, is_usable
from prr.wire.messages import NamedPresence, Opinion, OpinionRequest, Presence

_ROUTES = {
    form.frame: [route for route in form.routes if route.receiver is Role.BINDER] for form in TABLE
}


def sender_of(
    frame: Frame,
    source: Address,
    is_peer: bool,
    own_ips: frozenset[str],
    is_operator: bool = False,
) -> Role | None:
    """The role of who sent `frame` from `source`, by the first route whose claim it meets; None if
    it meets none, or comes from an address that nobody can be given. `own_ips` are the binder's;
    `is_operator`: an operator has sealed it."""
    if not is_usable(source[0]):
        return None
    for route in _ROUTES[type(frame)]:
        if route.claim is Claim.LOCAL and is_operator:
            return route.sender
        if _meets(route.claim, frame, source, is_peer, own_ips):
            return route.sender
    return None


def _meets(
    claim: Claim, frame: Frame, source: Address, is_peer: bool, own_ips: frozenset[str]
) -> bool:
    match claim:
        case Claim.ANYBODY:
            return True
        case Claim.PEER:
            return is_peer
        case Claim.PEER_WITH_NONCE:
            with_nonce = OpinionRequest | Opinion | Presence | NamedPresence
            return is_peer and isinstance(frame.trailer, with_nonce)
        case Claim.NAMED:
            assert isinstance(frame, Removed)
            return is_on_host(frame.instance, source)
        case Claim.LOCAL:
            return source[0] in own_ips or is_loopback(source[0])
        case Claim.ASKED:
            return False  # questions leave from sockets of their own
        case _:
            assert_never(claim)
