"""What one binder writes to a store that binders share, when, and what it hears from there.

The store keeps one update for each instance, and the revision at which that was written. A write is
a compare-and-swap on it, so that no update is replaced by one that did not know it. What is found
there instead is heard like a peer's word, and the newest version prevails, there as everywhere. So
writes may be repeated, come late, or get lost without a word: an instance is written about until
the store has what the directory says, or something newer.

    changed -> dirty -> under way -> committed
                 ^          |
                 +----------+  another update is there, or nobody knows what became of the write

Many are written in one transaction, all or none of them; an instance about which another update was
found has the next one for itself, so that it holds up no others.

The binder that has decided something commits it at once. The others, who hear it from that binder
as a rule before it is committed, step in a second later: it may be cut off from the store, or gone.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prr.core.commits.stored import UNKNOWN, Known, Stored, Write, prevails, word_of
from prr.core.directory.directory import Directory
from prr.core.effects import Update
from prr.wire.instance import Instance
from prr.wire.trailer import GROUPS

BATCH_MAX = 100
"""Writes in one transaction; etcd takes 128 unless it is told otherwise (--max-txn-ops)."""

UNDER_WAY_MAX = 2
"""Batches under way at once: while one is written to disks, the next one travels, if it is full."""

STEP_IN = 1.0
"""Seconds after which a binder commits what another one has decided, if that has not; for each
binder up to STEP_IN_SPREAD longer, so that they do not all do so at once."""

STEP_IN_SPREAD = 0.5

DIRTY_MAX = 1 << 17
"""Instances that are remembered to be written, 15 MB. Beyond it all are compared, when the store is
there again."""

LOOKED_AT = 1000
"""Instances that are looked at in one call, 2 ms of work: most may need nothing any more."""


class Commits:
    """The updates of one binder on their way into a store, and those that are known to be there."""

    def __init__(self, identity: int, directory: Directory, known_max: int) -> None:
        """`identity` is this binder's; `directory` is read only. `known_max`: how many instances
        are remembered to be in the store; a write about another one first finds out."""
        self._identity = identity
        self._directory = directory
        self._known_max = known_max
        self._known: dict[Instance, Known] = {}
        self._step_in_after = STEP_IN + STEP_IN_SPREAD * (identity % 16) / 16
        self._own: OrderedDict[Instance, None] = OrderedDict()  # dirty
        self._others: OrderedDict[Instance, float] = OrderedDict()  # too; when to step in, in order
        self._alone: set[Instance] = set()  # of the dirty ones: to be written one by one
        self._under_way: set[Instance] = set()
        self._batches = 0
        self._rest: Iterator[list[tuple[Instance, Update]]] | None = None  # not yet compared
        self._read: dict[Instance, Known] | None = None  # while all is read
        self._deleted: dict[Instance, int] = {}  # while they are under way, at which revision
        self.has_unheard = False
        """Some had been read from a disk, and not been heard since, when all was compared last."""

    @property
    def uncommitted(self) -> int:
        """Instances of which the store may not have what the directory says."""
        return len(self._own) + len(self._others) + len(self._under_way)

    @property
    def has_more(self) -> bool:
        """`batch` has not looked at all that may have to be written."""
        return self.may_write and (self._rest is not None or bool(self._own and not self._batches))

    @property
    def is_comparing(self) -> bool:
        """What was begun with `compare` goes on."""
        return self._rest is not None

    @property
    def has_full_batch(self) -> bool:
        """So many are dirty that a batch can have no more."""
        return len(self._own) >= BATCH_MAX

    @property
    def may_write(self) -> bool:
        """`batch` may have writes: there are not enough under way, and all has been read."""
        return self._batches < UNDER_WAY_MAX and self._read is None

    def is_committed(self, instance: Instance) -> bool:
        """The store has what the directory says of it, or something newer."""
        is_read = self._read is None or instance in self._known
        return is_read and instance not in self._under_way and self._lacking(instance) is None

    def changed(self, updates: Mapping[Instance, Update | None], now: float) -> None:
        """These are the last updates about some instances, None for one that is forgotten."""
        for instance in updates:
            self._own.pop(instance, None)
            self._others.pop(instance, None)
            self._alone.discard(instance)
            self._mark(instance, now)
        if len(self._own) + len(self._others) > DIRTY_MAX:
            self._own.clear()
            self._others.clear()
            self._alone.clear()
            self.compare()

    def compare(self) -> None:
        """Find, a few at a time, whatever the store lacks. To be called now and then: what is no
        longer `is_unheard` becomes so without a change. Not while all is read: it is done then."""
        if self._read is None:
            self._rest, self.has_unheard = self._everything(), False

    def batch(self, now: float) -> list[Write]:
        """The next writes, one transaction, which are now under way; [] if there are none, or
        enough of them."""
        if not self.may_write:
            return []
        self._compare_some(now)
        self._step_in(now)
        if self._batches and not self.has_full_batch:
            return []  # more will have gathered when the one under way has ended
        writes: list[Write] = []
        waiting: list[Instance] = []
        for _ in range(min(LOOKED_AT, len(self._own))):
            if len(writes) == BATCH_MAX:
                break
            instance, _ = self._own.popitem(last=False)
            is_alone = instance in self._alone
            if instance in self._under_way or (is_alone and writes):
                waiting.append(instance)
                continue
            self._alone.discard(instance)
            if (update := self._lacking(instance)) is not None:
                writes.append(Write(instance, self._known.get(instance, UNKNOWN)[0], update))
                if is_alone:
                    break
        self._own |= dict.fromkeys(waiting)
        self._under_way |= {write.instance for write in writes}
        self._batches += bool(writes)
        return writes

    def deadline(self) -> float | None:
        """When `batch` may have writes that it does not have now; None: not before something else
        happens."""
        if not self.may_write:
            return None
        return next(iter(self._others.values()), None)

    def wanted(self, instances: Iterable[Instance]) -> None:
        """Somebody waits for these to be committed: they are written at once, whoever has decided
        that, if the store lacks them."""
        for instance in instances:
            if self._read is None and self._lacking(instance) is not None:
                self._others.pop(instance, None)
                self._own[instance] = None

    def written(self, writes: Sequence[Write], revision: int) -> None:
        """A batch has been written: its instances have `revision` now, unless they were seen to be
        deleted since."""
        deleted = self._deleted.copy()
        self._end(writes)
        for write in writes:
            if deleted.get(write.instance, 0) < revision:
                self._know(write.instance, Stored(revision, write.update))

    def refused(
        self, writes: Sequence[Write], found: Mapping[Instance, Stored], now: float
    ) -> list[tuple[Instance, Update]]:
        """Nothing of a batch has been written, since what was `found` of its instances is not what
        this binder took for it. What of that the binder is to hear."""
        self._end(writes)
        for write in writes:
            if found[write.instance].revision < write.revision:  # an older state, or another store
                self._known.pop(write.instance, None)
        heard = self.seen(found, now)
        for write in writes:
            if found[write.instance].cas_revision != write.revision:
                self._alone.add(write.instance)
            self._own[write.instance] = None
        return heard

    def rejected(self, writes: Sequence[Write]) -> list[Write]:
        """The store will not have this batch, whoever wrote before: each is tried alone. One that
        was alone is given up until it changes, and returned."""
        self._end(writes)
        if len(writes) == 1:
            return [*writes]
        self._alone |= {write.instance for write in writes}
        self._own |= {write.instance: None for write in writes}
        return []

    def failed(self, writes: Sequence[Write]) -> None:
        """Nobody knows what became of a batch: it is tried again, and finds out."""
        self._end(writes)
        self._own |= {write.instance: None for write in writes}

    def seen(self, found: Mapping[Instance, Stored], now: float) -> list[tuple[Instance, Update]]:
        """What the store holds of some instances, as its watch, or a reading of all, says. What of
        that the binder is to hear."""
        heard: list[tuple[Instance, Update]] = []
        for instance, stored in found.items():
            if self._know(instance, stored):
                self._mark(instance, now)
                said = stored.update
                if said is not None and said != self._directory.update(instance):
                    heard.append((instance, said))
        return heard

    def reading(self, is_another: bool) -> None:
        """All is read anew from now on, and nothing is written meanwhile. `is_another`: it may be
        another store, or an older state of it, whose revisions say nothing of those before."""
        self._read, self._rest = {}, None
        if is_another:
            self._known.clear()

    def has_read(self) -> None:
        """All has been read: what was neither found nor written meanwhile is not there, whatever
        was known before, which may have been true of a later state of the store."""
        if self._read is not None:
            self._known, self._read = self._read, None
        self.compare()

    def _know(self, instance: Instance, stored: Stored) -> bool:
        """Take note of what is there; False if something later was there already."""
        known = self._known.get(instance)
        is_late = known is not None and stored.revision < known[0]
        if is_late and self._read is None:  # what is read is newer than all that was heard
            return False
        for rows in (self._known,) if self._read is None else (self._known, self._read):
            if not stored.is_there:
                rows.pop(instance, None)
            elif instance in rows or len(rows) < self._known_max:
                rows[instance] = stored.revision, word_of(stored.update)
        if not stored.is_there and instance in self._under_way:
            self._deleted[instance] = stored.revision
        return True

    def _mark(self, instance: Instance, now: float) -> None:
        """It is dirty, if the store lacks what the directory says, and else not."""
        if self._read is not None:
            return  # when all is read, all is compared
        update = self._lacking(instance)
        if update is None:
            self._own.pop(instance, None)
            self._others.pop(instance, None)
        elif instance not in self._own and instance not in self._others:
            if update.version.owner == self._identity:
                self._own[instance] = None
            else:
                self._others[instance] = now + self._step_in_after

    def _lacking(self, instance: Instance) -> Update | None:
        """What the directory says of it, if that prevails over what the store has. Where nothing
        is there, nor under way, nothing needs to be gone; nor does it get back what was read from a
        disk, and may be long gone, before that has answered."""
        update = self._directory.update(instance)
        word = self._known.get(instance, UNKNOWN)[1]
        if update is None:
            return None
        is_nowhere = not word and instance not in self._under_way
        if is_nowhere and (not update.is_present or self._directory.is_unheard(instance)):
            return None
        return update if not word or prevails(update, word) else None

    def _step_in(self, now: float) -> None:
        for _ in range(min(LOOKED_AT, len(self._others))):
            if next(iter(self._others.values())) > now:
                break
            instance, _ = self._others.popitem(last=False)
            self._own[instance] = None

    def _compare_some(self, now: float) -> None:
        if self._rest is not None and len(self._own) < BATCH_MAX:
            page = next(self._rest, None)
            if page is None:
                self._rest = None
            else:
                for instance, _ in page:
                    self._mark(instance, now)
                    self.has_unheard |= self._directory.is_unheard(instance)

    def _everything(self) -> Iterator[list[tuple[Instance, Update]]]:
        for group in range(GROUPS):
            cursor: bytes | None = b""
            while cursor is not None:
                page, cursor = self._directory.page(group, (1 << GROUPS) - 1, cursor, LOOKED_AT)
                yield page

    def _end(self, writes: Sequence[Write]) -> None:
        self._batches -= 1
        for write in writes:
            self._under_way.discard(write.instance)
            self._deleted.pop(write.instance, None)
