"""Nodes under a real systemd, as conf/systemd/ has them, that are killed and restarted in use."""

import os
import time
from pathlib import Path

import pytest

from tests.nodes import run
from tests.systemd import needs_systemd, run_scenario

ONE_RESEND = 0.3
"""Seconds: who is asked a second time after 0.1 s has answered before a third time is due."""

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@needs_systemd
def test_no_lookup_is_lost_or_refused_over_a_restart_and_two_kills(tmp_path):
    found = run_scenario(tmp_path, "lookups")
    assert found == {"sent": 3000, "found": 3000, "other": 0, "refused": 0}


@needs_systemd
def test_no_lookup_fails_while_all_binders_are_restarted_one_by_one(tmp_path):
    found = run_scenario(tmp_path, "rolling")
    assert found["lookups"] > 200
    assert found["failed"] == []
    assert found["longest_s"] < ONE_RESEND


@needs_systemd
def test_what_was_confirmed_is_known_to_all_however_often_binders_are_killed(tmp_path):
    found = run_scenario(tmp_path, "storm", timeout=180)
    assert found["kills"] >= 30
    assert found["confirmed"] == found["added"] >= 11_900
    assert found["missing"] == [0, 0, 0]
    assert found["most_resends"] <= 1
    assert found["failed"] == []
    assert found["longest_s"] < ONE_RESEND


@pytest.mark.slow
@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
def test_nothing_expires_when_the_wall_clock_is_moved(cluster, tmp_path, monkeypatch):
    clock = tmp_path / "clock"
    clock.write_text("+0")
    for name, value in (
        ("LD_PRELOAD", str(FAKETIME)),
        ("FAKETIME_TIMESTAMP_FILE", str(clock)),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ):
        monkeypatch.setenv(name, value)
    binders = cluster.binders(2, "--lease", "1")
    server = cluster.server(7, *binders)
    for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
        monkeypatch.delenv(name)
    assert os.environ.get("LD_PRELOAD") is None
    for moved in ("-400d", "+400d"):
        whole = clock.with_suffix(".new")
        whole.write_text(moved)
        whole.replace(clock)  # at once: the processes read it whenever they look at the clock
        for _ in range(15):  # a second and a half: more than a lease
            for binder in binders:
                assert run("lookup", "7", "--binder", binder.name).stdout.strip() == server.name
            time.sleep(0.05)
        assert not any(one.matching("evicted|removed|late|eviction limiter") for one in binders)
    server.kill()
    stamped = binders[0].wait_for("evicted|removed")
    assert int(stamped[:4]) > time.localtime().tm_year  # it was really moved
