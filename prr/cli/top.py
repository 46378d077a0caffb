"""`top`: binders, their services and what becomes of instances, again and again, until `q`."""

import select
import signal
import sys
import time
from collections import deque
from functools import partial
from types import FrameType

from prr.addresses import resolve
from prr.cli.everyone import ask_each, complain
from prr.cli.exits import NO_BINDER, YES
from prr.cli.inspect import HINT, fetch_status, reasons_of, verdict
from prr.cli.keyboard import Keys, has_keys
from prr.cli.output import say
from prr.cli.table import as_table
from prr.cli.top_tables import Snapshot, binders, events, peers, services
from prr.client.control import fetch_listings
from prr.config import BadInput, ClientConfig

PAUSE = 1.0
"""Seconds between two snapshots, which a binder answers in about a millisecond each."""

LISTED_MAX = 2000
"""Instances up to which each one is followed: eight pages a second. Beyond, only their numbers."""

LATE_FOR = 60
"""Snapshots back from which it is counted how late event loops were: a minute, of 600 looks."""

EVENTS_MAX = 100
"""Events that are kept; as many of the last ones as there is room for are shown."""


def run_top(config: ClientConfig, once: bool) -> int:
    """Show the binders until `q` is pressed, or `once`, as text; the exit code."""
    if once:
        return _once(config)
    if not (sys.stdout.isatty() and has_keys()):
        raise BadInput("top needs a terminal; use top --once, or status --output json")
    from prr.cli.top_view import View  # loads rich

    signal.signal(signal.SIGTERM, _leave)
    before = _take(config)
    first = deque([before], LATE_FOR)
    lines: deque[str] = deque(maxlen=EVENTS_MAX)
    with Keys() as keys, View() as view:
        while True:
            now = _take(config)
            lines += events(before, now)
            view.draw(_head(now), binders(before, now, first[0]), now, lines)
            first.append(now)
            if _quits(keys, now.moment + PAUSE):
                return YES
            before = now


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM: the terminal has to be as it was."""
    sys.exit(128 + number)


def _once(config: ClientConfig) -> int:
    before = _take(config)
    if all(row.answer is None for row in before.said):
        complain(list(before.said), "answer", HINT)
        return NO_BINDER
    time.sleep(PAUSE)
    now = _take(config)
    shown = (binders(before, now), services(now), peers(now))
    tables = [as_table(*table) for table in shown]
    say("\n\n".join([_head(now), *tables, *events(before, now)]))
    return YES


def _head(now: Snapshot) -> str:
    """Whether all is well, in a line."""
    return verdict(reasons_of(list(now.said)))


def _take(config: ClientConfig) -> Snapshot:
    """Ask all of them; one that does not answer costs 2 s."""
    said = ask_each(config.binders, partial(fetch_status, key=config.key))
    told = zip(config.binders, (row.answer for row in said), strict=True)
    first, status = next(((one, status) for one, status in told if status), (None, {}))
    listed = None
    if first is not None and status["instances"] <= LISTED_MAX:
        listed = fetch_listings(resolve(first), config.key)
    return Snapshot(time.time(), said, listed)


def _quits(keys: Keys, at: float) -> bool:
    """`q` is pressed by then."""
    while (left := at - time.time()) > 0:
        if select.select([keys.descriptor], [], [], left)[0] and keys.read() in ("q", "Q", ""):
            return True
    return False
