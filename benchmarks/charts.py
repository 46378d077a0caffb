"""The report's charts as SVG files: small, and the same bytes for the same figures."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

try:
    import matplotlib
except ImportError:
    matplotlib = None

OWN, OTHERS = "#1b6ca8", "#b0b7bd"


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
    rows = sorted(values.items(), key=lambda row: row[1])
    figure, axes = _figure(title, 1.2 + 0.32 * len(rows))
    names, lengths = zip(*rows, strict=True)
    drawn = axes.barh(names, lengths, color=[OWN if name in own else OTHERS for name in names])
    axes.bar_label(drawn, [f" {length:,.0f}" for length in lengths])
    axes.set_xlabel(unit)
    axes.set_xscale(scale)
    axes.margins(x=0.15)
    _save(figure, path)


def lines(
    path: Path,
    title: str,
    labels: tuple[str, str],
    xs: Sequence[float],
    rows: Mapping[str, Sequence[float]],
) -> None:
    """One line per name, over a logarithmic axis."""
    figure, axes = _figure(title, 3.6)
    for name, ys in rows.items():
        axes.plot(xs, ys, marker="o", label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(title, height):
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "prr", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, height), layout="constrained")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = path.read_text()
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")
