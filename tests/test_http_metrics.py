"""What Prometheus reads is valid, complete, bounded; and so are the alerts and the dashboard."""

import json
import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from prr.core.metrics import Metric
from prr.shell.http.exposition import NOT_OF_A_BINDER, SERVICES_MAX
from tests.http_of import ask, binder_with_http
from tests.nodes import ROOT, UNASKED, eventually, wire

PROMETHEUS = ROOT / "conf" / "prometheus"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here; Debian's package prometheus has it"
)


def metrics_of(binder):
    """By name and labels, as Prometheus would take them in."""
    text = ask(binder, "/metrics").body.decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.smoke
@needs_promtool
def test_promtool_finds_nothing_wrong_with_them(cluster, tmp_path):
    first, second = (
        binder_with_http(cluster, "--state", str(tmp_path / name)) for name in ("a", "b")
    )
    cluster.server(2, first)
    for one in (first, second):
        text = ask(one, "/metrics").body
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.smoke
@needs_promtool
def test_the_alerts_go_off_when_they_should():
    for arguments in (("test", "rules", "alerts_test.yml"), ("check", "rules", "alerts.yml")):
        done = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_scrape_configuration_is_valid(tmp_path):
    for name in ("scrape.yml", "alerts.yml"):
        shutil.copy(PROMETHEUS / name, tmp_path)
    done = subprocess.run(
        ["promtool", "check", "config", "scrape.yml"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def used_in(text):
    """The names of ours in expressions, without what a histogram adds to its name."""
    names = set(re.findall(r"\b(prr_[a-z_]+|process_[a-z_]+)", text))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def names_of(binder):
    """The names of all that is told, whether there is anything of it yet or not."""
    return set(re.findall(r"(?m)^# TYPE (\S+)", ask(binder, "/metrics").body.decode()))


def test_alerts_and_dashboard_read_only_what_there_is(cluster):
    names = names_of(binder_with_http(cluster))
    alerts = "".join(re.findall(r"expr: (.*)", (PROMETHEUS / "alerts.yml").read_text()))
    dashboard = json.loads((ROOT / "conf" / "grafana" / "prr.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    read = set.union(*map(used_in, [alerts, *shown]))
    assert read <= names
    assert len(read) >= 20


def test_every_metric_is_documented_and_every_counter_of_a_binder_there(cluster):
    binder = binder_with_http(cluster, "--dns", "127.0.0.1:0")
    names = names_of(binder)
    assert metrics_of(binder)["prr_dns_connections",] == 0
    counters = {f"prr_{metric.name.lower()}_total" for metric in set(Metric) - NOT_OF_A_BINDER}
    assert counters <= names
    documented = set(re.findall(r"`(prr_[a-z_]+)`", (ROOT / "docs" / "http.md").read_text()))
    assert documented == {name for name in names - counters if name.startswith("prr_")}


@pytest.mark.smoke
def test_they_say_what_has_happened(cluster, peers):
    binder = binder_with_http(cluster, limits=UNASKED)
    server = cluster.server(2, binder)
    client = peers()
    assert client.ask(b"\x02\x02", binder.address)[0] == 3
    assert client.ask(b"\x02\x09", binder.address) == b"\x04"
    server.kill()
    client.send(b"\x04" + wire(2, server.address), binder.address)
    binder.wait_for("evicted")
    (silent,) = [peers()]
    assert silent.ask(b"\x05\x03", binder.address) == b"\x06"
    # The connections before are closed, but perhaps it has not seen that of the last one yet.
    eventually(lambda: metrics_of(binder)["prr_http_connections",] == 1)
    told = metrics_of(binder)
    assert told["prr_evicted_total",] == 1
    assert told["prr_lookups_total",] == 2
    assert told["prr_unknown_total",] == 1
    assert told["prr_subscribed_total",] == 2
    assert told["prr_complaint_total",] == 1
    assert told["prr_evictions_total", "refused"] == 1
    assert told["prr_verification_seconds_count", "refused"] == 1
    assert 0 < told["prr_verification_seconds_sum", "refused"] < 5
    assert told["prr_instances", "3", "up"] == 1
    assert told["prr_ready",] == 1
    assert told["prr_loop_lag_seconds_count",] > 0
    assert sum(value for (name, *_), value in told.items() if name == "prr_build_info") == 1


@pytest.mark.smoke
def test_binders_say_how_they_are_with_each_other(cluster):
    first = binder_with_http(cluster)
    second = binder_with_http(cluster, "--peer", first.name)
    cluster.server(2, second)
    eventually(lambda: metrics_of(second).get(("prr_peer_up", first.name)) == 1)
    told = metrics_of(second)
    assert told["prr_peer_heard_seconds", first.name] < 60
    assert told["prr_peer_mended_total", first.name] >= 0


@pytest.mark.smoke
def test_services_beyond_the_limit_are_told_together(cluster, peers):
    binder = binder_with_http(cluster)
    for type_ in range(SERVICES_MAX + 6):
        assert peers().ask(bytes([5, type_]), binder.address) == b"\x06"
    for _ in range(2):  # the largest has its own row, wherever it stands
        assert peers().ask(bytes([5, SERVICES_MAX + 5]), binder.address) == b"\x06"
    told = metrics_of(binder)
    rows = {key[1] for key in told if key[0] == "prr_instances"}
    assert len(rows) == SERVICES_MAX + 1
    assert str(SERVICES_MAX + 5) in rows
    assert sum(value for (name, *_), value in told.items() if name == "prr_instances") == 72
    assert sum(value for key, value in told.items() if key[:2] == ("prr_instances", "other")) == 6
