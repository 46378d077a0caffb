"""The report's charts as SVG files: small, and the same bytes for the same figures. Where there is
no plotting library, none are drawn."""

from collections.abc import Container, Mapping
from pathlib import Path

try:
    import matplotlib
except ImportError:
    matplotlib = None

OWN, OTHERS = "#1b6ca8", "#b0b7bd"

STYLE = {
    "svg.hashsalt": "prr",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def have_charts() -> bool:
    """There is a plotting library."""
    return matplotlib is not None


def bars(
    path: Path,
    title: str,
    unit: str,
    values: Mapping[str, float],
    own: Container[str],
    scale: str = "linear",
) -> None:
    """One bar per name, the largest on top; `own` are highlighted. The scale may be "log"."""
    if not have_charts():
        return
    names, lengths = zip(*sorted(values.items(), key=lambda row: row[1]), strict=True)
    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(7, 1.2 + 0.32 * len(names)), layout="constrained")
        drawn = axes.barh(names, lengths, color=[OWN if name in own else OTHERS for name in names])
        axes.bar_label(drawn, [f" {length:,.0f}" for length in lengths])
        axes.set(title=title, xlabel=unit, xscale=scale)
        axes.margins(x=0.15)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
