"""Instances, services and changes, as JSON shows them: with the keys of `list --output json`."""

import time
from collections.abc import Mapping
from math import ceil
from typing import Any

from prr.core.binder import Binder
from prr.core.directory.changes import Change
from prr.core.directory.listed import listed
from prr.core.lease import lease_row
from prr.wire.instance import Instance, Service, address_of, describe_address, service_of
from prr.wire.trailer import Listed

GONE = "gone"
"""The state of what is not held any more."""


class Rows:
    """Rows of one binder; `names` are what numbers are called."""

    def __init__(self, core: Binder, names: Mapping[int, str]) -> None:
        self._core = core
        self._names = names

    def service(self, service: Service) -> dict[str, Any]:
        """Which service it is."""
        number = service if isinstance(service, int) else None
        name = service if isinstance(service, str) else self._names.get(service)
        return {"service": name or str(number), "type": number, "name": name}

    def count(self, service: Service) -> dict[str, Any]:
        """A service, and how many instances it has in each state."""
        directory = self._core.directory
        up, suspect = directory.count(service)
        drained = directory.count_drained(service)
        return self.service(service) | {"up": up, "drained": drained, "suspect": suspect}

    def name(self, instance: Instance) -> dict[str, Any]:
        """Which instance it is."""
        address = describe_address(address_of(instance))
        return self.service(service_of(instance)) | {"address": address}

    def instance(self, instance: Instance) -> dict[str, Any]:
        """All about an instance that is held."""
        now, heard = time.monotonic(), self._core.directory.heard
        heard_at = None if heard is None else heard.at(instance)
        lease = lease_row(self._core.lease(instance), now)
        drain_s = lease.pop("drain_s")
        until = None if drain_s is None else round(time.time() + max(ceil(drain_s), 1))
        state = listed(self._core.directory, instance)
        return (
            self.name(instance)
            | {"state": state_text(state), "drained_until": until}
            | {"drained_why": lease.pop("drain_why")}
            | {"heard_s_ago": None if heard_at is None else round(now - heard_at, 3)}
            | lease
        )

    def change(self, change: Change, when: float) -> dict[str, Any]:
        """What has become of an instance; `when` it was seen, in seconds since 1970."""
        return self.name(change.instance) | {
            "state": state_text(change.state),
            "event": str(change.event),
            "why": change.why,
            "at": round(when, 3),
        }


def state_text(state: Listed | None) -> str:
    """A state, in a word."""
    return GONE if state is None else state.name.lower()
