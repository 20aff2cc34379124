"""Draw docs/images/phantom.png, the README's contact sheet: phantom frames as they are, and beside each
the same frame with its labels' contours."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from pyraseg.pipeline.phantom.ultrasound.annotations import COLOURS, annotation_layer
from pyraseg.pipeline.phantom.ultrasound.cases import draw_planned_case, plan_cases, render_frame

CONTOURS = {1: (230, 60, 60), 2: (70, 220, 90)}  # kidney red, fluid green
QUANTIZED = 160  # colours: keeps the file small
TILE = (300, 225)  # columns, rows in pixels
CASES, ACROSS = 8, 2  # pairs a row


def draw_sheet() -> Image.Image:
    pairs = []
    for plan in plan_cases(CASES, seed=0, patient_name=None):
        case = draw_planned_case(plan)
        grey, labels = render_frame(case, 0)
        layer = annotation_layer(case.sector, plan.header, calipers=True)
        plain = np.where(layer[..., None] > 0, np.array(COLOURS, np.uint8)[layer], grey[..., None])
        tile = np.asarray(Image.fromarray(plain).resize(TILE, Image.Resampling.LANCZOS))
        drawn = tile.copy()
        small = np.asarray(Image.fromarray(labels).resize(TILE, Image.Resampling.NEAREST))
        for value, colour in CONTOURS.items():
            inside = small >= value
            drawn[binary_dilation(inside) & ~inside] = colour
        pairs.append(np.concatenate([tile, drawn], axis=1))
    rows = [np.concatenate(pairs[first : first + ACROSS], axis=1) for first in range(0, len(pairs), ACROSS)]
    return Image.fromarray(np.concatenate(rows)).quantize(QUANTIZED, method=Image.Quantize.FASTOCTREE)


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "docs" / "images" / "phantom.png"
    draw_sheet().save(path, optimize=True)
    print(path)
