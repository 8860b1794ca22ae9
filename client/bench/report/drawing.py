"""A figure as SVG text for a page: the same bytes for the same data.

Text stays text: outlines of letters are several times the size, and every browser has a sans-serif font.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

WIDTH = 10.0
"""Inches, of 72 points."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "hatch.color": "white",
    # Names of peers and arms are no formulas.
    "text.parse_math": False,
}


def svg(name: str, height: float, draw: Callable[[Figure], None], note: str = "") -> str:
    """What ``draw`` puts into a figure, as an ``<svg>`` element. ``name`` is different for each figure of a page: ids
    inside of it depend on it. ``note`` stands in the upper right corner."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        if note:
            figure.suptitle(note, x=0.995, ha="right", fontsize=9, color="#A84300")
        file = io.StringIO()
        with warnings.catch_warnings():
            # The reader's fonts show the text, whatever the font has that it is measured with.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            # Without any of these there is no metadata element, and no time of creation.
            figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    text = text[text.index("<svg") :].strip()
    # Groups are named alike in all figures, and nothing refers to them: an id may be there once on a page.
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    return re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)


def milliseconds(axes: Axes, which: str, *, log: bool = False, linear_below: float | None = None) -> None:
    """The axis ``x`` or ``y`` is in milliseconds, with numbers that are not powers of ten in small print. With
    ``linear_below``, a logarithmic axis that goes through 0."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    scale = axes.set_xscale if which == "x" else axes.set_yscale
    if linear_below is not None:
        scale("symlog", linthresh=linear_below)
    elif log:
        scale("log")
    if log or linear_below is not None:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def whole_numbers(axes: Axes) -> None:
    """The axis x counts something."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=1.8, columnspacing=1.4)
