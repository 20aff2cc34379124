"""Burned-in annotations of a scanner beside the tissue: names, scales, calipers, a logo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.ultrasound.sector import Sector

__all__ = ["COLOURS", "Header", "annotation_layer"]

# The values of the annotation layer: 0 nothing, then these; grey tones 4 to 7 make the grey bar.
COLOURS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0), (235, 235, 235), (240, 210, 60), (90, 200, 240),
    (60, 60, 60), (110, 110, 110), (160, 160, 160), (210, 210, 210),
)  # fmt: skip
WHITE, YELLOW, CYAN, BAR = 1, 2, 3, (4, 5, 6, 7)


@dataclass(frozen=True)
class Header(Identity):
    """The text in a case's header and pixels."""

    probe: str
    side: str


def annotation_layer(sector: Sector, header: Header, *, calipers: bool) -> NDArray[np.uint8]:
    """Indices into ``COLOURS``, (H, W): 0 without annotation, and everywhere inside the sector."""
    image = Image.new("L", (sector.columns, sector.rows), 0)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"
    _write_text(draw, sector, header)
    _draw_logo(draw, sector)
    _draw_depth_scale(draw, sector)
    for step, colour in enumerate(BAR):
        draw.rectangle((8, 97 - 14 * step, 16, 110 - 14 * step), fill=colour)
    if calipers:
        _draw_calipers(draw, sector)
    layer = np.asarray(image).copy()
    layer[sector.mask()] = 0
    return layer


def _write(draw: ImageDraw.ImageDraw, point: tuple[int, int], text: str, colour: int) -> None:
    draw.text(point, text, fill=colour, font=ImageFont.load_default_imagefont())


def _write_text(draw: ImageDraw.ImageDraw, sector: Sector, header: Header) -> None:
    right = sector.columns - 130
    texts = (
        ((34, 4), header.institution, WHITE),
        ((34, 16), header.patient_name.replace("^", ", "), WHITE),
        ((34, 28), f"ID {header.patient_id}", WHITE),
        ((right, 4), f"{header.study_date} {header.study_time}", WHITE),
        ((right, 16), f"DOB {header.birth_date}", WHITE),
        ((right, 28), f"{header.probe}  TIs 0.7", CYAN),
        ((6, 130), "B 62%", CYAN),
        ((6, 143), f"D {sector.depth_mm / 10:.1f}cm", CYAN),
        ((6, 156), "Gen P2", CYAN),
        ((6, 169), f"KIDNEY {header.side}", CYAN),
    )
    for point, text, colour in texts:
        _write(draw, point, text, colour)


def _draw_logo(draw: ImageDraw.ImageDraw, sector: Sector) -> None:
    draw.ellipse((6, 6, 26, 26), outline=CYAN, width=2)
    draw.pieslice((9, 9, 23, 23), 20, 160, fill=CYAN)
    column, row = int(sector.face_pixel[1] - 0.18 * sector.columns), int(sector.face_pixel[0])
    draw.ellipse((column - 5, row - 5, column + 5, row + 5), outline=YELLOW)  # the probe's orientation mark
    _write(draw, (column - 3, row - 6), "P", YELLOW)


def _draw_depth_scale(draw: ImageDraw.ImageDraw, sector: Sector) -> None:
    """A tick for every centimetre of depth, a longer one and a number for every fifth."""
    column = sector.columns - 12
    for centimetre in range(int(sector.depth_mm // 10) + 1):
        row = round(sector.face_pixel[0] + 10 * centimetre / sector.spacing_mm[0])
        length = 9 if centimetre % 5 == 0 else 4
        draw.line((column - length, row, column, row), fill=WHITE)
        if centimetre % 5 == 0 and centimetre:
            _write(draw, (column - 24, row - 6), str(centimetre), WHITE)


def _draw_calipers(draw: ImageDraw.ImageDraw, sector: Sector) -> None:
    """Two crosses and their result in the lower left corner, below the sector's edge."""
    top = sector.rows - 60
    for mark in (0, 1):
        column, row = 14 + 34 * mark, top + 6 * mark
        draw.line((column - 4, row, column + 4, row), fill=YELLOW)
        draw.line((column, row - 4, column, row + 4), fill=YELLOW)
    draw.line((14, top, 48, top + 6), fill=YELLOW)
    _write(draw, (8, top + 18), f"+ Dist {0.7 * sector.depth_mm / 10:.2f} cm", YELLOW)
