"""Answers to the questions of a peer that compares notes: digests, and pages of what differs.

Everything an answer depends on is in the question and in the directory.
"""

from typing import TypeAlias, assert_never

from prr.core.directory.digests import differing
from prr.core.directory.directory import Directory
from prr.core.replication.versioned_directory import PAGE_WORDS
from prr.wire.frames import ServiceList
from prr.wire.messages import (
    DigestReply,
    DigestRequest,
    GroupRequest,
    ListQuery,
    Page,
    PageRequest,
    TextQuery,
)
from prr.wire.version import encode_removals, encode_versions

Asked: TypeAlias = DigestRequest | GroupRequest | PageRequest
"""What binders of ours ask each other."""


class Answering:
    """One binder's answers to its peers."""

    def __init__(self, identity: int, directory: Directory) -> None:
        self._identity = identity
        self._directory = directory

    def answer(self, question: Asked | ListQuery | TextQuery) -> ServiceList:
        """The answer to a peer's question."""
        match question:
            case GroupRequest(group=group, digests=digests):
                buckets = differing(self._directory.digests(group), digests)
                return self._page(group, buckets, b"", question.nonce)
            case PageRequest(group=group, buckets=buckets, cursor=cursor):
                return self._page(group, buckets, cursor, question.nonce)
            case DigestRequest(digest=digest):
                return self._reply(digest, question.nonce)
            case ListQuery() | TextQuery():  # what a peer has no need to ask
                return self._reply(b"", question.nonce)
            case _:
                assert_never(question)

    def _reply(self, theirs: bytes, nonce: int | None) -> ServiceList:
        mine = self._directory.digest()
        digests = None if theirs == mine else self._directory.digests(None)
        reply = DigestReply(binder=self._identity, digest=mine, digests=digests, nonce=nonce)
        return ServiceList((), trailer=reply)

    def _page(self, group: int, buckets: int, cursor: bytes, nonce: int | None) -> ServiceList:
        words, after = self._directory.page(group, buckets, cursor, PAGE_WORDS)
        there = [(instance, version) for instance, version, is_there in words if is_there]
        gone = [(instance, version) for instance, version, is_there in words if not is_there]
        page = Page(
            binder=self._identity,
            group=group,
            buckets=buckets,
            versions=encode_versions([version for _, version in there]),
            removals=encode_removals(gone),
            cursor=after,
            nonce=nonce,
        )
        return ServiceList(tuple(instance for instance, _ in there), trailer=page)
