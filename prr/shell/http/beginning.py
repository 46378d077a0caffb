"""What the process that serves HTTP does before it loads anything: that is half a second of work,
which is not to be in the way of lookups, nor to outlive the binder.
"""

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from prr.shell.parent_death import end_with_parent

OOM_SCORE = 500
"""Of 1000, by which the kernel picks whom to end when memory is short: this one, not the binder."""


def begin(channel: int) -> bool:
    """End with the binder, leave signals to it, and have nothing of its rank but its priority.
    Whether it is still there: `channel` is the descriptor of the link to it."""
    end_with_parent(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are sent to all of a group: the binder decides
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):  # likewise; or there is no Linux
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    hung_up = select.poll()  # before it was to be ended with the binder, of which no signal tells
    hung_up.register(channel, 0)
    return not hung_up.poll(0)
