"""Figures of matplotlib as inline SVG, in the page's font and colours, light and dark.

The page's policy forbids inline styles, so they have none.
"""

from __future__ import annotations

import warnings
from io import StringIO
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pyraseg.pipeline.writers.tables.text import clean

__all__ = ["ACCENT", "BAR", "INK", "SOFT", "add_panel", "add_text", "arm_line", "legend_line", "to_svg"]

# The colours to draw with. On the page each is a variable of the style sheet, which differs in dark mode.
INK, SOFT, GRID, ACCENT, BAR = "#1b2430", "#566373", "#dbe0e6", "#1f5f8b", "#c9d3de"
ARMS = ("#0072b2", "#d55e00", "#009e73", "#b0578d", "#8a6d00", "#3a4a5c")
VARIABLES = {INK: "ink", SOFT: "soft", GRID: "line", ACCENT: "accent", BAR: "bar"} | {
    colour: f"a{index}" for index, colour in enumerate(ARMS)
}
DASHES = ((), (3.0, 1.5), (0.8, 1.5))  # in line widths
POINT = 1 / 72  # inches: one unit of the picture
FONTS = ("font", "font-family", "font-size", "font-style", "font-weight", "font-stretch", "font-variant")
KINDS = ("name", "single", "whole")  # classes that the style sheet or a reader of the page may use
NAMELESS = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def arm_line(index: int) -> dict[str, Any]:
    """The line style of an arm in matplotlib: arms differ in colour, and beyond the colours in dashes."""
    dashes = DASHES[index // len(ARMS) % len(DASHES)]
    return {"color": ARMS[index % len(ARMS)]} | ({"dashes": dashes} if dashes else {})


def legend_line(index: int) -> Markup:
    """The attributes of the same line in a legend of the page, where it is 2 wide."""
    dashes = " ".join(f"{2 * dash:g}" for dash in DASHES[index // len(ARMS) % len(DASHES)])
    form = Markup('stroke="var(--a{})" stroke-width="2" stroke-dasharray="{}"')
    return form.format(index % len(ARMS), dashes or "none")


def add_panel(
    size: tuple[float, float],
    *,
    margins: tuple[float, float, float, float],
    across: tuple[float, float],
    up: tuple[float, float] | None = None,
    label: str,
) -> tuple[Figure, Axes]:
    """A figure with one panel whose axes begin and end at round numbers.

    Args:
        size: width and height of the figure. margins: left, bottom, right and top of the panel.
        across, up: values that the axes must hold; without ``up`` the panel has rows instead of an axis.
        label: of the horizontal axis.
    """
    width, height = size
    left, bottom, right, top = margins
    figure = Figure((width * POINT, height * POINT))
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    axes = figure.add_axes(box, frameon=False)
    figure.patch.set_visible(False)
    for axis, limits, set_limits in ((axes.xaxis, across, axes.set_xlim), (axes.yaxis, up, axes.set_ylim)):
        if limits is not None:
            ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(*limits)
            set_limits(ticks[0], ticks[-1])
            axis.set_ticks(ticks)
            axis.set_major_formatter(FuncFormatter(_tick))
            axis.grid(color=GRID, linewidth=1)
        axis.set_tick_params(length=0, pad=5)
    axes.set_axisbelow(True)
    axes.set_xlabel(clean(label), parse_math=False)
    if up is None:
        axes.set_yticks([])
    return figure, axes


def _tick(value: float, _: int) -> str:
    return f"{round(value, 6) + 0.0:,.6f}".rstrip("0").rstrip(".").replace("-", "−")


def add_text(
    axes: Axes, x: float, y: float, text: str, *, kind: str = "", tip: str = "", **more: Any
) -> None:
    """Add a line of text; ``kind`` is its class in the style sheet, and hovering shows ``tip``."""
    gid = f"{kind or 'text'} {clean(tip)}" if kind or tip else None
    axes.text(x, y, clean(text), gid=gid, parse_math=False, **more)


def to_svg(figure: Figure, *, label: str) -> Markup:
    """A figure as an SVG element with a description for screen readers; equal figures give equal text."""
    file = StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # from matplotlib's font, which the page does not use
        FigureCanvasSVG(figure).print_svg(file, metadata=NAMELESS)
    root = ElementTree.fromstring(file.getvalue())
    for element in root.iter():
        _adapt(element)
    root.attrib = {
        "class": "plot",
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": clean(label),
    }
    root.remove(root[0])  # a style sheet
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _adapt(element: ElementTree.Element) -> None:
    """Strip namespace, style and name of an element; a group gets the class and tip of `add_text`."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {
        name.replace("{http://www.w3.org/1999/xlink}", "xlink:"): v for name, v in element.attrib.items()
    }
    for part in filter(None, attributes.pop("style", "").split(";")):
        name, _, value = part.partition(":")
        variable = VARIABLES.get(value.strip())
        if name.strip() not in FONTS:
            attributes[name.strip()] = f"var(--{variable})" if variable else value.strip()
    if element.tag == "g":
        kind, _, tip = attributes.pop("id", "").partition(" ")
        if kind in KINDS:
            attributes["class"] = kind
        if tip:
            title = ElementTree.Element("title")
            title.text = tip
            element.insert(0, title)
    element.attrib = attributes
    element.text, element.tail = (element.text or "").strip() or None, None
