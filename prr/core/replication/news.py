"""What becomes of what peers say."""

from enum import Enum, auto


class News(Enum):
    """What became of a peer's word."""

    ADDED = auto()  # an instance that was not there
    CHANGED = auto()  # a newer update about one that is
    REMOVED = auto()
    DISPUTED = auto()  # said to be gone, which has to be seen first
    OLD = auto()  # we knew as much, or better
    REFUSED = auto()  # no room
    EXCLUDED = auto()  # a loopback address: see `reach`
