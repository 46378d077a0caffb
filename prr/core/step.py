"""A step of a binder's core: whatever it changes is persisted, before all else that follows, and
what goes to other binders is sealed."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from prr.core.effects import Effect, KeepDrains, Persist
from prr.core.gate import Gate
from prr.core.replication.versioned_directory import VersionedDirectory


class Stepping(Protocol):
    """What a step is made in."""

    _versioned: VersionedDirectory
    _gate: Gate


_Self = TypeVar("_Self", bound=Stepping)
_P = ParamSpec("_P")
_Decide: TypeAlias = Callable[Concatenate[_Self, _P], list[Effect]]


def step(decide: _Decide[_Self, _P]) -> _Decide[_Self, _P]:
    """Makes a method a step. Every way into the core is one, so that no rule has to remember it."""

    @wraps(decide)
    def decided(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> list[Effect]:
        return persisted(self, decide(self, *args, **kwargs))

    return decided


def persisted(core: Stepping, effects: list[Effect]) -> list[Effect]:
    """The effects of a step, and first what keeps its changes, which the change feed tells, too."""
    versioned, effects = core._versioned, core._gate.seal(effects)
    if (feed := versioned.directory.feed) is not None:
        feed.settle(effects)
    changes = versioned.directory.take_changes()
    if versioned.drains.take_change():
        effects = [KeepDrains(versioned.drains), *effects]
    return [Persist(changes, versioned.counter), *effects] if changes else effects
