"""When a process ends, as the monotonic clock has it: whoever has more to do sees it too late.

    python end_of.py PID

Says "watching" before, and the moment after it.
"""

import os
import select
import sys
import time
from contextlib import suppress

_PRIORITY = 1
"""Of real time: before all that share the processors, where that is allowed."""

if __name__ == "__main__":
    ending = os.pidfd_open(int(sys.argv[1]))
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    print("watching", flush=True)
    select.select([ending], [], [])
    print("ended", time.monotonic(), flush=True)
