"""The command line: one verb, its settings, its exit code."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from prr import __version__
from prr.cli.exits import USAGE
from prr.cli.output import OutputLost, give_up_output, open_standard_streams, say
from prr.cli.settings import (
    ADDRESS_ARGUMENT,
    BINDERS,
    SETTINGS,
    TYPE_ARGUMENT,
    Setting,
    default_text,
    gather,
)
from prr.config import BadInput, BinderConfig, ClientConfig, ServerConfig

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"

QUESTIONS = {
    "client": SETTINGS["client"],
    "lookup": (TYPE_ARGUMENT, BINDERS),
    "list": (BINDERS,),
    "status": (BINDERS,),
    "health": (BINDERS,),
    "why": (TYPE_ARGUMENT, ADDRESS_ARGUMENT, BINDERS),
}
"""The verbs that ask something and exit, and the settings of each."""

_EPILOG = """\
exit codes:
  0 yes, or stopped as asked     1 no: no such service, no record, not well     2 wrong usage
  3 no binder answered     4 the service did not answer, and the binder was told
  5 stdout is closed or full     6 status: a binder is degraded     130 interrupted

A setting comes from its flag, else from the environment (PRR_LISTEN, PRR_BINDERS, PRR_PEERS, ...),
else from the --config file (see conf/prr.toml), else it has its default."""

_EXAMPLES = {
    "binder": "--listen 10.0.0.1:2222 --peer 10.0.0.2:2222",
    "server": "--type echo --binder 10.0.0.1:2222 --binder 10.0.0.2:2222",
    "client": "--type echo --message salut",
    "lookup": "echo --binder 10.0.0.1:2222",
    "list": "--output json",
    "status": "--binder 127.0.0.1:2222",
    "health": "--binder 10.0.0.1:2222 --binder 10.0.0.2:2222",
    "why": "echo 10.0.0.7:4242",
    "demo": "",
}
"""The arguments of the example in each verb's help."""

_CONFIGS = {"binder": BinderConfig, "server": ServerConfig}
"""What a verb's settings configure, where that is not a client."""


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: object = None) -> None:
        """Help is data: it goes to stdout, and failing to write it is an error."""
        say(message.rstrip("\n"))


class _VerbParser(_Parser):
    """The parser of one verb's arguments: an unknown one points to that verb's help."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return known, rest


def main(arguments: Sequence[str] | None = None, program: str = "prr") -> int:
    """Run `program` with `arguments`, without its name; None: those of this process. The exit
    code."""
    open_standard_streams()
    try:
        return _run(program, arguments)
    except BadInput as error:
        print(f"prr: {_in_one_line(str(error))}", file=sys.stderr)
        return USAGE
    except ImportError as error:
        if (error.name or "prr").partition(".")[0] == "prr":
            raise  # a bug
        print(f"prr: {_in_one_line(_missing(error))}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 128 + 2  # what a shell reports for SIGINT
    except OutputLost as error:
        return give_up_output(error)


def _run(program: str, arguments: Sequence[str] | None) -> int:
    parsed = _parser(program).parse_args(arguments)
    # Each verb imports what it needs and no more: a lookup need not wait for gevent to load.
    match parsed.verb:
        case "binder" | "server":
            return _run_role(parsed.verb, vars(parsed))
        case "demo":
            from prr.demo.demo import run_demo

            return run_demo()
        case verb:
            return _run_question(verb, vars(parsed))


def _run_role(role: str, flags: dict[str, Any]) -> int:
    """Run a binder or a server."""
    from prr.cli.roles import check_binder, check_server, run_binder, run_server

    if role == "binder":
        binder = check_binder if flags["check"] else run_binder
        return binder(lambda: BinderConfig(**gather(role, SETTINGS[role], flags)))
    server = check_server if flags["check"] else run_server
    return server(lambda: _server_config(flags))


def _server_config(flags: dict[str, Any]) -> ServerConfig:
    values = gather("server", SETTINGS["server"], flags)
    _need_type(values)
    return ServerConfig(**values)


def _run_question(verb: str, flags: dict[str, Any]) -> int:
    """Ask something and exit."""
    from prr.cli.ask import run_client, run_list, run_lookup
    from prr.cli.inspect import run_health, run_status, run_why

    settings = QUESTIONS[verb]
    values = gather("client", settings, flags)
    if verb == "client":
        _need_type(values)
        return run_client(ClientConfig(**values), flags["hedge"])
    address = values.pop("address", None)
    config = ClientConfig(**{"type": 0} | values)
    if verb == "lookup":
        return run_lookup(config, flags["output"])
    if verb == "list":
        return run_list(config.binders, flags["output"])
    if verb == "status":
        return run_status(config.binders, flags["output"])
    if verb == "health":
        return run_health(config.binders)
    assert verb == "why"
    return run_why(config, address, flags["output"])


def _missing(error: ImportError) -> str:
    """The message about a package that cannot be imported."""
    lacks = f"{sys.executable} cannot load the package {error.name} ({error})"
    needed = f"--requirement {REQUIREMENTS}" if REQUIREMENTS.exists() else error.name
    return f"{lacks}; install it: {sys.executable} -m pip install {needed}"


def _in_one_line(text: str) -> str:
    """`text` with unprintable characters escaped: it stays one line, and harmless to a terminal."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def _need_type(values: dict[str, Any]) -> None:
    if "type" not in values:
        raise BadInput("no service given; use --type SERVICE, a number from 0 to 255 or a name")


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        description="prr, a redundant service binder",
        epilog=f"example: {program} lookup echo\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"prr {__version__}")
    verbs = parser.add_subparsers(
        dest="verb", required=True, metavar="VERB", parser_class=_VerbParser
    )
    for verb, help_text in (
        ("binder", "run a binder: track services, answer lookups"),
        ("server", "run an echo server"),
        ("client", "look up a service and call it"),
    ):
        added = _add_verb(verbs, verb, help_text)
        for setting in SETTINGS[verb]:
            _add_setting(added, setting, _CONFIGS.get(verb, ClientConfig))
        if verb == "client":
            hedging = "call another instance too when one refuses or is late; take the first answer"
            added.add_argument("--hedge", action="store_true", help=hedging)
        else:
            checking = "check the settings, and exit"
            added.add_argument("--check", action="store_true", help=checking)
    lookup = _add_verb(verbs, "lookup", "look up one instance: print ip:port")
    lookup.add_argument("type", metavar="SERVICE", help=TYPE_ARGUMENT.help)
    _add_question(lookup)
    _add_question(_add_verb(verbs, "list", "list the instances that binders know"))
    _add_question(_add_verb(verbs, "status", "show the health and the peers of binders"))
    health = _add_verb(verbs, "health", "check binders, in one line (exit code 0: all are well)")
    _add_setting(health, BINDERS)
    why = _add_verb(verbs, "why", "show what happened to one instance, and why")
    why.add_argument("type", metavar="SERVICE", help=TYPE_ARGUMENT.help)
    why.add_argument("address", metavar="ADDRESS", help=ADDRESS_ARGUMENT.help)
    _add_question(why)
    _add_verb(verbs, "demo", "run a small cluster and watch it survive crashes")
    return parser


def _add_verb(
    verbs: "argparse._SubParsersAction[_VerbParser]", verb: str, help_text: str
) -> argparse.ArgumentParser:
    added = verbs.add_parser(
        verb,
        help=help_text,
        description=help_text,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.epilog = f"example: {added.prog} {_EXAMPLES[verb]}".rstrip() + f"\n\n{_EPILOG}"
    if verb != "demo":
        added.add_argument(
            "--config", metavar="FILE", help="TOML file with settings; see conf/prr.toml"
        )
    return added


def _add_question(parser: argparse.ArgumentParser) -> None:
    """The arguments of every verb that queries binders."""
    _add_setting(parser, BINDERS)
    parser.add_argument(
        "--output",
        choices=("table", "json"),
        default="table",
        help="how to print it (default: table)",
    )


def _add_setting(
    parser: argparse.ArgumentParser, setting: Setting, config: type[Any] = ClientConfig
) -> None:
    default = default_text(config, setting.key)
    parser.add_argument(
        setting.flag,
        dest=setting.key,
        metavar=setting.metavar,
        help=f"{setting.help} (default: {default})" if default else setting.help,
        action="append" if setting.many else "store",
    )
