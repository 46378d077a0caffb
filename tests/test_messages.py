"""What a trailer says: which message it is, behind which frame, and what is not heard of it."""

from random import Random

import msgpack
import pytest

from prr.wire import call_messages, inquiries, messages, proofs
from prr.wire.call_messages import CallNumber, Failed
from prr.wire.forms import TABLE
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
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
    messages_of,
)
from prr.wire.inquiries import DrainQuery, ListPage, ListQuery, TextPart, TextQuery
from prr.wire.keys import KEYS
from prr.wire.messages import (
    AgentAnnouncement,
    Announcement,
    Challenge,
    DigestReply,
    DigestRequest,
    GroupRequest,
    Hello,
    Message,
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
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.proofs import Again, Confirmed, Proof
from prr.wire.query import Query
from prr.wire.trailer import GROUPS
from prr.wire.version import Version, encode_version, encode_versions
from prr.wire.whole_service import WholePage, WholeQuery
from tests.cores import RANDOM_KEYS, at, behind, decode, encode, random_frame

pytestmark = pytest.mark.elsewhere

SOMEWHERE = ("10.0.1.1", 4242)
ONE = at(7, "10.0.1.1", 4242)
DIGEST, DIGESTS = b"8 bytes.", bytes(8 * GROUPS)
VERSION, OTHER = Version(5, 6, 7), Version(8, 9, 0)
ENCODED = encode_version(VERSION)
LIGHT = encode_particulars(Particulars(weight=3))
NUMBERS = {key.field: key.number for key in KEYS}

SAID = [
    # Nothing, or too little.
    (Lookup(7), {}, Plain()),
    (Lookup(7), {"nonce": 5, "start": 9}, Plain()),
    (Lookup(7), {"binder": 4, "nonce": 5}, Hello(binder=4)),
    (Subscribe(7), {"nonce": 5}, Plain()),
    (Subscribe(7), {"start": 9}, Started(start=9)),
    (Subscribe(7), {"start": 9, "nonce": 5}, Started(start=9)),
    (Subscribe(7), {"start": 9, "renewal": 20}, Started(start=9, renewal=20)),
    (Subscribe(7), {"start": 9, "particulars": LIGHT}, Started(start=9, particulars=LIGHT)),
    (Subscribed(), {"renewal": 20, "start": 9}, Renew(renewal=20)),
    (Verify(), {"nonce": 0}, Challenge(nonce=0)),
    (Verify(), {"start": 9}, Plain()),
    # A sign of life: who was asked says all, a binder the nonce, and who asks all but the nonce.
    (Alive(), {"nonce": 5, "types": b"\7", "start": 9}, Presence(nonce=5, types=b"\7", start=9)),
    (Alive(), {"nonce": 5}, Opinion(nonce=5)),
    (Alive(), {"nonce": 5, "binder": 4}, Opinion(nonce=5, binder=4)),
    (Alive(), {"nonce": 5, "types": b"\7"}, Opinion(nonce=5)),
    (Alive(), {"nonce": 5, "start": 9}, Opinion(nonce=5)),
    (Alive(), {"types": b"\7", "start": 9}, Search(types=b"\7", start=9)),
    (
        Alive(),
        {"types": b"\7", "start": 9, "particulars": LIGHT},
        Search(types=b"\7", start=9, particulars=LIGHT),
    ),
    (Alive(), {"types": b"\7"}, Plain()),
    # A service with a name. Where there are types as well, they count, as they always did.
    (Lookup(255), {"name": b"billing"}, Query(name=b"billing")),
    (Lookup(7), {"wide": 1, "padding": b""}, Query(wide=1, padding=b"")),
    (Lookup(7), {"zone": b"eu"}, Query(zone=b"eu")),
    (
        Lookup(255),
        {"cursor": b"", "nonce": 5, "name": b"b", "padding": b"", "zone": b"eu"},
        WholeQuery(cursor=b"", nonce=5, name=b"b", padding=b""),
    ),
    (Lookup(7), {"cursor": b"", "nonce": 5}, Plain()),
    (Found(SOMEWHERE), {"nonce": 5, "others": b""}, WholePage(nonce=5, others=b"")),
    (Found(SOMEWHERE), {"nonce": 5}, Plain()),
    (Lookup(7), {"padding": b""}, Plain()),
    (
        Alive(),
        {"nonce": 5, "name": b"billing", "start": 9},
        NamedPresence(nonce=5, name=b"billing", start=9),
    ),
    (
        Alive(),
        {"nonce": 5, "name": b"billing", "types": b"\7", "start": 9},
        Presence(nonce=5, types=b"\7", start=9),
    ),
    (
        Alive(),
        {"name": b"billing", "start": 9, "padding": b""},
        Announcement(name=b"billing", start=9, padding=b""),
    ),
    (Alive(), {"name": b"billing", "start": 9}, Plain()),
    (Alive(), {"name": b"billing", "types": b"\7", "start": 9}, Search(types=b"\7", start=9)),
    (
        Alive(),
        {"instance": ONE, "start": 9, "padding": b""},
        AgentAnnouncement(instance=ONE, start=9, padding=b""),
    ),
    (Alive(), {"instance": ONE, "start": 9}, Proof(instance=ONE, start=9)),
    (Subscribed(), {"ticket": 5}, Confirmed(ticket=5)),
    (Verify(), {"ticket": 5}, Again(ticket=5)),
    (Verify(), {"nonce": 0, "ticket": 5}, Challenge(nonce=0)),
    (ServiceList(()), {"ticket": 5}, Again(ticket=5)),
    (Removed(ONE), {"error": b"it hangs"}, Reason(error=b"it hangs")),
    (Alive(), {"start": 9, "binder": 4}, Hello(binder=4)),
    (Complaint(ONE), {"nonce": 5}, OpinionRequest(nonce=5)),
    (Request(b"x"), {"nonce": 5}, CallNumber(nonce=5)),
    (Request(b"x"), {"start": 9}, Plain()),
    (Complaint(ONE), {"error": b"no"}, Reason(error=b"no")),
    (Complaint(ONE), {"error": b"no", "nonce": 5}, OpinionRequest(nonce=5)),
    (Complaint(ONE), {"binder": 4}, Hello(binder=4)),
    (Unknown(), {"nonce": 5, "binder": 4}, Opinion(nonce=5, binder=4)),
    # A word without a version is what a legacy (2016) binder would say, whatever else is there.
    (
        Added(ONE),
        {"versions": ENCODED},
        Versioned(versions=ENCODED),
    ),
    (
        Added(ONE),
        {"versions": ENCODED, "particulars": LIGHT},
        Versioned(versions=ENCODED, particulars=LIGHT),
    ),
    (Added(ONE), {"versions": b""}, Plain()),
    (Added(ONE), {"versions": ENCODED, "doubt": 1}, Suspicion(versions=ENCODED, doubt=1)),
    (Added(ONE), {"versions": b"", "doubt": 1}, Plain()),
    (Added(ONE), {"doubt": 1, "binder": 4}, Hello(binder=4)),
    (Removed(ONE), {"versions": ENCODED, "doubt": 1}, Versioned(versions=ENCODED)),
    (Removed(ONE), {"binder": 4, "cause": 1}, Hello(binder=4)),
    (Response(b""), {"error": b"no"}, Failed(error=b"no")),
    (Response(b"x"), {"nonce": 5}, Plain()),
    # A question for the list: a binder's are looked for first, and what is none is a program's.
    (ListRequest(), {}, ListQuery()),
    (ListRequest(), {"binder": 4, "nonce": 5}, ListQuery(binder=4, nonce=5)),
    (ListRequest(), {"cursor": ONE}, ListQuery(cursor=ONE)),
    (ListRequest(), {"digest": DIGEST}, DigestRequest(digest=DIGEST)),
    (ListRequest(), {"digest": DIGEST, "group": 0}, PageRequest(group=0)),
    (ListRequest(), {"group": 0, "digests": DIGESTS}, GroupRequest(group=0, digests=DIGESTS)),
    (ListRequest(), {"group": 1, "buckets": 2}, PageRequest(group=1, buckets=2)),
    (ListRequest(), {"group": 1, "question": 1}, PageRequest(group=1)),
    (ListRequest(), {"digests": DIGESTS}, ListQuery()),
    (ListRequest(), {"question": 3, "seconds": 5}, DrainQuery(question=3, seconds=5)),
    (ListRequest(), {"seconds": 5, "last": 1}, ListQuery()),
    (ListRequest(), {"question": 2, "cursor": ONE}, TextQuery(question=2, cursor=ONE)),
    # A list: only a page has versions; without the binder's identity it is a program's answer.
    (ServiceList(()), {}, ListPage()),
    (ServiceList(()), {"nonce": 5}, ListPage(nonce=5)),
    (ServiceList((ONE,)), {"nonce": 5, "states": b"\1"}, ListPage(nonce=5, states=b"\1")),
    (ServiceList(()), {"group": 1, "versions": b""}, ListPage()),
    (ServiceList(()), {"binder": 4}, Hello(binder=4)),
    (ServiceList(()), {"binder": 4, "nonce": 5}, Hello(binder=4)),
    (ServiceList(()), {"binder": 4, "text": b"{}"}, Hello(binder=4)),
    (ServiceList(()), {"binder": 4, "versions": ENCODED}, Hello(binder=4)),
    (
        ServiceList((ONE,)),
        {"binder": 4, "nonce": 0, "versions": ENCODED},
        UnaskedPage(binder=4, nonce=0, versions=ENCODED),
    ),
    (ServiceList(()), {"binder": 4, "digest": DIGEST}, DigestReply(binder=4, digest=DIGEST)),
    (ServiceList(()), {"binder": 4, "group": 1, "digest": DIGEST}, Page(binder=4, group=1)),
    (ServiceList(()), {"text": b"", "nonce": 5}, TextPart(text=b"", nonce=5)),
]


@pytest.mark.parametrize(("frame", "keys", "said"), SAID)
def test_a_trailer_is_the_first_message_all_of_whose_keys_are_there(frame, keys, said):
    packed = msgpack.packb({NUMBERS[key]: value for key, value in keys.items()})
    data = encode(frame) + b"\xc1" + packed
    receivers = dict.fromkeys((Verify, Subscribed, Request), Role.SERVER)
    receivers |= dict.fromkeys((Response, Found), Role.CLIENT)
    arrived = decode(data, receivers.get(type(frame), Role.BINDER))
    assert (type(arrived), arrived.trailer) == (type(frame), said)
    assert type(arrived.trailer) is type(said)
    assert arrived == behind(frame, **keys)


def test_the_table_above_has_every_message_and_each_stands_behind_some_frame():
    named = {message for form in TABLE for message in messages_of(form.frame)}
    assert named == {type(said) for _, _, said in SAID}
    modules = (messages, inquiries, call_messages, proofs)
    places = [one for module in modules for one in vars(module).values()]
    places += [Query, WholeQuery, WholePage]
    declared = {one for one in places if isinstance(one, type)}
    assert named == {one for one in declared if issubclass(one, Message)} - {Message}


@pytest.mark.parametrize("form", TABLE, ids=lambda form: form.frame.__name__)
def test_behind_every_frame_some_message_always_fits(form):
    *_, last = messages_of(form.frame)
    assert last.fits({})


@pytest.mark.parametrize("form", TABLE, ids=lambda form: form.frame.__name__)
def test_each_message_comes_back_as_it_went_with_and_without_what_may_be_missing(form):
    rng, seen = Random(form.frame.__name__), set()
    for _ in range(2000):
        names = rng.sample(list(RANDOM_KEYS), rng.choice((0, 1, 2, 3, 8)))
        keys = {name: RANDOM_KEYS[name](rng) for name in names}
        sent = behind(random_frame(rng, form, trailer=False), **keys)
        seen.add(type(sent.trailer))
        for _, receiver, _ in form.routes:
            if form.frame is Unknown and len(encode(sent)) == 8:
                continue  # reads as a complaint: see the vectors
            arrived = decode(encode(sent), receiver)
            assert arrived == sent
            assert type(arrived.trailer) is type(sent.trailer)
    assert seen == set(messages_of(form.frame))


def test_a_message_sends_its_keys_in_their_order_and_nothing_that_is_none():
    page = Page(group=3, binder=4, versions=b"", cursor=None, nonce=5)
    assert list(page.values().items()) == [
        ("nonce", 5),
        ("binder", 4),
        ("group", 3),
        ("versions", b""),
        ("removals", b""),
    ]


def test_of_several_versions_behind_one_instance_the_first_counts():
    assert Versioned(versions=encode_versions([VERSION, OTHER])).version == VERSION
