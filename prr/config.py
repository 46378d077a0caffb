"""A node's configuration, once flags, environment, file and defaults are merged.

Addresses are as configured: the host may be a name that still has to be resolved.
"""

from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from prr.record import record
from prr.trust.credential import Network
from prr.trust.keyring import Held, Keyring

HostPort: TypeAlias = tuple[str, int]

ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"
"""To listen on all addresses: of IPv4, or of both families."""

DEFAULT_BINDER: HostPort = ("127.0.0.1", 2222)


class WireForm(StrEnum):
    """How a binder answers a lookup: the spec's 7 bytes, or the 8 of the legacy (2016) programs."""

    SPEC = "spec"
    LAB2016 = "lab2016"


class Require(StrEnum):
    """What a word is worth to a binder whose sender does not prove who it is."""

    OFF = "off"  # what it says
    LOG = "log"  # likewise, but that is counted and told
    ON = "on"  # nothing


@record
class Limits:
    """What bounds a binder's memory and its work. The defaults are meant to be kept."""

    instances: int = 1 << 20
    """Instances held: about 500 bytes each, so a flood of subscriptions ends at half a GB; or at
    twice that, if peers make up particulars for all of them."""

    learned_share: float = 0.94
    """Share of `instances` that peers' updates may fill: a faulty peer leaves room for those who
    subscribe here."""

    removals: int = 1 << 16
    """Removals remembered, the oldest forgotten first: a binder cut off for longer than it takes
    to remove so many may bring one back, until its lease runs out."""

    removal_age: float = 3600.0
    """Seconds a removal is remembered, for the same purpose."""

    newcomers: int = 1 << 16
    """Instances that have subscribed and not answered yet: twenty thousand a second from forged
    sources are too many, a thousand hosts that start at once are not."""

    newcomers_per_second: float = 256.0
    """Instances that may subscribe each second and never answer, once there have been `newcomers`
    of them: as many as can be asked twice, for half a second each, in half of the
    `verifications`."""

    instances_per_host: int = 1 << 14
    """Instances of one IPv4 address, or of one IPv6 network of 64 bits, which may be a whole floor
    of hosts: 64 sources would have to fill the directory. It is for the binder with which they
    subscribe; what peers say is not refused for it, since binders have to agree."""

    instances_per_credential: int = 1 << 14
    """Instances that have subscribed with one credential, likewise: if it is stolen, it does not
    fill the directory. A whole service may share one."""

    complaints_per_host: int = 1024
    """Complaints of one source at once: a host of many clients from which a thousand instances are
    gone at the same moment."""

    complaints_per_second: float = 64.0
    """Complaints that a source gets back each second: 64 sockets and questions, about 2% of a
    core."""

    verifications: int = 512
    """Verifications at once: each holds a socket, and a process has 1,024 unless told otherwise."""


LIMITS = Limits()
"""The defaults."""


@record
class BinderConfig:
    """A binder's settings; `lease` and `dns_ttl` are in seconds, `state` is a directory (None:
    nothing is kept), `dns` and `http` where DNS is answered and HTTP served (None: nowhere). With
    `http_open` that may be without keys, though others reach it. What `require` says holds of
    lookups only with `require_lookup`, and of nobody in the networks `legacy`. `store`: the servers
    of the etcd that it shares with other binders (none: it shares none), in which its keys begin
    with `store_prefix`; the rest is how it shows there who it is, from files."""

    listen: HostPort = DEFAULT_BINDER
    peers: tuple[HostPort, ...] = ()
    wire: WireForm = WireForm.SPEC
    lease: float = 15.0
    state: Path | None = None
    key: Keyring | None = None
    require: Require = Require.OFF
    require_lookup: bool = False
    legacy: tuple[Network, ...] = ()
    dns: HostPort | None = None
    dns_ttl: int = 0
    dns_domain: str = "prr."
    http: HostPort | None = None
    http_open: bool = False
    store: tuple[HostPort, ...] = ()
    store_prefix: str = "/prr/"
    store_ca: Path | None = None
    store_cert: Path | None = None
    store_key: Path | None = None
    store_user: str = ""
    store_password: Path | None = None


@record
class ServerConfig:
    """A server's settings; `type` is its service; `listen` None: where its binders can reach it;
    `key` None: it proves nothing."""

    type: int | str
    listen: HostPort | None = None
    binders: tuple[HostPort, ...] = (DEFAULT_BINDER,)
    weight: int = 1
    zone: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    key: Held | None = None


class CheckKind(StrEnum):
    """How to see whether a program works."""

    TCP = "tcp"
    HTTP = "http"
    UDP = "udp"
    EXEC = "exec"
    NONE = "none"


@record
class CheckSpec:
    """A check as it is set; `text` is what one has written."""

    kind: CheckKind
    text: str

    def __str__(self) -> str:
        return self.text


@record(kw_only=True)
class CheckConfig:
    """What an agent does for any program; times in seconds."""

    type: int | str
    binders: tuple[HostPort, ...] = (DEFAULT_BINDER,)
    weight: int = 1
    zone: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    key: Held | None = None
    check: CheckSpec = CheckSpec(CheckKind.TCP, "tcp")
    check_interval: float = 1.0
    check_timeout: float = 1.0
    check_failures: int = 1
    check_successes: int = 1


@record(kw_only=True)
class AnnounceConfig(CheckConfig):
    """The settings of an agent for a program that somebody else runs, `at` an address."""

    at: HostPort


@record(kw_only=True)
class RunConfig(CheckConfig):
    """The settings of an agent that runs its program, which listens on `port`."""

    command: tuple[str, ...]
    port: int
    restart: bool = False
    grace: float = 2.0
    kill_after: float = 5.0


@record
class ClientConfig:
    """A client's settings; `interval` and `retry_unknown` are seconds, `type` is the service."""

    type: int | str
    binders: tuple[HostPort, ...] = (DEFAULT_BINDER,)
    message: str = "hello"
    count: int = 1
    interval: float = 1.0
    retry_unknown: float | None = None
    zone: str = ""
    key: Held | None = None


class BadInput(Exception):
    """Invalid input of a user. The text says what is wrong, why, and what to use instead."""
