"""The command line: one verb, its settings, its exit code."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from prr.cli.exits import USAGE
from prr.cli.settings import BINDERS, SETTINGS, TYPE_ARGUMENT, Setting, gather
from prr.cli.streams import OutputLost, give_up_output, open_standard_streams
from prr.config import BadInput, BinderConfig, ClientConfig, ServerConfig

_EPILOG = """\
exit codes: 0 yes, 1 no such service, 2 wrong usage, 3 no binder answered, 4 the service did not
answer and the binder was told. A value comes from its flag, else from the environment (PRR_LISTEN,
PRR_BINDERS, PRR_PEERS, ...), else from the file of --config (see conf/prr.toml), else it is the
default."""


class _Parser(argparse.ArgumentParser):
    """argparse, saying what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str]) -> int:
    """Run `node.py` with `arguments` (without its own name); the exit code."""
    open_standard_streams()
    try:
        return _run(arguments)
    except BadInput as error:
        print(f"prr: {_in_one_line(str(error))}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 128 + 2  # what a shell reports for SIGINT
    except OutputLost as error:
        return give_up_output(error)


def _run(arguments: Sequence[str]) -> int:
    parsed = _parser().parse_args(arguments)
    flags = vars(parsed)
    # Each verb imports what it needs and no more: a look-up need not wait for gevent to load.
    match parsed.verb:
        case "binder":
            from prr.cli.roles import run_binder

            return run_binder(BinderConfig(**_values("binder", flags)))
        case "server":
            from prr.cli.roles import run_server

            values = _values("server", flags)
            _need_type(values)
            return run_server(ServerConfig(**values))
        case "client":
            from prr.cli.ask import run_client

            values = _values("client", flags)
            _need_type(values)
            return run_client(ClientConfig(**values))
        case "lookup":
            from prr.cli.ask import run_lookup

            values = gather("client", (TYPE_ARGUMENT, BINDERS), flags)
            return run_lookup(ClientConfig(**values))
        case "list":
            from prr.cli.ask import run_list

            values = gather("client", (BINDERS,), flags)
            return run_list(ClientConfig(type=0, **values).binders, parsed.output)
        case verb:
            assert verb == "demo"
            from prr.cli.demo import run_demo

            return run_demo()


def _in_one_line(text: str) -> str:
    """`text` with what would break the line, or a terminal, written out."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def _values(role: str, flags: dict[str, Any]) -> dict[str, Any]:
    return gather(role, SETTINGS[role], flags)


def _need_type(values: dict[str, Any]) -> None:
    if "type" not in values:
        raise BadInput("no service type given; write --type TYPE, a number from 0 to 255 or a name")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="node.py",
        description="prr, a redundant service binder",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, help_text in (
        ("binder", "keep who gives what, and tell clients"),
        ("server", "give the echo service"),
        ("client", "find a service and call it"),
    ):
        added = _add_verb(verbs, verb, help_text)
        for setting in SETTINGS[verb]:
            _add_setting(added, setting)
    lookup = _add_verb(verbs, "lookup", "ask once: prints ip:port")
    lookup.add_argument("type", metavar="TYPE", help="0 to 255, or a name in conf/services.toml")
    _add_setting(lookup, BINDERS)
    listing = _add_verb(verbs, "list", "print all that a binder knows")
    _add_setting(listing, BINDERS)
    listing.add_argument("--output", choices=("table", "json"), default="table")
    verbs.add_parser("demo", help="watch three binders, their servers, and a crash or two")
    return parser


def _add_verb(
    verbs: "argparse._SubParsersAction[_Parser]", verb: str, help_text: str
) -> argparse.ArgumentParser:
    added = verbs.add_parser(verb, help=help_text, description=help_text, allow_abbrev=False)
    added.add_argument("--config", metavar="FILE", help="a TOML file; see conf/prr.toml")
    return added


def _add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    parser.add_argument(
        setting.flag,
        dest=setting.key,
        metavar=setting.metavar,
        help=setting.help,
        action="append" if setting.many else "store",
    )
