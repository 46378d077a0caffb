"""What other binders say about instances: taken over if it is newer, and acted on.

Intuition: a peer is believed about what this binder does not hear itself, and asked to be right
about what it does. An update of ours has a version. That of a legacy (2016) binder has none, and
counts as if it had been decided here.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple, assert_never

from prr.core.effects import Effect, Event, Report, Send, Update
from prr.core.liveness.detector import Detector
from prr.core.liveness.just_learned import JustLearned
from prr.core.liveness.states import Case, Trigger
from prr.core.replication.draining import Draining
from prr.core.replication.news import News
from prr.core.replication.peers import Peer
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.frames import Added, Complaint, Removed, ServiceList
from prr.wire.inquiries import ListPage, TextPart
from prr.wire.instance import Instance, describe_address, is_wide
from prr.wire.messages import (
    DigestReply,
    Hello,
    Page,
    Suspicion,
    UnaskedPage,
    Versioned,
)
from prr.wire.proofs import Again
from prr.wire.trailer import Cause
from prr.wire.version import Version, decode_removals, decode_versions, encode_version
from prr.wire.wide import Said, decode_wide


class PeerUpdates:
    """The updates of one binder's peers."""

    def __init__(
        self, versioned: VersionedDirectory, detector: Detector, draining: Draining
    ) -> None:
        self._versioned = versioned
        self._draining = draining
        self._directory = versioned.directory
        self._detector = detector
        self._just_learned = JustLearned()

    def pass_on(self, instance: Instance, why: str, now: float) -> list[Effect]:
        """Pass a complaint on to the lease owner of an instance that was learned just now, which
        alone asks it; [] if it is not that new, or its owner is not heard. One that a peer has
        passed on goes no further, or it might go round in a circle."""
        version = self._directory.version(instance)
        if version is None or not self._just_learned.has(instance, now):
            return []
        owner = self._versioned.peer_that_is(version.owner, now)
        if owner is None:
            return []
        why = f"{why}; {describe_address(owner.address)} asks it"
        complaint = Send(Complaint(instance), owner.address)
        return [Report(Event.PASSED_ON, instance, why), complaint]

    def merge(self, frame: ServiceList, peer: Peer, now: float) -> tuple[int, int, list[Effect]]:
        """A page of a peer's list: how many of its words were news, how many found no room, and
        what follows. A name that has none must not keep the peer's other words away, so it is not
        counted."""
        effects: list[Effect] = []
        heard: list[News] = []
        refused = 0
        for word in _words(frame):
            if self._is_known(word):
                continue
            news, follows = self._take_over(word, peer, now)
            if news is News.REMOVED:  # by name: a removal is never told as a number only
                effects.append(Report(Event.REMOVED, word.instance, _says(peer)))
            effects += follows
            heard.append(news)
            refused += news is News.REFUSED and not is_wide(word.instance)
        effects += self._wide_changes(frame, peer, now)
        added, removed = heard.count(News.ADDED), heard.count(News.REMOVED)
        if added or removed:
            subject = f"{added} instances, and {removed} that are gone"
            effects.append(Report(Event.LEARNED, subject, _says(peer)))
        if lacking := heard.count(News.REFUSED):
            effects.append(_refused(f"{lacking} instances", peer))
        return added + removed + heard.count(News.CHANGED), refused, effects

    def _is_known(self, word: "_Word") -> bool:
        """Most words of a page are no news, and seen to be none at a quarter of the cost."""
        instance, version, is_there, particulars = word
        if version is None or particulars:
            return False
        return self._directory.is_last(instance, version, is_there)

    def _wide_changes(self, frame: ServiceList, peer: Peer, now: float) -> list[Effect]:
        """What a peer says of wide instances that has just been decided, as `added` and `removed`
        hear it of others."""
        effects: list[Effect] = []
        if isinstance(frame.trailer, UnaskedPage) and frame.trailer.others:
            for instance, version, said, particulars in decode_wide(frame.trailer.others):
                word = _Word(instance, version, said.is_there, particulars)
                if said.is_there:
                    effects += self._added(word, peer, now)[1]
                    effects += self._doubted(instance, version, said is Said.DOUBTED, peer, now)
                else:
                    effects += self._removed(word, said is Said.SILENT, peer, now)
        return effects

    def added(self, frame: Added, peer: Peer, now: float) -> list[Effect]:
        """A peer says that an instance is there."""
        word = _word_of(frame)
        news, effects = self._added(word, peer, now)
        if word.version is not None:
            is_doubt = isinstance(frame.trailer, Suspicion)
            effects += self._doubted(frame.instance, word.version, is_doubt, peer, now)
        elif news is News.OLD and frame.instance in self._directory:
            # It may be a legacy server that has taken the place of one of ours, whose start number
            # it cannot repeat.
            effects += self._detector.subscribed_elsewhere(frame.instance, now)
        return effects

    def _doubted(
        self, instance: Instance, version: Version, is_doubt: bool, peer: Peer, now: float
    ) -> list[Effect]:
        """Whether a peer suspects an instance that is there, or does so no longer. At another
        version than is held that is about another process, or more is known here."""
        if not is_doubt and instance not in self._detector.doubts.suspicions:
            return []  # most words
        if version != self._directory.version(instance):
            return []
        if is_doubt:
            why = f"{_peer(peer)} has asked it in vain"
            return self._detector.peer_suspects(instance, why, now)
        return self._detector.peer_clears(instance, now)

    def _added(self, word: "_Word", peer: Peer, now: float) -> tuple[News, list[Effect]]:
        news, effects = self._take_over(word, peer, now)
        if news is News.ADDED:
            effects.append(Report(Event.LEARNED, word.instance, _says(peer)))
        elif news is News.REFUSED:
            effects.append(_refused(word.instance, peer))
        return news, effects

    def removed(self, frame: Removed, peer: Peer, now: float) -> list[Effect]:
        """A peer says that an instance is gone."""
        was_silent = isinstance(frame.trailer, Versioned) and frame.trailer.cause == Cause.SILENCE
        return self._removed(_word_of(frame), was_silent, peer, now)

    def _removed(self, word: "_Word", was_silent: bool, peer: Peer, now: float) -> list[Effect]:
        news, effects = self._take_over(word, peer, now)
        if news is News.REMOVED:
            if was_silent:
                self._detector.peer_evicted(now)
            effects.insert(0, Report(Event.REMOVED, word.instance, _says(peer)))
        elif news is News.DISPUTED:
            effects += self._detector.ask_disputed(now)
        elif news is News.OLD and word.version is not None and word.instance in self._directory:
            # It knew less than we do, but it may know why it says so.
            effects += self._detector.contradicted(word.instance, now)
        return effects

    def _take_over(self, word: "_Word", peer: Peer, now: float) -> tuple[News, list[Effect]]:
        """Another binder's update about an instance, and what follows from it here."""
        instance, version, is_there, particulars = word
        if is_there and self._versioned.reach.excludes(instance):
            return News.EXCLUDED, [Report(Event.EXCLUDED, "an instance", "a peer's word")]
        if version is None and is_wide(instance):
            return News.OLD, []  # whoever knows wide instances knows versions
        if version is None:
            return self._take_over_bare(instance, is_there, peer, now)
        update = Update(version, is_there, particulars)
        return self.take_over(instance, update, _peer(peer), now)

    def learn_new(self, updates: Sequence[tuple[Instance, Update]]) -> int:
        """Take over at once, from a store, the first of some updates, as many as certainly are of
        use and of no consequence: nothing is known of these instances, nor of anything at their
        addresses. How many."""
        plain = [*takewhile(self._is_plain, updates)]
        count = self._directory.unknown_and_alone([instance for instance, _ in plain])
        if not count or not self._directory.has_room(plain[0][0], learned=True, count=count):
            return 0
        for instance, update in plain[:count]:
            self._detector.release(instance)
            self._versioned.has_seen(update.version)
        words = [encode_version(update.version) for _, update in plain[:count]]
        self._directory.add_all([one for one, _ in plain[:count]], words)
        return count

    def _is_plain(self, row: tuple[Instance, Update]) -> bool:
        instance, (version, is_there, particulars) = row
        is_simple = is_there and not particulars and not is_wide(instance)
        is_others = version.owner != self._versioned.identity and not version.is_unproven
        is_free = (
            instance not in self._versioned.returning and instance not in self._versioned.drains
        )
        return is_simple and is_others and is_free and not self._versioned.reach.excludes(instance)

    def take_over(
        self, instance: Instance, update: Update, who: str, now: float
    ) -> tuple[News, list[Effect]]:
        """The same for an update with a version, which `who` says: it may be nobody's in
        particular, but what a store has."""
        version, is_there, particulars = update
        drained: list[Effect] = []
        if particulars and is_there:
            drained = self._draining.hear(instance, particulars, who, now)
        if not self._versioned.is_news(instance, version, is_there, particulars):
            return News.OLD, drained  # of most: this binder knows as much, or better
        trigger = Trigger.PEER_SAYS_UP if is_there else Trigger.PEER_SAYS_GONE
        case = Case(
            trigger,
            instance,
            now,
            start=version.start,
            version=version,
            particulars=particulars,
        )
        news, effects = self._detector.peer_says(case)
        if news in (News.ADDED, News.CHANGED):
            self._just_learned.add(instance, now)
        return news, drained + effects

    def _take_over_bare(
        self, instance: Instance, is_there: bool, peer: Peer, now: float
    ) -> tuple[News, list[Effect]]:
        """The word of a legacy binder, which knows no versions: that an instance is gone counts as
        if it had been decided here."""
        if is_there:
            return self._detector.peer_says(Case(Trigger.LEGACY_SAYS_UP, instance, now))
        self._versioned.returning.settle(instance)
        version = self._directory.version(instance)
        if version is None or self._directory.is_disputed(instance):
            return News.OLD, []
        # Its owner hears the same word, and one refutation is enough.
        is_elsewhere = self._versioned.peer_that_is(version.owner, now) is not None
        # The word may be about the one that was there before, and whoever is there is asked anyway.
        is_back = self._versioned.is_back_unproven(instance)
        if is_elsewhere or is_back:
            return News.OLD, self._detector.accuse(instance, _says(peer), now, peer.address)
        gone = self._versioned.next_version(instance, version.start)
        case = Case(Trigger.PEER_SAYS_GONE, instance, now, start=gone.start, version=gone)
        return self._detector.peer_says(case)


class _Word(NamedTuple):
    """What a peer says of an instance. A legacy binder knows no versions."""

    instance: Instance
    version: Version | None
    is_there: bool
    particulars: bytes = b""


def _words(frame: ServiceList) -> list[_Word]:
    """What a list says."""
    match frame.trailer:
        case Page(versions=versions, removals=removals, others=others):
            gone = [_Word(one, version, False) for one, version in decode_removals(removals)]
            wide = [
                _Word(one, version, said.is_there, particulars)
                for one, version, said, particulars in decode_wide(others or b"")
            ]
            return [*_there(frame.instances, versions), *gone, *wide]
        case UnaskedPage(versions=versions):
            return _there(frame.instances, versions)
        case Hello() | DigestReply() | Again():
            return []  # the versions are told when they are asked for
        case None | ListPage() | TextPart():
            return [_Word(instance, None, True) for instance in frame.instances]
        case _:
            assert_never(frame.trailer)


def _there(instances: tuple[Instance, ...], versions: bytes) -> list[_Word]:
    pairs = zip(instances, decode_versions(versions), strict=False)
    return [_Word(instance, version, True) for instance, version in pairs]


def _word_of(frame: Added | Removed) -> _Word:
    """A peer's word in a frame of its own."""
    is_there, said = isinstance(frame, Added), frame.trailer
    if not isinstance(said, Versioned):
        return _Word(frame.instance, None, is_there)
    particulars = said.particulars if is_there else None
    return _Word(frame.instance, said.version, is_there, particulars or b"")


def _refused(what: Instance | str, peer: Peer) -> Report:
    why = f"no room for what peers say, here {_peer(peer)}"
    return Report(Event.REFUSED, what, why)


def _says(peer: Peer) -> str:
    return f"{_peer(peer)} says so"


def _peer(peer: Peer) -> str:
    return f"peer {describe_address(peer.address)}"
