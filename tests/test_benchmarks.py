"""The benchmarks run, and see what is wrong. Tiny, so that none of them rots."""

import json
import re
import threading

import pytest

from benchmarks import load
from tests.nodes import Peer, wire

HERE = ("127.0.0.1", 4242)
ELSEWHERE = ("127.0.0.1", 4343)


class FakeBinder:
    """Lists one instance of type 1, and answers every look-up with `answer` (None: not at all)."""

    def __init__(self, answer):
        self.peer = Peer()
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while (question := self.peer.receive()) != b"":
            answer = b"\x08\x01" + wire(1, HERE) if question[0] == 7 else self._answer
            if answer is not None:
                self.peer.send(answer, self.peer.source)

    def close(self):
        self.peer.send(b"", self.peer.address)
        self._thread.join()
        self.peer.close()


@pytest.fixture
def fake_binder():
    started = []

    def start(answer):
        started.append(FakeBinder(answer))
        return started[-1].peer.name

    yield start
    for binder in started:
        binder.close()


@pytest.fixture
def run_load(capsys):
    """Runs the benchmark with four clients; its result."""

    def run(*arguments):
        assert load.main(["--clients", "4", "--json", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_load_starts_its_own_binder(run_load):
    result = run_load("--seconds", "0.2")
    assert result["answered"] > 0
    assert result["lookups_per_second"] == pytest.approx(result["answered"] / 0.2, abs=1)
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert (result["lost"], result["wrong"]) == (0, 0)


def test_load_asks_all_the_binders_it_is_given(run_load, cluster):
    binders = cluster.binders(2)
    cluster.server(7, *binders)
    names = [binder.name for binder in binders]
    result = run_load("--seconds", "0.2", "--type", "7", "--binder", names[0], "--binder", names[1])
    assert result["binders"] == names
    assert result["answered"] > 0
    assert (result["lost"], result["wrong"]) == (0, 0)
    for binder in binders:
        binder.terminate()
        counts = re.search(r"(\d+) frames received", binder.wait_for("stopped binder"))
        assert int(counts[1]) > 10


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (b"\x03" + wire(1, HERE)[1:], False),
        (b"\x03" + wire(1, HERE), False),  # with the type, as the programs of 2016 answer
        (b"\x03" + wire(1, ELSEWHERE)[1:], True),
        (b"\x03" + wire(2, HERE), True),
        (b"\x04", True),
    ],
)
def test_load_counts_wrong_answers(run_load, fake_binder, answer, wrong):
    result = run_load("--seconds", "0.1", "--binder", fake_binder(answer))
    assert result["answered"] > 0
    assert result["wrong"] == (result["answered"] if wrong else 0)


def test_load_counts_what_is_lost(run_load, fake_binder):
    result = run_load("--seconds", "0.1", "--binder", fake_binder(None))
    assert result["lost"] == 4
    assert (result["answered"], result["p50_ms"], result["p99_ms"]) == (0, None, None)


def test_load_prints_for_people_too(capsys, fake_binder):
    assert load.main(["--seconds", "0.1", "--binder", fake_binder(b"\x04")]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names[:3] == ["binders", "clients", "seconds"]


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--binder", "256.0.0.1:1"], "256.0.0.1", 2),
        (["--clients", "513"], "512 at most", 2),
        (["--seconds", "0"], "more than 0", 2),
        (["--type", "sheep"], "no service type", 2),
    ],
)
def test_load_says_what_is_wrong(capsys, arguments, says, code):
    try:
        left_with = load.main(arguments)
    except SystemExit as ended:  # argparse's way
        left_with = ended.code
    assert left_with == code
    assert says in capsys.readouterr().err


def test_load_says_that_nobody_gives_the_type(capsys, fake_binder):
    assert load.main(["--type", "9", "--binder", fake_binder(None)]) == 3
    assert "no binder there knows a server of type 9" in capsys.readouterr().err
