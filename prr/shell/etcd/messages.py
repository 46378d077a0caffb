"""What is asked of etcd and what it answers, as its JSON gateway has it: numbers of 64 bits are
text there, keys and values base64. See https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prr.core.commits.layout import INSTANCES, instance_in, key_of, update_in, value_of
from prr.core.commits.stored import Stored, Write
from prr.record import record
from prr.shell.etcd.gateway import Unavailable
from prr.wire.instance import Instance

_P = ParamSpec("_P")
_R = TypeVar("_R")

PAGE = 2000
"""Keys of one page of a reading, 600 kB, which are 10 ms of work before lookups have their turn. A
reading of many small ones costs etcd more, since it counts for each all that is left."""


@record
class Header:
    """Which state of which store an answer is about: the `cluster`, how many writes there have been
    (`revision`), and how many leaders (`term`)."""

    cluster: str
    revision: int
    term: int

    def is_before(self, other: "Header") -> bool:
        """What has `other` cannot become this later: it is another store, or an older state."""
        is_same = self.cluster == other.cluster
        return not is_same or self.revision < other.revision or self.term < other.term


@record
class Found:
    """Some of the keys that etcd has: the instances, how many keys were not read, since they or
    their values are none of ours, and the last key, if there are more."""

    header: Header
    instances: dict[Instance, Stored]
    malformed: int
    next_key: bytes | None


def _of_an_etcd(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes what reads an answer raise Unavailable if that has not the form it should have."""

    @wraps(read)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return read(*args, **kwargs)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise Unavailable(f"an answer that no etcd gives: {error!r}") from error

    return checked


@_of_an_etcd
def result_of(message: dict[str, Any]) -> dict[str, Any]:
    """What a message of a stream says."""
    result = message["result"]
    if not isinstance(result, dict):
        raise TypeError("no object")
    return result


@_of_an_etcd
def events_of(result: dict[str, Any]) -> list[Any]:
    """What has happened, in order, as a message of a watch says."""
    events = result.get("events", [])
    if not isinstance(events, list):
        raise TypeError("no array")
    return events


@_of_an_etcd
def lease_of(answer: dict[str, Any]) -> str:
    """The lease that has been granted."""
    return str(int(answer["ID"]))


@_of_an_etcd
def header_of(answer: dict[str, Any]) -> Header:
    """The header of an answer."""
    said = answer["header"]
    return Header(
        str(said["cluster_id"]), int(said.get("revision", 0)), int(said.get("raft_term", 0))
    )


def text_of(data: bytes) -> str:
    """Bytes as JSON has them."""
    return b64encode(data).decode()


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def range_of(prefix: bytes) -> dict[str, str]:
    """All keys that begin with `prefix`, for a range or a watch."""
    return {"key": text_of(prefix), "range_end": text_of(after(prefix))}


class Keys:
    """The keys of one cluster of binders, which all begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.encode()
        self.instances = self.prefix + INSTANCES.encode()
        self.mark = text_of(self.prefix + b"mark")
        """A key that is written so that it is heard of; as JSON has it."""

    def of(self, instance: Instance) -> str:
        """The key of an instance, as JSON has it."""
        return text_of(self.prefix + key_of(instance).encode())

    def page(self, begin: bytes | None, revision: int) -> dict[str, Any]:
        """Ask for the next keys of instances, from `begin` on (None: the first), as of a revision;
        0: the latest."""
        asked: dict[str, Any] = range_of(self.instances) | {"limit": str(PAGE)}
        if begin is not None:
            asked["key"] = text_of(begin)
        return asked | ({"revision": str(revision)} if revision else {})

    @_of_an_etcd
    def found(self, answer: dict[str, Any]) -> Found:
        """What such a page has."""
        rows = answer.get("kvs", [])
        instances, malformed = self._read(rows)
        more = rows and answer.get("more")
        next_key = b64decode(rows[-1]["key"]) + b"\0" if more else None
        return Found(header_of(answer), instances, malformed, next_key)

    def transaction(self, writes: Sequence[Write], removals: str) -> dict[str, Any]:
        """Carry out all of these writes, or none. What is gone is to be forgotten with the lease
        `removals`. What is there instead is not asked for: it rarely is, and costs etcd a third."""
        keys = [self.of(write.instance) for write in writes]
        return {
            "compare": [
                {"key": key, "target": "MOD", "mod_revision": str(write.revision)}
                for key, write in zip(keys, writes, strict=True)
            ],
            "success": [
                {"request_put": _put(key, write, removals)}
                for key, write in zip(keys, writes, strict=True)
            ],
        }

    def reading(self, writes: Sequence[Write]) -> dict[str, Any]:
        """Read the instances of these writes, all as of one revision."""
        return {
            "success": [{"request_range": {"key": self.of(write.instance)}} for write in writes]
        }

    @_of_an_etcd
    def there(self, writes: Sequence[Write], answer: dict[str, Any]) -> dict[Instance, Stored]:
        """What such a reading says is there of each instance."""
        header = header_of(answer)
        found: dict[Instance, Stored] = {}
        for write, said in zip(writes, answer["responses"], strict=True):
            rows = said["response_range"].get("kvs", [])
            stored = Stored(header.revision, is_there=False)
            if rows:
                stored = _stored(rows[0])
            found[write.instance] = stored
        return found

    @_of_an_etcd
    def events(
        self, events: Sequence[Any], known: dict[str, int]
    ) -> tuple[dict[Instance, Stored], int, int]:
        """Some events of a watch: what each instance has now, how many were not read, and the
        revision of the last, 0 if there is none. What is `known`, the revision of a key as JSON has
        it, need not be read again, and is forgotten."""
        instances, malformed = self._read(
            event["kv"] | {"is_gone": event.get("type") == "DELETE"}
            for event in events
            if known.pop(event["kv"]["key"], 0) != int(event["kv"]["mod_revision"])
        )
        last = max((int(event["kv"]["mod_revision"]) for event in events), default=0)
        return instances, malformed, last

    def _read(self, rows: Iterator[Any] | list[Any]) -> tuple[dict[Instance, Stored], int]:
        """Those of instances; of several about one the last one counts."""
        found: dict[Instance, Stored] = {}
        malformed = 0
        for row in rows:
            key = b64decode(row["key"])
            if not key.startswith(self.instances):
                continue
            try:
                instance = instance_in(key[len(self.prefix) :].decode())
            except ValueError:
                malformed += 1
                continue
            found[instance] = stored = _stored(row)
            malformed += stored.is_there and stored.update is None
        return found, malformed


def _stored(row: dict[str, Any]) -> Stored:
    """What a key has; without an update if its value says none."""
    revision = int(row["mod_revision"])
    if row.get("is_gone"):
        return Stored(revision, is_there=False)
    try:
        return Stored(revision, update_in(b64decode(row.get("value", ""))))
    except ValueError:
        return Stored(revision)


def _put(key: str, write: Write, removals: str) -> dict[str, str]:
    put = {"key": key, "value": text_of(value_of(write.update))}
    return put if write.update.is_present else put | {"lease": removals}
