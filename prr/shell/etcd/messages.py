"""What is asked of etcd and what it answers: the messages of `schema`, as binders use them."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from prr.core.commits.layout import INSTANCES, instance_in, key_of, update_in, value_of
from prr.core.commits.stored import Stored, Write
from prr.record import record
from prr.shell.etcd.failures import Unavailable
from prr.shell.etcd.schema import (
    DELETED,
    MODIFIED,
    Event,
    KeyValue,
    LeaseResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
    WatchCreateRequest,
    WatchRequest,
)
from prr.wire.instance import Instance

_P = ParamSpec("_P")
_R = TypeVar("_R")

PAGE = 2000
"""Keys of one page of a reading, 400 kB, which are 10 ms of work before lookups have their turn. A
reading of many small ones costs etcd more, since it counts for each all that is left."""


@record
class Header:
    """Which state of which store an answer is about: the `cluster`, how many writes there have been
    (`revision`), and how many leaders (`term`)."""

    cluster: int
    revision: int
    term: int

    def is_before(self, other: "Header") -> bool:
        """What has `other` cannot become this later: it is another store, or an older state."""
        is_same = self.cluster == other.cluster
        return not is_same or self.revision < other.revision or self.term < other.term


@record
class Found:
    """Some of the keys that etcd has: the instances, how many keys were not read, since they or
    their values are none of ours, the last key, if there are more, and what was written last."""

    header: Header
    instances: dict[Instance, Stored]
    malformed: int
    next_key: bytes | None
    newest: KeyValue | None


def _of_an_etcd(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes what reads an answer raise Unavailable if that has not the form it should have."""

    @wraps(read)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return read(*args, **kwargs)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise Unavailable(f"an answer that no etcd gives: {error!r}") from error

    return checked


class _Headed(Protocol):
    header: ResponseHeader


@_of_an_etcd
def header_of(answer: _Headed) -> Header:
    """The header of an answer."""
    said = answer.header
    if not said.cluster_id:
        raise ValueError("no header")
    return Header(said.cluster_id, said.revision, said.raft_term)


@_of_an_etcd
def lease_of(answer: LeaseResponse) -> int:
    """The lease that has been granted."""
    if not answer.ID:
        raise ValueError("no lease")
    return answer.ID


def last_put(events: Sequence[Event]) -> KeyValue | None:
    """The last key of these events that was written, as it was then; None if none was."""
    return next((event.kv for event in reversed(events) if event.type != DELETED), None)


def newest_of(rows: Iterable[KeyValue]) -> KeyValue | None:
    """Which of these keys was written last; None if there are none."""
    return max(rows, key=lambda row: row.mod_revision, default=None)


def as_of(row: KeyValue) -> RangeRequest:
    """Ask for a key as of its own revision: in another history it is another one, or none."""
    return RangeRequest(key=row.key, revision=row.mod_revision, limit=1)


def is_still(row: KeyValue, answer: RangeResponse) -> bool:
    """The answer to that is the key as it was."""
    return [_written(there) for there in answer.kvs] == [_written(row)]


def _written(row: KeyValue) -> tuple[bytes, int, int, bytes, int]:
    return row.key, row.create_revision, row.mod_revision, row.value, row.lease


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


class Keys:
    """The keys of one cluster of binders, which all begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.encode()
        self.instances = self.prefix + INSTANCES.encode()
        self.mark = self.prefix + b"mark"
        """A key that is written so that it is heard of."""

    def of(self, instance: Instance) -> bytes:
        """The key of an instance."""
        return self.prefix + key_of(instance).encode()

    def any(self) -> RangeRequest:
        """Ask whether there are any keys: what is wanted is the header of the answer."""
        return RangeRequest(key=self.prefix, range_end=after(self.prefix), limit=1, keys_only=True)

    def page(self, begin: bytes | None, revision: int) -> RangeRequest:
        """Ask for the next keys of instances, from `begin` on (None: the first), as of a revision;
        0: the latest."""
        return RangeRequest(
            key=self.instances if begin is None else begin,
            range_end=after(self.instances),
            limit=PAGE,
            revision=revision,
        )

    @_of_an_etcd
    def found(self, answer: RangeResponse) -> Found:
        """What such a page has."""
        rows = answer.kvs
        if len(rows) > PAGE:
            raise ValueError(f"{len(rows)} keys")
        instances, malformed = self._read((row, False) for row in rows)
        next_key = rows[-1].key + b"\0" if rows and answer.more else None
        return Found(header_of(answer), instances, malformed, next_key, newest_of(rows))

    def watch(self, revision: int) -> WatchRequest:
        """Ask for all that happens from a revision on; in fragments: else one message may be of
        many revisions, 64 MB."""
        create = WatchCreateRequest(
            key=self.prefix, range_end=after(self.prefix), start_revision=revision, fragment=True
        )
        return WatchRequest(create_request=create)

    def transaction(self, writes: Sequence[Write], removals: int) -> TxnRequest:
        """Carry out all of these writes, or none. What is gone is to be forgotten with the lease
        `removals`. What is there instead is not asked for: it rarely is, and costs etcd a third."""
        transaction = TxnRequest()
        for write in writes:
            compare = transaction.compare.add()
            put = transaction.success.add().request_put
            compare.target = MODIFIED
            compare.key = put.key = self.of(write.instance)
            compare.mod_revision = write.revision
            put.value = value_of(write.update)
            if not write.update.is_present:
                put.lease = removals
        return transaction

    def reading(self, writes: Sequence[Write]) -> TxnRequest:
        """Read the instances of these writes, all as of one revision."""
        transaction = TxnRequest()
        for write in writes:
            transaction.success.add().request_range.key = self.of(write.instance)
        return transaction

    @_of_an_etcd
    def there(self, writes: Sequence[Write], answer: TxnResponse) -> dict[Instance, Stored]:
        """What such a reading says is there of each instance."""
        header = header_of(answer)
        found: dict[Instance, Stored] = {}
        for write, said in zip(writes, answer.responses, strict=True):
            if not said.HasField("response_range"):
                raise ValueError("no range")
            rows = said.response_range.kvs
            nothing = Stored(header.revision, is_there=False)
            found[write.instance] = _stored(rows[0], False) if rows else nothing
        return found

    @_of_an_etcd
    def events(
        self, events: Sequence[Event], known: dict[bytes, int]
    ) -> tuple[dict[Instance, Stored], int, int]:
        """Some events of a watch: what each instance has now, how many were not read, and the
        revision of the last, 0 if there is none. What is `known`, the revision of a key, need not
        be read again, and is forgotten."""
        instances, malformed = self._read(
            (event.kv, event.type == DELETED)
            for event in events
            if known.pop(event.kv.key, 0) != event.kv.mod_revision
        )
        last = max((event.kv.mod_revision for event in events), default=0)
        return instances, malformed, last

    def _read(self, rows: Iterable[tuple[KeyValue, bool]]) -> tuple[dict[Instance, Stored], int]:
        """Those of instances, which may be gone; of several about one the last one counts."""
        found: dict[Instance, Stored] = {}
        malformed = 0
        for row, is_gone in rows:
            key = row.key
            if not key.startswith(self.instances):
                continue
            try:
                instance = instance_in(key[len(self.prefix) :].decode())
            except ValueError:
                malformed += 1
                continue
            found[instance] = stored = _stored(row, is_gone)
            malformed += stored.is_there and stored.update is None
        return found, malformed


def _stored(row: KeyValue, is_gone: bool) -> Stored:
    """What a key has; without an update if its value says none."""
    if is_gone:
        return Stored(row.mod_revision, is_there=False)
    try:
        return Stored(row.mod_revision, update_in(row.value))
    except ValueError:
        return Stored(row.mod_revision)
