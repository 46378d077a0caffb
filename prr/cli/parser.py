"""The command line's arguments: the verbs, and the flags of each."""

import argparse
from typing import Any, NoReturn

from prr import __version__
from prr.cli.examples import EXAMPLES, NO_SETTINGS
from prr.cli.output import say
from prr.cli.setting import Setting
from prr.cli.settings import default_text
from prr.cli.settings_table import (
    ADDRESS_ARGUMENT,
    BINDERS,
    BINDERS_HTTP,
    CLIENT_KEY,
    OPERATOR_KEY,
    SETTINGS,
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
from prr.demo.cast import CHOOSE, SERVERS, VICTIM

_EPILOG = """\
exit codes:
  0 yes, or stopped as asked     1 no: no such service, no record, not well     2 wrong usage
  3 no binder answered     4 the service did not answer, and the binder was told
  5 stdout is closed or full     6 status: a binder is degraded     130 interrupted

A setting comes from its flag, else from the environment (PRR_LISTEN, PRR_BINDERS, PRR_PEERS, ...),
else from the --config file (see conf/prr.toml), else it has its default."""

_CONFIGS = {
    "binder": BinderConfig,
    "server": ServerConfig,
    "run": RunConfig,
    "announce": AnnounceConfig,
}
"""What a verb's settings configure, where that is not a client."""


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        from prr.trust.key_file import without_keys

        raise BadInput(f"{without_keys(message)}; see {self.prog} --help")

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


def parser_of(program: str) -> argparse.ArgumentParser:
    """What reads the arguments of `program`, as it is called in its help."""
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
    _add_roles(verbs)
    _add_lookups(verbs)
    _add_inspecting(verbs)
    _add_events(verbs)
    _add_draining(verbs)
    _add_keys(verbs)
    _add_demo(verbs)
    return parser


def _add_roles(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    """The verbs whose settings are a table in the file."""
    for verb, help_text in (
        ("binder", "run a binder: track services, answer lookups"),
        ("server", "run an echo server"),
        ("run", "run a program that knows nothing of binders, and speak to them for it"),
        ("announce", "speak to binders for a program that somebody else runs on this host"),
        ("client", "look up a service and call it"),
    ):
        added = _add_verb(verbs, verb, help_text)
        for setting in SETTINGS[verb]:
            _add_setting(added, setting, _CONFIGS.get(verb, ClientConfig))
        if verb == "client":
            hedging = "call another instance too when one refuses or is late; take the first answer"
            added.add_argument("--hedge", action="store_true", help=hedging)
        elif verb in ("binder", "server"):
            checking = "check the settings, and exit"
            added.add_argument("--check", action="store_true", help=checking)


def _add_lookups(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    """The verbs that look up, for what does not itself."""
    lookup = _add_verb(verbs, "lookup", "look up one instance: print ip:port")
    lookup.add_argument("type", metavar="SERVICE", help=TYPE_ARGUMENT.help)
    forming = "what to print: {ip}, {port} and {} (both) filled in, or url:SCHEME"
    _add_question(lookup).add_argument("--format", metavar="TEXT", help=forming)
    _add_setting(lookup, WANTED_ZONE)
    lookup.add_argument("--all", action="store_true", help="print all instances of the service")
    executing = _add_verb(verbs, "exec", "look up one instance and run a command with its address")
    _add_setting(executing, BINDERS)
    _add_setting(executing, CLIENT_KEY)
    _add_setting(executing, WANTED_ZONE)
    complaining = (
        "exit codes that mean that it does not work, with commas, or any: tell the binders"
    )
    executing.add_argument("--complain-on", metavar="CODES", help=complaining)
    executing.add_argument("type", metavar="SERVICE", help=TYPE_ARGUMENT.help)
    commanding = "what to run, behind --: {} becomes ip:port, {ip} and {port} one of both"
    executing.add_argument("command", nargs="+", metavar="COMMAND", help=commanding)


def _add_inspecting(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    """The verbs that show how binders are, and what they know."""
    _add_question(_add_verb(verbs, "list", "list the instances that binders know"))
    _add_question(_add_verb(verbs, "status", "show the health and the peers of binders"))
    health = _add_verb(verbs, "health", "check binders, in one line (exit code 0: all are well)")
    _add_setting(health, BINDERS)
    _add_setting(health, CLIENT_KEY)
    top = _add_verb(verbs, "top", "watch binders, services and what becomes of instances")
    _add_setting(top, BINDERS)
    _add_setting(top, CLIENT_KEY)
    top.add_argument("--once", action="store_true", help="print what there is now, and exit")


def _add_events(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    """The verbs that say what has happened, and what happens."""
    why = _add_verb(verbs, "why", "show what happened to one instance, and why")
    why.add_argument("type", metavar="SERVICE", help=TYPE_ARGUMENT.help)
    why.add_argument("address", metavar="ADDRESS", help=ADDRESS_ARGUMENT.help)
    _add_question(why)
    watch = _add_verb(verbs, "watch", "print what is there, then every change as it happens")
    watch.add_argument("type", metavar="SERVICE", nargs="?", help=TYPE_ARGUMENT.help)
    _add_setting(watch, BINDERS_HTTP)
    _add_setting(watch, CLIENT_KEY)
    _add_output(watch)


def _add_demo(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    demo = _add_verb(verbs, "demo", "run a small cluster and watch it survive crashes")
    killing = "the server to kill, A to F (default: B); without a letter you are asked"
    demo.add_argument(
        "--kill",
        metavar="SERVER",
        nargs="?",
        choices=[*SERVERS, CHOOSE],
        default=VICTIM,
        const=CHOOSE,
        help=killing,
    )
    page = "serve a page of the cluster, and go on until Ctrl-C"
    demo.add_argument("--http", action="store_true", help=page)


def _add_draining(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    """The verbs that take an instance out of turn, and put it back."""
    drain = _add_verb(verbs, "drain", "take one instance out of turn for a time, at all binders")
    undrain = _add_verb(verbs, "undrain", "put a drained instance back in turn")
    for verb in (drain, undrain):
        verb.add_argument("type", metavar="SERVICE", help=TYPE_ARGUMENT.help)
        verb.add_argument("address", metavar="ADDRESS", help=ADDRESS_ARGUMENT.help)
        _add_setting(verb, BINDERS)
        _add_setting(verb, OPERATOR_KEY)
    timing = "how long, such as 90s, 10m or 2h, at most a day; it ends by itself (default: 10m)"
    drain.add_argument("--for", dest="time", metavar="TIME", default="10m", help=timing)
    telling = "why, for whoever asks list or why: a line of at most 100 bytes"
    drain.add_argument("--why", metavar="TEXT", default="", help=telling)
    forcing = "even if it is the last of its service in turn, which has nothing else to hand out"
    drain.add_argument("--last", action="store_true", help=forcing)


def _add_keys(verbs: "argparse._SubParsersAction[_VerbParser]") -> None:
    """The verb key, and what it does."""
    key = _add_verb(verbs, "key", "make the keys of a cluster, and change them")
    actions = key.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=_VerbParser
    )
    printing = "; if stdout is a file, it becomes readable by its owner only"
    _add_verb(actions, "key new", f"print a keyring with a new secret{printing}")
    for action, help_text in (
        ("rotate", "put a new secret in front, which signs; the others are still believed"),
        ("prune", "leave only the newest secret"),
        ("server", f"print a credential for servers of one service{printing}"),
        ("client", f"print a credential that may look services up, and complain{printing}"),
        ("operator", f"print a credential that may drain, and ask for the status{printing}"),
        ("show", "say what a key file is, and nothing that is secret"),
    ):
        added = _add_verb(actions, f"key {action}", help_text)
        if action == "server":
            added.add_argument("--type", metavar="SERVICE", required=True, help=TYPE_ARGUMENT.help)
            placing = "a network where its instances may be besides its own host; may be repeated"
            added.add_argument("--host", metavar="CIDR", action="append", help=placing)
        if action in ("server", "client", "operator"):
            naming = "who it is, such as web-7: for the log, and to revoke it"
            added.add_argument("--id", metavar="ID", required=True, help=naming)
        what = "a key file" if action == "show" else "the cluster's keyring"
        added.add_argument("file", metavar="FILE", help=what)


def _add_verb(
    verbs: "argparse._SubParsersAction[_VerbParser]", verb: str, help_text: str
) -> argparse.ArgumentParser:
    added = verbs.add_parser(
        verb.rpartition(" ")[2],
        help=help_text,
        description=help_text,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.epilog = f"example: {added.prog} {EXAMPLES[verb]}".rstrip() + f"\n\n{_EPILOG}"
    if verb.partition(" ")[0] not in NO_SETTINGS:
        added.add_argument(
            "--config", metavar="FILE", help="TOML file with settings; see conf/prr.toml"
        )
    return added


def _add_question(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The arguments of every verb that queries binders; the group of how to print the answer."""
    _add_setting(parser, BINDERS)
    _add_setting(parser, CLIENT_KEY)
    return _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The argument that says how to print; the group of all that do."""
    printing = parser.add_mutually_exclusive_group()
    printing.add_argument(
        "--output",
        choices=("table", "json"),
        default="table",
        help="how to print it (default: table)",
    )
    return printing


def _add_setting(
    parser: argparse.ArgumentParser, setting: Setting, config: type[Any] = ClientConfig
) -> None:
    default = default_text(config, setting.key)
    if setting.is_command:
        parser.add_argument(setting.key, nargs="*", metavar="COMMAND", help=setting.help)
        return
    if setting.is_switch:
        parser.add_argument(
            setting.flag, dest=setting.key, action="store_const", const="true", help=setting.help
        )
        return
    parser.add_argument(
        setting.flag,
        dest=setting.key,
        metavar=setting.metavar,
        help=_with_default(setting.help, default),
        action="append" if setting.many else "store",
    )


def _with_default(help_text: str, default: str) -> str:
    """A setting's help with its default, unless that is said there."""
    if not default or "(default: " in help_text:
        return help_text
    return f"{help_text} (default: {default})"
