"""What a node reports, in its log: every kind has its bound, and every eviction its name."""

import logging
import re

import pytest

from prr.core.effects import Event, Report, ReportAll
from prr.shell import event_history
from prr.shell.event_history import EVENTS_MAX, EventHistory
from prr.shell.log import reports, roll
from prr.shell.log.handler import LINE_BYTES_MAX, LossyHandler
from prr.shell.log.reports import LINES_MAX, ReportLog
from prr.shell.log.throttle import BURST
from prr.wire.instance import address_of, describe, describe_address, make_instance
from tests.turns import go_on, until

SOON = 0.1
"""Seconds after which lines that had to wait are written here, instead of PAUSE."""


class Listener(logging.Handler):
    """Keeps what is logged, as text."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@pytest.fixture
def heard(monkeypatch):
    """The lines that are logged."""
    listener = Listener()
    logger = logging.Logger("prr")
    logger.addHandler(listener)
    monkeypatch.setattr(reports, "_log", logger)
    monkeypatch.setattr(reports, "PAUSE", SOON)
    return listener.lines


def instances(count, type_=2):
    return [make_instance(type_, (f"10.0.{n >> 8}.{n & 255}", 5000)) for n in range(count)]


def test_a_line_has_its_level_and_the_services_name(heard):
    log = ReportLog({2: "time"})
    (instance,) = instances(1)
    log.write(Report(Event.EVICTED, instance, "refused 2 questions"))
    log.write(Report(Event.SYNCED, "", "alone"))
    assert heard == [
        f"WARNING evicted {describe(instance)} (time): refused 2 questions",
        "INFO synced: alone",
    ]


def test_a_run_of_one_event_is_written_as_one_by_one(heard, monkeypatch):
    """And those that the log only counts are all counted."""
    counted = []
    monkeypatch.setattr(
        reports, "log_counts", lambda event, count: counted.append(count) is None and len(heard) > 2
    )
    run = ReportAll(Event.SUBSCRIBED, instances(50), "self-reported")
    lines = [f"INFO subscribed {one.subject}: self-reported" for one in run.each()]
    for reports_ in ([*run.each()], [run]):
        ReportLog({}).write(*reports_)
        assert heard == lines[:3]
        assert counted == [50, 49, 48, 47]  # with the last of these
        heard.clear()
        counted.clear()


def test_what_strangers_cause_at_will_is_not_logged(heard):
    ReportLog({}).write(Report(Event.OUT_OF_PLACE, "Alive", "10.0.0.1:1"))
    assert heard == []


@pytest.mark.smoke
@pytest.mark.parametrize("event", [Event.EVICTED, Event.REMOVED])
def test_each_of_a_storm_of_evictions_is_named_if_not_at_once(event, heard):
    log = ReportLog({})
    evicted = instances(500)
    for instance in evicted:
        log.write(Report(event, instance, "refused 2 questions"))
    assert len(heard) == BURST

    def named_later():
        return sum(int(count) for count in re.findall(r"(\d+) more: ", "\n".join(heard)))

    until(lambda: named_later() >= 500 - BURST)
    assert named_later() == 500 - BURST
    assert len(heard) <= BURST + LINES_MAX
    text = "\n".join(heard)
    assert all(f" {describe_address(address_of(one))}" in text for one in evicted)


def test_what_is_not_named_yet_when_the_node_ends_is_named_then(heard):
    log = ReportLog({})
    for instance in instances(100) + instances(100, type_=3):
        log.write(Report(Event.EVICTED, instance, "refused 2 questions"))
    log.close()
    assert len(heard) == BURST + 1
    assert "type 2 at 10.0.0.20:5000, 10.0.0.21:5000" in heard[-1]
    assert "type 3 at 10.0.0.0:5000, 10.0.0.1:5000" in heard[-1]


def test_more_than_can_wait_are_counted_by_type(heard, monkeypatch):
    monkeypatch.setattr(roll, "WAITING_MAX", 10)
    log = ReportLog({3: "mail"})
    for instance in instances(BURST + 10 + 5) + instances(7, type_=3):
        log.write(Report(Event.EVICTED, instance, "refused 2 questions"))
    log.close()
    assert heard[-3].startswith("WARNING evicted 10 more: type 2 at 10.0.0.20:5000, ")
    assert sorted(heard[-2:]) == [
        "WARNING evicted 5 more, type 2: too many at once to name them",
        "WARNING evicted 7 more, type 3 (mail): too many at once to name them",
    ]


@pytest.mark.smoke
def test_evictions_wait_where_the_logs_reader_is_slow(heard, monkeypatch):
    log = ReportLog({})
    monkeypatch.setattr(reports, "log_is_clogged", lambda: True)
    for instance in instances(3):
        log.write(Report(Event.EVICTED, instance, "refused 2 questions"))
    go_on(SOON + 0.1)
    assert heard == []
    monkeypatch.setattr(reports, "log_is_clogged", lambda: False)
    until(lambda: heard)
    assert heard == [
        "WARNING evicted 3 more: type 2 at 10.0.0.0:5000, 10.0.0.1:5000, 10.0.0.2:5000"
    ]


def test_no_line_of_names_is_cut(heard, monkeypatch):
    names = {type_: "n" * 60 for type_ in range(256)}
    log = ReportLog(names)
    some = [make_instance(n % 256, ("255.255.255.255", 60000 + n)) for n in range(2000)]
    for instance in some:
        log.write(Report(Event.EVICTED, instance, "refused 2 questions"))
    log.close()
    handler = LossyHandler(0)
    for line in heard:
        record = logging.LogRecord("prr", logging.INFO, "", 0, line, None, None)
        assert len(handler._line(record)) < LINE_BYTES_MAX
    assert all(f":{60000 + n}" in "\n".join(heard) for n in range(2000))


def test_of_each_instance_the_last_events_are_remembered_and_of_the_last_instances(monkeypatch):
    monkeypatch.setattr(event_history, "INSTANCES_MAX", 3)
    history = EventHistory()
    ones = [make_instance(7, ("10.0.0.1", number)) for number in range(1, 5)]
    for one in ones:
        for number in range(EVENTS_MAX + 5):
            history.note(Report(Event.COMPLAINT, one, f"{number}"))
    assert history.about(ones[0]) == []
    for one in ones[1:]:
        whys = [row["why"] for row in history.about(one)]
        assert whys == [f"{number}" for number in range(5, EVENTS_MAX + 5)]
