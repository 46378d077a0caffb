"""A forked node is as one that an interpreter of its own runs, and outlives no test."""

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.nodes import NODE, PATIENCE, ROOT, Node, run

ABANDONING = """
import time
from tests.nodes import Node
print(Node("binder", "--listen", "127.0.0.1:0").process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.smoke
@pytest.mark.parametrize("program", [None, NODE], ids=["forked", "started"])
def test_a_node_has_its_exit_codes_signals_outputs_and_directory(program, tmp_path, monkeypatch):
    monkeypatch.setenv("PRR_LISTEN", "not for a node")
    node = Node("binder", "--listen", "127.0.0.1:0", program=program)
    try:
        assert node.address
        assert os.readlink(f"/proc/{node.process.pid}/cwd") == str(ROOT)
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(PATIENCE) == 0
        assert node.process.stdout.read() == ""
        assert node.process.poll() == 0
        node.process.kill()  # no error
    finally:
        node.close()
    node = Node("binder", "--listen", "127.0.0.1:0", program=program)
    node.kill()
    assert node.process.wait(PATIENCE) == -signal.SIGKILL
    node.close()


@pytest.mark.smoke
def test_a_verb_is_run_to_its_end():
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith("prr ")
    wrong = run("binder", "--listen", "nowhere:much")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


def test_a_node_that_does_not_end_in_time_is_killed():
    with pytest.raises(subprocess.TimeoutExpired):
        run("binder", "--listen", "127.0.0.1:0", timeout=0.1)


@pytest.mark.smoke
def test_nodes_are_gone_when_the_tests_are_killed():
    command = [sys.executable, "-c", ABANDONING]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        watched = os.pidfd_open(int(tests.stdout.readline()))
        tests.kill()
    try:
        assert select.select([watched], [], [], PATIENCE)[0]
    finally:
        os.close(watched)
