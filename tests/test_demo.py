"""The demo: it tells its story, ends by itself, and leaves no process behind."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from prr.demo.screen import takes_panels
from tests.nodes import PATIENCE, ROOT, run, seldom_wrong
from tests.terminal import HIDE, SHOW, Terminal


def children_of(pid: int) -> list[int]:
    """The processes that `pid` has started and that still run."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []


def is_running(pid: int) -> bool:
    """A process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start_demo(*flags) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "node.py"), "demo", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PRR_")},
    )


@pytest.mark.smoke
@seldom_wrong  # it gives its nodes 10 s to be there
def test_a_demo_that_is_interrupted_leaves_nothing_behind():
    demo = start_demo()
    try:
        ends_at = time.monotonic() + PATIENCE
        while len(nodes := children_of(demo.pid)) < 4 and demo.poll() is None:
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        assert len(nodes) >= 4
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(PATIENCE) == 128 + signal.SIGTERM
        assert not any(is_running(node) for node in nodes)
    finally:
        demo.kill()
        demo.communicate()


@pytest.mark.slow
def test_the_demo_tells_its_story_and_ends_by_itself():
    demo = start_demo()
    try:
        story, complaints = demo.communicate(timeout=30)
    finally:
        demo.kill()
        demo.wait()
    assert (demo.returncode, complaints) == (0, "")
    for words in (
        "killed with SIGKILL",
        "a client noticed",
        "evicted",
        "started again",
        "why 2",
        "the end",
    ):
        assert words in story
    last = story.splitlines()[-1]
    assert re.match(r"PASS: B was gone everywhere after \d+ ms; 0 lookups failed; ", last)
    assert "\x1b" not in story


@pytest.mark.slow
def test_with_http_a_binder_serves_the_page_until_somebody_ends_it():
    demo = start_demo("--http")
    try:
        told = ""
        while "The page stays at" not in told:
            line = demo.stdout.readline()
            assert line, demo.stderr.read()
            told += line
        (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+/", told))
        with urlopen(url, timeout=PATIENCE) as answer:
            assert b"page.js" in answer.read()
        nodes = children_of(demo.pid)
        assert len(nodes) >= 8
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE) == 0
        assert not any(is_running(node) for node in nodes)
    finally:
        demo.kill()
        demo.communicate()


@pytest.mark.smoke
@seldom_wrong  # likewise
def test_on_a_terminal_there_is_a_panel_and_who_watches_chooses_the_victim():
    with Terminal("demo", "--kill") as terminal:
        terminal.wait_for("Press a letter")
        assert HIDE in terminal.written
        for row in ("binders   ● 1   ● 2   ● 3", "type 1    ● A   ● C   ● E"):
            terminal.wait_for(row)
        terminal.press("x?d")
        terminal.wait_for("type 2    ● B   ✖ D   ● F")
        terminal.wait_for("(evicted|removed) type 2 at D")
        terminal.wait_for(r"lookups   [ ▁▂▃▄▅▆▇█]+")
        assert "\x1b[3" in terminal.written  # colours
        nodes = children_of(terminal.process.pid)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 128 + signal.SIGINT
        assert terminal.text.rstrip().endswith("prr: interrupted by SIGINT")
        assert terminal.written.rindex(SHOW) > terminal.written.rindex(HIDE)
        assert terminal.settings == terminal.before
    assert not any(is_running(node) for node in nodes)


@pytest.mark.slow
def test_who_leaves_while_a_key_is_waited_for_leaves_the_terminal_as_it_was():
    with Terminal("demo", "--kill") as terminal:
        terminal.wait_for("Press a letter")
        assert terminal.settings != terminal.before
        terminal.press("\x03")
        assert terminal.end() == 128 + signal.SIGINT
        assert terminal.settings == terminal.before


@pytest.mark.slow
def test_where_nobody_wants_colours_it_goes_line_by_line():
    with Terminal("demo", NO_COLOR="1") as terminal:
        terminal.wait_for("Act 1: business as usual")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 128 + signal.SIGINT
        assert "\x1b" not in terminal.written


@pytest.mark.parametrize(
    ("variables", "takes"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
        ({"TERM": None}, False),
    ],
    ids=str,
)
def test_a_panel_needs_a_terminal_that_can_be_drawn_on(monkeypatch, variables, takes):
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
    stdout.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, text in ({"TERM": "xterm"} | variables).items():
        monkeypatch.delenv(name, raising=False)
        if text is not None:
            monkeypatch.setenv(name, text)
    assert takes_panels() is takes
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert not takes_panels()


@pytest.mark.slow
def test_a_small_terminal_has_room_enough():
    with Terminal("demo", "--kill", "A", rows=10, columns=30) as terminal:
        terminal.wait_for("type 1    ● A   ● C   ● E")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 128 + signal.SIGTERM


@pytest.mark.slow
def test_the_last_line_on_a_terminal_says_it():
    with Terminal("demo", "--kill", "F") as terminal:
        assert terminal.end(60) == 0
        last = terminal.text.splitlines()[-1]
        assert re.match(r"PASS: F was gone everywhere after \d+ ms; \d+ lookups failed; ", last)


@pytest.mark.smoke
def test_without_a_terminal_the_victim_has_to_be_named():
    done = run("demo", "--kill")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name one, as in --kill D" in done.stderr
    assert run("demo", "--kill", "G").returncode == 2
