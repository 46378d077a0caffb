"""The demo: it tells its story, ends by itself, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.nodes import PATIENCE, ROOT


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


def start_demo() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "node.py"), "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PRR_")},
    )


def test_a_demo_that_is_interrupted_leaves_nothing_behind():
    demo = start_demo()
    try:
        ends_at = time.monotonic() + PATIENCE
        while len(nodes := children_of(demo.pid)) < 4 and time.monotonic() < ends_at:
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
        "PASS",
    ):
        assert words in story
