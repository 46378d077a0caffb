"""What a row of the lifecycle table is made of."""

from collections.abc import Iterable

from prr.core.liveness.states import Action, Guard, Row, State, Trigger
from prr.core.replication.news import News


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


def news_of(row: Row, was_held: bool, is_held: bool) -> News:
    """What became of a peer's word, for which the row has held."""
    if was_held is not is_held:
        return News.ADDED if is_held else News.REMOVED
    if row.guard is Guard.NO_ROOM_TO_LEARN:
        return News.REFUSED
    if Action.DISPUTE in row.actions:
        return News.DISPUTED
    return News.CHANGED if is_held and Action.TAKE_OVER in row.actions else News.OLD
