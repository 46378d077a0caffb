"""The last events about each instance, for whoever asks why."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeAlias

from prr.core.effects import Event, Report, ReportAll
from prr.wire.instance import Instance

EVENTS_MAX = 16
"""Events kept for one instance, the last ones: two verifications from complaint to verdict."""

INSTANCES_MAX = 4096
"""Instances whose events are kept, those that had one last: 10 MB at most."""


_Noted: TypeAlias = tuple[float, Event, str]
"""When (seconds of the epoch) what has happened, and why: one for all to which it did at once."""


class EventHistory:
    """Remembers what was reported by the instance it is about."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Instance, list[_Noted]] = OrderedDict()

    def note(self, *reports: Report | ReportAll) -> None:
        """Remember those of some reports that are about instances."""
        now = time.time()
        for report in reports:
            self._note((now, report.event, report.why), report.instances)

    def _note(self, noted: _Noted, instances: Sequence[Instance]) -> None:
        rows = self._rows
        for instance in instances:
            if (events := rows.get(instance)) is None:
                rows[instance] = [noted]
                if len(rows) > INSTANCES_MAX:
                    rows.popitem(last=False)
            else:
                rows.move_to_end(instance)
                events.append(noted)
                if len(events) > EVENTS_MAX:
                    del events[0]

    def about(self, instance: Instance) -> list[dict[str, Any]]:
        """What is remembered about an instance, the oldest first."""
        return [
            {"at": round(when, 3), "event": str(event), "why": why}
            for when, event, why in self._rows.get(instance, ())
        ]
