"""Follows a binder's change feed, as whoever watches it does: what it has told is what is held."""

from __future__ import annotations

from prr.core.binder import Binder
from prr.core.directory.listed import listed
from prr.wire.instance import Instance, describe
from prr.wire.trailer import Listed

LOOK_EVERY = 20
"""Steps between two looks at all that is held."""


class Follower:
    """Follows one binder process."""

    def __init__(self) -> None:
        self._at = 0
        self._steps = 0
        self._known: dict[Instance, Listed] = {}

    def follow(self, core: Binder) -> str | None:
        """After a step: what is wrong with what the feed has told; None if nothing is."""
        feed = core.directory.feed
        assert feed is not None
        changes = feed.since(self._at, feed.last)
        self._at = feed.last
        if changes is None:  # too much has changed: read it all
            self._known = _all(core)
            return None
        for change in changes:
            if change.state is None:
                self._known.pop(change.instance, None)
            else:
                self._known[change.instance] = change.state
            if listed(core.directory, change.instance) != self._known.get(change.instance):
                return f"tells of {describe(change.instance)} what is not so"
        self._steps += 1
        if self._steps % LOOK_EVERY == 0 and self._known != (held := _all(core)):
            different = sorted({*self._known.items()} ^ {*held.items()})
            return f"has not told of {describe(different[0][0])}"
        return None


def _all(core: Binder) -> dict[Instance, Listed]:
    states = {one: listed(core.directory, one) for one in core.directory}
    return {one: state for one, state in states.items() if state is not None}
