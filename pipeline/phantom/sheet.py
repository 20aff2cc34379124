"""A contact sheet: phantom frames as they are, and beside each the same frame with its labels' contours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyraseg.pipeline.phantom.ultrasound.annotations import COLOURS, annotation_layer
from pyraseg.pipeline.phantom.ultrasound.cases import draw_planned_case, plan_cases
from pyraseg.pipeline.phantom.ultrasound.render import render_frame

__all__ = ["write_sheet"]

CONTOURS = {1: (230, 60, 60), 2: (70, 220, 90)}  # kidney red, fluid green
QUANTIZED = 160  # colours: keeps the file small
TILE = (300, 225)  # columns, rows in pixels


def write_sheet(path: str | Path, *, cases: int = 8, seed: int = 0, across: int = 2) -> Path:
    """Write the first frames of ``cases`` cases as a PNG, ``across`` pairs a row: plain left, contours
    right."""
    pairs = []
    for plan in plan_cases(cases, seed=seed, patient_name=None):
        case = draw_planned_case(plan)
        grey, labels = render_frame(case, 0)
        layer = annotation_layer(case.sector, plan.header, calipers=True)
        plain = np.where(layer[..., None] > 0, np.array(COLOURS, np.uint8)[layer], grey[..., None])
        tile = _tile(plain)
        pairs.append(np.concatenate([tile, _with_contours(tile, labels)], axis=1))
    rows = [np.concatenate(pairs[place : place + across], axis=1) for place in range(0, len(pairs), across)]
    sheet = Image.fromarray(np.concatenate(rows)).quantize(QUANTIZED, method=Image.Quantize.FASTOCTREE)
    sheet.save(path, optimize=True)
    return Path(path)


def _with_contours(picture: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from scipy.ndimage import binary_dilation

    drawn = picture.copy()
    small = np.asarray(Image.fromarray(labels).resize(TILE, Image.Resampling.NEAREST))
    for value, colour in CONTOURS.items():
        inside = small >= value
        drawn[binary_dilation(inside) & ~inside] = colour
    return drawn


def _tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize(TILE, Image.Resampling.LANCZOS))
