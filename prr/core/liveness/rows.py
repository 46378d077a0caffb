"""What a row of the lifecycle table is made of."""

from collections.abc import Iterable

from prr.core.liveness.states import Action, Guard, Row, State, Trigger


def row(
    states: Iterable[State],
    triggers: Iterable[Trigger],
    guard: Guard | None,
    after: State | None,
    why: str,
    *actions: Action,
) -> Row:
    """A row of the table, for each of `states` and each of `triggers`."""
    return Row(frozenset(states), frozenset(triggers), guard, after, why, actions)


S, T, G, A = State, Trigger, Guard, Action

LISTED = (S.UP, S.SUSPECT)
HELD = (*LISTED, S.DISPUTED)
GONE = (S.ABSENT, S.LEFT, S.EVICTED)
SILENCE = (T.SILENT, T.SILENT_ALONE, T.MUTE)
NO_ANSWER = (T.REFUSED, *SILENCE, T.UNSENT)
