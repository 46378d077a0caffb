"""The last update about each instance: deciding it, and taking over what others decided.

Each has a version: a Lamport counter, which is later than any its owner had seen, then the owner,
so that no two are equal. The newest wins wherever it arrives, in any order and however often, so
binders that heard the same updates know the same. SWIM's incarnation numbers do this for members
(Das et al., 2002, 4.2); here any binder may decide, and none needs the instance to raise a number.

What is decided is told to every peer at once, in a frame of its own. Only that thousands are there
after all, as after a partition, is gathered for a moment, and goes out in pages.
"""

from collections.abc import Sequence
from operator import add

from prr.config import Limits
from prr.core.deadlines import earliest
from prr.core.directory.directory import Directory
from prr.core.directory.reach import Reach
from prr.core.directory.results import Added as Adding
from prr.core.directory.watched import WatchedDirectory
from prr.core.effects import Effect, Send
from prr.core.replication.drains import Drains
from prr.core.replication.news import News
from prr.core.replication.pages import others_page, told_in_pages
from prr.core.replication.peers import Kind, Peer, Peers
from prr.core.returning import Returning
from prr.wire.frames import Added, Removed
from prr.wire.instance import Instance, is_wide
from prr.wire.messages import Suspicion, Versioned
from prr.wire.trailer import Cause
from prr.wire.version import (
    Version,
    counters_after,
    decode_version,
    encode_all,
    encode_version,
    is_later,
    is_newer,
    of_run,
    run_of,
    version_after,
)
from prr.wire.wide import Said, WideUpdate

GATHER = 0.01
"""Seconds for which refutations are gathered. A frame costs its sender and its receiver 0.2 ms
together, a word in a page 0.03; a thousand a second come ten to a page."""


class VersionedDirectory:
    """The directory, and the rules by which its versions rise."""

    def __init__(
        self,
        identity: int,
        limits: Limits,
        peers: Peers,
        reach: Reach | None = None,
        is_watched: bool = False,
    ) -> None:
        self.identity = identity
        self.directory = WatchedDirectory(limits) if is_watched else Directory(limits)
        self.drains = Drains(self.directory)
        self.reach = reach or Reach(frozenset(), peers)
        self.returning = Returning()
        self._peers = peers
        self._counter = self._run = 0
        self._untold: dict[Instance, bool] = {}  # whether it is news; what is verified in GATHER
        self._gathers_until = 0.0

    def can_hold(self, instance: Instance) -> bool:
        """An instance that is not held can be added."""
        return not self.reach.excludes(instance) and self.directory.has_room(instance)

    def add(
        self,
        instance: Instance,
        start: int,
        learned: bool = False,
        particulars: bytes | None = None,
    ) -> Adding:
        """Decide that an instance is there, and that this binder owns its lease; `particulars`
        None: those that it has. It is drained if it was."""
        if self.reach.excludes(instance):
            return Adding.EXCLUDED
        particulars = self.drains.beside(instance, particulars)
        version = self.next_version(instance, start)
        return self.directory.add(instance, version, learned, particulars)

    def add_all(
        self, ones: Sequence[Instance], starts: Sequence[int], said: Sequence[bytes], are_new: bool
    ) -> list[Effect]:
        """Decide that these are there, with start numbers and particulars that say nothing of their
        turns: of all of them nothing is known and there is room (`are_new`), or all are held. None
        is drained. Tell the others at once, in pages."""
        if are_new:
            counters = counters_after(self._counter, self._run, len(ones))
            versions, self._counter = encode_all(counters, self.identity, starts), counters[-1]
        else:
            held = zip(starts, map(decode_version, self.directory.words(ones)), strict=True)
            versions = [encode_version(self._decide(*row)) for row in held]
        self.directory.add_all(ones, [*map(add, versions, said)])
        return self._tell_all(dict.fromkeys(ones, are_new))

    def remove(
        self, instance: Instance, start: int, now: float, is_silent: bool = False
    ) -> list[Effect]:
        """Decide that an instance is gone, and tell the others; `is_silent`: for its silence. Who
        reads no versions was not told of one that never proved to be there."""
        was_sure = not self.is_back_unproven(instance)
        version = self.next_version(instance, start)
        self.returning.settle(instance)
        self.directory.remove(instance, version, now)
        said, cause = (Said.SILENT, Cause.SILENCE) if is_silent else (Said.GONE, None)
        if is_wide(instance):
            return self._tell_others(WideUpdate(instance, version, said))
        gone = Versioned(binder=self.identity, versions=encode_version(version), cause=cause)
        bare = Removed(instance) if was_sure else None
        return self._tell(Removed(instance, trailer=gone), bare)

    def tell_added(self, instance: Instance, is_news: bool = True) -> list[Effect]:
        """Tell the others about an instance that is there. Who reads no versions takes each word
        for one more server: it is told only of one that was not there (`is_news`), and not what it
        has said itself."""
        row = self._row(instance)
        if is_wide(instance):
            return self._tell_others(row)
        is_news = not self.returning.settle(instance) and is_news
        versions, particulars = encode_version(row.version), row.particulars or None
        said = Versioned(binder=self.identity, versions=versions, particulars=particulars)
        return self._tell(Added(instance, trailer=said), Added(instance) if is_news else None)

    def tell_suspicion(self, instance: Instance, version: Version) -> list[Effect]:
        """Tell the peers of ours that an instance, held at `version`, is in doubt. A legacy (2016)
        binder knows no doubt, and would take it for one more server."""
        particulars = self.directory.particulars(instance)
        if is_wide(instance):
            return self._tell_others(WideUpdate(instance, version, Said.DOUBTED, particulars))
        suspicion = Suspicion(
            binder=self.identity,
            versions=encode_version(version),
            doubt=1,
            particulars=particulars or None,
        )
        frame = Added(instance, trailer=suspicion)
        return [Send(frame, peer.address) for peer in self._peers.ours()]

    def tell_in_pages(self, instance: Instance, now: float, is_news: bool = True) -> list[Effect]:
        """The same as `tell_added` for one of many: the first is told at once, and those that
        follow within GATHER together, by `tick`."""
        if not self._untold and now >= self._gathers_until:
            self._gathers_until = now + GATHER
            return self.tell_added(instance, is_news)
        self._untold[instance] = is_news or self._untold.get(instance, False)
        return []

    def deadline(self) -> float | None:
        """When `tick` has something to tell, or a drain ends; None if nothing is pending."""
        return earliest(self._gathers_until if self._untold else None, self.drains.deadline())

    def tick(self, now: float) -> list[Effect]:
        """Tell what was gathered, unless it is gone again. Safe to call too often."""
        if not self._untold or now < self._gathers_until:
            return []
        untold, self._untold, self._gathers_until = self._untold, {}, now + GATHER
        return self._tell_all({one: new for one, new in untold.items() if one in self.directory})

    def _tell_all(self, words: dict[Instance, bool]) -> list[Effect]:
        """Tell the others that these are there: whether each `is_news`."""
        if len(words) == 1:
            return self.tell_added(*words.popitem())
        if not len(self._peers):
            return []
        bare = [peer.address for peer in self._peers.all() if peer.kind is not Kind.OURS]
        rows = [*zip(words, self.directory.words([*words]), strict=True)]
        effects: list[Effect] = [*told_in_pages(self.identity, rows, self._peers.ours())]
        for instance, is_news in words.items():
            if not is_wide(instance) and not self.returning.settle(instance) and is_news:
                effects += [Send(Added(instance), address) for address in bare]
        return effects

    def deny(self, instance: Instance) -> list[Effect]:
        """Tell those who read no versions that an instance is gone, if they say it is there."""
        if not self.returning.settle(instance):
            return []
        bare = [peer.address for peer in self._peers.all() if peer.kind is not Kind.OURS]
        return [Send(Removed(instance), address) for address in bare]

    def peer_that_is(self, owner: int, now: float) -> Peer | None:
        """The peer of ours that is this lease owner, if it has been heard lately."""
        return next((one for one in self._peers.heard_lately(now) if one.identity == owner), None)

    def is_back_unproven(self, instance: Instance) -> bool:
        """It is there again, after it had left, and has not answered yet."""
        version = self.directory.version(instance)
        return version is not None and version.is_unproven

    def is_news(
        self, instance: Instance, version: Version, is_there: bool, particulars: bytes = b""
    ) -> bool:
        """Another binder's word prevails over what is known. The newest version does, whoever says
        it, however often.

        Of two words with one version, which no sound binder says, "it is gone" wins: who holds it
        asks it, and decides anew."""
        if is_there:
            return self.directory.is_newer(instance, version, particulars)
        latest = self.directory.latest(instance)
        if latest is None or is_newer(version, latest):
            return True
        denies = version == latest and instance in self.directory
        return denies and not self.directory.is_disputed(instance)

    def take_over(
        self,
        instance: Instance,
        version: Version,
        is_there: bool,
        now: float,
        particulars: bytes = b"",
    ) -> News:
        """Hear another binder's word: what is news is taken over, if there is room."""
        if not self.is_news(instance, version, is_there, particulars):
            return News.OLD
        return self.accept(instance, version, is_there, now, particulars)

    def accept(
        self,
        instance: Instance,
        version: Version,
        is_there: bool,
        now: float,
        particulars: bytes = b"",
    ) -> News:
        """Take over another binder's word, which must be news, if there is room."""
        if not is_there:
            self.has_seen(version)
            self.returning.settle(instance)
            known = self.directory.remove(instance, version, now)
            return News.REMOVED if known else News.OLD
        merged = self.drains.heard(instance, particulars, now)
        adding = self.directory.add(instance, version, True, merged)
        if adding is Adding.FULL:
            return News.REFUSED
        self.has_seen(version)
        self.returning.settle(instance)
        if merged != particulars:  # a later word on it is known here
            self._untold.setdefault(instance, False)
        return News.ADDED if adding is Adding.NEW else News.CHANGED

    def dispute(self, instance: Instance, version: Version) -> None:
        """Another binder's word that an instance is gone, which is held and was heard here. It must
        be news; it is not carried out before it has been seen to be true."""
        self.has_seen(version)
        self.returning.settle(instance)
        self.directory.dispute(instance, version)

    @property
    def counter(self) -> int:
        """No earlier than any counter used here: what `resume` needs."""
        return of_run(self._counter, self._run)

    def resume(self, counter: int, keeps: bool = False) -> None:
        """Go on where an earlier process with this identity ended, with a run of its own: that of
        `counter`, which is no earlier than any that is known to have been used. With `keeps` its
        changes are noted, for a store."""
        self._counter, self._run = counter, run_of(counter)
        if keeps:
            self.directory.note_changes()

    def next_version(self, instance: Instance, start: int) -> Version:
        """The version of a decision about `instance` made here: newer than the latest about it,
        and, unless they lie half a turn apart, later than any counter that was seen."""
        return self._decide(start, self.directory.latest(instance))

    def _decide(self, start: int, latest: Version | None) -> Version:
        version = version_after(self._counter, self._run, self.identity, start, latest)
        self.has_seen(version)
        return version

    def _tell_others(self, row: WideUpdate) -> list[Effect]:
        """Tell those that know wide instances."""
        page = others_page(self.identity, [row])
        return [Send(page, peer.address) for peer in self._peers.ours() if peer.is_wide]

    def _row(self, instance: Instance) -> WideUpdate:
        """What is held about an instance that is there."""
        version = self.directory.version(instance)
        assert version is not None
        return WideUpdate(instance, version, Said.THERE, self.directory.particulars(instance))

    def has_seen(self, version: Version) -> None:
        """What is decided here from now on is later than this."""
        if is_later(version.counter, self._counter):
            self._counter = version.counter

    def _tell(self, told: Added | Removed, bare: Added | Removed | None) -> list[Effect]:
        """Tell the peers that have shown that they read trailers, and the others `bare`, if any."""
        peers = [(peer, told if peer.kind is Kind.OURS else bare) for peer in self._peers.all()]
        return [Send(frame, peer.address) for peer, frame in peers if frame is not None]
