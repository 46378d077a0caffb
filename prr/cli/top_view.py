"""`top` on a terminal, drawn with rich."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Drawn
from rich.text import Text

from prr.cli.top_tables import Snapshot, Table, peers, services

EVENTS_SHOWN = 8
"""Lines of events, where there is room for more than the binders."""

_HEADS = 4
"""Lines that are no row: the first, and the names above each of three tables."""

_STYLES = {
    **dict.fromkeys(("OK", "yes", "up"), "green"),
    **dict.fromkeys(("DEGRADED", "DIFFERS", "lost", "no answer", "no address", "no"), "bold red"),
}


class View:
    """The terminal, within the `with` block: another screen than the one before."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, screen=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def draw(self, head: str, first: Table, now: Snapshot, events: Sequence[str]) -> None:
        """Show it anew: `first` the binders, and of the rest as much as there is room for."""
        others, known = peers(now), services(now)
        left = max(0, self._console.height - _HEADS - len(first.rows))
        events = list(events)[-min(EVENTS_SHOWN, left // 3) :] if left > 2 else []
        left -= len(events)
        heard = others.rows[: left // 2]
        told = known.rows[: left - len(heard)]
        style = "green" if head == "OK" else "bold red"
        title = Text(f"{head}   (q: quit)", style, no_wrap=True, overflow="ellipsis")
        parts: list[RenderableType] = [title, _drawn(first), _drawn(Table(known.header, told))]
        parts += [_drawn(Table(others.header, heard))]
        parts += [Text(line, no_wrap=True, overflow="ellipsis") for line in events]
        self._live.update(Group(*parts), refresh=True)


def _drawn(table: Table) -> Drawn:
    drawn = Drawn(box=None, pad_edge=False, header_style="reverse", expand=True)
    for name in table.header:
        drawn.add_column(name, no_wrap=True)
    for row in table.rows:
        cells = ["-" if cell is None else str(cell) for cell in row]
        drawn.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in cells))
    return drawn
