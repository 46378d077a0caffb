"""Whether etcd is there, since when it is not, and why: for the log, `status` and the metrics."""

import logging
import time
from typing import Any

from prr.shell.etcd.endpoints import Endpoints

AWAY_AFTER = 3.0
"""Seconds without etcd after which it counts as away: a leader is elected in less."""

_log = logging.getLogger("prr")


class Reachability:
    """How one binder finds etcd."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._failing_since: float | None = time.monotonic()
        self._why = "not asked yet"
        self._refused = ""
        self._is_away = True  # until it has answered
        self._is_told = False

    @property
    def is_away(self) -> bool:
        """It has not answered for AWAY_AFTER, or never."""
        return self._is_away

    def answered(self) -> None:
        """It is there."""
        self._failing_since = None
        if self._is_away:
            _log.info("etcd at %s answers", self._endpoints.current)
        self._is_away = self._is_told = False

    def failed(self, why: str) -> bool:
        """It could not be asked, or not well enough. True if from now on it counts as away."""
        self._why = why
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= AWAY_AFTER and not self._is_told:
            self._is_away = self._is_told = True
            _log.error("etcd is away (%s): lookups go on from memory; nobody new is confirmed", why)
            return True
        return False

    def refuses(self, why: str) -> None:
        """It answers, and takes nothing; "": it does again."""
        if why and not self._refused:
            _log.error("etcd takes no updates (%s): nobody new is confirmed", why)
        elif self._refused and not why:
            _log.info("etcd takes updates again")
        self._refused = why

    def status(self) -> dict[str, Any]:
        """For `status`."""
        since = self._failing_since if self._is_away else None
        return {
            "server": self._endpoints.current,
            "away_s": None if since is None else round(time.monotonic() - since, 3),
            "why": self._why if self._is_away else self._refused or None,
        }
