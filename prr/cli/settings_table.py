"""SETTINGS: the one table of settings, which the flags, the PRR_ variables and the keys of the TOML
file are all read from.
"""

from collections.abc import Mapping
from dataclasses import replace

from prr.cli.keys import parse_client_key, parse_keyring, parse_operator_key, parse_server_key
from prr.cli.setting import Setting
from prr.cli.store_text import parse_prefix, parse_store
from prr.particulars import check_tags, parse_tag, parse_weight, parse_zone
from prr.services import numbers_by_name
from prr.text import (
    parse_address,
    parse_check,
    parse_count,
    parse_directory,
    parse_domain,
    parse_file,
    parse_lease,
    parse_listen,
    parse_message,
    parse_network,
    parse_pause,
    parse_peer,
    parse_port,
    parse_require,
    parse_seconds,
    parse_service,
    parse_switch,
    parse_ttl,
    parse_wire,
    parse_word,
)
from prr.wire.instance import Service


def _parse_service(text: str) -> Service:
    return parse_service(text, numbers_by_name())


LISTEN = Setting(
    "listen",
    "--listen",
    parse_listen,
    "HOST:PORT",
    "address or interface, and port, to listen on (port 0: any; [::]: both families)",
)
SERVER_LISTEN = replace(
    LISTEN, help=f"{LISTEN.help}; default: the address its binders reach, any port"
)
PEERS = Setting(
    "peers", "--peer", parse_peer, "HOST:PORT", "another binder; may be repeated", many=True
)
WIRE = Setting(
    "wire",
    "--wire",
    parse_wire,
    "spec|lab2016",
    "answers to lookups: 7 bytes, or 8 as legacy (2016) clients need",
)
LEASE = Setting(
    "lease", "--lease", parse_lease, "S", "seconds of silence after which an instance is asked"
)
STATE = Setting(
    "state", "--state", parse_directory, "DIR", "state directory (default: memory only)"
)
KEYRING = Setting(
    "key", "--key", parse_keyring, "FILE", "the cluster's keyring, as `key new` makes it"
)
REQUIRE = Setting(
    "require",
    "--require",
    parse_require,
    "off|log|on",
    "whether who has no valid key is believed, told in the log, or ignored "
    "(default: on with a key, else off)",
)
REQUIRE_LOOKUP = Setting(
    "require_lookup",
    "--require-lookup",
    parse_switch,
    "",
    "lookups need a key too",
    is_switch=True,
)
LEGACY = Setting(
    "legacy",
    "--legacy",
    parse_network,
    "CIDR",
    "a network of programs that know no keys and are believed all the same; may be repeated",
    many=True,
)
TRUST = (KEYRING, REQUIRE, REQUIRE_LOOKUP, LEGACY)
SERVER_KEY = replace(KEYRING, parse=parse_server_key, help="its key, as `key server` makes it")
CLIENT_KEY = replace(
    KEYRING, parse=parse_client_key, help="its key, as `key client` or `key operator` makes it"
)
OPERATOR_KEY = replace(
    KEYRING, parse=parse_operator_key, help="an operator's key, as `key operator` makes it"
)
DNS = (
    Setting(
        "dns", "--dns", parse_listen, "HOST:PORT", "where to answer DNS too (default: nowhere)"
    ),
    Setting("dns_ttl", "--dns-ttl", parse_ttl, "S", "seconds such an answer may be kept, 0 or 1"),
    Setting(
        "dns_domain", "--dns-domain", parse_domain, "NAME", "the domain that the services are in"
    ),
)
HTTP = (
    Setting(
        "http",
        "--http",
        parse_listen,
        "HOST:PORT",
        "where to serve HTTP, as 127.0.0.1:8080: lists, changes, metrics (default: nowhere)",
    ),
    Setting(
        "http_open",
        "--http-open",
        parse_switch,
        "",
        "serve HTTP to other hosts though there are no keys: whoever reaches it may read",
        is_switch=True,
    ),
)
STORE = (
    Setting(
        "store",
        "--store",
        parse_store,
        "etcd://HOST:PORT,...",
        "an etcd to share with the other binders (default: none, they tell one another)",
    ),
    Setting(
        "store_prefix", "--store-prefix", parse_prefix, "TEXT", "what its keys there begin with"
    ),
    Setting("store_ca", "--store-ca", parse_file, "FILE", "reach it by TLS, and whom to believe"),
    Setting("store_cert", "--store-cert", parse_file, "FILE", "the certificate to show there"),
    Setting("store_key", "--store-key", parse_file, "FILE", "and the key of that"),
    Setting("store_user", "--store-user", parse_word, "NAME", "the user to be there"),
    Setting("store_password", "--store-password", parse_file, "FILE", "has the user's password"),
)
BINDERS_HTTP = Setting(
    "http",
    "--http",
    parse_peer,
    "HOST:PORT",
    "where a binder serves HTTP; may be repeated: the next one if it is gone",
    many=True,
)
TYPE = Setting(
    "type",
    "--type",
    _parse_service,
    "SERVICE",
    "the service: 0 to 255, or a name such as billing",
)
TYPE_ARGUMENT = replace(TYPE, flag="SERVICE")
ADDRESS_ARGUMENT = Setting(
    "address", "ADDRESS", parse_address, "ADDRESS", "ip:port of the instance"
)
BINDERS = Setting(
    "binders", "--binder", parse_peer, "HOST:PORT", "a binder to use; may be repeated", many=True
)
PARTICULARS = (
    Setting("weight", "--weight", parse_weight, "N", "its turns in a round, 1 to 16"),
    Setting("zone", "--zone", parse_zone, "LABEL", "where it is, such as eu"),
    Setting(
        "tags",
        "--tag",
        parse_tag,
        "KEY=VALUE",
        "a fact to list; may be repeated",
        many=True,
        check=check_tags,
    ),
)
MESSAGE = Setting("message", "--message", parse_message, "TEXT", "message to send")
COUNT = Setting("count", "--count", parse_count, "N", "number of calls")
INTERVAL = Setting("interval", "--interval", parse_seconds, "S", "seconds between two calls")
RETRY_UNKNOWN = Setting(
    "retry_unknown",
    "--retry-unknown",
    parse_seconds,
    "S",
    "seconds before looking up again a service without instances (default: give up)",
)

WANTED_ZONE = Setting(
    "zone", "--zone", parse_zone, "LABEL", "one of this zone, such as eu, if any there is in turn"
)
PORT = Setting("port", "--port", parse_port, "PORT", "the port that the program listens on")
AT = Setting(
    "at", "--at", parse_address, "IP:PORT", "where the program listens, an address of this host"
)
CHECKS = (
    Setting(
        "check",
        "--check",
        parse_check,
        "CHECK",
        "how to see whether it works: tcp, an http or https URL, exec:COMMAND, udp:HEX or none",
    ),
    Setting("check_interval", "--check-interval", parse_pause, "S", "seconds between two checks"),
    Setting("check_timeout", "--check-timeout", parse_pause, "S", "seconds a check may take"),
    Setting(
        "check_failures",
        "--check-failures",
        parse_count,
        "N",
        "checks in a row that fail before it is out of turn",
    ),
    Setting(
        "check_successes",
        "--check-successes",
        parse_count,
        "N",
        "checks in a row that pass before it is in turn",
    ),
)
COMMAND = Setting(
    "command",
    "-- COMMAND",
    parse_word,
    "...",
    "the program and its arguments, run without a shell",
    is_command=True,
)
RESTART = Setting(
    "restart",
    "--restart",
    parse_switch,
    "",
    "start the program again whenever it ends, with growing pauses",
    is_switch=True,
)
GRACE = Setting(
    "grace",
    "--grace",
    parse_seconds,
    "S",
    "seconds for calls under way, after deregistering and before the program gets SIGTERM",
)
KILL_AFTER = Setting(
    "kill_after", "--kill-after", parse_seconds, "S", "seconds from its SIGTERM to SIGKILL"
)

SETTINGS: Mapping[str, tuple[Setting, ...]] = {
    "binder": (LISTEN, PEERS, WIRE, LEASE, STATE, *TRUST, *DNS, *HTTP, *STORE),
    "server": (TYPE, SERVER_LISTEN, BINDERS, SERVER_KEY, *PARTICULARS),
    "run": (
        *(COMMAND, TYPE, PORT, BINDERS, SERVER_KEY, *PARTICULARS, *CHECKS),
        *(RESTART, GRACE, KILL_AFTER),
    ),
    "announce": (TYPE, AT, BINDERS, SERVER_KEY, *PARTICULARS, *CHECKS),
    "client": (TYPE, BINDERS, CLIENT_KEY, WANTED_ZONE, MESSAGE, COUNT, INTERVAL, RETRY_UNKNOWN),
}
"""The settings of each role, which are also the keys of its table in the TOML file."""

SEVERAL = frozenset({"announce"})
"""Roles that one process may have several times: each has a table [[role]] in the file."""
