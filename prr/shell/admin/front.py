"""The process that serves a binder's HTTP: started, answered, and started anew when it is gone.

It gets two descriptors and nothing else of the binder: the socket that listens, which stays open
here, so that whoever connects while there is no such process waits for the next one; and its end of
the link. Once the binder is gone, however it went, the link is closed, and so the process ends.
"""

import logging
import math
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import gevent

from prr.shell.admin.answering import Answering
from prr.shell.admin.calls import Malformed, Settings, write
from prr.shell.admin.interface import Interface
from prr.shell.admin.link import Link, Over
from prr.shell.admin.telling import Telling
from prr.shell.admin.turns import Turns
from prr.shell.udp.names import address_from
from prr.wire.instance import describe_address

PAUSE_MIN = 0.1
PAUSE_MAX = 30.0
"""Seconds until another one starts, twice as many each time: to start one is a third of a second of
work."""

STEADY = 60.0
"""Seconds after which the one that ended is taken for one that ran."""

LOOK = 10.0
LOOKS_MAX = 3
"""Seconds between two looks whether it has asked for anything, which it does every five by itself;
and how many may find that it has not. It hangs then, and is killed."""

LAST_WAIT = 0.5
"""Seconds that one which has closed its end of the link has to end by itself."""

KEPT = ("PATH", "LANG", "LANGUAGE", "LC_", "TZ", "LD_LIBRARY_PATH", "PYTHON", "GEVENT")
"""Of the environment, what its variables may begin with: none that says anything of keys."""

PROGRAM = Path(__file__).parents[1] / "http" / "__main__.py"
"""What is run: by its path, so that it is of this very package."""

_log = logging.getLogger("prr")


def start_process(
    address: str, listening: socket.socket, there: socket.socket
) -> subprocess.Popen[bytes]:
    """Start one that serves HTTP at `address`, for people who list processes. Raises OSError.

    This is not gevent's Popen, which copies the page tables of a binder that has a million
    instances; here the child borrows them, and the binder waits a millisecond until it has begun.
    """
    descriptors = listening.fileno(), there.fileno()
    environment = {name: text for name, text in os.environ.items() if name.startswith(KEPT)}
    return subprocess.Popen(
        [sys.executable, "-P", str(PROGRAM), address, *map(str, descriptors)],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
    )


class Front:
    """The one of a binder."""

    def __init__(
        self,
        listening: socket.socket,
        settings: Settings,
        interface: Interface,
        turns: Turns,
    ) -> None:
        """It serves on `listening`, which is Front's from now on."""
        self._listening = listening
        self._address = describe_address(address_from(listening.getsockname()))
        self._settings = settings
        self._interface = interface
        self._turns = turns
        self._greenlet = gevent.spawn(self._keep)

    def close(self) -> None:
        """End it, and listen no more."""
        self._greenlet.kill()
        self._listening.close()

    def _keep(self) -> None:
        pause = PAUSE_MIN
        while True:
            began_at = time.monotonic()
            try:
                why = self._run()
            except OSError as error:
                why = f"the process cannot start: {error.strerror}"
            except Exception:  # that must not end the binder
                _log.exception("bug where HTTP is served")
                why = "a bug"
            if time.monotonic() - began_at > STEADY:
                pause = PAUSE_MIN
            _log.warning("HTTP is not served: %s; another one starts in %g s", why, pause)
            gevent.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX)

    def _run(self) -> str:
        """Start one, and answer it as long as it is there; why it is not. Raises OSError."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, there:
            process = start_process(self._address, self._listening, there)
            there.close()
            link = Link(here)
            said = ""
            try:
                self._answer(link, process)
            except Malformed as error:
                said = f", which said what is not valid ({error})"
            except Over:
                _wait_for(process, LAST_WAIT)  # it may be ending by itself: its exit code says why
            finally:
                link.close()
                process.kill()
                _wait_for(process, math.inf)
        return f"process {process.pid}{said} {_ending(process.returncode)}"

    def _answer(self, link: Link, process: subprocess.Popen[bytes]) -> None:
        """Until it is gone. Raises Over, or Malformed."""
        settings = self._settings._replace(last=self._interface.feed.last)
        link.send(write(settings))
        answering = Answering(link, self._interface)
        telling = Telling(link, self._interface.feed, settings.last, self._turns)
        looking = gevent.spawn(self._look_after, answering, process)
        try:
            answering.run()
        finally:
            looking.kill()
            telling.close()
            answering.close()

    def _look_after(self, answering: Answering, process: subprocess.Popen[bytes]) -> None:
        """Say that it serves, once it does; and kill it if it hangs, even if it is stopped."""
        if answering.begun.wait(LOOK * LOOKS_MAX):
            _log.info("HTTP at http://%s (process %d)", self._address, process.pid)
        heard, silent = 0, 0
        while silent < LOOKS_MAX:
            gevent.sleep(LOOK)
            silent = silent + 1 if answering.heard == heard else 0
            heard = answering.heard
        _log.warning("HTTP: process %d hangs, and is killed", process.pid)
        with suppress(ProcessLookupError):
            process.kill()


def _wait_for(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until it is gone, and collect what is left of it; for so long at most."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        gevent.sleep(0.01)


def _ending(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
