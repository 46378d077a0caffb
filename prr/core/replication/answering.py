"""Answers to the questions of a peer that compares notes: digests, and pages of what differs.

Everything an answer depends on is in the question and in the directory. A question says whether
its sender knows wide instances; if not, they are left out of all that it is told.
"""

from typing import TypeAlias, assert_never

from prr.core.directory.digests import differing
from prr.core.directory.directory import Directory
from prr.core.replication.pages import PAGE_WORDS, fitting, is_other, updates_in_others
from prr.wire.frames import ServiceList
from prr.wire.inquiries import DrainQuery, ListQuery, TextQuery
from prr.wire.messages import (
    DigestReply,
    DigestRequest,
    GroupRequest,
    Page,
    PageRequest,
)
from prr.wire.version import encode_removals, encode_versions

Asked: TypeAlias = DigestRequest | GroupRequest | PageRequest
"""What binders of ours ask each other."""


class Answering:
    """One binder's answers to its peers."""

    def __init__(self, identity: int, directory: Directory) -> None:
        self._identity = identity
        self._directory = directory

    def answer(self, question: Asked | ListQuery | TextQuery | DrainQuery) -> ServiceList:
        """The answer to a peer's question."""
        match question:
            case GroupRequest(group=group, digests=digests, wide=wide, nonce=nonce):
                buckets = differing(self._directory.digests(group, wide is not None), digests)
                return self._page(PageRequest(group=group, buckets=buckets, wide=wide, nonce=nonce))
            case PageRequest():
                return self._page(question)
            case DigestRequest(full=None, digest=digest):
                return self._reply(digest, False, question.nonce)
            case DigestRequest(full=full):
                return self._reply(full, True, question.nonce)
            case ListQuery() | TextQuery() | DrainQuery():  # what a peer has no need to ask
                return self._reply(None, False, question.nonce)
            case _:
                assert_never(question)

    def _reply(self, theirs: bytes | None, wide: bool, nonce: int | None) -> ServiceList:
        """Whether both know the same, and if not the digests of the groups."""
        differs = theirs != self._directory.digest(wide)
        reply = DigestReply(
            binder=self._identity,
            digest=self._directory.digest(wide=False),
            full=self._directory.digest() if wide else None,
            digests=self._directory.digests(None, wide) if differs else None,
            nonce=nonce,
        )
        return ServiceList((), trailer=reply)

    def _page(self, asked: PageRequest) -> ServiceList:
        group, buckets, wide = asked.group, asked.buckets, asked.wide is not None
        words, after = self._directory.page(group, buckets, asked.cursor, PAGE_WORDS, wide)
        words, after = fitting(words, after, wide)
        others = [word for word in words if is_other(word[0], word[1].particulars, wide)]
        spec = [word for word in words if not is_other(word[0], word[1].particulars, wide)]
        there = [(one, last.version) for one, last in spec if last.is_present]
        gone = [(one, last.version) for one, last in spec if not last.is_present]
        page = Page(
            binder=self._identity,
            group=group,
            buckets=buckets,
            versions=encode_versions([version for _, version in there]),
            removals=encode_removals(gone),
            others=updates_in_others(others),
            cursor=after,
            nonce=asked.nonce,
        )
        return ServiceList(tuple(one for one, _ in there), trailer=page)
