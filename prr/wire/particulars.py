"""What a server says of itself beside where it is: its weight, its zone, its tags.

They travel as bytes, which have one form: fields in the order of their numbers, each a number, a
length of two bytes and so many bytes. What is as usual is left out, so that most instances have
none. A field with another number is kept as it is, and says nothing here. One is not the server's:
see `drain`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import lru_cache
from itertools import pairwise

from prr.record import record
from prr.trust.credential import is_id
from prr.wire.instance import (
    ADDRESS_BYTES,
    Address,
    Instance,
    address_of,
    decode_address,
    encode_address,
    is_ipv6_key,
    is_name,
)

WEIGHT_MAX = 16
"""So many turns of one with weight 1: enough to tell a large machine from a small one, and a round
is short."""

TAGS_BYTES_MAX = 256
"""Of all tags of an instance, each with its "=": a few facts, not a document."""

_WEIGHT, _ZONE, _TAGS, _ASK_AT = 1, 2, 3, 4
_ASK_ELSEWHERE = 6
"""The number of the field that says the same of an agent on another host. A binder writes it, once
the agent has shown a credential for that."""

_CREDENTIAL = 7
"""That of the field which says whose it is: the id in the credential with which it has subscribed.
A binder writes it, too."""

DRAIN = 5
"""The number of the field that operators write: see `drain`."""

DRAIN_SECONDS_MAX = 86400
"""A day: who needs longer takes the instance down."""

DRAIN_NUMBER_MAX = 2**32 - 2
"""The highest number of a word that drains. One that puts back has the next, if need be: whatever
number a faulty binder says, what it drains can be put back, and its end is known as later."""

DRAIN_WHY_BYTES_MAX = 100
"""Of why an instance is drained: a line."""

_DRAIN_NUMBERS_BYTES = 8
_HEAD_BYTES = 3
_BETWEEN = b"\n"
"""Between two tags: a control character, which none of them has."""

OWN_BYTES_MAX = 512
"""Of what a server says of itself: all those fields at their longest have 487 bytes."""

PARTICULARS_BYTES_MAX = OWN_BYTES_MAX + 128
"""With what operators say, which has 111 bytes at the longest."""

RECENT = 256
"""Particulars that are remembered decoded: the servers of a service mostly have the same."""


@record
class Particulars:
    """What one instance has: `weight` is from 1 to WEIGHT_MAX, `zone` a label or "", the keys of
    `tags` are all different, and `ask_at` is where somebody else answers for it whether it is
    there, if not where it listens."""

    weight: int = 1
    zone: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    ask_at: Address | None = None
    is_asked_elsewhere: bool = False
    """Who answers for it is on another host, and may be."""
    credential: str = ""
    """The id of the credential with which it has subscribed, if with any."""


def encode_particulars(particulars: Particulars) -> bytes:
    """Their bytes; none where all is as usual."""
    tags = _BETWEEN.join(f"{key}={tag}".encode() for key, tag in sorted(particulars.tags.items()))
    values = {
        _WEIGHT: bytes((particulars.weight,)) if particulars.weight != 1 else b"",
        _ZONE: particulars.zone.encode(),
        _TAGS: tags,
    }
    said = b"".join(encode_field(number, value) for number, value in values.items() if value)
    said += _known(particulars.ask_at, particulars.is_asked_elsewhere, particulars.credential)
    assert is_particulars(said)
    return said


@lru_cache(maxsize=RECENT)
def decode_particulars(data: bytes) -> Particulars:
    """What bytes say for which `is_particulars` holds."""
    said = {number: value for number, value, _ in fields_of(data)}
    at = said.get(_ASK_ELSEWHERE, said.get(_ASK_AT))
    return Particulars(
        weight=said.get(_WEIGHT, b"\1")[0],
        zone=said.get(_ZONE, b"").decode(),
        tags=_tags(said.get(_TAGS, b"")),
        ask_at=None if at is None else decode_address(at),
        is_asked_elsewhere=_ASK_ELSEWHERE in said,
        credential=said.get(_CREDENTIAL, b"").decode(),
    )


@lru_cache(maxsize=RECENT)
def is_particulars(data: bytes) -> bool:
    """These bytes are in the one form that particulars have."""
    if len(data) > PARTICULARS_BYTES_MAX:
        return False
    if not data:
        return True
    numbers, values, ends = zip(*fields_of(data), strict=True)
    is_in_order = all(one < other for one, other in pairwise(numbers))
    return is_in_order and ends[-1] == len(data) and all(map(_is_valid, numbers, values))


def asked_at(instance: Instance, particulars: bytes) -> Address:
    """Where to ask whether an instance is there: its own address, or another one on the same host,
    where an agent answers for it. One on another host is believed if a binder has written that."""
    own = address_of(instance)
    if not particulars:
        return own
    said = decode_particulars(particulars)
    agent = said.ask_at
    is_believed = agent is not None and (said.is_asked_elsewhere or agent[0] == own[0])
    return agent if agent is not None and is_believed else own


def as_held(
    particulars: bytes, agent: Address | None, elsewhere: bool = False, credential: str = ""
) -> bytes:
    """The particulars that a server says, and what a binder knows of it in place of what they say:
    the address of its agent (None: no agent), which `elsewhere` may be on another host, and the id
    of its `credential` ("": none). Where that changes them, fields that say nothing here are left
    out: they might have no room."""
    if not particulars:  # as of most
        return _known(agent, elsewhere, credential)
    said = decode_particulars(particulars)
    held = replace(
        said,
        ask_at=agent,
        is_asked_elsewhere=elsewhere and agent is not None,
        credential=credential,
    )
    return particulars if held == said else encode_particulars(held)


def _known(agent: Address | None, elsewhere: bool, credential: str) -> bytes:
    """What a binder knows of an instance, as fields."""
    where = _ASK_ELSEWHERE if elsewhere else _ASK_AT
    asked = b"" if agent is None else encode_field(where, encode_address(agent))
    return asked + encode_field(_CREDENTIAL, credential.encode()) if credential else asked


def is_tag(text: str) -> bool:
    """`text` is KEY=VALUE, and has no control character."""
    return _is_clean(text) and text.find("=") > 0


def _is_clean(text: str) -> bool:
    return all(mark >= " " and not "\x7f" <= mark <= "\x9f" for mark in text)


def encode_field(number: int, value: bytes) -> bytes:
    """A field as it stands among the others."""
    return bytes((number,)) + len(value).to_bytes(2, "little") + value


def fields_of(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The fields, one after the other: number, value, and where it ends, which is beyond the end of
    `data` if some of the last one is missing."""
    at = 0
    while at < len(data):
        end = at + _HEAD_BYTES + int.from_bytes(data[at + 1 : at + _HEAD_BYTES], "little")
        yield data[at], data[at + _HEAD_BYTES : end], end
        at = end


def _is_valid(number: int, value: bytes) -> bool:
    match number:
        case 1:
            return len(value) == 1 and 1 < value[0] <= WEIGHT_MAX
        case 2:
            return is_name(value)
        case 3:
            return _are_tags(value)
        case 7:
            return is_id(value.decode("ascii", "replace"))
        case 4 | 6:
            return len(value) == ADDRESS_BYTES or is_ipv6_key(value)
        case 5:
            return _is_drain(value)
    return bool(value)


def _is_drain(value: bytes) -> bool:
    numbers, why = value[:_DRAIN_NUMBERS_BYTES], value[_DRAIN_NUMBERS_BYTES:]
    number, seconds = int.from_bytes(numbers[:4], "big"), int.from_bytes(numbers[4:], "big")
    has_room = len(numbers) == _DRAIN_NUMBERS_BYTES and len(why) <= DRAIN_WHY_BYTES_MAX
    if not has_room or not seconds:
        return has_room and not why
    return number <= DRAIN_NUMBER_MAX and seconds <= DRAIN_SECONDS_MAX and is_line(why)


def is_line(data: bytes) -> bool:
    """`data` is text in UTF-8 without control characters."""
    try:
        return _is_clean(data.decode())
    except UnicodeDecodeError:
        return False


def _are_tags(value: bytes) -> bool:
    try:
        tags = value.decode().split("\n")
    except UnicodeDecodeError:
        return False
    keys = [tag.partition("=")[0] for tag in tags]
    is_short = len(value) - (len(tags) - 1) <= TAGS_BYTES_MAX
    return is_short and all(map(is_tag, tags)) and keys == sorted(set(keys))


def _tags(value: bytes) -> dict[str, str]:
    rows = (tag.partition("=") for tag in value.decode().split("\n") if tag)
    return {key: text for key, _, text in rows}


def credential_of(particulars: bytes) -> bytes:
    """The id of the credential with which an instance has subscribed; b"" if with none."""
    if not particulars:
        return b""
    fields = fields_of(particulars)
    return next((value for number, value, _ in fields if number == _CREDENTIAL), b"")
