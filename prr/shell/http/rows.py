"""Instances, services and changes, as JSON shows them: with the keys of `list --output json`."""

import time
from collections.abc import Mapping
from math import ceil
from typing import Any

from prr.core.lease import lease_row
from prr.shell.admin.calls import Row
from prr.shell.http.binder import Count
from prr.wire.instance import Instance, Service, address_of, describe_address, service_of
from prr.wire.trailer import Listed

GONE = "gone"
"""The state of what is not held any more."""


class Rows:
    """Rows of one binder; `names` are what numbers are called."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names

    def service(self, service: Service) -> dict[str, Any]:
        """Which service it is."""
        number = service if isinstance(service, int) else None
        name = service if isinstance(service, str) else self._names.get(service)
        return {"service": name or str(number), "type": number, "name": name}

    def count(self, count: Count) -> dict[str, Any]:
        """A service, and how many instances it has in each state."""
        counts = {"up": count.up, "drained": count.drained, "suspect": count.suspect}
        return self.service(count.service) | counts

    def name(self, instance: Instance) -> dict[str, Any]:
        """Which instance it is."""
        address = describe_address(address_of(instance))
        return self.service(service_of(instance)) | {"address": address}

    def instance(self, row: Row) -> dict[str, Any]:
        """All about an instance that is held."""
        now = time.monotonic()
        lease = lease_row(row.lease, now)
        drain_s = lease.pop("drain_s")
        until = None if drain_s is None else round(time.time() + max(ceil(drain_s), 1))
        return (
            self.name(row.instance)
            | {"state": state_text(row.state), "drained_until": until}
            | {"drained_why": lease.pop("drain_why")}
            | {"heard_s_ago": None if row.heard_at is None else round(now - row.heard_at, 3)}
            | lease
        )

    def change(
        self, instance: Instance, state: Listed | None, event: str, why: str, when: float
    ) -> dict[str, Any]:
        """What has become of an instance; `when` it was seen, in seconds since 1970."""
        said = {"state": state_text(state), "event": event, "why": why, "at": round(when, 3)}
        return self.name(instance) | said


def state_text(state: Listed | None) -> str:
    """A state, in a word."""
    return GONE if state is None else state.name.lower()
