"""What programs pass, made sure of."""

from collections.abc import Iterable
from functools import cache

from prr.config import BadInput, HostPort
from prr.services import numbers_by_name
from prr.text import parse_host_port, parse_service
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


@cache
def _numbers() -> dict[str, int]:
    try:
        return numbers_by_name()
    except BadInput as error:
        raise ValueError(str(error)) from error
