"""A binder's key in etcd, under a lease that ends soon after the binder does, and those of others.

So binders find each other, and know who is gone: an instance belongs to the binder that has decided
about it last (its lease owner), and if that one is not registered any more, another one adopts it.
Which one, a transaction says: whoever is the first to write `adopting/OWNER` under its own lease.
"""

import json
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

import gevent

from prr.addresses import is_ip
from prr.core.replication.peers import PEERS_MAX
from prr.record import record
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.gateway import LeaseGone, Unavailable
from prr.shell.etcd.messages import range_of, text_of
from prr.shell.etcd.pauses import Pauses
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
        self._binders, self._adopting = f"{prefix}binders/", f"{prefix}adopting/"
        self._identity = identity
        self._where, self._owners, self._follow = where, owners, follow
        self._lease = ""
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
                self._lease = ""
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
                self._endpoints.call("/v3/lease/revoke", {"ID": self._lease})

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
            self._endpoints.call("/v3/kv/deleterange", {"key": self._claim_key(owner)})
            del self._claimed[owner]
        looked_after = frozenset(missing - self._claimed.keys())
        is_current = time.monotonic() >= self._settled_at
        return Registered(binders, looked_after, is_current)

    def _renew(self) -> None:
        """Renew the lease; register first, if need be."""
        if self._lease:
            answer = self._endpoints.call("/v3/lease/keepalive", {"ID": self._lease})
            if not int(answer["result"].get("TTL", 0)):
                raise LeaseGone("the lease of this binder has run out")
            return
        lease = str(self._endpoints.call("/v3/lease/grant", {"TTL": str(TTL)})["ID"])
        value = json.dumps({"address": describe_address(self._where())})
        key = text_of(f"{self._binders}{self._identity:016x}".encode())
        put = {"key": key, "value": text_of(value.encode()), "lease": lease}
        self._endpoints.call("/v3/kv/put", put)
        self._lease = lease

    def _read(self) -> dict[int, Address]:
        """The other binders; what is malformed is left out."""
        asked = range_of(self._binders.encode()) | {"limit": str(2 * PEERS_MAX)}
        found: dict[int, Address] = {}
        answer = self._endpoints.call("/v3/kv/range", asked)
        for row in answer.get("kvs", []):
            with suppress(ValueError):
                key = b64decode(row["key"])[len(self._binders) :]
                found[_identity_in(key)] = _address_in(b64decode(row.get("value", "")))
        if found.pop(self._identity, None) is None and not answer.get("more"):
            raise LeaseGone("somebody has deleted the key of this binder")
        return found

    def _claim(self, owner: int) -> bool:
        """Be the one that adopts what `owner` had; False if another one is. This one may be it
        already: the answer to an earlier claim was lost."""
        key = self._claim_key(owner)
        put = {"key": key, "value": text_of(f"{self._identity:016x}".encode())}
        body: dict[str, Any] = {
            "compare": [{"key": key, "target": "CREATE", "create_revision": "0"}],
            "success": [{"request_put": put | {"lease": self._lease}}],
            "failure": [{"request_range": {"key": key}}],
        }
        answer = self._endpoints.call("/v3/kv/txn", body)
        if answer.get("succeeded"):
            return True
        claims = answer["responses"][0]["response_range"].get("kvs", [])
        return any(claim.get("lease") == self._lease for claim in claims)

    def _claim_key(self, owner: int) -> str:
        return text_of(f"{self._adopting}{owner:016x}".encode())


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
