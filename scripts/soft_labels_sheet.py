"""Draw docs/images/soft_labels.png: a phantom frame, its superpixels, hard label, soft label and what was
softened."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.segmentation import find_boundaries

from pyraseg.pipeline.phantom.ultrasound.cases import draw_planned_case, plan_cases, render_frame
from pyraseg.transforms.geometry.letterbox import Letterbox
from pyraseg.transforms.labels.soft_labels import SoftLabels
from pyraseg.transforms.labels.superpixels import Superpixels

SIZE, ZOOM, WINDOW = 473, 5, 90  # pixels of the grid, magnification and side of the part shown below
COLOURS = np.array([[0, 0, 0], [235, 40, 40], [40, 235, 70]])  # background, kidney red, fluid green
BORDER, GAP, COLOURS_KEPT = (255, 210, 60), 6, 224


def main() -> Path:
    grey, classes = render_frame(draw_planned_case(plan_cases(4, seed=0, patient_name=None)[1]), 0)
    letterbox = Letterbox((SIZE, SIZE))
    image = letterbox(torch.from_numpy(np.asarray(grey, np.float32) / 255)[None]).as_tensor()
    label = letterbox(torch.from_numpy(classes)[None].float(), mode="nearest", fill=0.0).as_tensor()
    soft, regions = SoftLabels(3)(image, label).numpy(), Superpixels()(image)[0].numpy()
    hard = (label[0].long() == torch.arange(3)[:, None, None]).numpy() * (soft.sum(0) > 0)
    picture = np.repeat(255 * image.numpy().transpose(1, 2, 0), 3, axis=2)
    lines = find_boundaries(regions, mode="inner", background=-1)[..., None]
    panels = [picture, np.where(lines, BORDER, picture), blend(picture, hard), blend(picture, soft)]
    panels.append(np.repeat(255 * entropy(soft)[..., None], 3, axis=2))
    return save(panels, corner(label[0].numpy()))


def blend(picture: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Each class in its colour by its share, the picture by the background's; the bars show the picture
    alone."""
    tinted = (shares[1:, ..., None] * (0.75 * COLOURS[1:, None, None] + 0.25 * picture)).sum(0)
    return tinted + (1 - shares[1:].sum(0)[..., None]) * picture


def entropy(shares: np.ndarray) -> np.ndarray:
    """Of the soft label in bits: 0 where it is hard, 1 where two classes are equally likely."""
    return -(shares * np.log2(np.maximum(shares, 1e-12))).sum(0)


def corner(label: np.ndarray) -> tuple[int, int]:
    """Where the window about the end of the kidney begins."""
    rows, columns = np.nonzero(label > 0)
    end = columns.argmin()
    return int(rows[end]) - WINDOW // 2, int(columns[end]) - WINDOW // 5


def save(panels: list[np.ndarray], start: tuple[int, int]) -> Path:
    side = WINDOW * ZOOM
    part = tuple(slice(max(0, at), max(0, at) + WINDOW) for at in start)
    sheet = Image.new("RGB", (len(panels) * (side + GAP) - GAP, 2 * side + GAP), "white")
    for place, panel in enumerate(panels):
        whole = Image.fromarray(panel.clip(0, 255).astype(np.uint8))
        near = Image.fromarray(np.asarray(whole)[part]).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(whole.resize((side, side), Image.Resampling.LANCZOS), (place * (side + GAP), 0))
        sheet.paste(near, (place * (side + GAP), side + GAP))
    path = Path(__file__).resolve().parents[1] / "docs" / "images" / "soft_labels.png"
    sheet.resize((sheet.width * 5 // 8, sheet.height * 5 // 8), Image.Resampling.LANCZOS).quantize(
        COLOURS_KEPT, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    ).save(path, optimize=True)
    return path


if __name__ == "__main__":
    print(main())
