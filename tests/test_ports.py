"""Ports that stay free for whoever chose them."""

import json
import socket
import subprocess
import sys

import pytest

from prr.demo import ports
from prr.demo.ports import BELOW, BLOCK, LOWEST, free_port
from tests.nodes import ROOT

CHOOSE = """
import json, sys
from prr.demo.ports import free_port
print(json.dumps([free_port() for _ in range(120)]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def others():
    """Processes that have chosen ports and still run: what each of them chose."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHOOSE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    yield [json.loads(one.stdout.readline()) for one in started]
    for one in started:
        one.communicate(timeout=10)


def test_no_port_is_chosen_twice_by_this_process_or_by_others_that_run(others):
    chosen = [free_port() for _ in range(120)] + [port for one in others for port in one]
    assert len(set(chosen)) == 360


def test_none_is_of_the_ephemeral_range_whoever_takes_one_of_those():
    with open("/proc/sys/net/ipv4/ip_local_port_range") as numbers:
        first, last = map(int, numbers.read().split())
    for _ in range(200):
        port = free_port()
        assert LOWEST <= port < BELOW
        if first > LOWEST + BLOCK:  # as on any host that nobody has tuned
            assert not first <= port <= last


@pytest.mark.parametrize(
    ("text", "first"),
    [("32768\t60999\n", BELOW), ("20000 60999", 20_000), ("1024 65535", BELOW), ("", BELOW)],
)
def test_the_range_is_the_host_s(text, first, tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    (tmp_path / "range").write_text(text)
    assert ports._ephemeral_from() == first


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_is_bound_is_not_free(kind):
    with socket.socket(socket.AF_INET, kind) as bound:
        bound.bind(("127.0.0.1", 0))
        assert not ports._is_free(bound.getsockname()[1])


def test_when_all_blocks_are_taken_ports_are_chosen_again(monkeypatch):
    monkeypatch.setattr(ports, "BELOW", LOWEST + 3 * BLOCK)
    blocks = ports._Blocks()
    chosen = [blocks.next() for _ in range(10 * BLOCK)]
    assert all(LOWEST < port < LOWEST + 3 * BLOCK for port in chosen)
    while blocks._kept:
        blocks._kept.pop().close()
