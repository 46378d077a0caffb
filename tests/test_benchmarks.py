"""The benchmarks run, and see what is wrong. Tiny, so that none of them rots."""

import json
import os
import re
import shutil
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from benchmarks import limit, load
from benchmarks.generate import generate
from benchmarks.generator import ANSWER_LIMIT, Line
from benchmarks.load import measure
from benchmarks.proc import cores, generator_core, on_core, pin
from benchmarks.processes import Started
from benchmarks.tally import Load, Tally, right_answers
from prr.text import parse_peer
from prr.wire.frames import Role, ServiceList
from prr.wire.inquiries import TextPart, TextQuery
from prr.wire.instance import make_instance
from tests.cores import decode, encode
from tests.nodes import Peer, seldom_late, seldom_wrong, wire

pytestmark = pytest.mark.smoke

HERE = ("127.0.0.1", 4242)
ELSEWHERE = ("127.0.0.1", 4343)

TWO_THREADS = """
import threading
import time

threading.Thread(target=time.sleep, args=[60]).start()
print("began", flush=True)
"""


class FakeBinder:
    """Lists one instance of type 1, and answers every lookup with `answers` (none: not at all)."""

    def __init__(self, *answers):
        self.peer = Peer()
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while (question := self.peer.receive()) != b"":
            if question[0] == 7:
                answers = [self._tell(decode(question, Role.BINDER).trailer)]
            else:
                answers = self._answers
            for answer in answers:
                self.peer.send(answer, self.peer.source)

    def _tell(self, asked):
        if not isinstance(asked, TextQuery):
            return b"\x08\x01" + wire(1, HERE)
        text = b'{"types": [], "counters": {}}'
        trailer = TextPart(nonce=asked.nonce, offset=len(text), text=text)
        return encode(ServiceList((), trailer=trailer))

    def close(self):
        self.peer.send(b"", self.peer.address)
        self._thread.join()
        self.peer.close()


@pytest.fixture
def fake_binder():
    started = []

    def start(*answers):
        started.append(FakeBinder(*answers))
        return started[-1].peer.name

    yield start
    for binder in started:
        binder.close()


@pytest.fixture(params=["c", "python"])
def generator(request, monkeypatch):
    """The load comes from the generator in C, and then from the one in Python."""
    if request.param == "python":
        monkeypatch.setattr("benchmarks.generate.has_compiler", lambda: False)
        monkeypatch.setattr(limit, "has_compiler", lambda: False)
    elif shutil.which("cc") is None:
        pytest.skip("no cc here")


@pytest.fixture
def run_one(capsys):
    """Runs a benchmark, tiny; its result."""

    def run(benchmark, *arguments):
        assert benchmark.main(["--json", "--in-flight", "4", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_what_is_measured_has_a_core_to_itself():
    """Asked from where the generator keeps itself on its core, as well: there only one is left."""
    if cores() is None:
        pytest.skip("there is one core for all")
    with ExitStack() as stack:
        started = Started(stack, sys.executable, "-c", TWO_THREADS)
        started.wait_for("began")
        with on_core(generator_core()):
            pin([started.pid])
            ours = os.sched_getaffinity(0)
        threads = [int(name) for name in os.listdir(f"/proc/{started.pid}/task")]
        assert len(threads) == 2
        assert all(ours.isdisjoint(os.sched_getaffinity(one)) for one in threads)


@seldom_wrong
def test_load_fills_its_own_binder_and_asks_for_every_type(generator, run_one):
    for seconds in ("0.2", "2", "20"):  # as many as it takes to ask for each type
        result = run_one(load, "--seconds", seconds, "--instances", "500", "--types", "256")
        if result["answered"] > 256:
            break
    assert (result["instances"], result["types"]) == (500, 256)
    assert result["answered"] > 256
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["p999_ms"]
    assert result["cpu_us_per_lookup"] > 0
    assert (result["lost"], result["wrong"], result["dropped_by_kernel"]) == (0, 0, 0)
    assert result["made_by"]["command"].startswith("python -m benchmarks.load --json")
    assert set(result["made_by"]) > {"commit", "python", "gevent", "kernel", "cpu"}


@seldom_wrong
def test_load_asks_from_as_many_sockets_as_it_is_told(run_one, capsys):
    result = run_one(load, "--seconds", "0.2", "--sockets", "64", "--in-flight", "64")
    assert (result["sockets"], result["in_flight"]) == (64, 64)
    assert (result["lost"], result["wrong"]) == (0, 0)
    assert load.main(["--sockets", "2", "--in-flight", "129"]) == 2
    assert "use --sockets 3 or more" in capsys.readouterr().err


@seldom_wrong
def test_load_keeps_a_rate(generator, run_one):
    result = run_one(load, "--seconds", "0.3", "--rate", "2000", "--binders", "2")
    assert len(result["binders"]) == 2
    assert result["answered"] == pytest.approx(600, rel=0.25)  # it may lose its core for a while
    assert (result["lost"], result["wrong"], result["in_flight"]) == (0, 0, None)


@seldom_wrong
def test_load_has_the_binder_verify_and_subscribe_meanwhile(run_one):
    work = ("--verifications", "10", "--subscriptions-per-second", "50")
    result = run_one(load, "--seconds", "0.3", *work)
    assert 7 <= result["being_verified"] <= 13 + 50 / 2  # with those that have just subscribed
    assert result["subscribed_meanwhile"] > 50
    assert (result["lost"], result["wrong"]) == (0, 0)


@seldom_wrong
def test_load_asks_all_the_binders_it_is_given(run_one, cluster):
    binders = cluster.binders(2)
    cluster.server(7, *binders)
    names = [binder.name for binder in binders]
    given = ("--type", "7", "--binder", names[0], "--binder", names[1])
    result = run_one(load, "--seconds", "0.2", *given)
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
def test_load_counts_wrong_answers(generator, run_one, fake_binder, answer, wrong):
    result = run_one(load, "--seconds", "0.1", "--binder", fake_binder(answer))
    assert result["answered"] > 0
    assert result["wrong"] == (result["answered"] if wrong else 0)


def test_load_counts_answers_that_nobody_asked_for(generator, run_one, fake_binder):
    right = b"\x03" + wire(1, HERE)[1:]
    result = run_one(load, "--seconds", "0.1", "--binder", fake_binder(right, right))
    assert result["answered"] > 0
    assert result["wrong"] > 0


@pytest.mark.parametrize("how", [(), ("--rate", "40")])
@seldom_wrong
def test_load_counts_what_is_lost(generator, run_one, fake_binder, how):
    result = run_one(load, "--seconds", "0.1", *how, "--binder", fake_binder())
    assert result["lost"] == 4  # of a rate those at 0, 25, 50 and 75 ms
    assert (result["answered"], result["p50_ms"], result["p99_ms"]) == (0, None, None)


def test_a_wait_counts_from_the_moment_its_look_up_is_due(generator, run_one, fake_binder):
    binder = fake_binder(b"\x03" + wire(1, HERE)[1:])

    def waited():
        result = run_one(load, "--seconds", "0.5", "--rate", "20", "--binder", binder)
        assert result["p50_ms"] > 0
        return result["p50_ms"] / 1000

    seldom_late(waited, 0.025)  # half a period


def test_an_answer_of_another_type_is_wrong_unless_a_loss_has_shifted_the_order():
    one, other = make_instance(1, HERE), make_instance(2, ELSEWHERE)
    (answer,) = [answer for answer in right_answers([one])[1] if len(answer) == 7]
    load = Load([HERE], b"\x01\x02")
    assert Tally(answers=Counter({(0, answer): 3})).wrong(load.right([one, other])) == 0
    assert Tally(answers=Counter({(1, answer): 3})).wrong(load.right([one, other])) == 3
    assert Tally(answers=Counter({(None, answer): 3})).wrong(load.right([one, other])) == 0
    assert Tally(answers=Counter({(None, answer): 3})).wrong(load.right([other])) == 3


def test_what_subscribes_while_it_is_asked_for_is_no_wrong_answer(fake_binder):
    answer, late = b"\x03" + wire(1, HERE)[1:], make_instance(1, ELSEWHERE)
    load = Load([parse_peer(fake_binder(answer))], b"\x01", [late], seconds=0.1, in_flight=4)
    assert generate(load).wrong(load.right([late])) > 0
    assert measure(load)["wrong"] == 0  # the binder lists it


def test_a_generator_that_is_late_does_not_take_a_binder_for_silent(fake_binder):
    line = Line(parse_peer(fake_binder(b"\x04")), 1)
    with line.socket:
        now = time.perf_counter()
        line.ask([(0, b"\x02\x01")], now - 2 * ANSWER_LIMIT)
        assert not line.is_silent(now)
        assert line.is_silent(now + 2 * ANSWER_LIMIT)


def test_a_tally_is_told_in_lines():
    told = Tally(
        waits=Counter({150: 3, 7000: 1}),
        asked=9,
        lost=2,
        unasked=1,
        answers=Counter({(1, b"\x04"): 2, (None, b""): 1}),
        elapsed=0.5,
    )
    heard = Tally()
    for line in told.lines():
        heard.read(line)
    assert heard == told


@pytest.mark.parametrize("answer", [b"\x03" + wire(1, HERE)[1:], b"\x04", b"\x03a long one 0123"])
@seldom_wrong
def test_both_generators_see_the_same(fake_binder, monkeypatch, answer):
    if shutil.which("cc") is None:
        pytest.skip("no cc here")
    load = Load(
        [parse_peer(fake_binder(answer))],
        b"\x01",
        [make_instance(1, HERE)],
        seconds=0.3,
        rate=100.0,
        sockets=2,
    )
    in_c = generate(load)
    monkeypatch.setattr("benchmarks.generate.has_compiler", lambda: False)
    in_python = generate(load)
    right = load.right(load.instances)
    for tally in (in_c, in_python):
        assert (
            tally.asked == tally.answered == pytest.approx(30, abs=10)
        )  # less, if it loses its core
        assert tally.lost == tally.unasked == tally.odd == 0
        assert tally.wrong(right) in (0, tally.answered)
        assert 0 < tally.wait_ms(0.5) < 300 and 0.2 < tally.elapsed < 1
    assert bool(in_c.wrong(right)) == bool(in_python.wrong(right)) == (len(answer) != 7)


def test_waits_are_told_by_the_share_that_did_not_exceed_them():
    tally = Tally(waits=Counter({1000: 98, 2000: 1, 9000: 1}))
    assert [tally.wait_ms(share) for share in (0, 0.5, 0.99, 1)] == [1, 1, 2, 9]


@seldom_wrong
def test_limit_compares_the_binder_with_c_and_python(generator, run_one):
    tiny = ("--seconds", "0.1", "--rounds", "1", "--instances", "10", "--types", "3")
    result = run_one(limit, *tiny)
    others = ["c", "python"] if limit.has_compiler() else ["python"]
    for name in (*others, "no", "binder"):
        assert result[name]["answered"] > 0
        assert (result[name]["lost"], result[name]["wrong"]) == (0, 0)
    for name in others:
        for figure in ("cpu_us_per_lookup", "lookups_per_second"):
            ratio = result["binder"][figure] / result[name][figure]
            found = result[f"binder_to_{name}"][figure]  # of three decimals
            assert found == pytest.approx(ratio, rel=0.01, abs=0.001)
    assert ("binder_to_c" in result) is limit.has_compiler()
    assert "quiet" not in result
    assert result["no_to_binder"]["cpu_us_per_lookup"] > 0


@seldom_wrong
def test_limit_asks_the_binder_in_other_ways(generator, run_one):
    tiny = ("--seconds", "0.1", "--rounds", "1", "--instances", "60", "--types", "3")
    result = run_one(limit, *tiny, "--ways")
    for name in limit.WAYS:
        assert result[name]["answered"] > 0
        assert (result[name]["lost"], result[name]["wrong"]) == (0, 0)
        ratio = result[name]["cpu_us_per_lookup"] / result["binder"]["cpu_us_per_lookup"]
        assert result[f"{name}_to_binder"]["cpu_us_per_lookup"] == pytest.approx(ratio, rel=0.01)


@seldom_wrong
def test_limit_asks_a_binder_with_keys(generator, run_one, capsys):
    tiny = ("--seconds", "0.2", "--rounds", "1", "--instances", "300", "--types", "3")
    result = run_one(limit, *tiny, "--keys")
    for name in (limit.KEYED, limit.SEALED):
        assert result[name]["answered"] > 30
        assert (result[name]["lost"], result[name]["wrong"]) == (0, 0)
        assert result[f"{name}_to_binder"]["cpu_us_per_lookup"] > 0
    assert limit.main(["--keys", "--in-flight", "10", "--sockets", "2"]) == 2
    assert "has 4 at most" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verifications", [0, pytest.param(20, marks=pytest.mark.slow)], ids=["without", "with"]
)
@seldom_wrong
def test_limit_gives_all_of_them_the_same_background(run_one, monkeypatch, verifications):
    loads = []

    def generate_noted(load):
        loads.append(load)
        return generate(load)

    monkeypatch.setattr(limit, "generate", generate_noted)
    monkeypatch.setattr(load, "generate", generate_noted)
    work = ["--subscriptions-per-second", "200"]
    if verifications:
        work += ["--verifications", str(verifications)]
    result = run_one(limit, "--seconds", "0.3", "--rounds", "1", "--instances", "10", *work)
    binder, quiet = result["binder"], result["quiet"]
    assert binder["subscribed_meanwhile"] > (100 if verifications else 30)
    assert binder["being_verified"] == pytest.approx(verifications, abs=verifications // 4)
    assert quiet["subscribed_meanwhile"] == quiet["being_verified"] == 0
    assert (binder["lost"], binder["wrong"], quiet["lost"], quiet["wrong"]) == (0, 0, 0, 0)
    assert {(one.subscriptions_per_second, one.verifications) for one in loads} == {
        (200, verifications)
    }
    its_own = [one.sink is None for one in loads if one.targets == loads[-1].targets]
    assert its_own == [False, True]
    assert all(one.sink for one in loads if one.targets != loads[-1].targets)
    assert set(result["binder_to_quiet"]) == {"cpu_us_per_lookup", "lookups_per_second", "p99_ms"}


def test_load_prints_for_people_too(capsys, fake_binder):
    assert load.main(["--seconds", "0.1", "--binder", fake_binder(b"\x04")]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names[:3] == ["binders", "instances", "types"]
    assert {"made_by", "command", "commit"} <= set(names)


@pytest.mark.parametrize(
    ("benchmark", "arguments", "says", "code"),
    [
        (load, ["--binder", "256.0.0.1:1"], "256.0.0.1", 2),
        (load, ["--in-flight", "513"], "512 at most", 2),
        (load, ["--seconds", "0"], "0.01 at least", 2),
        (load, ["--type", "256"], "255 at most", 2),
        (load, ["--binder", "127.0.0.1:1", "--instances", "5"], "leave out --binder", 2),
        (load, ["--instances", "5", "--types", "6"], "one for each type", 2),
        (limit, ["--instances", "5", "--types", "6"], "one for each type", 2),
    ],
)
def test_a_benchmark_says_what_is_wrong(capsys, benchmark, arguments, says, code):
    try:
        left_with = benchmark.main(arguments)
    except SystemExit as ended:  # argparse's way
        left_with = ended.code
    assert left_with == code
    assert says in capsys.readouterr().err


def test_load_says_that_nobody_gives_the_type(capsys, fake_binder):
    assert load.main(["--type", "9", "--binder", fake_binder()]) == 3
    assert "no binder there knows a server of type 9" in capsys.readouterr().err
