"""Watching services: what is there first, then every change as it happens."""

import http.client
import time
from collections.abc import Iterator
from typing import Any

from prr.client.errors import NoBinderAnswered
from prr.client.event_stream import BinderHttp, Event, Refused, pause
from prr.config import HostPort
from prr.record import record
from prr.text import parse_address
from prr.trust.credential import Holder, decode_credential
from prr.trust.keyring import Held
from prr.trust.token import token_of
from prr.wire.instance import Address, Service, describe_address

GIVE_UP = 10.0
"""Seconds for which no binder answers before whoever watches is told."""

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before the next attempt; the last one again and again."""

GONE = "gone"


@record
class Change:
    """What has become of an instance."""

    service: Service
    address: Address

    state: str
    """up, suspect, disputed, drained or gone."""

    event: str
    """What has done it, such as complaint or evicted; "listed" for what was there already."""

    why: str

    at: float
    """When, in seconds since 1970, by the binder's clock."""


class Watch:
    """Follows one service, or all, at one binder or, should that be gone, another."""

    def __init__(
        self, service: Service | None, addresses: tuple[HostPort, ...], key: Held | None = None
    ) -> None:
        """`addresses`: where binders serve HTTP. `key`: an operator's, where they ask for one."""
        self._service = service
        self._binders = [BinderHttp(address, _token_of(key)) for address in addresses]
        self._names = ", ".join(map(describe_address, addresses))
        self._known: dict[tuple[Service, Address], str] = {}

    def changes(self) -> Iterator[Change]:
        """First all that is there, then each change of a state; it does not end. Raises
        NoBinderAnswered when none has answered for GIVE_UP."""
        turn, last, attempt, why = 0, "", 0, "no answer"
        heard_at = time.monotonic()
        while True:
            binder, has_answered = self._binders[turn % len(self._binders)], False
            try:
                for event in binder.events(self._service, last):
                    has_answered, last = True, event.number or last
                    yield from self._hear(binder, event)
                why = "it has hung up"
            except (OSError, Refused, http.client.HTTPException, KeyError, ValueError) as error:
                why = str(error)
            finally:
                binder.close()
            if len(self._binders) > 1:  # the next one has numbers of its own
                turn, last = turn + 1, ""
            if has_answered:
                heard_at, attempt = time.monotonic(), 0
            if time.monotonic() - heard_at > GIVE_UP:
                raise NoBinderAnswered(f"no HTTP from {self._names}: {why}")
            pause(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1

    def _hear(self, binder: BinderHttp, event: Event) -> Iterator[Change]:
        if event.kind == "change":
            yield from self._noted(_change_of(event.data))
        elif event.kind in ("hello", "resync"):
            yield from self._list(binder)

    def _list(self, binder: BinderHttp) -> Iterator[Change]:
        """What has changed since it was known, by all that is there now."""
        now, gone = time.time(), dict(self._known)
        for row in binder.rows(self._service):
            change = _change_of(row | {"event": "listed", "why": "", "at": now})
            gone.pop((change.service, change.address), None)
            yield from self._noted(change)
        for service, address in gone:
            yield from self._noted(Change(service, address, GONE, "not listed", "", now))

    def _noted(self, change: Change) -> Iterator[Change]:
        """It, unless that is known."""
        key = change.service, change.address
        if change.state == self._known.get(key, GONE):
            return
        if change.state == GONE:
            del self._known[key]
        else:
            self._known[key] = change.state
        yield change


def _token_of(key: Held | None) -> str | None:
    """What of a key HTTP takes: that of an operator."""
    credential = None if key is None else decode_credential(key.credential)
    is_operator = credential is not None and credential.holder is Holder.OPERATOR
    return token_of(key) if key is not None and is_operator else None


def _change_of(row: dict[str, Any]) -> Change:
    """A row as a binder says it. Raises KeyError and ValueError if it is none."""
    service = row["name"] if row["type"] is None else row["type"]
    address = parse_address(row["address"])
    state, event, why = (str(row[key]) for key in ("state", "event", "why"))
    return Change(service, address, state, event, why, float(row["at"]))
