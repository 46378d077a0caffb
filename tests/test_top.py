"""`top`: what it shows of two moments, once as text, and on a terminal."""

import signal

import pytest

from prr.cli.everyone import Said
from prr.cli.top_tables import Snapshot, binders, events, services
from prr.client.control import Listing
from prr.wire.drain import Drain
from prr.wire.particulars import Particulars
from prr.wire.trailer import Listed
from tests.cores import at
from tests.nodes import run
from tests.terminal import HIDE, SHOW, Terminal

A, B = at(7, "10.0.0.1", 1), at("billing", "2001:db8::1", 2)
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


def status(uptime=10.0, frames=0, **more):
    """A binder's status, as far as `top` reads it."""
    counters = {"frames received": frames} if frames else {}
    said = {"ok": True, "uptime_s": uptime, "counters": counters, "instances": 1, "peers": []}
    return {"full_digest": "d", "digest": "d", "types": [], **said, **more}


def snapshot(*answers, moment=0.0, **listed):
    """What these binders have said, and how A and B were listed."""
    said = [Said(f"b{number}", answer) for number, answer in enumerate(answers)]
    states = {{"a": A, "b": B}[name]: state for name, state in listed.items()}
    listing = {one: Listing(state, Particulars(), Drain(0)) for one, state in states.items()}
    return Snapshot(moment, said, listing)


def column(table, name):
    """A column of a table."""
    return [row[list(table.header).index(name)] for row in table.rows]


def test_a_rate_is_what_came_in_the_binder_s_own_seconds():
    before = snapshot(status(10.0, 1000), status(10.0, 1000), status(10.0, 1000), None)
    now = snapshot(status(12.0, 9000), status(12.0, 1000), status(1.0, 50), status(3.0, 7))
    assert column(binders(before, now), "FRAMES/S") == ["4,000", "0", None, None]


def test_a_binder_that_does_not_answer_or_differs_is_told():
    now = snapshot(status(), None, status(full_digest="other"), status(ok=False))
    assert column(binders(now, now), "HEALTH") == ["OK", "no answer", "OK", "DEGRADED"]
    assert column(binders(now, now), "SAME") == ["yes", None, "DIFFERS", "yes"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (7000, "117 min"), (86400 * 9, "9 d")]
)
def test_how_long_it_is_up_is_told_briefly(seconds, text):
    now = snapshot(status(seconds))
    assert column(binders(now, now), "UP") == [text]


def lagging(uptime, *counts):
    """The status of a binder whose event loop was late so often by so much."""
    return status(uptime, loop_lag={"bounds": [0.0005, 0.001, 0.25], "counts": [*counts]})


def test_how_late_an_event_loop_was_is_told_since_a_moment_or_since_it_was_started():
    now = snapshot(lagging(90.0, 900, 80, 15, 5), status(), None, lagging(9.0, 0, 0, 0, 0))
    whole = binders(now, now)
    assert column(whole, "LATE MS P50") == ["0.5", None, None, None]
    assert column(whole, "P99") == ["250", None, None, None]
    first = snapshot(lagging(30.0, 900, 20, 15, 0), status(), None, None)
    lately = binders(now, now, first)
    assert column(lately, "LATE MS P50") == ["1", None, None, None]
    assert column(lately, "P99") == ["over 250", None, None, None]
    anew = snapshot(lagging(3.0, 0, 10, 0, 0))
    assert column(binders(anew, anew, first), "P99") == ["1"]  # another process since
    for_longer = snapshot(lagging(40.0, 390, 10, 0, 0))
    assert column(binders(for_longer, for_longer, first), "P99") == ["1"]  # likewise
    newer = {"bounds": [0.0005, 0.001], "counts": [900, 80, 20]}
    other = snapshot(status(90.0, loop_lag=newer))
    assert column(binders(other, other, first), "P99") == ["over 1"]  # of another version since


def test_services_with_somebody_out_of_turn_come_first():
    def service(name, **counts):
        none = {"up": 1, "drained": 0, "suspect": 0, "being_verified": 0}
        return {"service": name, "type": None, **none, **counts}

    types = [service("a"), service("b", drained=1), service("c", suspect=2), service("d")]
    assert column(services(snapshot(None, status(types=types))), "SERVICE") == ["c", "b", "a", "d"]
    assert services(snapshot(None)).rows == []


def test_an_event_is_what_has_become_of_an_instance():
    before = snapshot(status(), a=Listed.UP)
    assert events(before, before) == []
    lines = events(before, snapshot(status(), a=Listed.SUSPECT, b=Listed.UP))
    assert [line[10:] for line in lines] == [
        "type 7 at 10.0.0.1:1: up -> suspect",
        "billing at [2001:db8::1]:2: not listed -> up",
    ]
    (line,) = events(before, snapshot(status()))
    assert line.endswith("up -> not listed")
    assert events(before, before._replace(listed=None)) == []


@pytest.mark.smoke
def test_once_it_is_text(cluster):
    first, other = cluster.binders(2)
    cluster.server(7, first)
    done = run("top", "--once", "--binder", first.name, "--binder", other.name)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "OK" and "\x1b" not in done.stdout
    assert [line.split()[0] for line in lines if " of 1 " in line] == [first.name, other.name]
    assert any(line.split()[:1] == ["7"] for line in lines)
    header = next(line for line in lines if line.startswith("BINDER"))
    (late,) = (line for line in lines if line.startswith(first.name) and " of 1 " in line)
    assert float(late[header.index("LATE MS P50") :].split()[0]) <= 1000


@pytest.mark.smoke
def test_once_without_a_binder_says_so():
    done = run("top", "--once", "--binder", "127.0.0.1:9")
    assert (done.returncode, done.stdout) == (3, "")
    assert "no answer from 127.0.0.1:9" in done.stderr


@pytest.mark.smoke
def test_without_a_terminal_it_says_what_to_use():
    done = run("top")
    assert done.returncode == 2
    assert "use top --once" in done.stderr


@pytest.mark.smoke
def test_on_a_terminal_events_are_seen_until_q(cluster):
    binder = cluster.binder()
    with Terminal("top", "--binder", binder.name) as terminal:
        terminal.wait_for(r"OK\s+\(q: quit\)")
        assert OTHER_SCREEN in terminal.written and HIDE in terminal.written
        assert terminal.settings != terminal.before
        server = cluster.server(7, binder)
        terminal.wait_for(f"type 7 at {server.name}: not listed -> up")
        server.terminate()
        terminal.wait_for(f"type 7 at {server.name}: up -> not listed")
        binder.kill()
        terminal.wait_for("no answer")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.settings == terminal.before
        assert terminal.written.rindex(FIRST_SCREEN) > terminal.written.rindex(OTHER_SCREEN)
        assert terminal.written.rindex(SHOW) > terminal.written.rindex(HIDE)


@pytest.mark.smoke
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_terminal_as_it_was(cluster, number):
    binder = cluster.binder()
    with Terminal("top", "--binder", binder.name, rows=5, columns=20) as terminal:
        terminal.wait_for("OK")
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert terminal.settings == terminal.before
        assert terminal.written.rindex(FIRST_SCREEN) > terminal.written.rindex(OTHER_SCREEN)
