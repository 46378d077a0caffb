"""The process that serves a binder's HTTP: what it is beside an HTTP server.

The binder starts it, and gives it two descriptors: the socket that listens, and the link. It has no
key, and asks the binder for all that it shows. Lookups come first on this host: it has a lower
priority, and it is gone when the binder is.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress

import gevent
import gevent.socket

from prr.shell.admin.calls import Malformed
from prr.shell.http.binder import Binder
from prr.shell.http.problems import Problem
from prr.shell.http.server import HttpServer
from prr.shell.log.handler import close_log, log_to_stderr

NICE = 10
"""By how much its priority is lower than the binder's: it gets a tenth of what both want."""

BEAT = 5.0
"""Seconds after which it asks the binder something, so that this knows that it does not hang."""

_log = logging.getLogger("prr")


def main(arguments: Sequence[str]) -> int:
    """Serve until the binder is gone; the exit code. `arguments`: the address that is served, for
    those who list processes, and the numbers of the two descriptors."""
    with suppress(OSError):  # a sandbox may forbid it
        os.nice(NICE)
    log_to_stderr()
    listening, channel = (gevent.socket.socket(fileno=int(one)) for one in arguments[1:])
    try:
        binder = Binder(channel)
        HttpServer(listening, binder).start()
        gevent.spawn(_keep_asking, binder)
        binder.run()
    except Malformed as error:
        _log.error("HTTP: the binder has said what is not valid: %s", error)
        return 1
    except OSError:  # it is gone
        pass
    finally:
        close_log()
    return 0


def _keep_asking(binder: Binder) -> None:
    while True:
        with suppress(Problem):
            binder.standing()
        gevent.sleep(BEAT)
