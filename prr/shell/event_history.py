"""The last events about each instance, for whoever asks why."""

import time
from collections import OrderedDict
from typing import Any

from prr.core.effects import Report
from prr.wire.instance import Instance

EVENTS_MAX = 16
"""Events kept for one instance, the last ones: two verifications from complaint to verdict."""

INSTANCES_MAX = 4096
"""Instances whose events are kept, those that had one last: 10 MB at most."""


class EventHistory:
    """Remembers Reports by the instance they are about."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Instance, list[tuple[float, Report]]] = OrderedDict()

    def note(self, *reports: Report) -> None:
        """Remember those of some reports that are about instances."""
        now, rows = time.time(), self._rows
        for report in reports:
            if (instance := report.instance) is None:
                continue
            if (events := rows.get(instance)) is None:
                rows[instance] = [(now, report)]
                if len(rows) > INSTANCES_MAX:
                    rows.popitem(last=False)
            else:
                rows.move_to_end(instance)
                events.append((now, report))
                if len(events) > EVENTS_MAX:
                    del events[0]

    def about(self, instance: Instance) -> list[dict[str, Any]]:
        """What is remembered about an instance, the oldest first."""
        return [
            {"at": round(when, 3), "event": str(report.event), "why": report.why}
            for when, report in self._rows.get(instance, ())
        ]
