"""The command line: one verb, its settings, its exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prr.cli.exits import USAGE
from prr.cli.keys import check_binder_key, check_server_key
from prr.cli.output import OutputLost, give_up_output, in_one_line, open_standard_streams
from prr.cli.parser import parser_of
from prr.cli.setting import Setting
from prr.cli.settings import gather, gather_each
from prr.cli.settings_table import (
    ADDRESS_ARGUMENT,
    AT,
    BINDERS,
    BINDERS_HTTP,
    CLIENT_KEY,
    COMMAND,
    OPERATOR_KEY,
    PORT,
    SETTINGS,
    TYPE,
    TYPE_ARGUMENT,
    WANTED_ZONE,
)
from prr.config import (
    AnnounceConfig,
    BadInput,
    BinderConfig,
    ClientConfig,
    RunConfig,
    ServerConfig,
)

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
DISTRIBUTIONS = {"google": "protobuf"}
"""By the package that is imported, where what has to be installed is named otherwise."""

QUESTIONS = {
    "client": SETTINGS["client"],
    "lookup": (TYPE_ARGUMENT, BINDERS, CLIENT_KEY, WANTED_ZONE),
    "exec": (TYPE_ARGUMENT, BINDERS, CLIENT_KEY, WANTED_ZONE),
    "list": (BINDERS, CLIENT_KEY),
    "status": (BINDERS, CLIENT_KEY),
    "health": (BINDERS, CLIENT_KEY),
    "top": (BINDERS, CLIENT_KEY),
    "why": (TYPE_ARGUMENT, ADDRESS_ARGUMENT, BINDERS, CLIENT_KEY),
    "drain": (TYPE_ARGUMENT, ADDRESS_ARGUMENT, BINDERS, OPERATOR_KEY),
    "undrain": (TYPE_ARGUMENT, ADDRESS_ARGUMENT, BINDERS, OPERATOR_KEY),
}
"""The verbs that ask something and exit, and the settings of each."""

WATCHING = (TYPE_ARGUMENT, BINDERS_HTTP, CLIENT_KEY)


def main(arguments: Sequence[str] | None = None, program: str = "prr") -> int:
    """Run `program` with `arguments`, without its name; None: those of this process. The exit
    code."""
    open_standard_streams()
    try:
        return _run(program, arguments)
    except BadInput as error:
        print(f"prr: {in_one_line(str(error))}", file=sys.stderr)
        return USAGE
    except ImportError as error:
        if (error.name or "prr").partition(".")[0] == "prr":
            raise  # a bug
        print(f"prr: {in_one_line(_missing(error))}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 128 + 2  # what a shell reports for SIGINT
    except OutputLost as error:
        return give_up_output(error)


def _run(program: str, arguments: Sequence[str] | None) -> int:
    parsed = parser_of(program).parse_args(arguments)
    # Each verb imports what it needs and no more: a lookup need not wait for gevent to load.
    match parsed.verb:
        case "binder" | "server":
            return _run_role(parsed.verb, vars(parsed))
        case "run" | "announce":
            return _run_agent(parsed.verb, vars(parsed))
        case "watch":
            return _run_watch(vars(parsed))
        case "demo":
            from prr.demo.demo import run_demo

            return run_demo(parsed.kill, parsed.http)
        case "key":
            from prr.cli.key import run_key

            return run_key(parsed.action, vars(parsed))
        case verb:
            return _run_question(verb, vars(parsed))


def _run_role(role: str, flags: dict[str, Any]) -> int:
    """Run a binder or a server."""
    from prr.cli.roles import check_binder, check_server, run_binder, run_server

    if role == "binder":
        binder = check_binder if flags["check"] else run_binder
        return binder(lambda: _binder_config(flags))
    server = check_server if flags["check"] else run_server
    return server(lambda: _server_config(flags))


def _binder_config(flags: dict[str, Any]) -> BinderConfig:
    values = gather("binder", SETTINGS["binder"], flags)
    check_binder_key(values)
    return BinderConfig(**values)


def _server_config(flags: dict[str, Any]) -> ServerConfig:
    values = gather("server", SETTINGS["server"], flags)
    _need(values, TYPE)
    check_server_key(values)
    return ServerConfig(**values)


def _run_agent(verb: str, flags: dict[str, Any]) -> int:
    """Run an agent, with its program or for those of others."""
    from prr.cli.agents import run_announce, run_program

    if verb == "announce":
        return run_announce(lambda: _announced(flags))
    values = gather(verb, SETTINGS[verb], flags)
    _need(values, COMMAND, TYPE, PORT)
    check_server_key(values)
    return run_program(RunConfig(**values))


def _announced(flags: dict[str, Any]) -> list[AnnounceConfig]:
    rows = gather_each("announce", SETTINGS["announce"], flags)
    for values in rows:
        _need(values, TYPE, AT)
        check_server_key(values)
    return [AnnounceConfig(**values) for values in rows]


def _run_watch(flags: dict[str, Any]) -> int:
    """Watch services until somebody stops it."""
    from prr.cli.watch import run_watch

    values = gather("client", WATCHING, flags)
    _need(values, BINDERS_HTTP)
    return run_watch(values.get("type"), values["http"], values.get("key"), flags["output"])


def _run_question(verb: str, flags: dict[str, Any]) -> int:
    """Ask something and exit."""
    from prr.cli.ask import run_client, run_list, run_lookup, run_lookup_all
    from prr.cli.drain import check_drain, run_drain
    from prr.cli.exec import parse_codes, run_exec
    from prr.cli.formats import check_format
    from prr.cli.inspect import run_health, run_status, run_why

    settings = QUESTIONS[verb]
    values = gather("client", settings, flags)
    if verb == "client":
        _need(values, TYPE)
        return run_client(ClientConfig(**values), flags["hedge"])
    if verb == "exec":
        return run_exec(ClientConfig(**values), flags["command"], parse_codes(flags["complain_on"]))
    address = values.pop("address", None)
    config = ClientConfig(**{"type": 0} | values)
    if verb == "lookup":
        form = flags["format"] and check_format(flags["format"])
        looking_up = run_lookup_all if flags["all"] else run_lookup
        return looking_up(config, flags["output"], form)
    if verb == "list":
        return run_list(config, flags["output"])
    if verb == "status":
        return run_status(config, flags["output"])
    if verb == "health":
        return run_health(config)
    if verb == "top":
        from prr.cli.top import run_top

        return run_top(config, flags["once"])
    if verb == "undrain":
        return run_drain(config, address, 0, "", False)
    if verb == "drain":
        seconds = check_drain(flags["time"], flags["why"])
        return run_drain(config, address, seconds, flags["why"], flags["last"])
    assert verb == "why"
    return run_why(config, address, flags["output"])


def _missing(error: ImportError) -> str:
    """The message about a package that cannot be imported."""
    package = (error.name or "").partition(".")[0]
    package = DISTRIBUTIONS.get(package, package)
    lacks = f"{sys.executable} cannot load the package {package} ({error})"
    needed = f"--requirement {REQUIREMENTS}" if REQUIREMENTS.exists() else package
    return f"{lacks}; install it: {sys.executable} -m pip install {needed}"


def _need(values: dict[str, Any], *settings: Setting) -> None:
    for setting in settings:
        if setting.key not in values:
            raise BadInput(
                f"no {setting.key} given; use {setting.flag} {setting.metavar}: {setting.help}"
            )
