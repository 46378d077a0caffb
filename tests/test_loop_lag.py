"""How late the event loop is, and what is said of it."""

import time

import gevent
import pytest

from prr.shell import loop_lag
from prr.shell.loop_lag import PAUSE, LoopLag


@pytest.mark.parametrize(("still", "lines"), [(0.2, 1), (3600.0, 0)])
def test_the_log_tells_how_long_a_process_stood_still(monkeypatch, caplog, still, lines):
    monkeypatch.setattr(loop_lag, "STILL", still)
    lag = LoopLag()
    time.sleep(0.2 + PAUSE)
    while not lag.seconds:
        gevent.sleep(PAUSE / 10)
    said = [one for one in caplog.messages if "late: nothing was done for 0." in one]
    assert len(said) == lines
    assert lag.seconds >= 0.2
