"""The file that says until when instances are drained, and real binders that are started again."""

import re
import time
from types import SimpleNamespace

import gevent
import pytest

from prr.demo.ports import free_port
from prr.shell.storage import drains_file
from prr.shell.storage.drains_file import DrainsFile
from prr.wire.drain import Drain, encode_drain
from tests.cores import at
from tests.nodes import binder_arguments, eventually, run

ONE, NAMED = at(2, "10.0.0.1", 1), at("billing", "10.0.0.1", 2)
WORD = encode_drain(Drain(3, 600, "new disk"))


def kept(path, rows):
    file = DrainsFile(path)
    file.read()
    file.keep(rows)
    file.close()
    return path / "drains"


def test_the_ends_are_read_back_and_time_goes_on(tmp_path, monkeypatch):
    now = time.monotonic()
    kept(tmp_path, [(ONE, WORD, now + 500), (NAMED, WORD, now - 5)])
    (one, left), (named, over) = [(row[:2], row[2]) for row in DrainsFile(tmp_path).read()]
    assert (one, named) == ((ONE, WORD), (NAMED, WORD))
    assert 499 < left <= 500
    assert over == 0.0
    boot = time.CLOCK_BOOTTIME
    later = SimpleNamespace(
        CLOCK_BOOTTIME=boot, clock_gettime=lambda of: time.clock_gettime(of) + 100
    )
    monkeypatch.setattr(drains_file, "time", later)
    assert 399 < DrainsFile(tmp_path).read()[0][2] <= 400


def test_of_many_changes_the_last_one_is_kept(tmp_path):
    file = DrainsFile(tmp_path)
    file.read()
    for number in range(50):
        file.keep([(ONE, WORD, time.monotonic() + number)])
        gevent.sleep(0.0005)
    file.keep([])
    file.close()
    assert DrainsFile(tmp_path).read() == []


def test_nothing_is_written_before_it_is_read(tmp_path):
    """What a binder learns from its state counts anew until it has read this file."""
    kept(tmp_path, [(ONE, WORD, time.monotonic() + 500)])
    file = DrainsFile(tmp_path)
    rows = [(ONE, WORD, time.monotonic() + 600)]
    file.keep(rows)
    gevent.sleep(0.01)
    ((_, _, left),) = file.read()
    assert left <= 500
    rows[:] = [(ONE, WORD, time.monotonic() + left)]
    file.close()
    assert DrainsFile(tmp_path).read()[0][2] <= 500


@pytest.mark.parametrize("cut", [0, 10, 39, 45, -1])
def test_a_damaged_file_says_nothing(tmp_path, cut):
    path = kept(tmp_path, [(ONE, WORD, time.monotonic() + 500)])
    path.write_bytes(path.read_bytes()[:cut])
    assert DrainsFile(tmp_path).read() == []


def test_after_another_boot_and_without_a_file_there_is_nothing(tmp_path, monkeypatch):
    assert DrainsFile(tmp_path).read() == []
    kept(tmp_path, [(ONE, WORD, time.monotonic() + 500)])
    assert len(DrainsFile(tmp_path).read()) == 1
    other = tmp_path / "boot_id"
    other.write_text("another\n")
    monkeypatch.setattr(drains_file, "BOOT_ID", other)
    assert DrainsFile(tmp_path).read() == []


def test_a_directory_that_cannot_be_written_to_is_told(tmp_path, caplog):
    (tmp_path / "drains.new").mkdir()
    kept(tmp_path, [(ONE, WORD, time.monotonic() + 500)])
    assert "cannot be kept (Is a directory)" in caplog.text


@pytest.mark.smoke
def test_a_binder_that_was_killed_goes_on_where_it_ended(cluster, tmp_path):
    """What was drained for 600 s and for 5 s, which are over while the binder is down. Measured
    against the test's own clock, however slow the machine is."""
    arguments = [*binder_arguments(free_port(), []), "--state", str(tmp_path / "state")]
    binder = cluster.start(*arguments)
    long, short, _ = [cluster.server(2, binder) for _ in range(3)]

    def states():
        listed = run("list", "--binder", binder.name).stdout.splitlines()[1:]
        return {line.split()[2]: line.split()[3] for line in listed}

    eventually(lambda: len(states()) == 3)
    began_at = time.monotonic()
    for server, seconds in ((long, "600"), (short, "5")):
        drained = run("drain", "2", server.name, "--for", seconds, "--binder", binder.name)
        assert drained.returncode == 0, drained.stderr
        assert f"is drained for {seconds} s" in drained.stdout
    said_at = time.monotonic()
    binder.kill()
    time.sleep(5)
    cluster.start(*arguments)
    eventually(lambda: states().get(long.name) == "drained")
    asked_at = time.monotonic()
    left = re.search(
        r"drained for another (\d+) s", run("why", "2", long.name, "--binder", binder.name).stdout
    )
    over_at = time.monotonic()
    assert 599 - (over_at - began_at) <= int(left[1]) <= 601 - (asked_at - said_at)
    eventually(lambda: states().get(short.name) == "up")
    why = run("why", "2", short.name, "--binder", binder.name).stdout
    assert "no longer drained  its time is over" in why


@pytest.mark.smoke
def test_one_that_is_gone_is_put_back_and_that_is_said(cluster):
    binder = cluster.binder()
    server, _ = cluster.server(2, binder), cluster.server(2, binder)
    assert run("drain", "2", server.name, "--binder", binder.name).returncode == 0
    server.terminate()
    done = run("undrain", "2", server.name, "--binder", binder.name)
    assert done.stdout.endswith(" is gone at the moment; it is not drained when it is back\n")
    assert done.returncode == 0
    cluster.start("server", "--type", "2", "--binder", binder.name, "--listen", server.name)
    eventually(
        lambda: re.search(rf"{server.name} +up", run("list", "--binder", binder.name).stdout)
    )
    again = run("undrain", "2", "127.0.0.1:1", "--binder", binder.name)
    assert "it is not held there" in again.stderr
    assert again.returncode == 1
