"""Makes the agent of one program from its settings: its core, its check and its sockets."""

import random
import shlex
from collections.abc import Sequence
from http.client import HTTP_PORT, HTTPS_PORT
from urllib.parse import urlsplit

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
from prr.config import AnnounceConfig, BadInput, CheckConfig, CheckKind
from prr.core.agent.agent import Agent
from prr.core.agent.health import CheckPolicy, Health
from prr.core.agent.program import Program
from prr.core.keyed_server import server_class
from prr.core.server import draw_start
from prr.particulars import particulars_of
from prr.shell.agent.agent_node import AgentNode
from prr.shell.agent.checks import Check, HttpCheck, TcpCheck, UdpCheck
from prr.shell.agent.exec_check import ExecCheck
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.steering import open_sockets
from prr.trust.describing import key_line
from prr.wire.codec import Codec
from prr.wire.frames import Role
from prr.wire.instance import Address, describe_address, describe_service, is_loopback


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
    return open_agent(config, at, binders, own or check_of(config, at))[1]


def open_agent(
    config: CheckConfig,
    at: Address,
    binders: tuple[Address, ...],
    check: Check | None,
    program: Program | None = None,
    command: Sequence[str] = (),
    grace: float = 0.0,
) -> tuple[Agent, AgentNode]:
    """An agent that speaks to `binders` for what is at `at`, and its node; with a `program` and its
    `command` it runs that, and waits `grace` seconds before it ends it."""
    name = f"{describe_service(config.type)} at {describe_address(at)}"
    seen_at = {binder: seen_from(at, binder) for binder in binders}
    rng = random.Random()
    start = draw_start(rng)
    make = server_class(config.key is not None)
    core = Agent(
        name,
        lambda: make(config.type, seen_at, rng, start, particulars_of(config), is_agent=True),
        Health(name, _policy(config) if check else None),
        program,
        grace,
    )
    lanes = [Datagrams(bound) for bound in open_sockets((at[0], 0))]
    first_line = f"agent for {name} listening on {describe_address(lanes[0].address)}"
    if config.key is not None:
        first_line += f"\n{key_line(config.key)}"
    node = AgentNode(
        core,
        Codec(Role.SERVER, keys=config.key),
        lanes,
        first_line,
        attempt=check,
        timeout=config.check_timeout,
        command=command,
    )
    return core, node


def _policy(config: CheckConfig) -> CheckPolicy:
    return CheckPolicy(config.check_interval, config.check_failures, config.check_successes)


def check_of(config: CheckConfig, at: Address) -> Check | None:
    """The check that is set, None if there is none. Raises BadInput where a URL's host has no
    address: it is resolved once, so that no check waits for a name server."""
    text = config.check.text
    _, _, rest = text.partition(":")
    match config.check.kind:
        case CheckKind.TCP:
            return TcpCheck(reached_here(at))
        case CheckKind.HTTP:
            return _http_check(text)
        case CheckKind.EXEC:
            return ExecCheck(shlex.split(rest))
        case CheckKind.UDP:
            return UdpCheck(reached_here(at), bytes.fromhex(rest))
        case CheckKind.NONE:
            return None


def reached_here(at: Address) -> Address:
    """Where this host reaches what listens there."""
    return LOOPBACKS.get(at[0], at[0]), at[1]


def _http_check(url: str) -> HttpCheck:
    parts = urlsplit(url)
    port = parts.port or (HTTPS_PORT if parts.scheme == "https" else HTTP_PORT)
    return HttpCheck(url, resolve((parts.hostname or "", port), gevent.socket))
