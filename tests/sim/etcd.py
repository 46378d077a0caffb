"""A model of etcd: one history of writes, whatever befalls its servers and the ways to them.

It answers what is asked by gRPC (https://etcd.io/docs/v3.4/learning/api/):
transactions that happen at one moment each, and have one revision; reading as of a revision; leases
that end; watches that tell of each revision in order, from one on, until they break. Whoever asks
may get no answer, though what he wanted has been done, or will be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import greenlet

from prr.config import HostPort
from prr.shell.etcd.connect import SILENCE
from prr.shell.etcd.failures import Compacted, LeaseGone, NoRoom, Rejected, Unavailable
from prr.shell.etcd.schema import (
    CREATED,
    DELETE_RANGE,
    DELETED,
    LEASE_GRANT,
    LEASE_KEEP_ALIVE,
    LEASE_REVOKE,
    MODIFIED,
    PUT,
    RANGE,
    TXN,
    Compare,
    Done,
    Event,
    KeyValue,
    LeaseResponse,
    Message,
    Method,
    PutRequest,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    ResponseOp,
    TxnRequest,
    TxnResponse,
    WatchRequest,
    WatchResponse,
)
from tests.sim.etcd_options import EtcdOptions
from tests.sim.loops import TIMED_OUT, Loop
from tests.sim.world import Violation, World

if TYPE_CHECKING:
    from tests.sim.process import Process

TRAVELS = (0.0002, 0.003)
"""Seconds of a request, or an answer, on its way; disks included."""

REFUSED_AFTER = 0.001

RESENT = 1.6
"""Seconds within which TCP sends again what was lost, when the way is there again."""

OPS_MAX = 128
"""Writes of one transaction, as etcd has it (--max-txn-ops)."""

FIRST_TERM = 2


@dataclass(frozen=True, slots=True)
class Row:
    """What a key has."""

    value: bytes
    revision: int
    created: int
    lease: int


@dataclass(slots=True)
class Lease:
    """One that somebody holds."""

    seconds: float
    ends_at: float


@dataclass(slots=True)
class Watch:
    """One stream, and what of it is on its way, or has come and waits to be read."""

    client: Process
    door: int
    begin: bytes
    end: bytes
    next: int  # the revision it tells of next
    heard: deque[Message | Exception] = field(default_factory=deque)
    free_at: float = 0.0  # when the last message on its way arrives
    wake: Callable[..., None] | None = None
    is_stalled: bool = False

    def hear(self, message: Message | Exception) -> None:
        """It is there to be read."""
        self.heard.append(message)
        if self.wake is not None:
            wake, self.wake = self.wake, None
            self.client.at(self.client.world.now, wake)


Change = tuple[int, bytes, Row | None]
"""At which revision, of which key, and what it has then; None if it was deleted."""


class Etcd:
    """One cluster. What befalls it is in `tests.sim.etcd_faults`."""

    def __init__(self, world: World, seed: int, options: EtcdOptions) -> None:
        self.world = world
        self.rng = Random(f"{seed}/etcd")
        self.servers = options.servers
        self.rows: dict[bytes, Row] = {}
        self.revision, self.term, self.cluster = 1, FIRST_TERM, 1
        self.compacted = 0
        self.down: set[int] = set()  # servers that refuse
        self.ended: Counter[int] = Counter()  # how often each has been down
        self.hung: set[int] = set()  # servers that say nothing
        self.cut: dict[str, bool] = {}  # clients that reach no server, and whether they are refused
        self.is_full = False
        self.lost_answers = self.late = 0.0  # shares of the requests
        self._loses_claims = options.claims_lost
        self._claimed: set[str] = set()  # clients whose first claim was lost
        self.is_small = options.small
        self.watch_delay = options.watch_delay
        self.lease_factor = options.lease_factor
        """Of the seconds of a long lease those that it has: nobody waits for hours here."""
        self.writes: list[tuple[float, str]] = []
        """When an instance was written, or was to be, and what became of it."""
        self.written: Callable[[Process, bytes, bytes | None, bytes], None] = lambda *_: None
        """Is told of each write before it is done: the key, what it has, and what it gets."""
        self._history: list[Change] = []
        self._leases: dict[int, Lease] = {}
        self._lease_ids = 1000
        self._seconds: dict[int, float] = {}  # of each lease that there ever was
        self._watches: list[Watch] = []

    # Whether a server is reached.

    @property
    def has_quorum(self) -> bool:
        """Most of the servers run."""
        return len(self.down | self.hung) <= self.servers // 2

    def is_up(self, client: Process, door: int) -> bool:
        """A client's requests get through to a server, and it can decide."""
        is_reached = door not in self.down | self.hung and client.name not in self.cut
        return is_reached and self.has_quorum

    def end_server(self, door: int) -> None:
        """It ends, and so do its connections; what it was asked is forgotten."""
        self.down.add(door)
        self.ended[door] += 1
        self.break_streams(lambda watch: watch.door == door)

    def return_servers(self, doors: Iterable[int]) -> None:
        """They run again."""
        had_quorum = self.has_quorum
        self.down -= {*doors}
        self.hung -= {*doors}
        if self.has_quorum and not had_quorum:
            self.term += 1
            for number in self._leases:  # the new leader gives each all its time
                self._extend(number)

    def loses_answer(self, client: Process, asked: Message) -> bool:
        """A client does not hear what became of this."""
        is_claim = any(b"adopting/" in put.key for put in _puts(asked))
        if self._loses_claims and is_claim and client.name not in self._claimed:
            self._claimed.add(client.name)
            return True
        return self.rng.random() < self.lost_answers

    def refuses(self, client: Process, door: int) -> bool:
        """They do not, and the client is told so."""
        return self.cut.get(client.name, door in self.down and door not in self.hung)

    # What happens at one moment.

    def do(self, client: Process, method: Method, asked: Any) -> Message:
        """What a request does, and its answer. Raises as `Channel.call` does."""
        doings: dict[str, Callable[[], Message]] = {
            RANGE.path: lambda: self._range(asked),
            PUT.path: lambda: self._put_one(asked),
            DELETE_RANGE.path: lambda: self.delete([asked.key]),
            TXN.path: lambda: self._transact(client, asked),
            LEASE_GRANT.path: lambda: self._grant(asked.TTL),
            LEASE_KEEP_ALIVE.path: lambda: self._keep_alive(asked.ID),
            LEASE_REVOKE.path: lambda: self._revoke(asked.ID),
        }
        if method.path not in doings:
            raise Violation(f"{client.name}: asks etcd for {method.path}")
        answer: Any = doings[method.path]() or Done()
        answer.header.MergeFrom(self.header())
        return answer

    def header(self) -> ResponseHeader:
        """That of each answer."""
        return ResponseHeader(cluster_id=self.cluster, revision=self.revision, raft_term=self.term)

    def _range(self, asked: RangeRequest) -> RangeResponse:
        revision = asked.revision
        if revision > self.revision:
            raise Compacted(f"revision {revision} is to come")
        if revision and revision < self.compacted:
            raise Compacted(f"revision {revision} has been compacted")
        rows = self.rows if not revision else self._as_of(revision)
        begin = asked.key
        end = asked.range_end or begin + b"\0"
        keys = sorted(key for key in rows if begin <= key < end)
        limit = asked.limit or len(keys)
        found = [_row(key, rows[key], asked.keys_only) for key in keys[:limit]]
        return RangeResponse(kvs=found, more=len(keys) > limit)

    def _as_of(self, revision: int) -> dict[bytes, Row]:
        rows: dict[bytes, Row] = {}
        for at, key, row in self._history:
            if at > revision:
                break
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        return rows

    def _transact(self, client: Process, asked: TxnRequest) -> TxnResponse:
        if max(len(asked.compare), len(asked.success)) > OPS_MAX:
            raise Rejected("etcdserver: too many operations in txn request")
        puts = _puts(asked)
        if puts:
            self._check_room()
        if len({put.key for put in puts}) < len(puts):
            raise Rejected("etcdserver: duplicate key given in txn request")
        if not all(map(self._is_so, asked.compare)):
            self._note(puts, "refused")
            return TxnResponse(responses=[self._found(one.request_range) for one in asked.failure])
        for put in puts:
            was = self.rows.get(put.key)
            self.written(client, put.key, was and was.value, put.value)
        self._put_all(puts)
        self._note(puts, "written")
        responses = [
            self._found(one.request_range) if one.HasField("request_range") else ResponseOp()
            for one in asked.success
        ]
        return TxnResponse(succeeded=True, responses=responses)

    def _found(self, asked: RangeRequest) -> ResponseOp:
        return ResponseOp(response_range=self._range(asked))

    def _note(self, puts: list[PutRequest], what: str) -> None:
        if any(b"instances/" in put.key for put in puts):
            self.writes.append((self.world.now, what))

    def _is_so(self, compared: Compare) -> bool:
        row = self.rows.get(compared.key)
        if compared.target == MODIFIED:
            return compared.mod_revision == (row.revision if row else 0)
        assert compared.target == CREATED
        return compared.create_revision == (row.created if row else 0)

    def _check_room(self) -> None:
        if self.is_full:
            raise NoRoom("etcdserver: mvcc: database space exceeded")

    def _put_one(self, put: PutRequest) -> None:
        self._check_room()
        self._put_all([put])

    def _put_all(self, puts: list[PutRequest]) -> None:
        for put in puts:
            if put.lease and put.lease not in self._leases:
                raise LeaseGone("etcdserver: requested lease not found")
        self.put([(put.key, put.value, put.lease) for put in puts])

    def put(self, wanted: list[tuple[bytes, bytes, int]]) -> None:
        """Have these keys these values under these leases (0: none), at one revision."""
        if not wanted:
            return
        self.revision += 1
        for key, value, lease in wanted:
            was = self.rows.get(key)
            created = was.created if was else self.revision
            self.rows[key] = row = Row(value, self.revision, created, lease)
            self._history.append((self.revision, key, row))
        self._tell()

    def delete(self, keys: list[bytes]) -> None:
        """Delete those of these that there are, at one revision."""
        if there := [key for key in keys if key in self.rows]:
            self.revision += 1
            for key in there:
                del self.rows[key]
                self._history.append((self.revision, key, None))
            self._tell()

    # Leases.

    def _grant(self, seconds: float) -> LeaseResponse:
        self._check_room()
        if seconds > 60:
            seconds *= self.lease_factor
        self._lease_ids += 1
        self._leases[self._lease_ids] = Lease(seconds, 0.0)
        self._seconds[self._lease_ids] = seconds
        self._extend(self._lease_ids)
        return LeaseResponse(ID=self._lease_ids, TTL=int(seconds))

    def _keep_alive(self, number: int) -> LeaseResponse:
        if number not in self._leases:
            return LeaseResponse(ID=number)
        self._extend(number)
        return LeaseResponse(ID=number, TTL=int(self._leases[number].seconds))

    def _extend(self, number: int) -> None:
        lease = self._leases[number]
        lease.ends_at = self.world.now + lease.seconds
        self.world.at(lease.ends_at, self._may_end, number)

    def _may_end(self, number: int) -> None:
        lease = self._leases.get(number)
        if lease is None or self.world.now < lease.ends_at:
            return
        if self.has_quorum:
            self.end_lease(number)
        # else nobody can decide it

    def _revoke(self, number: int) -> None:
        if number not in self._leases:
            raise LeaseGone("etcdserver: requested lease not found")
        self.end_lease(number)

    def hear_leave(self, client: Process, key: bytes) -> None:
        """One that has stopped since ends its lease, with which it had put `key`."""
        row = self.rows.get(key)
        if row is not None and row.lease in self._leases and self.is_up(client, 0):
            self.end_lease(row.lease)

    def end_lease(self, number: int) -> None:
        """It ends, and so do the keys that were put with it."""
        del self._leases[number]
        self.delete([key for key, row in self.rows.items() if row.lease == number])

    @property
    def leases(self) -> list[int]:
        """Those that there are."""
        return [*self._leases]

    # Watches.

    def watch(self, client: Process, door: int, request: WatchRequest) -> Watch:
        """A client opens a stream."""
        asked = request.create_request
        watch = Watch(client, door, asked.key, asked.range_end, asked.start_revision)
        self._say(watch, WatchResponse(header=self.header(), created=True))
        if watch.next <= self.compacted:
            gone = {"canceled": True, "compact_revision": self.compacted}
            self._say(watch, WatchResponse(header=self.header(), **gone))
            return watch
        self._watches.append(watch)
        self._tell_one(watch)
        return watch

    def close(self, watch: Watch) -> None:
        """Nobody listens any more."""
        if watch in self._watches:
            self._watches.remove(watch)

    def _tell(self) -> None:
        for watch in self._watches:
            self._tell_one(watch)

    def _tell_one(self, watch: Watch) -> None:
        """All that has happened since, some revisions to a message."""
        if self.revision < watch.next:
            return
        events: list[Event] = []
        at = 0
        first = bisect_left(self._history, watch.next, key=lambda change: change[0])
        for revision, key, row in self._history[first:]:
            if not watch.begin <= key < watch.end:
                continue
            if events and revision != at and self.rng.random() < 0.5:
                self._say(watch, WatchResponse(header=self.header(), events=events))
                events = []
            at = revision
            events.append(_event(key, revision, row))
        if events:
            self._say(watch, WatchResponse(header=self.header(), events=events))
        watch.next = self.revision + 1

    def _say(self, watch: Watch, message: Message | Exception) -> None:
        """In order, and each in its time."""
        takes = self.rng.uniform(*TRAVELS) + self.rng.expovariate(1 / self.watch_delay)
        watch.free_at = max(watch.free_at, self.world.now + takes)
        self.world.at(watch.free_at, self._arrives, watch, message)

    def _arrives(self, watch: Watch, message: Message | Exception) -> None:
        is_lost = watch.is_stalled or not self.is_up(watch.client, watch.door)
        if is_lost and not isinstance(message, Exception):
            watch.is_stalled = True  # nothing overtakes what is lost
            return
        watch.hear(message)

    def stall(self, is_stalled: Callable[[Watch], bool]) -> None:
        """These streams say nothing more, and nobody is told."""
        for watch in filter(is_stalled, self._watches):
            watch.is_stalled = True

    def is_stalled(self, name: str) -> bool:
        """A stream of this client says nothing, and it does not know."""
        return any(watch.is_stalled for watch in self._watches if watch.client.name == name)

    def break_streams(self, is_broken: Callable[[Watch], bool]) -> None:
        """These streams end, and who listens is told."""
        for watch in [*filter(is_broken, self._watches)]:
            self._watches.remove(watch)
            self._say(watch, Unavailable("the stream has ended"))

    # What befalls its data.

    def compact(self) -> None:
        """Forget what was."""
        self.compacted = self.revision

    def restore(self, back: int, is_another: bool) -> None:
        """Have the state of so many revisions ago; while all servers are down. `is_another`: with
        another number for the cluster."""
        self.revision = max(self.revision - back, 1)
        self.rows = self._as_of(self.revision)
        self._history = [change for change in self._history if change[0] <= self.revision]
        self.compacted = min(self.compacted, self.revision)
        self.term = FIRST_TERM
        self.cluster += is_another
        self.break_streams(lambda watch: True)
        self._leases = {
            row.lease: Lease(self._seconds[row.lease], 0.0)
            for row in self.rows.values()
            if row.lease
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What a loop asks, and waits for."""

    loop: Loop
    wake: Callable[..., None]
    method: Method
    asked: Message
    ended: int  # how often the server had been down by then

    def answer(self, answer: Message | Exception, takes: float) -> None:
        """Have the loop know in so many seconds, if it still waits."""
        self.loop.wake_at(self.loop.process.world.now + takes, self.wake, answer)


class Channel:
    """The connection of one client to one server: stands where that of the shell stands."""

    def __init__(self, etcd: Etcd, endpoint: HostPort, tls: object) -> None:
        self.name = f"{endpoint[0]}:{endpoint[1]}"
        self._etcd = etcd
        self._door = endpoint[1]
        self._watching: Watch | None = None

    def call(self, method: Method, asked: Message, token: str = "") -> Message:
        """As there."""
        loop, etcd = greenlet.getcurrent(), self._etcd
        wake = loop.expect()
        request = Request(loop, wake, method, asked, etcd.ended[self._door])
        etcd.world.after(etcd.rng.uniform(*TRAVELS), self._send, request)
        loop.wake_at(etcd.world.now + SILENCE, wake, TIMED_OUT)
        answer = etcd_wait(loop)
        if answer is TIMED_OUT:
            raise Unavailable(f"{self.name} is silent")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _send(self, request: Request) -> None:
        etcd, client = self._etcd, request.loop.process
        if etcd.refuses(client, self._door):
            request.answer(Unavailable(f"{self.name} refuses"), REFUSED_AFTER)
        elif not etcd.is_up(client, self._door):
            self._resend(request, etcd.world.now + 2 * SILENCE)
        elif etcd.rng.random() < etcd.late:
            etcd.world.after(etcd.rng.uniform(0.5, 2) * SILENCE, self._do, request)
        else:
            self._do(request)

    def _resend(self, request: Request, until: float) -> None:
        """What was lost arrives when the way is there again, if that is soon."""
        etcd = self._etcd
        has_ended = etcd.ended[self._door] != request.ended
        if has_ended or etcd.is_up(request.loop.process, self._door):
            self._do(request)
        elif etcd.world.now < until:
            etcd.world.after(etcd.rng.uniform(0.2, RESENT), self._resend, request, until)

    def _do(self, request: Request) -> None:
        """Now it happens, whether the client hears of it or not."""
        etcd, client = self._etcd, request.loop.process
        if etcd.ended[self._door] != request.ended:
            request.answer(Unavailable(f"{self.name} has hung up"), REFUSED_AFTER)
            return
        if not etcd.has_quorum:
            return
        try:
            answer: Message | Exception = etcd.do(client, request.method, request.asked)
        except (Compacted, LeaseGone, NoRoom, Rejected) as error:
            answer = error
        if client.world.trace.on:
            what = answer if isinstance(answer, Exception) else _shown(answer)
            name = request.method.path.partition("/")[2]
            asked = f"{client.name} {name} {_asked(request.asked)}"
            client.world.note("etcd", f"{asked}: {what}")
        if etcd.is_up(client, self._door) and not etcd.loses_answer(client, request.asked):
            request.answer(answer, etcd.rng.uniform(*TRAVELS))

    def stream(self, method: Method, asked: Message, token: str = "") -> Iterator[Message]:
        """As there."""
        loop, etcd = greenlet.getcurrent(), self._etcd
        opened: list[Watch] = []
        wake = loop.expect()
        request = Request(loop, wake, method, asked, etcd.ended[self._door])
        etcd.world.after(etcd.rng.uniform(*TRAVELS), self._open, request, opened)
        loop.wake_at(etcd.world.now + SILENCE, wake, TIMED_OUT)
        answer = etcd_wait(loop)
        if isinstance(answer, Exception):
            raise answer
        if answer is TIMED_OUT:
            for watch in opened:
                etcd.close(watch)
            return
        self._watching = watch = opened[0]
        try:
            yield from self._listen(loop, watch)
        finally:
            etcd.close(watch)

    def _open(self, request: Request, opened: list[Watch]) -> None:
        etcd, client = self._etcd, request.loop.process
        if etcd.refuses(client, self._door):
            request.answer(Unavailable(f"{self.name} refuses"), REFUSED_AFTER)
        elif etcd.is_up(client, self._door):
            opened.append(etcd.watch(client, self._door, request.asked))
            request.answer(Done(), etcd.rng.uniform(*TRAVELS))

    def _listen(self, loop: Loop, watch: Watch) -> Iterator[Message]:
        while True:
            if not watch.heard:
                watch.wake = wake = loop.expect()
                loop.wake_at(self._etcd.world.now + SILENCE, wake, TIMED_OUT)
                if etcd_wait(loop) is TIMED_OUT and not watch.heard:
                    return
                continue
            message = watch.heard.popleft()
            if isinstance(message, Exception):
                raise message
            yield message

    def end_stream(self) -> None:
        """As there."""
        watch, self._watching = self._watching, None
        if watch is not None:
            watch.hear(Unavailable(f"{self.name} has ended the stream"))

    def close(self) -> None:
        """As there."""


def etcd_wait(loop: Loop) -> Any:
    """Wait for what `loop.expect` stands for."""
    return loop.parent.switch()


def channels(etcd: Etcd) -> Callable[..., Channel]:
    """What makes connections to it."""
    return partial(Channel, etcd)


def _row(key: bytes, row: Row, keys_only: bool) -> KeyValue:
    return KeyValue(
        key=key,
        create_revision=row.created,
        mod_revision=row.revision,
        value=b"" if keys_only else row.value,
        lease=row.lease,
    )


def _event(key: bytes, revision: int, row: Row | None) -> Event:
    if row is not None:
        return Event(kv=_row(key, row, False))
    return Event(type=DELETED, kv=KeyValue(key=key, mod_revision=revision))


def _puts(asked: Message) -> list[PutRequest]:
    """Those of a transaction."""
    wanted = getattr(asked, "success", ())
    return [one.request_put for one in wanted if one.HasField("request_put")]


def _asked(asked: Any) -> str:
    if puts := _puts(asked):
        return " ".join(f"{put.key.decode()}={_brief(put.value)}" for put in puts)
    return asked.key.decode() if hasattr(asked, "key") else str(asked)[:40]


def _brief(value: bytes) -> str:
    text = value.decode()
    return "".join(text.split('"')[3:12:4]) if text.startswith('{"state') else text


def _shown(answer: Any) -> str:
    is_done = getattr(answer, "succeeded", True)
    return f"{'done' if is_done else 'refused'} @{answer.header.revision}"
