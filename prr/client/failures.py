"""From the outcome of an exchange that went wrong to the error that says so."""

from prr.client.errors import (
    NoBinderAnswered,
    NoSuchService,
    PrrError,
    ServiceDidNotAnswer,
    ServiceFailed,
)
from prr.core import outcomes
from prr.wire.instance import Address, Service, describe_address


def error_of(service: Service, outcome: outcomes.Outcome) -> PrrError:
    """The error; `outcome` is none of those that went well."""
    what = "service of type" if isinstance(service, int) else "service"
    what = f"{what} {service}"
    match outcome:
        case outcomes.UnknownService(binder=binder):
            why = f"binder {describe_address(binder)} knows no {what}"
            return NoSuchService(why, service=service, binder=binder)
        case outcomes.NoBinder(asked=asked, nameless=nameless) if nameless:
            why = _too_old("knows services by name", asked, nameless)
            return NoBinderAnswered(f"{why}, or a number", service=service)
        case outcomes.NoBinder(asked=asked, limit=limit):
            names = ", ".join(describe_address(binder) for binder in asked)
            why = f"no binder answered within {limit:g} s (asked {names})"
            return NoBinderAnswered(why, service=service)
        case outcomes.NoService(address=address, binder=binder, why=why):
            why = f"{what} at {describe_address(address)}: {why}; "
            why += f"binder {describe_address(binder)} was told"
            return ServiceDidNotAnswer(why, service=service, address=address, binder=binder)
        case outcomes.Failure(address=address, why=why):
            why = f"{what} at {describe_address(address)} failed: {why}"
            return ServiceFailed(why, service=service, address=address)
        case _:
            raise AssertionError(f"not an error: {outcome}")


def lists_nothing(service: Service, outcome: outcomes.NoBinder) -> PrrError:
    """The same of who asked for all instances of a service."""
    if outcome.nameless:
        why = _too_old("lists services", outcome.asked, outcome.nameless)
        return NoBinderAnswered(why, service=service)
    return error_of(service, outcome)


def _too_old(what: str, asked: tuple[Address, ...], older: tuple[Address, ...]) -> str:
    """That no binder answered which does `what`, and what to do about those that do not."""
    names = ", ".join(map(describe_address, older))
    silent = ", ".join(describe_address(one) for one in asked if one not in older)
    why = f"no binder that {what} answered; older than that: {names}"
    why += f"; silent: {silent}" if silent else ""
    return f"{why}. Use this version there"
