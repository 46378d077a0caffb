"""A binder's key in etcd, under a lease that ends soon after the binder does, and those of others.

So binders find each other, and know who is gone: an instance belongs to the binder that has decided
about it last (its lease owner), and if that one is not registered any more, another one adopts it.
Which one, a transaction says: whoever is the first to write `adopting/OWNER` under its own lease.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice

import gevent

from prr.addresses import is_ip
from prr.core.replication.peers import PEERS_MAX
from prr.record import record
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.failures import LeaseGone, Unavailable
from prr.shell.etcd.messages import after, lease_of
from prr.shell.etcd.pauses import Pauses
from prr.shell.etcd.schema import (
    CREATED,
    DELETE_RANGE,
    LEASE_GRANT,
    LEASE_KEEP_ALIVE,
    LEASE_REVOKE,
    PUT,
    RANGE,
    TXN,
    Compare,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from prr.text import parse_address
from prr.wire.instance import Address, describe_address

TTL = 10
"""Seconds after which a binder that is gone is no longer registered: three silences of a server
that is asked, and its pauses."""

PAUSE = 1.0
"""Seconds between two renewals of the lease, and two looks at who is registered."""

CLAIMS_MAX = 16
"""Owners that are gone and claimed in one look: a peer that makes owners up costs no more."""

CLAIM_KEPT = TTL
"""Seconds for which an owner stays claimed once nothing here is owned by it any more: others may
hear of that when a watch has been silent, and would claim it, and adopt the same once more."""

_log = logging.getLogger("prr")


@record
class Registered:
    """Who is registered: the identities of other binders and their addresses; and besides whom
    others look after. Not `is_current`: some time ago."""

    binders: dict[int, Address]
    looked_after: frozenset[int]
    is_current: bool


class Registration:
    """That of one binder."""

    def __init__(
        self,
        endpoints: Endpoints,
        prefix: str,
        identity: int,
        where: Callable[[], Address],
        owners: Callable[[], Iterable[int]],
        follow: Callable[[Registered], None],
    ) -> None:
        """`where` others reach this binder; `owners`: the lease owners of what it knows. Whatever
        is seen is told to `follow`."""
        self._endpoints = endpoints
        self._binders = f"{prefix}binders/".encode()
        self._adopting = f"{prefix}adopting/".encode()
        self._identity = identity
        self._where, self._owners, self._follow = where, owners, follow
        self._lease = 0
        self._claimed: dict[int, float] = {}  # here, and until when
        self._seen = Registered({}, frozenset(), False)
        self._settled_at = 0.0
        self._told = ""

    def run(self) -> None:
        """Never ends."""
        pauses = Pauses()
        while True:
            pause = PAUSE
            try:
                self._seen = self._look()
                pauses.reset()
                self._told = ""
            except LeaseGone as error:
                self._lease = 0
                self._claimed.clear()
                self._seen = self._seen_before()
                pause = self._told_and_paused(error, pauses)
            except Exception as error:  # names that cannot be resolved are among them
                self._seen = self._seen_before()
                pause = self._told_and_paused(error, pauses)
            self._follow(self._seen)
            gevent.sleep(pause)

    def _seen_before(self) -> Registered:
        """What was seen last, while nothing is. Whoever is not there when etcd is seen again may
        not have been able to renew its lease, either."""
        self._settled_at = time.monotonic() + TTL
        return Registered(self._seen.binders, self._seen.looked_after, False)

    def _told_and_paused(self, error: Exception, pauses: Pauses) -> float:
        """Log once why this binder cannot be registered; seconds until it tries again. Whether etcd
        is there, others tell."""
        why = str(error) or type(error).__name__
        if not isinstance(error, Unavailable) and why != self._told:
            self._told = why
            _log.error("not registered in etcd (%s): others will take this binder for gone", why)
        return pauses.next()

    def leave(self) -> None:
        """End the lease, if etcd hears it: this binder stops."""
        with suppress(Exception):  # else it ends by itself
            if self._lease:
                self._endpoints.call(LEASE_REVOKE, LeaseRequest(ID=self._lease))

    def _look(self) -> Registered:
        self._renew()
        binders = self._read()
        missing = {*self._owners()} - binders.keys() - {self._identity}
        now = time.monotonic()
        self._claimed |= dict.fromkeys(missing & self._claimed.keys(), now + CLAIM_KEPT)
        for owner in islice(missing - self._claimed.keys(), CLAIMS_MAX):
            if self._claim(owner):
                self._claimed[owner] = now + CLAIM_KEPT
        over = [owner for owner, until in self._claimed.items() if until <= now]
        for owner in over[:CLAIMS_MAX]:  # else the lease of this binder would have to wait
            self._endpoints.call(DELETE_RANGE, DeleteRangeRequest(key=self._claim_key(owner)))
            del self._claimed[owner]
        looked_after = frozenset(missing - self._claimed.keys())
        is_current = time.monotonic() >= self._settled_at
        return Registered(binders, looked_after, is_current)

    def _renew(self) -> None:
        """Renew the lease; register first, if need be."""
        if self._lease:
            if not self._endpoints.call(LEASE_KEEP_ALIVE, LeaseRequest(ID=self._lease)).TTL:
                raise LeaseGone("the lease of this binder has run out")
            return
        lease = lease_of(self._endpoints.call(LEASE_GRANT, LeaseGrantRequest(TTL=TTL)))
        value = json.dumps({"address": describe_address(self._where())}).encode()
        key = self._binders + b"%016x" % self._identity
        self._endpoints.call(PUT, PutRequest(key=key, value=value, lease=lease))
        self._lease = lease

    def _read(self) -> dict[int, Address]:
        """The other binders; what is malformed is left out."""
        end = after(self._binders)
        asked = RangeRequest(key=self._binders, range_end=end, limit=2 * PEERS_MAX)
        found: dict[int, Address] = {}
        answer = self._endpoints.call(RANGE, asked)
        for row in answer.kvs:
            with suppress(ValueError):
                found[_identity_in(row.key[len(self._binders) :])] = _address_in(row.value)
        if found.pop(self._identity, None) is None and not answer.more:
            raise LeaseGone("somebody has deleted the key of this binder")
        return found

    def _claim(self, owner: int) -> bool:
        """Be the one that adopts what `owner` had; False if another one is. This one may be it
        already: the answer to an earlier claim was lost."""
        key = self._claim_key(owner)
        put = PutRequest(key=key, value=b"%016x" % self._identity, lease=self._lease)
        transaction = TxnRequest(
            compare=[Compare(key=key, target=CREATED, create_revision=0)],
            success=[RequestOp(request_put=put)],
            failure=[RequestOp(request_range=RangeRequest(key=key))],
        )
        answer = self._endpoints.call(TXN, transaction)
        if answer.succeeded:
            return True
        claims = [claim for said in answer.responses for claim in said.response_range.kvs]
        return any(claim.lease == self._lease for claim in claims)

    def _claim_key(self, owner: int) -> bytes:
        return self._adopting + b"%016x" % owner


def _identity_in(key: bytes) -> int:
    """The binder that registers with this key; ValueError if none does."""
    identity = int(key, 16)
    if identity < 0 or identity >> 64 or key != b"%016x" % identity:
        raise ValueError("not 16 hexadecimal digits")
    return identity


def _address_in(value: bytes) -> Address:
    """Where that value says it is; ValueError if it does not."""
    try:
        said = json.loads(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    address = said.get("address") if isinstance(said, dict) else None
    if not isinstance(address, str):
        raise ValueError("no address")
    ip, port = parse_address(address)
    if not is_ip(ip):
        raise ValueError(f"{ip} is no address")
    return ip, port
