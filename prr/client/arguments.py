"""What programs pass, made sure of."""

from collections.abc import Iterable, Mapping
from functools import cache
from os import PathLike, fspath
from typing import TypeAlias, TypedDict

from prr.addresses import is_ip
from prr.config import BadInput, HostPort
from prr.particulars import check_tags, parse_tag, parse_weight, parse_zone
from prr.services import numbers_by_name
from prr.text import parse_host_port, parse_service
from prr.trust.credential import Holder
from prr.trust.keyring import Held
from prr.wire.fields import MESSAGE_BYTES_MAX
from prr.wire.instance import Service


def checked_service(service: Service) -> Service:
    """A service: a number from 0 to 255, or a name; one of conf/services.toml, which is read once,
    becomes its number. Raises ValueError."""
    if isinstance(service, str):
        return parse_service(service, _numbers())
    if type(service) is not int or not 0 <= service <= 255:
        raise ValueError(f"{service!r} is not a service; use a number from 0 to 255, or a name")
    return service


def checked_binders(binders: str | Iterable[str]) -> tuple[HostPort, ...]:
    """Binders, each "HOST:PORT", a single one perhaps alone; each once. Raises ValueError if there
    is none, or one is not valid."""
    binders = [binders] if isinstance(binders, str) else binders
    checked = tuple(dict.fromkeys(parse_host_port(binder) for binder in binders))
    if not checked:
        raise ValueError('no binders; give at least one "HOST:PORT"')
    return checked


Key: TypeAlias = str | PathLike[str] | Held
"""A credential, or the path of its file."""


def checked_key(key: Key | None, *holders: Holder) -> Held | None:
    """A credential whose holder is one of `holders`; None if there is none. Raises ValueError."""
    if key is None:
        return None
    from prr.key_files import check_holder, load_held, place_of  # only who has one needs it

    if not isinstance(key, Held):
        return load_held(place_of(fspath(key)), *holders)
    check_holder(key, *holders)
    return key


def checked_server_key(key: Key | None, service: Service) -> Held | None:
    """The same of a server of this service. Raises ValueError."""
    held = checked_key(key, Holder.SERVER)
    if held is not None:
        from prr.key_files import check_provides

        check_provides(held, service)
    return held


class Said(TypedDict):
    """What a server says of itself."""

    weight: int
    zone: str
    tags: tuple[tuple[str, str], ...]


SECONDS_MIN, SECONDS_MAX = 0.01, 86400.0
"""Between two checks: no program is asked more often, nor forgotten."""


def checked_seconds(name: str, seconds: float) -> float:
    """A time between two checks, or for one. Raises ValueError."""
    if isinstance(seconds, int | float) and SECONDS_MIN <= seconds <= SECONDS_MAX:
        return float(seconds)
    raise ValueError(f"{name} = {seconds!r}; use seconds, from {SECONDS_MIN:g} to {SECONDS_MAX:g}")


def checked_host(host: str | None) -> str | None:
    """An address of this host, None for the one to be found out. Raises ValueError."""
    if host is not None and not is_ip(host):
        raise ValueError(f"host = {host!r}; use an IPv4 or IPv6 address of this host")
    return host


def checked_port(port: int) -> int:
    """A port that others can reach. Raises ValueError."""
    if type(port) is not int or not 1 <= port <= 65535:
        raise ValueError(f"port = {port!r}; use a number from 1 to 65535")
    return port


def checked_particulars(weight: int, zone: str | None, tags: Mapping[str, str] | None) -> Said:
    """What a server says of itself, as settings have it. Raises ValueError."""
    pairs = [parse_tag(f"{key}={value}") for key, value in (tags or {}).items()]
    check_tags(pairs)
    where = "" if zone is None else parse_zone(zone)
    return {"weight": parse_weight(str(weight)), "zone": where, "tags": tuple(pairs)}


def checked_message(message: bytes) -> bytes:
    """A request, which fits into a frame. Raises TypeError, ValueError."""
    if not isinstance(message, bytes | bytearray | memoryview):
        raise TypeError(
            f'message must be bytes, not {type(message).__name__}; use b"..." or .encode()'
        )
    if len(message) > MESSAGE_BYTES_MAX:
        raise ValueError(
            f"a message of {len(message)} bytes; a frame holds {MESSAGE_BYTES_MAX} at most"
        )
    return bytes(message)


def check_timeout(timeout: float | None) -> None:
    """Raises ValueError for a time limit that is none."""
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout = {timeout}; use seconds, more than 0")


@cache
def _numbers() -> dict[str, int]:
    try:
        return numbers_by_name()
    except BadInput as error:
        raise ValueError(str(error)) from error
