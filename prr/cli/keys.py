"""What --key names, for each role.

A process that has read a key makes no core dump, which would hold it; a program that it starts
does as ever.
"""

from typing import Any

from prr.config import BadInput, Require
from prr.trust.credential import Holder
from prr.trust.keyring import Held, Keyring

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def parse_keyring(text: str) -> Keyring:
    """The keyring in the file that `text` names. Raises ValueError."""
    from prr.key_files import load_keyring, place_of

    _forbid_core_dumps()
    return load_keyring(place_of(text))


def parse_server_key(text: str) -> Held:
    """A server's credential. Raises ValueError."""
    return _parse(text, Holder.SERVER)


def parse_client_key(text: str) -> Held:
    """The credential of who asks: a client's, or an operator's. Raises ValueError."""
    return _parse(text, Holder.CLIENT, Holder.OPERATOR)


def parse_operator_key(text: str) -> Held:
    """An operator's credential. Raises ValueError."""
    return _parse(text, Holder.OPERATOR)


def check_binder_key(values: dict[str, Any]) -> None:
    """Fill in what `require` is where it is not set. Raises BadInput if a binder is to require keys
    and has none."""
    if values.get("key") is not None:
        values.setdefault("require", Require.ON)
        return
    require = values.get("require", Require.OFF)
    if require is not Require.OFF or values.get("require_lookup"):
        what = "require_lookup" if require is Require.OFF else f"require = {require}"
        raise BadInput(
            f"{what}, but no key; make one with `key new > cluster.key`, copy it to all binders, "
            f"and use --key cluster.key"
        )


def check_server_key(values: dict[str, Any]) -> None:
    """Raises BadInput if a server's key is not for its service."""
    if values.get("key") is not None:
        from prr.key_files import check_provides

        try:
            check_provides(values["key"], values["type"])
        except ValueError as error:
            raise BadInput(str(error)) from None


def _parse(text: str, *holders: Holder) -> Held:
    from prr.key_files import load_held, place_of

    _forbid_core_dumps()
    return load_held(place_of(text), *holders)


def _forbid_core_dumps() -> None:
    from ctypes import CDLL  # 5 ms, which only who has a key need take

    CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
