"""What follows the network for one frame of 768 x 1024: milliseconds of CPU by stage, a Markdown table."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Activationsd, AsDiscreted, Compose
from PIL import Image
from scipy import ndimage

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.inference import CleanUpLabels, SourceGridLabelsd
from pyraseg.pipeline.measurement.frame import measure_frame
from pyraseg.pipeline.phantom.ultrasound.cases import draw_case, render_frame
from pyraseg.pipeline.writers.nifti import write_labels
from pyraseg.pipeline.writers.pictures.overlay import draw_overlay
from pyraseg.pipeline.writers.pictures.picture_files import draw_thumbnail, write_png
from pyraseg.transforms.frame.source_view import restoration, source_view
from pyraseg.transforms.frame.tissue import CropToTissue
from pyraseg.transforms.frame.tissue_mask import find_tissue
from pyraseg.transforms.geometry.letterbox import Letterbox
from pyraseg.transforms.io.frames import LoadFrame
from tests.chains import frame_preprocessing

__all__ = ["table"]

SOURCE = (768, 1024)
SIZES = ((473, 473), (224, 224))
NAMES = ["background", "kidney", "hydronephrosis"]
CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "us_hydronephrosis" / "configs"
REPEATS = 15


def table(*, repeats: int = REPEATS) -> str:
    """Medians on one thread; "plain" is MONAI's Activationsd, Invertd and AsDiscreted, and Pillow's own
    PNG."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            columns = [_stages(Path(folder), size) for size in SIZES]
            rows = {name: [_median(stages[name], repeats) for stages in columns] for name in columns[0]}
    finally:
        torch.set_num_threads(threads)
    heads = " | ".join(f"network {high} x {wide}, ms" for high, wide in SIZES)
    lines = [f"| stage | {heads} |", "| --- | --- | --- |"]
    return "\n".join(
        [*lines, *(f"| {name} | {' | '.join(f'{ms:.1f}' for ms in row)} |" for name, row in rows.items())]
    )


def _median(call: Callable[[], Any], repeats: int) -> float:
    call()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return 1000 * statistics.median(seconds)


def _stages(folder: Path, size: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    metadata = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
    segments, path = resolve_segments(NAMES, metadata["segments"]), str(folder / "frame.png")
    preprocessing, item = _item(path, size)
    restore = Compose([restoration(preprocessing, keys="pred"), AsDiscreted(keys="pred", argmax=True)])
    plain = Compose([Activationsd(keys="pred", softmax=True), restore])
    to_labels = SourceGridLabelsd("pred", preprocessing)
    with_probabilities = SourceGridLabelsd("pred", preprocessing, "probabilities")
    cleanup = CleanUpLabels(NAMES, **ConfigParser.load_config_file(CONFIGS / "inference.yaml")["cleanup"])
    rough = to_labels(item)["pred"]
    labels = np.asarray(cleanup(rough))[0]
    image = np.rint(255 * np.asarray(source_view(preprocessing)({"image": path})["image"])).astype(np.uint8)
    drawn = draw_overlay(image, labels, segments)
    options = {"label_names": NAMES, "declared": metadata["quantities"], "spacing_mm": (0.2, 0.2)}
    return {
        "find the tissue (before the network)": lambda: find_tissue(image, 255),
        "softmax, source grid, argmax": lambda: to_labels(item),
        "softmax, source grid, argmax, plain": lambda: plain(item),
        "softmax, source grid, argmax, with probabilities kept": lambda: with_probabilities(item),
        "clean-up": lambda: cleanup(rough),
        "ten quantities": lambda: measure_frame(labels, **options),
        "overlay, drawing": lambda: draw_overlay(image, labels, segments),
        "overlay, PNG": lambda: write_png(folder / "overlay.png", drawn),
        "overlay, PNG, plain": lambda: Image.fromarray(drawn).save(folder / "plain.png"),
        "thumbnail": lambda: draw_thumbnail(drawn),
        "NIfTI": lambda: write_labels(folder / "labels.nii.gz", labels[None], spacing_mm=(0.2, 0.2)),
    }


def _item(path: str, size: tuple[int, int]) -> tuple[Compose, dict[str, Any]]:
    """A phantom frame, and the scores of a network that sees it a little blurred."""
    grey, truth = render_frame(draw_case(np.random.default_rng(0), grade=3, frames=1), 0)
    wide = Image.fromarray(grey).resize(SOURCE[::-1], Image.Resampling.BILINEAR)
    labels = np.asarray(Image.fromarray(truth).resize(SOURCE[::-1], Image.Resampling.NEAREST))
    Image.merge("RGB", [wide] * 3).save(path)
    top, left, bottom, right = CropToTissue().box(LoadFrame()(path))
    one_hot = np.stack([labels == value for value in range(3)]).astype(np.float32)[:, top:bottom, left:right]
    shares = np.asarray(Letterbox(size, fill=0.0)(torch.from_numpy(one_hot)))
    preprocessing = frame_preprocessing(size=size)
    item = preprocessing({"image": path})
    item["pred"] = torch.from_numpy(6 * np.stack([ndimage.gaussian_filter(share, 2) for share in shares]))
    return preprocessing, item
