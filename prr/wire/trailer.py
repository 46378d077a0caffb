"""What we add behind a frame: 0xC1, then one msgpack map of small integer keys.

0xC1 is the one byte msgpack never uses, so a trailer can be mistaken neither for a value nor for
the zeros with which legacy (2016) programs pad an answer. A program that knows only the spec never
looks here.

Here are its limits and enumerations; `keys` is the table of its keys.
"""

from enum import IntEnum, StrEnum

MARK = 0xC1


GROUPS = 64
"""The table's buckets are compared in this many groups of this many buckets each."""

DIGEST_BYTES = 8


RENEWAL_SECONDS_MAX = 127
"""What a subscription may be renewed after: a byte on the wire, and the lease is thrice that."""


class Cause(IntEnum):
    """Why an instance was taken out, where the others have to know."""

    SILENCE = 1


class Question(IntEnum):
    """What a program on a binder's own host may ask it, beside its list."""

    STATUS = 1
    WHY = 2  # about the instance that stands in `cursor`
    DRAIN = 3  # take that one out of turn, or put it back


class Drained(StrEnum):
    """What became of a DRAIN."""

    DONE = "done"
    NOT_HELD = "not held"
    GONE = "gone"  # likewise, but it was drained when it went, and is so no longer when it is back
    LAST = "last"  # it is the last one in turn of its service, and the question does not say `last`
    TOO_MANY = "too many"  # are drained already


class Listed(IntEnum):
    """How an instance in a list is, for who asks at night."""

    UP = 0
    SUSPECT = 1  # in doubt: handed out only while its service has no other
    DISPUTED = 2  # likewise, and another binder says that it is gone
    DRAINED = 3  # by an operator: handed out before suspects, while its service has no other


PADDING_BYTES_MAX = 1200
"""Of a question: as long as any answer is."""

TEXT_BYTES_MAX = 1200
"""Of a text that is sent in parts, so much at once."""

ERROR_BYTES_MAX = 200
"""Of what went wrong with a request: a line for a log. The log of the service has the rest."""

PART_BITS = 16
"""The lowest bits of the nonce with which a part is asked for number the part, so that a late copy
of one is not taken for the next; the others name the text, whose parts are of one snapshot."""
