"""The rows of the lifecycle table for what peers say."""

from prr.core.liveness.rows import GONE, HELD, LISTED, A, G, S, T, row
from prr.core.liveness.states import Row, State

# fmt: off
ROWS: tuple[Row, ...] = (
    # It is gone.
    row(HELD, [T.PEER_SAYS_GONE], G.VOUCHED_FOR, S.DISPUTED,
        "who says so has to be right about what is heard here", A.DISPUTE),
    row(State, [T.PEER_SAYS_GONE], G.SAYS_START, S.LEFT, "the newest update holds", A.TAKE_OVER),
    row(State, [T.PEER_SAYS_GONE], None, S.EVICTED, "the newest update holds", A.TAKE_OVER),
    row(HELD, [T.OLDER_REMOVAL], None, None, "the peer knew less, but may know why it says so",
        A.ASK),
    row(GONE, [T.PEER_REMOVED], G.HAS_LEASE, None, "it was heard here lately",
        A.END_RECHECK, A.ASK),
    row(GONE, [T.PEER_REMOVED], None, None, "the peer knows better", A.ASK_NO_MORE),

    # It is there.
    row(GONE, [T.PEER_SAYS_UP], G.NO_ROOM_TO_LEARN, None, "peers may not fill the directory"),
    row(GONE, [T.PEER_SAYS_UP], G.SAID_OURS_UNPROVEN, S.SUSPECT,
        "this binder forgot, or that is a lie; no other asks it",
        A.TAKE_OVER, A.END_DOUBT, A.RELEASE, A.SUSPECT, A.ENTRUST),
    row(GONE, [T.PEER_SAYS_UP], G.SAID_OURS, S.UP,
        "this binder forgot, or that is a lie; no other asks it",
        A.TAKE_OVER, A.END_DOUBT, A.RELEASE, A.ENTRUST),
    row(GONE, [T.PEER_SAYS_UP], G.SAID_UNPROVEN, S.SUSPECT, "its owner asks it",
        A.TAKE_OVER, A.END_DOUBT, A.RELEASE, A.SUSPECT, A.ACCUSE_OTHERS),
    row(GONE, [T.PEER_SAYS_UP], None, S.UP, "the newest update holds",
        A.TAKE_OVER, A.END_DOUBT, A.RELEASE, A.ACCUSE_OTHERS),
    row(HELD, [T.PEER_SAYS_UP], G.SAID_OURS_UNPROVEN, S.SUSPECT,
        "this binder forgot, or that is a lie; no other asks it",
        A.TAKE_OVER, A.END_DOUBT, A.SUSPECT, A.ENTRUST),
    row(HELD, [T.PEER_SAYS_UP], G.SAID_OURS, S.UP,
        "this binder forgot, or that is a lie; no other asks it",
        A.TAKE_OVER, A.END_DOUBT, A.ENTRUST),
    row(HELD, [T.PEER_SAYS_UP], G.SAID_UNPROVEN, S.SUSPECT, "its owner asks it",
        A.TAKE_OVER, A.END_DOUBT, A.RELEASE, A.SUSPECT),
    row(HELD, [T.PEER_SAYS_UP], None, S.UP, "the newest update holds",
        A.TAKE_OVER, A.END_DOUBT, A.RELEASE),
    row([S.ABSENT], [T.LEGACY_SAYS_UP], G.NO_ROOM_TO_LEARN, None,
        "peers may not fill the directory"),
    row([S.ABSENT], [T.LEGACY_SAYS_UP], None, S.UP, "a legacy binder does not watch it",
        A.HOLD_LEARNED, A.RELEASE, A.END_DOUBT, A.WATCH),
    row([S.LEFT, S.EVICTED], [T.LEGACY_SAYS_UP], None, None, "it may be legacy, or long gone",
        A.CLAIM, A.ASK_BARE),
    row(HELD, [T.LEGACY_SAYS_UP], None, None, "that is known"),
    row(HELD, [T.LEGACY_SUBSCRIBED], G.OWNER_HEARD, None, "its owner hears the same"),
    row(HELD, [T.LEGACY_SUBSCRIBED], G.UNPROVEN, None, "it may be legacy, in another's place",
        A.TELL_OURS, A.ASK_BARE),
    row(LISTED, [T.LEGACY_SUBSCRIBED], G.HAS_START, None, "it may be legacy, in another's place",
        A.HOLD, A.ASK_BARE),
    row([S.DISPUTED], [T.LEGACY_SUBSCRIBED], G.HAS_START, S.SUSPECT,
        "it may be legacy, in another's place", A.HOLD, A.ASK_BARE),
    row(HELD, [T.LEGACY_SUBSCRIBED], None, None, "that is known"),

    # It is in doubt there. Only who has heard it lately asks it for that, and tells the others.
    row([S.UP], [T.PEER_SUSPECTS], G.SUSPECTED_LATELY, None, "that peer may be wrong, or lie"),
    row([S.UP], [T.PEER_SUSPECTS], G.VOUCHED_FOR, S.SUSPECT, "its answer clears it everywhere",
        A.SUSPECT, A.NOTE_SUSPICION, A.ASK),
    row([S.UP], [T.PEER_SUSPECTS], None, S.SUSPECT, "others are handed out meanwhile",
        A.SUSPECT, A.NOTE_SUSPICION),
    row([S.SUSPECT, S.DISPUTED], [T.PEER_SUSPECTS], None, None, "it is out of turn already"),
    row(LISTED, [T.PEER_CLEARS, T.SUSPICION_ENDED], G.WAITS, None, "what it answers here counts",
        A.END_SUSPICION),
    row(LISTED, [T.PEER_CLEARS, T.SUSPICION_ENDED], None, S.UP, "nothing has followed",
        A.END_SUSPICION, A.TRUST),
    row([S.DISPUTED, *GONE], [T.PEER_CLEARS, T.SUSPICION_ENDED], None, None,
        "it is in no turn any more", A.END_SUSPICION),
)
# fmt: on
