"""The servers of one etcd cluster: one of them is asked, until it fails, then the next one."""

import time
from collections.abc import Iterator
from pathlib import Path
from ssl import SSLContext
from typing import Any

from prr.config import HostPort
from prr.shell.etcd.gateway import Gateway, LoggedOut, Unavailable

LOG_IN_PAUSE = 5.0
"""Seconds between two attempts to log in, once one was refused: etcd takes 60 ms of a CPU for each,
so that nobody can guess many passwords."""


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
        self._gateways = [Gateway(endpoint, tls) for endpoint in endpoints]
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
        return self._gateways[self._turn].name

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; see `Gateway.call`. Raises as that does, but LoggedOut."""
        gateway = self._gateways[self._turn]
        try:
            answer = self._logged_in(gateway, path, body)
        except Unavailable:
            self._leave(gateway)
            raise
        self._failed.clear()
        return answer

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The messages of an answer that streams; see `Gateway.stream`. One at a time."""
        gateway = self._gateways[self._turn]
        try:
            yield from gateway.stream(path, body, self._token)
        except LoggedOut as error:
            self._token = ""
            raise Unavailable(str(error)) from error
        except Unavailable:
            self._leave(gateway)
            raise

    def close(self) -> None:
        """Close all connections."""
        for gateway in self._gateways:
            gateway.close()

    def _logged_in(self, gateway: Gateway, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return gateway.call(path, body, self._token)
        except LoggedOut:  # a token lives for some minutes, and is needed where there are users
            self._log_in(gateway)
        try:
            return gateway.call(path, body, self._token)
        except LoggedOut as error:
            raise Unavailable(str(error)) from error

    def _log_in(self, gateway: Gateway) -> None:
        self._token = ""
        if self._password is None:
            raise Unavailable(f"{gateway.name} wants a user; use --store-user")
        if time.monotonic() < self._log_in_at:
            raise Unavailable(self._why_not)
        try:
            password = self._password.read_text().strip()
        except (OSError, ValueError) as error:
            raise Unavailable(f"the password cannot be read: {error}") from error
        body = {"name": self._user, "password": password}
        try:
            self._token = str(gateway.call("/v3/auth/authenticate", body).get("token", ""))
        except Unavailable:
            raise
        except Exception as error:
            self._log_in_at = time.monotonic() + LOG_IN_PAUSE
            self._why_not = f"user {self._user} is refused: {error}"
            raise Unavailable(self._why_not) from error

    def _leave(self, gateway: Gateway) -> None:
        """Ask the next one from now on, unless another request has found out before. What streams
        from there ends: it may be silent for a while before that shows."""
        self._failed.add(gateway.name)
        gateway.end_stream()
        if len(self._failed) == len(self._gateways):
            self.have_all_failed = True
        if self._gateways[self._turn] is gateway:
            self._turn = (self._turn + 1) % len(self._gateways)
