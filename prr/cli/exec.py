"""The verb exec: look up an instance, and run a command with its address."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from prr.addresses import family_of, resolve_any
from prr.cli.ask import look_up
from prr.cli.formats import fill_in
from prr.config import BadInput, ClientConfig
from prr.wire.codec import Codec
from prr.wire.frames import Complaint, Role
from prr.wire.instance import Address, describe_address, make_instance
from prr.wire.seal import Seal

ANY: Address = ("0.0.0.0", 0)
"""Stands for an address that is not known yet."""

PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
"""Signals that mean the command. SIGINT it gets from the terminal, as this process does."""


def parse_codes(text: str | None) -> frozenset[int]:
    """The exit codes that `text` names: `any`, which is all but 0, or numbers with commas between.
    None names none. Raises BadInput."""
    if text is None:
        return frozenset()
    if text == "any":
        return frozenset(range(1, 256))
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", text):
        raise BadInput(f"{text!r} is not a list of exit codes; use any, or for example 7,28")
    return frozenset(map(int, text.split(",")))


def run_exec(config: ClientConfig, command: Sequence[str], codes: frozenset[int]) -> int:
    """Look up an instance, and run `command` with its address filled in; the command's exit code.
    If that is one of `codes`, the binders are told that the instance does not work."""
    if not any(fill_in(word, ANY) != word for word in command):
        raise BadInput(
            "the command has no place for the address; put {}, or {ip} and {port}, in it"
        )
    found = look_up(config)
    if isinstance(found, int):
        return found
    words = [fill_in(word, found) for word in command]
    try:
        if not codes:
            os.execvp(words[0], words)
        code = _run(words)
    except OSError as error:
        raise BadInput(f"cannot run {words[0]!r}: {error.strerror}; use another command") from error
    if code in codes:
        _complain(config, found)
        what = f"{words[0]} with {describe_address(found)} ended with exit code {code}"
        print(f"prr: {what}; the binders were told", file=sys.stderr)
    return code


def _run(words: list[str]) -> int:
    """Its exit code, or 128 and the number of the signal that killed it."""
    process = subprocess.Popen(words)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: process.send_signal(number))
    signal.signal(signal.SIGINT, lambda *_: None)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _complain(config: ClientConfig, address: Address) -> None:
    """Tell each binder once: whichever has named it asks it, and one that has lost this hears it
    from the others."""
    seal = None if config.key is None else Seal(secrets.randbits(64))
    frame = Complaint(make_instance(config.type, address), seal=seal)
    data = Codec(Role.CLIENT, keys=config.key).encode(frame)
    for binder in resolve_any(config.binders):
        with suppress(OSError), socket.socket(family_of(binder), socket.SOCK_DGRAM) as telling:
            telling.sendto(data, binder)
