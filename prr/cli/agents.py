"""The verbs run and announce: an agent, in a node."""

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress

import gevent
import gevent.socket

from prr.addresses import listening_towards, resolve_any
from prr.cli.exits import YES
from prr.config import AnnounceConfig, BadInput, CheckKind, RunConfig
from prr.core.agent.program import Program, ProgramPolicy
from prr.shell.agent.announcer import Announcer
from prr.shell.agent.checks import TcpCheck
from prr.shell.agent.opening import announcing, check_of, open_agent, reached_here
from prr.shell.log.handler import log_to_stderr
from prr.wire.instance import Address, describe_address, describe_service

ANNOUNCED_MAX = 256
"""Programs that one process announces: each has a socket, and a check under way."""

_log = logging.getLogger("prr")


def run_program(config: RunConfig) -> int:
    """Run a program and speak for it, until it ends for good; returns its exit code."""
    log_to_stderr()
    if shutil.which(config.command[0]) is None:
        raise BadInput(
            f"cannot run {config.command[0]!r}; use the path of an executable, or put it on PATH"
        )
    binders = resolve_any(config.binders, gevent.socket)
    at = listening_towards(binders)[0], config.port
    _check_is_free(config, at)
    program = Program(ProgramPolicy(config.restart, config.kill_after))
    check = check_of(config, at)
    core, node = open_agent(config, at, binders, check, program, config.command, config.grace)
    node.run()
    return core.status


def _check_is_free(config: RunConfig, at: Address) -> None:
    """Raises BadInput if somebody else has the program's port: its check would pass, and as soon as
    the program ends in vain the other one would be deregistered."""
    if config.check.kind is not CheckKind.TCP:
        return
    with suppress(OSError, gevent.Timeout), gevent.Timeout(config.check_timeout):
        TcpCheck(reached_here(at)).try_it()
        where = describe_address(reached_here(at))
        raise BadInput(f"another program listens on {where} already; stop it, or use another port")


def run_announce(read: Callable[[], list[AnnounceConfig]]) -> int:
    """Speak for programs that somebody else runs, until a signal; returns the exit code.

    `read` reads the settings of each, again at SIGHUP.
    """
    wanted = _once_each(read())
    log_to_stderr()
    announcer = Announcer(announcing)

    def reread() -> None:
        try:
            announcer.follow(_once_each(read()))
        except BadInput as error:
            _log.warning("settings not reloaded: %s", error)
        else:
            _log.info("settings reloaded: announce")

    announcer.run(wanted, reread)
    return YES


def _once_each(configs: list[AnnounceConfig]) -> list[AnnounceConfig]:
    """The same configurations. Raises BadInput if they are too many, or two for one instance."""
    if len(configs) > ANNOUNCED_MAX:
        raise BadInput(f"{len(configs)} tables [[announce]]; use {ANNOUNCED_MAX} at most")
    instances = [(config.type, config.at) for config in configs]
    for one in instances:
        if instances.count(one) > 1:
            name = f"{describe_service(one[0])} at {describe_address(one[1])}"
            raise BadInput(f"two tables [[announce]] for {name}; use one, with one check")
    return configs
