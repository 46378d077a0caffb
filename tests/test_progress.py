"""How a long restore is shown on a terminal, and that it is not anywhere else."""

import io

import pytest

from prr.shell.storage import progress
from prr.shell.storage.progress import SHOWN_AFTER, SHOWN_EVERY, Progress


class Stream(io.StringIO):
    """What stands for stderr."""

    def __init__(self, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal


@pytest.fixture
def show(monkeypatch):
    """Shows one after so many seconds with so many of a million restored; what is written."""

    def show_(is_terminal, *steps):
        stream, now = Stream(is_terminal), [100.0]
        monkeypatch.setattr(progress.sys, "stderr", stream)
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
        shown = Progress(1_000_000)
        for passed, done in steps:
            now[0] = 100.0 + passed
            shown.show(done)
        shown.end()
        return stream.getvalue()

    return show_


def test_on_a_terminal_it_says_how_far_it_is_and_how_long_it_will_take(show):
    steps = [(SHOWN_AFTER - 0.01, 100_000), (2.0, 250_000), (2.0 + SHOWN_EVERY / 2, 260_000)]
    assert show(True, *steps, (4.0, 1_000_000)) == "".join(
        f"\r\x1b[K{line}\r"
        for line in (
            "restoring: 250,000 of 1,000,000 entries (25%), 6 s left",
            "restoring: 1,000,000 of 1,000,000 entries (100%), 0 s left",
            "",
        )
    )


def test_one_that_is_over_soon_or_is_watched_by_nobody_writes_nothing(show):
    assert show(True, (SHOWN_AFTER / 2, 1_000_000)) == ""
    assert show(False, (2.0, 250_000), (4.0, 1_000_000)) == ""
