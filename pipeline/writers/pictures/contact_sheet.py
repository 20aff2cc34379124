"""A contact sheet: many overlays on one picture, with titles and a legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.records import Segment

__all__ = ["draw_grid"]

PAPER, INK = (24, 24, 24), (235, 235, 235)
GAP = 8
TEXT = 15  # font size in pixels
LINE = 22  # height of a line of text
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_grid(
    tiles: Sequence[np.ndarray],
    *,
    columns: int,
    titles: Sequence[str],
    segments: Iterable[Segment] = (),
    note: str = "",
    cell: int = 320,
) -> np.ndarray:
    """Arrange pictures in rows, each shrunk to fit its cell under its title, with a legend below.

    Args:
        tiles: RGB, uint8 (height, width, 3), of any sizes.
        columns: pictures in a row.
        titles: a short text for each tile that names no patient, such as the case's hashed name.
        segments: the classes that the legend names; value 0 is left out.
        note: a short text after the legend, such as "dashed: reference".
        cell: the width of a cell in pixels, and its greatest height.

    Returns:
        RGB, uint8 (height, width, 3); the same input gives the same pixels.

    Raises:
        ConfigError: no tiles, no columns, or not one title for each tile.
    """
    if not tiles or len(tiles) != len(titles) or columns < 1:
        found = f"{len(tiles)} tiles, {len(titles)} titles, {columns} columns"
        remedy = "Give as many titles as tiles."
        raise ConfigError("tiles, a title for each and a column", found=found, remedy=remedy)
    pictures = [Image.fromarray(tile) for tile in tiles]
    for picture in pictures:
        picture.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    columns, tall = min(columns, len(tiles)), LINE + GAP + max(picture.height for picture in pictures)
    rows = -(-len(tiles) // columns)
    font = ImageFont.load_default(TEXT)
    width, height = GAP + columns * (cell + GAP), GAP + rows * tall
    legend = _legend(segments, note, font, width=width)
    lines = legend[-1].row + 1 if legend else 0
    sheet = Image.new("RGB", (width, height + lines * LINE), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left, top = GAP + index % columns * (cell + GAP), GAP + index // columns * tall
        pen.text((left, top), _shortened(title, font, width=cell), fill=INK, font=font)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + LINE))
    for word in legend:
        start, top = word.left, height + word.row * LINE
        if word.colour:
            pen.rectangle([start, top + 3, start + TEXT - 2, top + TEXT + 1], fill=word.colour)
            start += TEXT + 5
        pen.text((start, top), word.text, fill=INK, font=font)
    return np.asarray(sheet)


def _shortened(title: str, font: Font, *, width: float) -> str:
    """Cut a title to its cell; letters beyond Latin, which the font lacks, become "?"."""
    title = " ".join(title.split()).encode("latin-1", "replace").decode("latin-1")
    if font.getlength(title) <= width:
        return title
    while title and font.getlength(title + "...") > width:
        title = title[:-1]
    return title + "..."


class _Word(NamedTuple):
    """A word of the legend at ``left`` of its ``row``, after a square of its colour, if any."""

    text: str
    colour: tuple[int, int, int] | None
    left: float
    row: int


def _legend(segments: Iterable[Segment], note: str, font: Font, *, width: float) -> list[_Word]:
    """Break the words of the legend into rows that fit the sheet."""
    words = [(segment.name, segment.colour) for segment in segments if segment.value]
    entries: list[_Word] = []
    left, row = float(GAP), 0
    for text, colour in [*words, *([(note, None)] if note else [])]:
        text = _shortened(text, font, width=width - 2 * GAP - TEXT - 5)
        length = TEXT + 5 + font.getlength(text)
        if entries and left + length > width - GAP:
            left, row = float(GAP), row + 1
        entries.append(_Word(text, colour, left, row))
        left += length + 2 * GAP
    return entries
