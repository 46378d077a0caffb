"""The demo on a terminal: a panel that is redrawn ten times a second."""

from collections import deque
from collections.abc import Callable
from typing import Self

import gevent
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel as Frame
from rich.text import Text

from prr.demo.screen import State
from prr.demo.traffic import Tally, Traffic

REDRAW_PAUSE = 0.1
"""Seconds between two drawings, and what one column of the strip stands for."""

LINES_MAX = 200
"""Of the story; as many of the last ones as there is room for are shown."""

BEATS_MAX = 500
"""Columns of the strip: more than any terminal has."""

_LABEL_WIDTH = 10
_FRAME_WIDTH = 4
_FRAME_LINES = 2
_BARS = " ▁▂▃▄▅▆▇█"
_DOTS = {
    State.STARTING: ("○", "yellow"),
    State.UP: ("●", "green"),
    State.KILLED: ("✖", "bold red"),
}


class Panel:
    """See `Screen`."""

    def __init__(self, trouble: Callable[[BaseException], None]) -> None:
        """`trouble` is given what ends the drawing."""
        self._trouble = trouble
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._title = "getting ready"
        self._groups: dict[str, dict[str, State]] = {}
        self._lines: deque[str] = deque(maxlen=LINES_MAX)
        self._beats: deque[tuple[int, bool]] = deque(maxlen=BEATS_MAX)
        self._traffic: Traffic | None = None
        self._seen = Tally()

    def __enter__(self) -> Self:
        self._live.start()
        self._drawing = gevent.spawn(self._keep_drawing)
        self._drawing.link_exception(self._broken)
        return self

    def __exit__(self, *_: object) -> None:
        self._drawing.kill()
        self._draw()
        self._live.stop()

    def say(self, text: str) -> None:
        """See `Screen`."""
        self._lines += text.splitlines()

    def act(self, title: str) -> None:
        """See `Screen`."""
        self._title = f"Act {title}"

    def show(self, name: str, state: State) -> None:
        """See `Screen`."""
        kind, one, *of_type = name.split()
        self._groups.setdefault(" ".join(of_type[1:]) or f"{kind}s", {})[one] = state

    def follow(self, traffic: Traffic) -> None:
        """See `Screen`."""
        self._traffic = traffic

    def _keep_drawing(self) -> None:
        while True:
            if self._traffic is not None:
                self._beats.append(self._beat(self._traffic.total))
            self._draw()
            gevent.sleep(REDRAW_PAUSE)

    def _broken(self, drawing: "gevent.Greenlet[[], None]") -> None:
        assert drawing.exception is not None
        self._trouble(drawing.exception)

    def _beat(self, total: Tally) -> tuple[int, bool]:
        """How many lookups there were since the last time, and whether anything went wrong."""
        before, self._seen = self._seen, total
        return total.lookups - before.lookups, total.trouble > before.trouble

    def _draw(self) -> None:
        head = Group(*self._nodes(), Text(), *self._strip(), Text())
        height = self._console.height
        used = len(head.renderables) + _FRAME_LINES + 1
        shown = list(self._lines)[-max(1, height - used) :]
        lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in shown]
        self._live.update(Frame(Group(head, *lines), title=self._title), refresh=True)

    def _nodes(self) -> list[Text]:
        """A line for the binders, and one for each type, with a dot for each node."""
        rows = []
        for group in sorted(self._groups):
            row = Text(group.ljust(_LABEL_WIDTH), no_wrap=True)
            for name, state in sorted(self._groups[group].items()):
                mark, style = _DOTS[state]
                row.append(f"{mark} {name}   ", style)
            rows.append(row)
        return rows

    def _strip(self) -> list[Text]:
        """The lookups of the last seconds, below them what went wrong, and all in numbers."""
        if self._traffic is None:
            return []
        beats = list(self._beats)[-max(1, self._console.width - _LABEL_WIDTH - _FRAME_WIDTH) :]
        most = max((count for count, _ in beats), default=0) or 1
        bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count, _ in beats)
        marks = "".join("✖" if is_wrong else "·" for _, is_wrong in beats)
        total = self._traffic.total
        counts = (
            f"{total.lookups:,} lookups, {total.unanswered} failed, {total.wrong} named a dead "
            f"server; {total.calls:,} calls, {total.failed} failed"
        )
        return [
            Text("lookups".ljust(_LABEL_WIDTH), no_wrap=True).append(bars, "cyan"),
            Text("wrong".ljust(_LABEL_WIDTH), no_wrap=True).append(marks, "red"),
            Text(counts, no_wrap=True, overflow="ellipsis"),
        ]
