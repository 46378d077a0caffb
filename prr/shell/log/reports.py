"""A core's Reports as lines of the log: the level and subject of each, and none lost that must not
be."""

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from gevent.hub import get_hub

from prr.core.effects import Event, Report, ReportAll
from prr.core.metrics import SILENT_EVENTS, count_of
from prr.shell.log.handler import log_counts, log_is_clogged
from prr.shell.log.roll import Roll
from prr.shell.log.throttle import PAUSE, Throttle
from prr.wire.instance import Instance, Service, describe_service, service_of

WARNINGS = frozenset(
    {
        *(Event.EVICTED, Event.REFUSED, Event.UNVERIFIED, Event.BRAKE, Event.LATE),
        *(Event.PEER_SILENT, Event.PEER_LOST, Event.ISOLATED, Event.NO_CONFIRMATION),
        *(Event.TWIN, Event.CHECK_FAILED, Event.FLAPPING, Event.UNPROVED, Event.NOT_BELIEVED),
    }
)
"""What an operator may have to act on: WARNING; all else is INFO."""

EACH_IS_TOLD = frozenset({Event.EVICTED, Event.REMOVED})
"""What is never dropped: each instance is named, if need be later and many in a line."""

LINES_MAX = 10
"""Lines a second that name those that had to wait: some 1,700 instances."""

_log = logging.getLogger("prr")


class ReportLog:
    """Writes one node's Reports. A storm of them costs a line a second for each kind."""

    def __init__(self, names: Mapping[int, str]) -> None:
        """`names` are the names of types."""
        self._names = names
        self._throttle: Throttle[None] = Throttle()
        self._roll = Roll(self._name_of)
        self._timer: Any = None

    def write(self, *reports: Report | ReportAll) -> None:
        """Write some of one event, at least one, now or later together with others."""
        event = reports[0].event
        if event in SILENT_EVENTS:
            return
        count, rows = count_of(reports), (_each_of(one) for one in reports)
        for number, report in enumerate(chain.from_iterable(rows)):
            if event in EACH_IS_TOLD and report.instances:
                self._write_or_name(report, *report.instances)
            elif event not in EACH_IS_TOLD and log_counts(event, count - number):
                return
            else:
                self._say(event, _Text(report, self._names), {"kind": event})

    def _write_or_name(self, report: Report, instance: Instance) -> None:
        if self._may_be_said(report.event):
            self._say(report.event, _Text(report, self._names), {"kept": True})
        else:
            self._roll.put(report.event, instance)
            self._see_to_later()

    def close(self) -> None:
        """Name all that were not named yet."""
        if self._timer is not None:
            self._timer.close()
        while self._roll:
            self._name_some()

    def _may_be_said(self, event: Event) -> bool:
        """There is room for a line of its own, and none before it waits."""
        is_free = not self._roll and not log_is_clogged()
        return is_free and self._throttle.has_room(event, time.monotonic())

    def _see_to_later(self) -> None:
        if self._timer is None:
            self._timer = get_hub().loop.timer(PAUSE)
            self._timer.start(self._catch_up)

    def _catch_up(self) -> None:
        self._timer.close()
        self._timer = None
        for _ in range(LINES_MAX):
            if self._roll and not log_is_clogged():
                self._name_some()
        if self._roll:
            self._see_to_later()

    def _name_some(self) -> None:
        event, what = self._roll.next_line()
        self._say(event, f"{event} {what}", {"kept": True})

    def _say(self, event: Event, text: object, extra: dict[str, Any]) -> None:
        _log.log(logging.WARNING if event in WARNINGS else logging.INFO, "%s", text, extra=extra)

    def _name_of(self, service: Service) -> str:
        name = self._names.get(service) if isinstance(service, int) else None
        return describe_service(service) + (f" ({name})" if name else "")


def _each_of(one: Report | ReportAll) -> Iterable[Report]:
    return one.each() if isinstance(one, ReportAll) else [one]


class _Text:
    """A Report as text, formatted lazily: only once somebody reads it."""

    def __init__(self, report: Report, names: Mapping[int, str]) -> None:
        self._report = report
        self._names = names

    def __str__(self) -> str:
        report, instance = self._report, next(iter(self._report.instances), None)
        service = None if instance is None else service_of(instance)
        return report.text(self._names.get(service) if isinstance(service, int) else None)
