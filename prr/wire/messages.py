"""What a trailer says: one message for each use of it, and which one a trailer is.

A frame's class names the messages that may stand behind it. A trailer is the first of them all of
whose keys are there; those with a default may be missing, and keys that a message does not have are
skipped, like unknown ones. So every legal map behind every frame is some message, at worst one that
says little.

A field has the name, the values and the meaning of its key: see KEYS. None is not sent.
"""

from collections.abc import Mapping
from typing import Any, Self

from prr.record import record
from prr.wire.instance import Instance, Service
from prr.wire.message import Message
from prr.wire.proofs import PROOF_PADDING
from prr.wire.version import VERSION_BYTES, Version, decode_version

CHALLENGE_PADDING, ANNOUNCEMENT_PADDING = 3, 11
"""Bytes: for the start number in the answer; for the nonce and the padding of the question."""


@record(kw_only=True)
class Plain(Message):
    """Nothing: that there is a trailer shows that its sender is one of ours."""


@record(kw_only=True)
class Hello(Message):
    """A binder of ours says which one it is. Behind a list: it is the answer to a question without
    a trailer, and there may be more to ask for."""

    binder: int


# From servers, and to them.


@record(kw_only=True)
class Started(Message):
    """Behind a subscription: the server is one of ours, and this is its start number. It renews
    within `renewal` seconds, 5 if it does not say."""

    start: int
    renewal: int | None = None
    particulars: bytes | None = None


@record(kw_only=True)
class Renew(Message):
    """Behind a confirmation: renew within `renewal` seconds, instead of 5."""

    renewal: int


@record(kw_only=True)
class Search(Message):
    """Behind a sign of life that nobody has asked for: are you a binder of ours? Then take this
    for a subscription to the first of `types`."""

    types: bytes
    start: int
    particulars: bytes | None = None


@record(kw_only=True)
class Announcement(Message):
    """Behind a sign of life that nobody has asked for: I provide the service with this name, and
    subscribe. The padding makes it as long as the question that may follow."""

    name: bytes
    start: int
    padding: bytes
    renewal: int | None = None
    particulars: bytes | None = None

    @classmethod
    def of_server(
        cls,
        service: str,
        start: int,
        renewal: int | None = None,
        particulars: bytes | None = None,
    ) -> Self:
        """What a server says, that renews within `renewal` seconds."""
        return cls(
            name=service.encode(),
            start=start,
            padding=bytes(ANNOUNCEMENT_PADDING),
            renewal=renewal,
            particulars=particulars,
        )

    @property
    def has_room(self) -> bool:
        """The question that may follow is not longer than this."""
        return len(self.padding) >= ANNOUNCEMENT_PADDING


@record(kw_only=True)
class AgentAnnouncement(Message):
    """Behind a sign of life that nobody has asked for: I speak for this instance, which listens on
    my host; subscribe it, and ask me whether it is there. The padding as in Announcement."""

    instance: bytes
    start: int
    padding: bytes
    renewal: int | None = None
    particulars: bytes | None = None

    @property
    def has_room(self) -> bool:
        """The question that may follow is not longer than this."""
        return len(self.padding) >= ANNOUNCEMENT_PADDING


@record(kw_only=True)
class Reason(Message):
    """Behind "it is gone" from who provides it, or speaks for it, and behind a client's complaint:
    what has gone wrong."""

    error: bytes


NONCES = 1 << 16
"""Of a question to an instance, which has 8 bytes at most: a stranger gets no more. It leaves from
a fresh socket, which is closed after eight datagrams that are no answer: nobody guesses that."""


@record(kw_only=True)
class Challenge(Message):
    """Behind "are you there?": say who you are, and this nonce. With a name: if that is yours. With
    an instance: prove that it is there."""

    nonce: int
    name: bytes | None = None
    instance: bytes | None = None
    padding: bytes | None = None

    @classmethod
    def about(cls, service: Service, nonce: int) -> Self:
        """The question to an instance of a service; of `nonce` it has two bytes."""
        nonce %= NONCES
        if isinstance(service, int):
            return cls(nonce=nonce)
        return cls(nonce=nonce, name=service.encode(), padding=bytes(CHALLENGE_PADDING))

    @classmethod
    def for_proof(cls, instance: Instance, nonce: int) -> Self:
        """The question that only a proof answers; its nonce has all its bytes."""
        return cls(nonce=nonce, instance=instance, padding=bytes(PROOF_PADDING))

    @property
    def wants_proof(self) -> bool:
        """A proof answers it, which is not longer than the question."""
        has_room = self.padding is not None and len(self.padding) >= PROOF_PADDING
        return has_room and self.instance is not None

    @property
    def has_room(self) -> bool:
        """The answer, if it has a name, is not longer than the question."""
        return self.padding is not None and len(self.padding) >= CHALLENGE_PADDING


@record(kw_only=True)
class Presence(Message):
    """The answer to a Challenge: who is there."""

    nonce: int
    types: bytes
    start: int


@record(kw_only=True)
class NamedPresence(Message):
    """The same of a server whose service has a name."""

    nonce: int
    name: bytes
    start: int


# Between binders.


@record(kw_only=True)
class OpinionRequest(Message):
    """Behind a complaint: could you reach it?"""

    nonce: int


@record(kw_only=True)
class Opinion(Message):
    """The answer to an OpinionRequest; the frame in front says which."""

    nonce: int


@record(kw_only=True)
class Versioned(Message):
    """Behind "it is there" and "it is gone": with which version, and why it is gone, if it was
    silent."""

    versions: bytes
    cause: int | None = None
    particulars: bytes | None = None

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        return bool(values.get("versions"))  # without any it is what a legacy (2016) binder says

    @property
    def version(self) -> Version:
        """The version of the instance in front: the only one, or the first."""
        return decode_version(self.versions[:VERSION_BYTES])


@record(kw_only=True)
class Suspicion(Versioned):
    """Behind "it is there": with which version, but I have asked it in vain so far; do not hand it
    out first."""

    doubt: int

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        return Versioned.fits(values) and "doubt" in values


@record(kw_only=True)
class DigestRequest(Message):
    """Do you know the same?"""

    digest: bytes
    full: bytes | None = None
    nonce: int | None = None


@record(kw_only=True)
class DigestReply(Message):
    """The answer to a DigestRequest: the digest of what I know, and where it differs the digests of
    the groups: of all, if the question had `full`."""

    binder: int
    digest: bytes
    full: bytes | None = None
    digests: bytes | None = None
    nonce: int | None = None


@record(kw_only=True)
class GroupRequest(Message):
    """Send me what lies in the buckets of `group` that differ from these."""

    group: int
    digests: bytes
    wide: int | None = None
    nonce: int | None = None


@record(kw_only=True)
class PageRequest(Message):
    """Send me the next page of these buckets of `group`."""

    group: int
    buckets: int = 0
    cursor: bytes = b""
    wide: int | None = None
    nonce: int | None = None


@record(kw_only=True)
class Page(Message):
    """The answer to a GroupRequest or a PageRequest: the versions of the instances in front, and
    what is gone; with a cursor there is more."""

    binder: int
    group: int
    buckets: int | None = None
    versions: bytes = b""
    removals: bytes = b""
    others: bytes | None = None
    cursor: bytes | None = None
    nonce: int | None = None


@record(kw_only=True)
class UnaskedPage(Message):
    """Behind a list that nobody has asked for: the versions of the instances in front."""

    binder: int
    versions: bytes
    others: bytes | None = None
    nonce: int
