"""The servers of one etcd cluster: one of them is asked, until it fails, then the next one."""

import time
from collections.abc import Iterator
from pathlib import Path
from ssl import SSLContext
from typing import TypeVar

from prr.config import HostPort
from prr.shell.etcd.channel import Channel
from prr.shell.etcd.failures import LoggedOut, Unavailable
from prr.shell.etcd.schema import AUTHENTICATE, AuthenticateRequest, Message, Method

LOG_IN_PAUSE = 5.0
"""Seconds between two attempts to log in, once one was refused: etcd takes 60 ms of a CPU for each,
so that nobody can guess many passwords."""

_Q = TypeVar("_Q", bound=Message)
_R = TypeVar("_R", bound=Message)


class Endpoints:
    """Asks whichever server answers."""

    def __init__(
        self,
        endpoints: tuple[HostPort, ...],
        first: int,
        tls: SSLContext | None = None,
        user: str = "",
        password: Path | None = None,
    ) -> None:
        """`first` is the number of the one that is asked first: another one for each binder, so
        that not all ask the same. `password` is a file, which is read whenever it is needed."""
        self._channels = [Channel(endpoint, tls) for endpoint in endpoints]
        self._turn = first % len(endpoints)
        self._user, self._password = user, password
        self._token = ""
        self._log_in_at, self._why_not = 0.0, ""
        self._failed: set[str] = set()
        self.have_all_failed = True
        """Every server has failed, one after the other, since this was last set to False: they may
        all have been stopped, and started with an older state."""

    @property
    def current(self) -> str:
        """The server that is asked now."""
        return self._channels[self._turn].name

    def call(self, method: Method[_Q, _R], request: _Q) -> _R:
        """The answer to a request; see `Channel.call`. Raises as that does, but LoggedOut."""
        channel = self._channels[self._turn]
        try:
            answer = self._logged_in(channel, method, request)
        except Unavailable:
            self._leave(channel)
            raise
        self._failed.clear()
        return answer

    def stream(self, method: Method[_Q, _R], request: _Q) -> Iterator[_R]:
        """The messages of an answer that streams; see `Channel.stream`. One at a time."""
        channel = self._channels[self._turn]
        try:
            yield from channel.stream(method, request, self._token)
        except LoggedOut as error:
            self._token = ""
            raise Unavailable(str(error)) from error
        except Unavailable:
            self._leave(channel)
            raise

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels:
            channel.close()

    def _logged_in(self, channel: Channel, method: Method[_Q, _R], request: _Q) -> _R:
        try:
            return channel.call(method, request, self._token)
        except LoggedOut:  # a token lives for some minutes, and is needed where there are users
            self._log_in(channel)
        try:
            return channel.call(method, request, self._token)
        except LoggedOut as error:
            raise Unavailable(str(error)) from error

    def _log_in(self, channel: Channel) -> None:
        self._token = ""
        if self._password is None:
            raise Unavailable(f"{channel.name} wants a user; use --store-user")
        if time.monotonic() < self._log_in_at:
            raise Unavailable(self._why_not)
        try:
            password = self._password.read_text().strip()
        except (OSError, ValueError) as error:
            raise Unavailable(f"the password cannot be read: {error}") from error
        request = AuthenticateRequest(name=self._user, password=password)
        try:
            self._token = channel.call(AUTHENTICATE, request).token
        except Unavailable:
            raise
        except Exception as error:
            self._log_in_at = time.monotonic() + LOG_IN_PAUSE
            self._why_not = f"user {self._user} is refused: {error}"
            raise Unavailable(self._why_not) from error

    def _leave(self, channel: Channel) -> None:
        """Ask the next one from now on, unless another request has found out before. What streams
        from there ends: it may be silent for a while before that shows."""
        self._failed.add(channel.name)
        channel.end_stream()
        if len(self._failed) == len(self._channels):
            self.have_all_failed = True
        if self._channels[self._turn] is channel:
            self._turn = (self._turn + 1) % len(self._channels)
