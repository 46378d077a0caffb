"""The seal at the end of a datagram: who says it, a number, and the tags that prove both.

It is the last value of the trailer, so that a program which knows no keys skips it, and its last 16
bytes are a tag over all that stands before the tags. It is read from its end:

    credential, its length, number (8), [secret's id (4), tag (16)], tags (1), secret's id, tag

In what binders tell each other the session stands in the credential's place, behind a zero; what a
binder tells the holder of a credential has nothing there. There are two tags only between binders,
of their two newest secrets, so that one binder after the other may read a new keyring.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from prr.record import record
from prr.trust.credential import CREDENTIAL_BYTES_MAX
from prr.trust.keyring import SECRET_ID_BYTES, TAG_BYTES
from prr.wire.errors import MalformedFrame

SEAL_KEY = 30
"""The trailer's key."""

NUMBER_BYTES = 8
SESSIONS_BYTES = (25, 41)
"""What kind of word it is, a boot and a token, and maybe another boot; see
`core.replication.sessions`."""

SIGNATURES_MAX = 2

_SIGNATURE_BYTES = SECRET_ID_BYTES + TAG_BYTES
_LAST_BYTES = 1 + _SIGNATURE_BYTES
_FRONT_BYTES = 3  # the key, and the type and the length of its bytes
_LEAST_BYTES = 1 + NUMBER_BYTES + _LAST_BYTES
SEAL_BYTES_MAX = CREDENTIAL_BYTES_MAX + _LEAST_BYTES
_BYTES_8 = 0xC4  # msgpack's type


class Fault(StrEnum):
    """Why a seal proves nothing."""

    SECRET = "made with a secret that is not in the keyring"
    CREDENTIAL = "its credential is not a valid one"
    TAG = "its tag does not fit"
    REVOKED = "its credential is revoked"


@record
class Seal:
    """What a frame is sealed with, or was.

    `number`: of a question, which its answer repeats. `credential` is whose it is, or who is
    answered, encoded, and `secret` the id of the secret its key is derived from; both empty between
    binders, where `session` says which answers to which (see `sessions`). With a `fault` it was
    sealed in vain.
    """

    number: int
    credential: bytes = b""
    secret: bytes = b""
    session: bytes = b""
    fault: Fault | None = None

    def answer(self) -> "Seal":
        """What seals an answer to the holder of the credential."""
        return Seal(self.number, self.credential, self.secret)


def blank(who: bytes, number: int, signatures: int = 1) -> bytes:
    """A seal's value whose tags are still to come; `who` is what stands in the credential's
    place."""
    before = bytes((signatures - 1) * _SIGNATURE_BYTES)
    last = bytes((signatures,)) + bytes(_SIGNATURE_BYTES)
    return who + bytes((len(who),)) + number.to_bytes(NUMBER_BYTES, "big") + before + last


def covered(data: bytes, signatures: int = 1) -> bytes:
    """What the tags of a datagram cover."""
    return data[: -_LAST_BYTES - (signatures - 1) * _SIGNATURE_BYTES]


def signed(data: bytes, signatures: list[tuple[bytes, bytes]]) -> bytes:
    """A datagram with its tags, each behind the id of its secret; `data` is what they cover."""
    *before, last = (secret + tag for secret, tag in signatures)
    return data + b"".join(before) + bytes((len(signatures),)) + last


_HEADS = [bytes((SEAL_KEY, _BYTES_8, size)) for size in range(256)]
"""How a seal begins: the key, the type, and how many bytes its value has."""


class Read(NamedTuple):
    """A seal as it stands in a datagram: who it is of, and its number. Its tags cover the first
    `covered` bytes."""

    who: bytes
    number: int
    covered: int
    signatures: int


def read_seal(data: bytes) -> Read | None:
    """The seal at the end of a datagram; None if there is none."""
    size = len(data)
    if size < _FRONT_BYTES + _LEAST_BYTES:
        return None
    signatures = data[-_LAST_BYTES]
    covered = size - _LAST_BYTES
    if signatures != 1:
        covered -= (signatures - 1) * _SIGNATURE_BYTES
        if not 0 < signatures <= SIGNATURES_MAX or covered < _FRONT_BYTES + 1 + NUMBER_BYTES:
            return None
    number_at = covered - NUMBER_BYTES
    begin = number_at - 1 - data[number_at - 1]
    if begin < _FRONT_BYTES or size - begin > SEAL_BYTES_MAX + _SIGNATURE_BYTES:
        return None
    if data[begin - _FRONT_BYTES : begin] != _HEADS[size - begin]:
        return None
    number = int.from_bytes(data[number_at:covered], "big")
    return Read(data[begin : number_at - 1], number, covered, signatures)


def tags_in(data: bytes, read: Read) -> Iterator[tuple[bytes, bytes]]:
    """The tags of a seal, each with the id of its secret, the last one first."""
    yield data[-_SIGNATURE_BYTES:-TAG_BYTES], data[-TAG_BYTES:]
    for end in range(len(data) - _LAST_BYTES, read.covered, -_SIGNATURE_BYTES):
        yield data[end - _SIGNATURE_BYTES : end - TAG_BYTES], data[end - TAG_BYTES : end]


def tag_in(data: bytes) -> tuple[bytes, bytes]:
    """The last tag, behind the id of its secret."""
    return data[-_SIGNATURE_BYTES:-TAG_BYTES], data[-TAG_BYTES:]


def is_seal(value: bytes) -> bool:
    """Some bytes could be a seal's value."""
    return _LEAST_BYTES <= len(value) <= SEAL_BYTES_MAX


def check_place(data: bytes) -> None:
    """There is a seal in the trailer of `data`: MalformedFrame if it is not the last of it."""
    if read_seal(data) is None:
        raise MalformedFrame("a seal that is not the end of the datagram")
