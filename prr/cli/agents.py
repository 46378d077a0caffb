"""The verbs run and announce: an agent, in a node."""

import logging
import random
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTP_PORT, HTTPS_PORT
from urllib.parse import urlsplit

import gevent
import gevent.socket

from prr.addresses import (
    LOOPBACKS,
    families_of,
    listening_towards,
    own_ips,
    resolve,
    resolve_any,
    seen_from,
)
from prr.cli.exits import YES
from prr.config import AnnounceConfig, BadInput, CheckConfig, CheckKind, RunConfig
from prr.core.agent.agent import Agent
from prr.core.agent.health import CheckPolicy, Health
from prr.core.agent.program import Program, ProgramPolicy
from prr.core.server import Server, draw_start
from prr.particulars import particulars_of
from prr.shell.agent.agent_node import AgentNode
from prr.shell.agent.announcer import Announcer
from prr.shell.agent.checks import Check, HttpCheck, TcpCheck, UdpCheck
from prr.shell.agent.exec_check import ExecCheck
from prr.shell.log.handler import log_to_stderr
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.steering import open_sockets
from prr.wire.codec import Codec
from prr.wire.frames import Role
from prr.wire.instance import Address, describe_address, describe_service, is_loopback

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
    check = _check(config, at)
    core, node = _agent(config, at, binders, check, program, config.command, config.grace)
    node.run()
    return core.status


def _check_is_free(config: RunConfig, at: Address) -> None:
    """Raises BadInput if somebody else has the program's port: its check would pass, and as soon as
    the program ends in vain the other one would be deregistered."""
    if config.check.kind is not CheckKind.TCP:
        return
    with suppress(OSError, gevent.Timeout), gevent.Timeout(config.check_timeout):
        TcpCheck(_reached(at)).try_it()
        raise BadInput(
            f"another program listens on {describe_address(_reached(at))} already; stop it, or use "
            f"another port"
        )


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


def announcing(config: AnnounceConfig, own: Check | None = None) -> AgentNode:
    """The agent for one program; `own`: a check that stands for the one of the settings. Raises
    BadInput where binders would not believe it."""
    at = config.at
    binders = resolve_any(config.binders, gevent.socket, families_of(at))
    if not is_loopback(at[0]) and at[0] not in own_ips():
        raise BadInput(
            f"{describe_address(at)} is not on this host, and binders believe what a host "
            f"says of itself alone; run announce on the host that has this address"
        )
    if is_loopback(at[0]) and not all(is_loopback(binder[0]) for binder in binders):
        raise BadInput(
            f"{at[0]} is a loopback address, which means another host to each who reads it; "
            f"use {describe_address((listening_towards(binders)[0], at[1]))}"
        )
    return _agent(config, at, binders, own or _check(config, at))[1]


def _agent(
    config: CheckConfig,
    at: Address,
    binders: tuple[Address, ...],
    check: Check | None,
    program: Program | None = None,
    command: Sequence[str] = (),
    grace: float = 0.0,
) -> tuple[Agent, AgentNode]:
    name = f"{describe_service(config.type)} at {describe_address(at)}"
    seen_at = {binder: seen_from(at, binder) for binder in binders}
    rng = random.Random()
    start = draw_start(rng)
    core = Agent(
        name,
        lambda: Server(config.type, seen_at, rng, start, particulars_of(config), is_agent=True),
        Health(name, _policy(config) if check else None),
        program,
        grace,
    )
    lanes = [Datagrams(bound) for bound in open_sockets((at[0], 0))]
    first_line = f"agent for {name} listening on {describe_address(lanes[0].address)}"
    node = AgentNode(
        core,
        Codec(Role.SERVER),
        lanes,
        first_line,
        attempt=check,
        timeout=config.check_timeout,
        command=command,
    )
    return core, node


def _policy(config: CheckConfig) -> CheckPolicy:
    return CheckPolicy(config.check_interval, config.check_failures, config.check_successes)


def _check(config: CheckConfig, at: Address) -> Check | None:
    """The check that is set, None if there is none. Raises BadInput where a URL's host has no
    address: it is resolved once, so that no check waits for a name server."""
    text = config.check.text
    _, _, rest = text.partition(":")
    match config.check.kind:
        case CheckKind.TCP:
            return TcpCheck(_reached(at))
        case CheckKind.HTTP:
            return _http_check(text)
        case CheckKind.EXEC:
            return ExecCheck(shlex.split(rest))
        case CheckKind.UDP:
            return UdpCheck(_reached(at), bytes.fromhex(rest))
        case CheckKind.NONE:
            return None


def _reached(at: Address) -> Address:
    """Where this host reaches what listens there."""
    return LOOPBACKS.get(at[0], at[0]), at[1]


def _http_check(url: str) -> HttpCheck:
    parts = urlsplit(url)
    port = parts.port or (HTTPS_PORT if parts.scheme == "https" else HTTP_PORT)
    return HttpCheck(url, resolve((parts.hostname or "", port), gevent.socket))
