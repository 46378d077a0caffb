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

    def note(self, report: Report) -> None:
        """Remember a report, if it is about an instance."""
        instance = report.instance
        if instance is None:
            return
        events = self._rows.get(instance)
        if events is not None:
            self._rows.move_to_end(instance)
        else:
            events = self._rows[instance] = []
            if len(self._rows) > INSTANCES_MAX:
                self._rows.popitem(last=False)
        events.append((time.time(), report))
        del events[:-EVENTS_MAX]

    def about(self, instance: Instance) -> list[dict[str, Any]]:
        """What is remembered about an instance, the oldest first."""
        return [
            {"at": round(when, 3), "event": str(report.event), "why": report.why}
            for when, report in self._rows.get(instance, ())
        ]
