"""The ways in which etcd does not do what it was asked, and how it says so."""

from urllib.parse import unquote


class Failure(Exception):
    """etcd did not do what it was asked. Here are the ways in which it does not."""


class Unavailable(Failure):
    """A server cannot be asked now, or does not know what became of the request."""


class Rejected(Failure):
    """A request is not valid, however often it is made."""


class Compacted(Failure):
    """The state that was asked for is gone, since etcd has compacted its history, or is to come."""


class LeaseGone(Failure):
    """There is no such lease, or not any more."""


class NoRoom(Failure):
    """etcd has reached its quota, and takes nothing more until an operator has made room."""


class Denied(Failure):
    """This user may not do that."""


class LoggedOut(Failure):
    """There is no token, or it is not valid, or not any more."""


OK = "0"
"""The status of a request that was carried out."""

_INVALID, _NOT_FOUND, _DENIED, _EXHAUSTED, _OUT_OF_RANGE, _UNAUTHENTICATED = (
    "3",
    "5",
    "7",
    "8",
    "11",
    "16",
)
"""Of the other statuses of gRPC those that are of use here."""

_LOGGED_OUT = ("etcdserver: user name is empty", "etcdserver: revision of auth store is old")
"""What etcd says, with _INVALID, to a request without a token, and to a token from before its users
were changed."""

_RAISED: dict[str, type[Failure]] = {
    _INVALID: Rejected,
    _NOT_FOUND: LeaseGone,
    _DENIED: Denied,
    _EXHAUSTED: NoRoom,
    _OUT_OF_RANGE: Compacted,
    _UNAUTHENTICATED: LoggedOut,
}


def failure_of(name: str, status: str, message: str) -> Failure:
    """What the server `name` means by a `grpc-status` other than OK and its `grpc-message`."""
    why = unquote(message, errors="replace")
    if why in _LOGGED_OUT:
        return LoggedOut(f"{name}: {why}")
    if status == _EXHAUSTED and "space" not in why:  # too many requests at once
        return Unavailable(f"{name}: {why}")
    return _RAISED.get(status, Unavailable)(f"{name}: {why or f'status {status}'}")
