"""As whom a binder believes a sender: the table's last column, told case by case."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.claims import sender_of
from prr.core.effects import Event
from prr.wire.forms import TABLE
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
    FoundInstance,
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
from prr.wire.instance import address_of
from tests.cores import at, behind, events

pytestmark = pytest.mark.elsewhere

ONE = at(7, "10.0.1.1", 4242)
PEER, LOCAL, STRANGER, ITSELF = (
    ("10.0.0.2", 2222),
    ("10.0.0.1", 5),
    ("10.9.0.1", 5),
    address_of(ONE),
)
OWN_IPS = frozenset({LOCAL[0]})
WHO_IT_IS = {"nonce": 5, "types": b"\7", "start": 9}

CASES = [
    (Lookup(7), STRANGER, Role.CLIENT),
    (Lookup(7), PEER, Role.CLIENT),
    (Complaint(ONE), STRANGER, Role.CLIENT),
    (Complaint(ONE), PEER, Role.CLIENT),
    (behind(Complaint(ONE), binder=4), PEER, Role.CLIENT),
    (behind(Complaint(ONE), nonce=5), PEER, Role.BINDER),
    (behind(Complaint(ONE), nonce=5), STRANGER, Role.CLIENT),
    (behind(Unknown(), nonce=5), PEER, Role.BINDER),
    (behind(Unknown(), nonce=5), STRANGER, None),
    (Unknown(), PEER, None),
    (Subscribe(7), STRANGER, Role.SERVER),
    (Subscribe(7), PEER, Role.SERVER),
    (ListRequest(), PEER, Role.BINDER),
    (ListRequest(), LOCAL, Role.CLIENT),
    (ListRequest(), ("127.0.0.1", 5), Role.CLIENT),
    (ListRequest(), STRANGER, None),
    (ServiceList((ONE,)), PEER, Role.BINDER),
    (ServiceList((ONE,)), LOCAL, None),
    (Added(ONE), PEER, Role.BINDER),
    (Added(ONE), ITSELF, None),
    (Removed(ONE), PEER, Role.BINDER),
    (Removed(ONE), ITSELF, Role.SERVER),
    (Removed(ONE), ("10.0.1.2", ITSELF[1]), None),
    (Removed(ONE), LOCAL, None),
    (Alive(), STRANGER, Role.SERVER),
    (Alive(), PEER, Role.SERVER),
    (behind(Alive(), types=b"\7", start=9), PEER, Role.SERVER),
    (behind(Alive(), nonce=5), PEER, Role.BINDER),
    (behind(Alive(), **WHO_IT_IS), PEER, Role.BINDER),
    (behind(Alive(), **WHO_IT_IS), STRANGER, Role.SERVER),
    (Request(b""), PEER, None),
    (Response(b""), PEER, None),
    (Found(ITSELF), PEER, None),
    (FoundInstance(ONE), PEER, None),
    (Subscribed(), PEER, None),
    (Verify(), PEER, None),
]


@pytest.mark.parametrize(("frame", "source", "role"), CASES)
def test_a_sender_is_believed_by_the_first_claim_it_meets(frame, source, role):
    assert sender_of(frame, source, source == PEER, OWN_IPS) is role


def test_the_cases_have_every_route_to_a_binder():
    to_binder = {
        (form.frame, route.sender)
        for form in TABLE
        for route in form.routes
        if route.receiver is Role.BINDER
    }
    assert {(type(frame), role) for frame, _, role in CASES if role} == to_binder
    assert {type(frame) for frame, *_ in CASES} == {form.frame for form in TABLE}


@pytest.mark.parametrize(("frame", "source", "role"), CASES)
def test_a_binder_has_a_rule_for_whatever_it_believes_and_counts_the_rest(frame, source, role):
    binder = Binder(OWN_IPS, (PEER,), 1, Random(1))
    binder.start(0.0)
    effects = binder.handle(frame, source, 2.0)  # it raises where it has none
    if role is None:
        assert Event.OUT_OF_PLACE in events(effects)
