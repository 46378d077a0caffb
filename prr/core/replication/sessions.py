"""Sessions: so that what one binder has told another cannot be told again by somebody else.

Intuition: each process draws a number when it starts, which with the name of a peer is its boot to
that one. To be believed, a word has to bear the token that the receiver gives out for the sender's
boot. Whoever does not know it yet is told it in a hello, and says again what was not believed. The
token is for one process of the peer: when another one has come back with its own, all that earlier
ones have said is worth nothing any more. Within a session each number counts once.

A session in a seal is what kind it is, and two boots of 16 bytes, or one, and a token of 8:
    a word   0, the sender's boot, the token
    a hello  1, the boot that it is for, the token to use, the sender's boot; its number is that of
             the word it answers

Nothing that is said again by somebody else changes a session: a hello counts only if it answers a
word that is later than that of the last hello, and a boot is taken over only with its token. Nor
what is sent elsewhere, or back: all binders have one key, but a boot says to whom it is one. Who is
told what was said to one of its peers knows that it is not meant, whoever is said to say it; only
where two binders know a third by different addresses, or it is no peer of one of them, it cannot
know that, until it has heard the peer itself: then a hello has to have that one's boot.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import blake2s
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.replication.peers import NAME_BYTES, Peers, name_of
from prr.wire.frames import Frame
from prr.wire.instance import Address, encode_address
from prr.wire.seal import Seal

TOKEN_BYTES = 8
NOTHING = bytes(TOKEN_BYTES)

PROCESS_BYTES = 8
"""Of a boot, those that all of one process have in common; the rest is the name of a peer."""

_BOOT_ENDS = 1 + PROCESS_BYTES + NAME_BYTES
_TOKEN_ENDS = _BOOT_ENDS + TOKEN_BYTES

WINDOW = 1 << 15
"""Words of one session that may overtake each other: they are read from several queues."""

KEPT_MAX = 64
"""The last words to a peer, which are said again where it could not believe them."""

_WORD, _HELLO = b"\0", b"\1"


class Belief(Enum):
    """What a peer's seal is worth."""

    FRESH = auto()  # it has just said so
    STALE = auto()  # it has said so once, to this process or another
    ANOTHERS = auto()  # it has said so to another peer
    UNKNOWN = auto()  # it may have; it has to be told the token
    HELLO = auto()  # it says which token to use, which is another one than before


class Window:
    """Which numbers of one session have come (as RFC 6479 does it, a byte for each)."""

    def __init__(self) -> None:
        self._top = 0
        self._seen = bytearray(WINDOW)

    def take(self, number: int) -> bool:
        """A number has come; False if it had before, or may have."""
        if number > self._top:
            fresh = number - self._top
            if fresh >= WINDOW:
                self._seen = bytearray(WINDOW)
            else:
                for one in range(self._top + 1, number):
                    self._seen[one % WINDOW] = 0
            self._top = number
        elif self._top - number >= WINDOW or self._seen[number % WINDOW]:
            return False
        self._seen[number % WINDOW] = 1
        return True


@dataclass(slots=True)
class _Session:
    """With one peer."""

    own: bytes  # the boot of this process to it
    use: bytes = NOTHING  # the token that it wants to hear
    quoted: int = 0  # the word to which it has said so
    boot: bytes = b""  # the process that it is, as far as is proven
    token: bytes = b""  # what that has to say
    boots: int = 0  # processes that it has been
    window: Window = field(default_factory=Window)
    kept: deque[tuple[int, Frame]] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))


class Sessions:
    """Those of one binder's process with its peers."""

    def __init__(self, rng: Random, peers: Peers) -> None:
        """What `rng` draws for this process nobody else can foresee."""
        self._hasher = blake2s(key=rng.randbytes(32), digest_size=TOKEN_BYTES, person=b"sessions")
        self._process = rng.randbytes(PROCESS_BYTES)
        self._peers = peers
        self._number = 0
        self._sessions: dict[Address, _Session] = {}

    def forget(self, peer: Address) -> None:
        """It is no peer any more. No error if it was none."""
        self._sessions.pop(peer, None)

    def sealed(self, frame: Frame, peer: Address) -> Seal:
        """What seals the next word to a peer."""
        session = self._with(peer)
        self._number += 1
        session.kept.append((self._number, frame))
        return Seal(self._number, session=_WORD + session.own + session.use)

    def believe(self, seal: Seal, peer: Address) -> Belief:
        """What a valid seal of a peer is worth; a hello has been taken to heart."""
        kind, token = seal.session[:1], seal.session[_BOOT_ENDS:_TOKEN_ENDS]
        boot = seal.session[_TOKEN_ENDS:] if kind == _HELLO else seal.session[1:_BOOT_ENDS]
        if self._peers.have_named(boot[PROCESS_BYTES:]):
            return Belief.ANOTHERS
        session = self._with(peer)
        if kind == _HELLO:
            is_ours = seal.session[1:_BOOT_ENDS] == session.own
            return self._greeted(session, seal.number, token, boot) if is_ours else Belief.STALE
        if boot == session.boot:
            if token != session.token:
                return Belief.UNKNOWN
            return Belief.FRESH if session.window.take(seal.number) else Belief.STALE
        if token != self._token(peer, boot, session):
            return Belief.UNKNOWN
        session.boot, session.token, session.window = boot, token, Window()
        session.boots += 1
        session.window.take(seal.number)
        return Belief.FRESH

    def _greeted(self, session: _Session, number: int, token: bytes, boot: bytes) -> Belief:
        if not session.quoted < number <= self._number:
            return Belief.STALE
        if session.boot and boot != session.boot:
            return Belief.STALE  # another binder's, or a process of which no word has come yet
        session.quoted, before = number, session.use
        session.use = token
        return Belief.STALE if token == before else Belief.HELLO

    def hello(self, seal: Seal, peer: Address) -> Seal:
        """What seals the hello that answers a peer's word that was UNKNOWN."""
        session, boot = self._sessions[peer], seal.session[1:_BOOT_ENDS]
        token = session.token if boot == session.boot else self._token(peer, boot, session)
        return Seal(seal.number, session=_HELLO + boot + token + session.own)

    def unheard(self, hello: Seal, peer: Address) -> Iterator[Frame]:
        """What a peer that has said hello could not believe: that word, and the later ones."""
        session = self._sessions[peer]
        unheard = [frame for number, frame in session.kept if number >= hello.number]
        session.kept.clear()
        return iter(unheard)

    def _with(self, peer: Address) -> _Session:
        session = self._sessions.get(peer)
        if session is None:
            session = self._sessions[peer] = _Session(self._process + name_of(peer))
        return session

    def _token(self, peer: Address, boot: bytes, session: _Session) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(session.boots.to_bytes(8, "big") + boot + encode_address(peer))
        return hasher.digest()
