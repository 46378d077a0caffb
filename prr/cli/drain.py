"""The verbs drain and undrain."""

import re
import sys

from prr.cli.everyone import ask_each
from prr.cli.exits import NO, NO_BINDER, YES
from prr.cli.output import say
from prr.client.control import drain
from prr.config import BadInput, ClientConfig, HostPort
from prr.wire.instance import describe, describe_address, make_instance
from prr.wire.particulars import DRAIN_SECONDS_MAX, DRAIN_WHY_BYTES_MAX, is_line
from prr.wire.trailer import Drained

_UNITS = {"s": 1, "m": 60, "h": 3600}


def check_drain(time: str, why: str) -> int:
    """The whole seconds that a `time` means, as 90s, 10m, 2h; BadInput if it is none up to a day,
    or if `why` is no line."""
    found = re.fullmatch(r"([0-9]{1,5})([smh]?)", time)
    seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
    if not 0 < seconds <= DRAIN_SECONDS_MAX:
        raise BadInput(f"--for: {time!r} is not a valid time; use 90s, 10m or 2h, up to 24h")
    size = len(why.encode(errors="replace"))
    if size > DRAIN_WHY_BYTES_MAX:
        raise BadInput(f"--why has {size} bytes; use at most {DRAIN_WHY_BYTES_MAX}")
    if not is_line(why.encode(errors="surrogateescape")):
        raise BadInput("--why is no line of text; leave control characters out")
    return seconds


def run_drain(config: ClientConfig, address: HostPort, seconds: int, why: str, last: bool) -> int:
    """Have one of the binders drain an instance for so many seconds, 0: no longer. It tells the
    others. 1: it does not, and says why."""
    instance = make_instance(config.type, address)
    name = describe(instance)
    became: dict[str, Drained] = {}
    for binder in config.binders:  # one after the other: the first that holds it is enough
        (said,) = ask_each(
            (binder,), lambda to: drain(to, instance, seconds, why, last, config.key)
        )
        if said.answer is not None:
            became[said.binder] = said.answer
        if said.answer in (Drained.DONE, Drained.GONE):
            say(_done(name, seconds, said.answer))
            return YES
        if said.answer not in (None, Drained.NOT_HELD):
            break
    if not became:
        names = ", ".join(map(describe_address, config.binders))
        hint = "is a binder running there? A binder takes this from its own host, or, if it "
        hint += "requires keys, from operators (--key)"
        print(f"prr: no answer from {names}; {hint}", file=sys.stderr)
        return NO_BINDER
    for where, answer in became.items():
        print(f"prr: {name} at binder {where}: {_refused(answer)}", file=sys.stderr)
    return NO


def _done(name: str, seconds: int, answer: Drained) -> str:
    if answer is Drained.GONE:
        return f"{name} is gone at the moment; it is not drained when it is back"
    if not seconds:
        return f"{name} is not drained"
    return f"{name} is drained for {seconds} s: out of turn, for all binders"


def _refused(answer: Drained) -> str:
    match answer:
        case Drained.LAST:
            return (
                "it is the last of its service in turn; use --last to drain it all the same: it "
                "is handed out then while its service has no other"
            )
        case Drained.TOO_MANY:
            return "too many are drained already; undrain some"
        case _:
            return "it is not held there; list shows what is"
