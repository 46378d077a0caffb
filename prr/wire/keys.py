"""The ONE table of the trailer's keys: what may stand behind a frame.

A number once given keeps its meaning. What keys say together is told by `messages`.
"""

from collections.abc import Callable
from typing import Any

from prr.record import record
from prr.wire.instance import (
    INSTANCE_BYTES,
    IPV6_ADDRESS_BYTES,
    NAME_BYTES_MAX,
    is_instance,
    is_ipv6_key,
    is_name,
)
from prr.wire.particulars import DRAIN_SECONDS_MAX, PARTICULARS_BYTES_MAX, is_particulars
from prr.wire.seal import SEAL_BYTES_MAX, SEAL_KEY, is_seal
from prr.wire.trailer import (
    DIGEST_BYTES,
    ERROR_BYTES_MAX,
    GROUPS,
    PADDING_BYTES_MAX,
    RENEWAL_SECONDS_MAX,
    TEXT_BYTES_MAX,
    Cause,
    Listed,
    Question,
)
from prr.wire.version import IDENTITY_MAX, REMOVAL_BYTES, START_MAX, VERSION_BYTES
from prr.wire.wide import ROWS_BYTES_MAX, fills_rows


@record
class Key:
    """One row of the table: the number on the wire, the field, its form, its meaning."""

    number: int
    field: str
    form: str
    is_valid: Callable[[Any], bool]
    meaning: str


def _is_bytes(*sizes: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is bytes and len(value) in sizes


def _is_rows_of(size: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is bytes and len(value) % size == 0


def _is_number(lowest: int, highest: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and lowest <= value <= highest


KEYS = (
    Key(
        0,
        "cursor",
        f"bytes, 0, {INSTANCE_BYTES}, or a wide instance",
        lambda value: type(value) is bytes and (not value or is_instance(value)),
        "in a question for a list: what comes after this instance (none: from the start); "
        "in a list: there is more, ask with this cursor",
    ),
    Key(
        1,
        "nonce",
        "integer, 64 bits",
        _is_number(0, 2**64 - 1),
        "a number that the answer must repeat",
    ),
    Key(
        2,
        "binder",
        "integer, 64 bits",
        _is_number(0, IDENTITY_MAX),
        "the sender is a binder of ours, and this is its identity",
    ),
    Key(
        3,
        "digest",
        f"bytes, {DIGEST_BYTES}",
        _is_bytes(DIGEST_BYTES),
        "digest of all that the sender knows; in a question: do you know the same?",
    ),
    Key(
        4,
        "digests",
        f"bytes, {GROUPS * DIGEST_BYTES}",
        _is_bytes(GROUPS * DIGEST_BYTES),
        "the sender's 64 digests: of its groups (no `group`), or of the buckets of `group`",
    ),
    Key(
        5,
        "group",
        f"integer, 0 to {GROUPS - 1}",
        _is_number(0, GROUPS - 1),
        "the group of buckets that is asked for, or answered about",
    ),
    Key(
        6,
        "buckets",
        "integer, 64 bits",
        _is_number(0, 2**64 - 1),
        "which buckets of `group` differ, a bit each, the lowest first",
    ),
    Key(
        7,
        "versions",
        f"bytes, a multiple of {VERSION_BYTES}",
        _is_rows_of(VERSION_BYTES),
        "the version of each instance in front (counter and owner of 8 bytes, start of 4)",
    ),
    Key(
        8,
        "removals",
        f"bytes, a multiple of {REMOVAL_BYTES}",
        _is_rows_of(REMOVAL_BYTES),
        "instances that are gone, each with the version of its removal",
    ),
    Key(
        9,
        "types",
        "bytes, 1 to 255",
        _is_bytes(*range(1, 256)),
        "the service types that the sender provides, a byte each",
    ),
    Key(
        10,
        "start",
        "integer, 32 bits",
        _is_number(2, START_MAX),
        "a number that the sending server drew when it started",
    ),
    Key(
        11,
        "question",
        "integer, 1 to 3",
        _is_number(Question.STATUS, Question.DRAIN),
        "from a program on the binder's own host: 1 how are you? 2 what happened to the instance "
        "in `cursor`? 3 take that one out of turn for `seconds`",
    ),
    Key(
        12,
        "offset",
        "integer, 32 bits",
        _is_number(0, 2**32 - 1),
        "in a question: the text from this byte on; in its answer: how long the text is",
    ),
    Key(
        13,
        "text",
        f"bytes, at most {TEXT_BYTES_MAX}",
        lambda value: type(value) is bytes and len(value) <= TEXT_BYTES_MAX,
        "a part of the answer to `question`: JSON; the lowest 16 bits of its nonce number the part;"
        " in question 3: why, and in its answer: done, not held, last, or too many",
    ),
    Key(
        14,
        "cause",
        "integer, 1",
        _is_number(Cause.SILENCE, Cause.SILENCE),
        "why a binder has taken out an instance: 1 it did not answer",
    ),
    Key(
        15,
        "doubt",
        "integer, 1",
        _is_number(1, 1),
        "the sender has asked the instance in front, in vain so far: 1",
    ),
    Key(
        16,
        "renewal",
        f"integer, 1 to {RENEWAL_SECONDS_MAX}",
        _is_number(1, RENEWAL_SECONDS_MAX),
        "seconds; behind 6: subscribe again within so many; behind 5: I will",
    ),
    Key(
        17,
        "states",
        "bytes, each 0 to 3",
        lambda value: type(value) is bytes and not value.strip(bytes(Listed)),
        "in a list for a program on the binder's own host: how each instance in front is, and then "
        "each of `others`: 0 up, 1 suspect, 2 disputed, 3 drained",
    ),
    Key(
        18,
        "name",
        f"bytes, 1 to {NAME_BYTES_MAX}: a DNS label in lower case, not all digits",
        lambda value: type(value) is bytes and is_name(value),
        "the name of the service that is looked for, or provided",
    ),
    Key(
        19,
        "instance",
        "bytes, 7 or a wide instance",
        lambda value: type(value) is bytes and is_instance(value),
        "the instance that the frame is about; a wide one is its type (255 if it has a name), the "
        "length of its name (0: none), the name, ip, port, and stands for 255 and zeros in front",
    ),
    Key(
        20,
        "padding",
        f"bytes, at most {PADDING_BYTES_MAX}",
        lambda value: type(value) is bytes and len(value) <= PADDING_BYTES_MAX,
        "nothing: it makes room for the answer, which is never longer than the question",
    ),
    Key(
        21,
        "full",
        f"bytes, {DIGEST_BYTES}",
        _is_bytes(DIGEST_BYTES),
        "as `digest`, which leaves wide instances and particulars out; this one does not",
    ),
    Key(
        22,
        "wide",
        "integer, 1",
        _is_number(1, 1),
        "the sender reads wide instances, and means them too; in a lookup: the answer may be at an "
        "IPv6 address",
    ),
    Key(
        23,
        "others",
        f"bytes, at most {ROWS_BYTES_MAX}: rows of a length, an instance, 0 to 3, a version, a "
        "length of 2 bytes, particulars",
        lambda value: type(value) is bytes and fills_rows(value),
        "updates about instances that are wide or have particulars: 0 it is gone, 1 it is there, "
        "2 gone: it did not answer, 3 there, and asked in vain so far",
    ),
    Key(
        24,
        "address",
        f"bytes, {IPV6_ADDRESS_BYTES}",
        lambda value: type(value) is bytes and is_ipv6_key(value),
        "the IPv6 address and port that were found, in front of which stand zeros",
    ),
    Key(
        25,
        "zone",
        f"bytes, 1 to {NAME_BYTES_MAX}: such a label too",
        lambda value: type(value) is bytes and is_name(value),
        "an instance of this zone, as long as there is one in turn",
    ),
    Key(
        26,
        "particulars",
        f"bytes, at most {PARTICULARS_BYTES_MAX}: rows of a number, a length of 2 bytes and so "
        "much",
        lambda value: type(value) is bytes and is_particulars(value),
        "of the instance: 1 its weight, a byte; 2 its zone, a label; 3 its tags, each `key=value`, "
        "a line feed between two; 4 where it is asked, ip and port; 5 what operators say of it; 6 "
        "as 4, but on another host: a binder says so; 7 the id in its "
        "credential: likewise",
    ),
    Key(
        27,
        "error",
        f"bytes, at most {ERROR_BYTES_MAX}",
        lambda value: type(value) is bytes and len(value) <= ERROR_BYTES_MAX,
        "what went wrong with the request: text in UTF-8, for people",
    ),
    Key(
        28,
        "seconds",
        f"integer, 0 to {DRAIN_SECONDS_MAX}",
        _is_number(0, DRAIN_SECONDS_MAX),
        "how long the instance is out of turn; 0: no longer",
    ),
    Key(
        29,
        "last",
        "integer, 1",
        _is_number(1, 1),
        "even if it is the last one of its service that is in turn",
    ),
    Key(
        SEAL_KEY,
        "seal",
        f"bytes, 30 to {SEAL_BYTES_MAX}, and the end of the datagram",
        lambda value: type(value) is bytes and is_seal(value),
        "who says all this, and proof of it: a credential and its length, a number of 8 bytes, how "
        "many tags there are, and each behind the id of its secret (4 bytes)",
    ),
    Key(
        31,
        "ticket",
        "integer, 64 bits",
        _is_number(0, 2**64 - 1),
        "the number that the seal of the next word is to have; behind 11 and 8: say that again, "
        "with it",
    ),
)
