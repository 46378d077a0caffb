"""Which of a binder's queues a datagram goes to: a classic BPF program for the kernel.

It sees bytes at fixed places alone. What it does not recognize goes with the nodes' own frames,
where it is served as well, only later. docs/protocol.md has the codes and the keys.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import TypeAlias

from prr.wire.codec import Codec
from prr.wire.forms import FORM_OF
from prr.wire.frames import Complaint, Role
from prr.wire.instance import make_instance
from prr.wire.keys import KEYS
from prr.wire.questions import QUESTION_BYTES_MAX
from prr.wire.seal import SEAL_KEY
from prr.wire.trailer import MARK
from prr.wire.version import VERSION_BYTES
from prr.wire.wide import Said


class Queue(IntEnum):
    """The number of each queue, in the order of `steering.LANES`."""

    NODES = 0
    LOOKUPS = 1
    LAST = 2
    FIRST = 3
    DEAD = 4
    OPERATORS = 5


_Row: TypeAlias = str | Queue | tuple[int, int] | tuple[int, int, str, str]
"""A label, a queue to return, what to load from which place, or a comparison with a number, and
where to go on if it holds and if not; "" stands for the next row."""

_LOAD_BYTE, _LOAD_BYTE_BEHIND, _LOAD_LENGTH, _HAND_OVER, _RETURN = 0x30, 0x50, 0x80, 0x07, 0x06
_EQUAL, _GREATER, _AT_LEAST = 0x15, 0x25, 0x35

_UINT64, _BYTES_8 = 0xCF, 0xC4  # types of msgpack

_NUMBER = {key.field: key.number for key in KEYS}

_COMPLAINT_BYTES = len(Codec(Role.CLIENT).encode(Complaint(make_instance(0, ("0.0.0.0", 0)))))
_COMPLAINT = FORM_OF[Complaint].code
_FIRST_KEY = _COMPLAINT_BYTES + 2  # behind the trailer's mark, and how many keys there are

# Behind 9 and 10: the binder's identity, which has 64 bits, and the version, 20 bytes.
_IDENTITY = _FIRST_KEY + 1
_DOUBT_KEY = _IDENTITY + 1 + 8 + 1 + 2 + VERSION_BYTES

_KEYS = 0x80  # msgpack's type of a map, of none

# 7 with a nonce of 64 bits, or with a cursor, how long that is, its bytes and the nonce; a shorter
# nonce, once in a billion times, goes with the nodes' own.
_QUESTION_NONCE, _CURSOR_BYTES = 4, 5

# 8 with no instance in front: the nonce, the identity, and no versions.
_NONCE, _OTHERS_KEY = 5, 19
_ROW = _OTHERS_KEY + 3  # behind the type and the length of the bytes

# 4 in 8 bytes is a client's complaint; more are a client's as well, about a name, with what went
# wrong, or sealed, if the trailer begins so; or a binder's question, whose answer is 4 in fewer
# bytes or 12, with a trailer. Several that leave in one send, for the kernel to cut (UDP_SEGMENT),
# are sorted on the same host before that: behind the first the next one begins. 5 without a
# trailer is a first subscription. 2 in many bytes asks for all of a service, which costs as much as
# a hundred lookups. Of the dead and those in doubt a binder speaks with 10 and its identity, with 9
# and a doubt, and of wide ones with 8, where what is said of the first stands behind it.
# With 7 programs ask for a list, in three keys and maybe a seal, the cursor first, or, with a
# `question`, for something else, maybe about what stands in the cursor; binders ask each other in
# more keys, and have no `question`.
_ROWS: Sequence[_Row] = (
    (_LOAD_BYTE, 0),
    (_EQUAL, 2, "lookup", ""),
    (_EQUAL, 4, "complaint", ""),
    (_EQUAL, 5, "subscription", ""),
    (_EQUAL, 7, "question", ""),
    (_EQUAL, 8, "list", ""),
    (_EQUAL, 9, "addition", ""),
    (_EQUAL, 10, "removal", ""),
    (_AT_LEAST, 4, "", "last"),  # below: no frame for a binder
    (_GREATER, 12, "last", "nodes"),  # beyond: no frame at all
    "complaint",
    (_LOAD_LENGTH, 0),
    (_EQUAL, _COMPLAINT_BYTES, "last", ""),  # without a trailer
    (_LOAD_BYTE, _COMPLAINT_BYTES),
    (_EQUAL, MARK, "", "several"),
    (_LOAD_BYTE, _FIRST_KEY),
    (_EQUAL, _NUMBER["instance"], "last", ""),
    (_EQUAL, _NUMBER["error"], "last", ""),
    (_EQUAL, SEAL_KEY, "last", "nodes"),
    "several",
    (_EQUAL, _COMPLAINT, "", "nodes"),
    (_LOAD_BYTE, 2 * _COMPLAINT_BYTES),
    (_EQUAL, _COMPLAINT, "last", "nodes"),
    "subscription",
    (_LOAD_LENGTH, 0),
    (_GREATER, 2, "", "first"),
    (_LOAD_BYTE, 2),
    (_EQUAL, MARK, "nodes", "first"),
    "lookup",
    (_LOAD_LENGTH, 0),
    (_GREATER, QUESTION_BYTES_MAX, "last", "lookups"),
    "question",
    (_LOAD_BYTE, 3),
    (_EQUAL, _NUMBER["cursor"], "from a cursor", ""),
    (_EQUAL, _NUMBER["nonce"], "", "nodes"),
    (_LOAD_BYTE, _QUESTION_NONCE),
    (_EQUAL, _UINT64, "", "nodes"),
    (_LOAD_BYTE, _QUESTION_NONCE + 9),
    (_EQUAL, _NUMBER["question"], "operators", "nodes"),
    "from a cursor",
    (_LOAD_BYTE, 2),
    (_GREATER, _KEYS + 4, "", "operators"),
    (_LOAD_BYTE, _CURSOR_BYTES),
    (_HAND_OVER, 0),
    (_LOAD_BYTE_BEHIND, _CURSOR_BYTES + 2),
    (_EQUAL, _UINT64, "", "nodes"),
    (_LOAD_BYTE_BEHIND, _CURSOR_BYTES + 2 + 9),
    (_EQUAL, _NUMBER["question"], "operators", "nodes"),
    "removal",
    (_LOAD_BYTE, _FIRST_KEY),
    (_EQUAL, _NUMBER["binder"], "dead", "nodes"),
    "addition",
    (_LOAD_BYTE, _IDENTITY),
    (_EQUAL, _UINT64, "", "nodes"),
    (_LOAD_BYTE, _DOUBT_KEY),
    (_EQUAL, _NUMBER["doubt"], "dead", "nodes"),
    "list",
    (_LOAD_BYTE, _NONCE),
    (_EQUAL, 0, "", "nodes"),  # else it is asked for
    (_LOAD_BYTE, _OTHERS_KEY),
    (_EQUAL, _NUMBER["others"], "", "nodes"),
    (_LOAD_BYTE, _OTHERS_KEY + 1),
    (_EQUAL, _BYTES_8, "", "nodes"),
    (_LOAD_BYTE, _ROW),  # how long the instance is
    (_HAND_OVER, 0),
    (_LOAD_BYTE_BEHIND, _ROW + 1),
    (_EQUAL, Said.THERE, "nodes", "dead"),
    "nodes",
    Queue.NODES,
    "lookups",
    Queue.LOOKUPS,
    "last",
    Queue.LAST,
    "first",
    Queue.FIRST,
    "dead",
    Queue.DEAD,
    "operators",
    Queue.OPERATORS,
)


def sorting_into(queues: int) -> bytes:
    """The program, as the kernel wants it, for so many queues (3 to 6): what one that is not there
    would hold goes with the nodes' own frames. 8 bytes a row."""
    places: dict[str, int] = {}
    rows: list[Queue | tuple[int, int] | tuple[int, int, str, str]] = []
    for row in _ROWS:
        if isinstance(row, str):
            places[row] = len(rows)
        else:
            rows.append(row)
    return b"".join(_encode(at, row, places, queues) for at, row in enumerate(rows))


def _encode(
    at: int,
    row: Queue | tuple[int, int] | tuple[int, int, str, str],
    places: dict[str, int],
    queues: int,
) -> bytes:
    if isinstance(row, Queue):
        return struct.pack("HBBI", _RETURN, 0, 0, row if row < queues else Queue.NODES)
    code, number, *labels = row
    skipped = [places[label] - at - 1 if label else 0 for label in labels] or [0, 0]
    return struct.pack("HBBI", code, *skipped, number)
