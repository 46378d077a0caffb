"""The benchmarks but load and limit run, and the report of all is made. Tiny runs."""

import itertools
import json
import shlex
import shutil
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace

import gevent
import pytest

from benchmarks import (
    charts,
    cluster,
    failover,
    fleet,
    hosts,
    lab,
    overload,
    peers,
    report,
    scale,
    store,
    subscribe,
)
from benchmarks.arguments import Trouble
from benchmarks.callers import Callers
from benchmarks.generate import generate
from benchmarks.systems import SYSTEMS, WRITES, data_of
from benchmarks.tally import Load
from tests.nodes import ROOT, seldom_wrong, wire

pytestmark = pytest.mark.smoke


@pytest.fixture
def run(capsys):
    """Runs a benchmark's `main`; its result."""

    def run(main, *arguments):
        assert main(["--json", *arguments]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["made_by"]["command"].endswith(shlex.join(arguments))
        return result

    return run


needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@needs_compiler
@seldom_wrong
def test_peers_asks_prr_and_skips_what_is_not_installed(run, monkeypatch):
    monkeypatch.setattr("benchmarks.systems.which", lambda program: None)
    result = run(peers.main, "--seconds", "0.1", "--only", "redis", "--only", "KNOT")
    assert result["prr"]["lookups_per_second"] > 0
    assert (result["prr"]["lost"], result["prr"]["wrong"]) == (0, 0)
    assert result["redis GET"] == {"skipped": "redis-server is not installed"}
    assert result["knotd SRV"] == {"skipped": "knotd is not installed"}
    assert "ZooKeeper" not in result


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_peers_asks_every_system_that_is_installed(run, system):
    if missing := system.missing():
        pytest.skip(f"{missing} is not installed")
    row = run(peers.main, "--seconds", "0.3", "--only", system.name)[system.name]
    if "skipped" in row:
        assert "root" in row["skipped"]
        pytest.skip(row["skipped"])
    assert row["lookups_per_second"] > 0
    assert row["lost"] == row["wrong"] == 0


def test_bytes_are_described_as_digits_and_texts():
    assert data_of('0a ff00 "a b#\\r\\n\\"" # ff\n 01') == b'\x0a\xff\x00a b#\r\n"\x01'
    with pytest.raises(ValueError, match="hex"):
        data_of("0a zz")


@pytest.mark.parametrize("system", [*SYSTEMS, *WRITES], ids=lambda system: system.name)
def test_a_question_of_http_2_is_as_long_as_its_frames_say(system):
    parts = [system.each.format(number=number) for number in range(system.writes)]
    question = b"".join(map(data_of, [system.question, *parts]))
    while system.how == "h2" and question:
        question = question[9 + int.from_bytes(question[:3], "big") :]
    assert (question == b"") == (system.how == "h2")


def test_peers_says_that_it_wants_a_compiler(capsys, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert peers.main(["--seconds", "0.1"]) == 3
    assert "apt-get install gcc" in capsys.readouterr().err


@needs_compiler
def test_the_generator_counts_answers_of_another_length(binder_that_changes_its_mind):
    load = Load([binder_that_changes_its_mind], seconds=0.1, in_flight=1, sockets=1)
    seen = generate(replace(load, question=b"?", expected=b"first"))
    assert seen.odd == seen.answered > 0
    assert seen.wrong([]) == seen.odd


@pytest.fixture
def binder_that_changes_its_mind(peers):
    """Answers the first datagram in five bytes, all others in six; its address."""
    peer = peers()

    def serve():
        answers = iter([b"first"])
        while peer.receive() != b"end":
            peer.send(next(answers, b"others"), peer.source)

    thread = threading.Thread(target=serve)
    thread.start()
    yield peer.address
    peer.send(b"end", peer.address)
    thread.join()


@needs_compiler
@seldom_wrong
def test_overload_floods_a_binder_and_accounts_for_every_look_up(run, monkeypatch):
    monkeypatch.setattr(overload, "REST", 0.1)
    result = run(overload.main, "--seconds", "0.5", "--times", "3")
    flood = result["flood"]
    assert result["wanted_times"] == 3
    sent, answered, dropped = (flood[n] for n in ("asked", "answered", "dropped_by_kernel"))
    assert result["offered_times"] == pytest.approx(sent / 0.5 / result["peak_per_second"], rel=0.1)
    assert 0 < answered < sent
    assert answered + dropped == pytest.approx(sent, abs=10)  # a question for the status or so
    assert flood["lost_uncounted"] == 0
    by_answers = flood["by_answers_to_one_socket"]
    assert by_answers == pytest.approx(flood["lookups_per_second"], rel=0.2)
    assert 0 < flood["renewals_confirmed"] <= flood["renewals"]
    assert flood["renewal_max_ms"] > 0
    assert flood["resident_kib"] > 1000
    assert result["after"]["lost"] == result["after"]["wrong"] == 0


@needs_compiler
@seldom_wrong
def test_overload_says_how_much_it_offered_not_how_much_it_was_to(run, monkeypatch):
    monkeypatch.setattr(overload, "REST", 0.1)
    result = run(overload.main, "--seconds", "0.2", "--times", "100")
    left = result["flood"]["asked_per_second"] / result["peak_per_second"]
    assert (result["wanted_times"], result["offered_times"]) == (100, pytest.approx(left, abs=0.01))
    assert result["share_of_core"] == 1 / (1 + overload.SHARERS_MAX)


@needs_compiler
@seldom_wrong
def test_a_flood_keeps_its_rate_and_counts_the_answers_to_one_socket(peers):
    peer = peers()
    load = Load([peer.address], seconds=0.5, rate=6400, sockets=2, how="flood", question=b"?!")
    flooding = gevent.get_hub().threadpool.spawn(_answer_three, peer)
    seen = generate(load)
    flooding.get(timeout=10)
    assert seen.asked == pytest.approx(3200, abs=64)
    assert seen.asking == pytest.approx(0.5, abs=0.1)
    assert (seen.asked_by_first, seen.heard_by_first) == (pytest.approx(1600, abs=64), 3)


def _answer_three(peer):
    assert peer.receive() == b"?!"
    for _ in range(3):
        peer.send(b"!", peer.source)


@seldom_wrong
def test_failover_kills_a_server(run):
    flags = ["--binders", "1", "--kills", "1", "--stops", "0", "--services", "0"]
    row = run(failover.main, *flags)["SIGKILL, 1 binder"]
    assert row["strikes"] == 1
    assert 0 <= row["last_named_ms_p99"] <= row["last_named_ms_max"] <= 10_000
    assert 0 < row["process_ended_ms_p50"] <= row["until_all_know_ms_p50"]
    assert row["failed_hedged_calls_max"] == 0
    assert row["until_all_know_ms_p50"] > 0


def test_callers_that_are_refused_on_all_sides_end_quietly(peers, capfd):
    binder = peers()
    refusing = itertools.cycle([wire(1, ("127.0.0.1", port)) for port in range(2, 40)])

    def serve():
        while (asked := binder.receive()) != b"end":
            if asked[:1] == b"\x02":  # else a complaint
                binder.send(b"\x03" + next(refusing)[1:], binder.source)

    thread = threading.Thread(target=serve)
    thread.start()
    for _ in range(5):
        callers = Callers([binder.address], [1])
        gevent.sleep(0.2)
        callers.stop()
        gevent.sleep(0.05)
    binder.send(b"end", binder.address)
    thread.join()
    assert capfd.readouterr().err == ""


def test_an_answer_counts_from_when_it_came_however_late_callers_see_it(peers):
    binder, dead = peers(), wire(1, ("127.0.0.1", 2))
    callers = Callers([binder.address], [1])
    gevent.sleep(0.1)  # the first has asked
    callers.watch([dead])
    assert binder.receive() == b"\2\1"
    before = time.monotonic()
    binder.send(b"\3" + dead[1:], binder.source)
    after = time.monotonic()
    time.sleep(0.2)
    gevent.sleep(0.01)
    callers.stop()
    assert before - 0.1 < callers.last_named_at < after + 0.1


@pytest.mark.slow
def test_failover_stops_a_server_that_three_binders_know(run):
    flags = ["--binders", "3", "--kills", "1", "--stops", "1", "--services", "0"]
    result = run(failover.main, *flags)
    assert 100 < result["SIGSTOP, 3 binders"]["last_named_ms_max"] < 2000
    assert result["timing of 2016 (2 s + 2 s), 1 binder"]["nobody_served_ms_max"] > 1000


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@seldom_wrong
def test_a_host_of_many_services_dies_and_harms_no_other(number, monkeypatch):
    monkeypatch.setattr(hosts, "TYPES", 4)
    monkeypatch.setattr(hosts, "OTHERS", 8)
    row = hosts.burst(1, 40, number)
    assert 0 < row["last_named_ms"] < 20_000
    assert (row["others_in_turn"], row["others_ever_in_doubt"]) == (8, 0)
    held_back = row["brake"] == []
    assert held_back == (number == signal.SIGKILL)
    assert (row["removed_by_then"] == 40) == held_back


@seldom_wrong
def test_slow_services_are_complained_of_in_vain(monkeypatch):
    monkeypatch.setattr(hosts, "SLOW", 0.7)
    monkeypatch.setattr(hosts, "SLOW_CALLS", 1)
    rows = hosts.slow()
    assert [row["evicted"] for row in rows.values()] == [0, 0, 0]
    assert [row["failed_calls"] for row in rows.values()] == [0, 0, 0]
    patient, complaining, hedging = (row["needless_complaints"] for row in rows.values())
    assert patient == 0 < complaining
    assert hedging > 0
    assert all(700 <= row["call_ms_p50"] < 2000 for row in rows.values())


def test_the_timing_of_2016_serves_nobody_while_it_asks(monkeypatch):
    monkeypatch.setattr(lab, "CLIENT_WAIT", 0.1)
    monkeypatch.setattr(lab, "BINDER_WAIT", 0.2)
    (seen,) = lab.play(1)
    assert seen["last_named"] >= 0.05
    assert seen["failed_calls"] >= 1
    assert seen["nobody_served"] >= 0.15


def test_scale_measures_a_thousand(run):
    result = run(scale.main, "--size", "1000", "--seconds", "1")
    row = result["1,000"]
    assert row["bytes_per_instance"] > 100
    assert result["last / first"]["register_us"] == 1.0
    for name in ("register", "replicate_register", "look_up", "remove", "replicate_remove"):
        assert row[f"{name}_us"] > 0
    rich = result["named, IPv6, tags"]
    assert rich["instances"] == 1000
    assert min(rich["named_us"], rich["replicate_named_us"]) > 0


@pytest.mark.parametrize(
    ("main", "arguments", "says"),
    [
        (scale.main, ["--size", "7"], "1000 at least"),
        (failover.main, ["--kills", "1001"], "1000 at most"),
        (peers.main, ["--seconds", "0"], "0.01 at least"),
        (overload.main, ["--times", "101"], "100 at most"),
    ],
)
def test_they_say_what_is_wrong(capsys, main, arguments, says):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


MADE_BY = {"command": "python -m it", "commit": "abc", "python": "3", "kernel": "6", "cpu": "1 x A"}


def asked(speed, ratio=None):
    row = {"lookups_per_second": speed, "cpu_us": 5.0, "busy": 0.9, "lost": 0, "wrong": 0}
    if ratio is None:
        return row
    beside = {"prr_in_the_same_round": round(ratio * speed), "prr_is_times_as_fast": ratio}
    return {**row, **beside, "more": "all of them"}


@seldom_wrong
def test_subscribe_measures_a_fleet_as_it_comes_stays_leaves_and_comes_back(run):
    sizes = ("--servers", "50", "--herd", "100", "--lookups", "500", "--seconds", "0.5")
    result = run(subscribe.main, *sizes, "--keys")
    for name in subscribe.KEYED_CASES:
        for what in ("first", "renewal", "leave"):
            assert result[name][f"{what}_per_second"] > 0 and result[name][f"{what}_cpu_us"] > 0
    assert result["herd, in memory, keyed"]["held_afterwards"] == 100 + subscribe.KNOWN
    for keeps in ("in memory", "on disk"):
        for count in (0, 2):
            case = result[f"{count} peers, {keeps}"]
            for what in ("first", "second", "renewal", "leave"):
                assert case[f"{what}_per_second"] > 0 and case[f"{what}_cpu_us"] > 0
            assert case["resident_kib_before"] > 1000
        herd = result[f"herd, {keeps}"]
        assert herd["held_afterwards"] == 100 + subscribe.KNOWN
        assert 0 < herd["half_confirmed_within_s"] <= herd["all_confirmed_within_s"] < 10
        assert herd["lookups_before"] > 0 and herd["lookups_meanwhile"] > 0
    for system in WRITES:
        row = result[system.name]
        is_there = system.missing() is None and shutil.which("cc")
        assert row["lost"] == 0 < row["per_second"] if is_there else "skipped" in row


@seldom_wrong
def test_a_server_without_an_answer_asks_again_at_pauses_that_are_bounded(peers, monkeypatch):
    monkeypatch.setattr(fleet, "AGAIN_AFTER", 0.005)
    monkeypatch.setattr(fleet, "AGAIN_MAX", 0.01)
    monkeypatch.setattr(fleet, "LIMIT", 0.5)
    with closing(fleet.Fleet(1, b"\1", 64)) as one, pytest.raises(Trouble, match="had no answer"):
        one.say(one.first, peers().address)
    assert one.sent > 20  # doubled without a bound, they would be seven


@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
def test_store_measures_what_each_keeps_and_a_start_from_etcd(run):
    sizes = ("--servers", "50", "--seen", "2", "--rounds", "1")
    result = run(store.main, *sizes, "--seconds", "0.1")
    for name in store.STORES:
        row = result[name]
        assert row["confirmed_per_second"] > 0 and row["confirmed_cpu_us"] > 0
        assert row["found_at_other_ms"] > 0 and row["lookups_per_second"] > 0
        assert ("confirmed_etcd_cpu_us" in row) == (name == cluster.ETCD)
    assert result["start"]["instances"] == 50


RESULTS = {
    "peers": {
        "made_by": MADE_BY,
        "seconds": 1.0,
        "knotd SRV": asked(125_000, 0.8),
        "prr": asked(100_000),
        "redis GET": asked(50_000, 2.0),
        "memcached UDP": asked(101_000, 0.99),
        "ZooKeeper": {"skipped": "java is not installed"},
    },
    "limit": {"made_by": MADE_BY, "rounds": 3, "binder": {"p50_ms": 1.5}, "c": {"p50_ms": 1.2}},
    "load": {"trouble": "it did not end within 400 s"},
    "overload": {"made_by": MADE_BY, "offered_times": 5.0, "flood": {"renewals": 20}},
    "failover": {
        "made_by": MADE_BY,
        "SIGKILL, 1 binder": {"strikes": 50, "last_named_ms_p50": 12.5},
        "SIGKILL, host of 9 services, 1 binder": {"last_named_ms": 8.0, "others": 3, "brake": []},
        "slow services": {"calls": 32, "needless_complaints": 14, "evicted": 0},
        "timing of 2016": {"strikes": 5, "last_named_ms_p50": 2001.0, "nobody_served_ms_max": 2.0},
    },
    "subscribe": {"made_by": MADE_BY, "servers": 9, "2 peers": {"renewal_cpu_us": 4.5}},
    "scale": {
        "made_by": MADE_BY,
        "1,000": {"register_us": 10.0, "look_up_us": 1.0},
        "10,000": {"register_us": 11.0, "look_up_us": 1.0},
        "last / first": {"register_us": 1.1, "look_up_us": 1.0},
    },
}


def test_the_report_tells_what_was_found(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(RESULTS, tmp_path, readme)
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| knotd SRV | 125,000 | 5.0 | 0.9 | 0 | 0 | 100,000 | 0.8 | all of them |" in text
    assert "| cpu us | busy | lost | wrong | prr in the same round | prr is times as fast |" in text
    assert "Ahead of prr: knotd SRV." in text
    assert "Level with it (within 15%): memcached UDP." in text
    assert "Behind it: redis GET." in text
    assert "|  | skipped |\n| --- | --- |\n| ZooKeeper | java is not installed |" in text
    assert "Not measured: it did not end within 400 s" in text
    assert "| p50 ms | 1.5 | 1.2 |" in text
    assert "| offered times | 5.0 |" in text and "| renewals | 20 |" in text
    assert "| renewal cpu us | 4.5 |" in text
    assert "|  | SIGKILL, 1 binder | timing of 2016 |" in text
    assert "| strikes | 50 | 5 |" in text and "| nobody served ms max |  | 2.0 |" in text
    assert "|  | SIGKILL, host of 9 services, 1 binder |" in text and "| brake |  |" in text
    assert "| needless complaints | 14 |" in text
    assert "| Eureka, lease | 90 |" in text
    assert "|  | 1,000 | 10,000 | last / first |" in text
    assert "| register us | 10.0 | 11.0 | 1.1 |" in text
    assert "| --- |\n\n" not in text  # a table without a row
    assert "`python -m it`" in text and "commit abc" in text
    told = readme.read_text()
    assert told.startswith("before\n") and told.endswith("after\n") and "old" not in told
    assert "| redis GET | 50,000 | 5.0 | 100,000 | 2.0 |" in told
    assert "![failover](benchmarks/charts/failover.svg)" in told or not charts.have_charts()


@pytest.mark.skipif(not charts.have_charts(), reason="matplotlib is not installed")
def test_the_same_figures_make_the_same_charts(tmp_path):
    drawn = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        report.write(RESULTS, tmp_path / name, None)
        files = sorted((tmp_path / name / "charts").iterdir())
        assert [file.name for file in files] == ["failover.svg", "peers.svg"]
        drawn.append([file.read_bytes() for file in files])
    assert drawn[0] == drawn[1]


def test_the_peers_row_is_one_round_whose_ratio_is_the_median(run, monkeypatch):
    speeds = iter([300, 100, 500, 200, 360, 300])  # by turns; prr's first
    system = SYSTEMS[0]
    monkeypatch.setattr(type(system), "load", lambda self, stack, seconds: None)
    monkeypatch.setattr(peers, "_warmed_up", lambda load: load)
    monkeypatch.setattr(peers, "_measured", lambda name, load: asked(next(speeds)))
    monkeypatch.setattr(type(system), "missing", lambda self: None)
    monkeypatch.setattr(peers, "build", lambda name: None)
    row = run(peers.main, "--only", system.name)[system.name]
    told = (row["lookups_per_second"], row["prr_in_the_same_round"], row["prr_is_times_as_fast"])
    assert told == (200, 500, 2.5)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_report_says_on_a_terminal_how_far_it_is(monkeypatch, capsys, is_terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.setattr(report, "programs", lambda seconds: {"load": ([], 10), "scale": ([], 30)})
    monkeypatch.setattr(report, "_result_of", lambda *words: {"ran": gevent.sleep(0)})
    report.measure(1.0)
    told = capsys.readouterr().err
    assert ("scale: 25%, some 30 s left" in told) is is_terminal
    assert bool(told) is is_terminal


def test_readme_has_room_for_the_report():
    text = (ROOT / "README.md").read_text()
    assert 0 < text.index(report.BEGIN) < text.index(report.END)


def test_the_report_says_what_could_not_be_measured(monkeypatch):
    monkeypatch.setattr(report, "programs", lambda seconds: {"scale": (["--size=7"], 1.0)})
    assert "1000 at least" in report.measure(1.0)["scale"]["trouble"]
