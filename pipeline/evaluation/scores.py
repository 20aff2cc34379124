"""Scores of one class in one case, from pixel counts and surfaces on the source grid.

Conventions: a present reference with an empty prediction has Dice 0 and counts as missed. If both are empty,
Dice leaves the case out, and it counts as a true negative. A prediction with an empty reference is a false
positive with its area. Undefined values are NaN, never 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.evaluation.surfaces import SurfaceScores, surface_scores

__all__ = ["DISTANCES", "OVERLAPS", "CaseScore", "as_labels", "score_case", "source_spacing"]

OVERLAPS = ("dice", "iou", "sensitivity", "precision")
DISTANCES = ("hd95", "assd", "surface_dice")
NAN = float("nan")
PIECE = 1 << 22  # pixels that are counted at once


@dataclass(frozen=True)
class CaseScore:
    """The pixel counts of one class in one case, its surfaces, and the scores from them.

    Attributes:
        case, group: the keyed hashes of the case and of the group that must not be split (the patient).
        label: the class's name.
        reference_pixels, predicted_pixels, common_pixels: pixels, or voxels, on the source grid.
        spacing_mm: of the source grid, one number per axis; None without calibration.
        surfaces: None if they were not computed or the reference is empty.
        pixels: of the whole source grid.

    Example:
        >>> label = torch.ones(1, 4, 4, dtype=torch.uint8)
        >>> names = ["background", "kidney"]
        >>> score_case(label, label, label_names=names, case="c1", group="p1")[0].dice
        1.0
    """

    case: str
    group: str
    label: str
    reference_pixels: int
    predicted_pixels: int
    common_pixels: int
    spacing_mm: tuple[float, ...] | None = None
    surfaces: SurfaceScores | None = None
    pixels: int = 0

    @property
    def dice(self) -> float:
        """Dice coefficient; NaN, as ``iou`` and ``sensitivity``, if the reference is empty."""
        return self._share(2 * self.common_pixels, self.reference_pixels + self.predicted_pixels)

    @property
    def iou(self) -> float:
        """Intersection over union (Jaccard index)."""
        union = self.reference_pixels + self.predicted_pixels - self.common_pixels
        return self._share(self.common_pixels, union)

    @property
    def sensitivity(self) -> float:
        """The predicted share of the reference."""
        return self._share(self.common_pixels, self.reference_pixels)

    @property
    def precision(self) -> float:
        """The correct share of the prediction; NaN also without a prediction."""
        return self._share(self.common_pixels, self.predicted_pixels) if self.predicted_pixels else NAN

    @property
    def missed(self) -> bool:
        """The structure is present and nothing was predicted."""
        return self.reference_pixels > 0 and self.predicted_pixels == 0

    @property
    def false_positive(self) -> bool:
        """The structure is absent and something was predicted."""
        return self.reference_pixels == 0 and self.predicted_pixels > 0

    @property
    def size_unit(self) -> str:
        """The unit of ``size``: mm2 for frames, ml for volumes, empty without calibration."""
        if self.spacing_mm is None:
            return ""
        return "mm2" if len(self.spacing_mm) == 2 else "ml"

    def size(self, pixels: int) -> float:
        """An area in mm2, or a volume in ml; NaN without calibration."""
        if self.spacing_mm is None:
            return NAN
        return pixels * math.prod(self.spacing_mm) / (1000 if len(self.spacing_mm) == 3 else 1)

    def values(self) -> dict[str, float]:
        """Every score that a summary averages, by name.

        Names include the unit where there is one, so a mean never mixes millimetres and pixels. Size errors
        are predicted minus reference.
        """
        if self.false_positive:
            return self._sized("false_positive_area", self.predicted_pixels)
        if not self.reference_pixels:
            return {}
        scores = {name: getattr(self, name) for name in OVERLAPS}
        scores |= self._sized("area_error", self.predicted_pixels - self.reference_pixels)
        if self.surfaces:
            for name in DISTANCES:
                scores[f"{name}_{self.surfaces.unit}"] = getattr(self.surfaces, name)
        return scores

    def _sized(self, name: str, pixels: int) -> dict[str, float]:
        calibrated = name.replace("area", "volume") if self.size_unit == "ml" else name
        sized = {f"{name}_pixels": float(pixels)}
        return sized | ({f"{calibrated}_{self.size_unit}": self.size(pixels)} if self.spacing_mm else {})

    def _share(self, part: int, whole: int) -> float:
        return part / whole if self.reference_pixels else NAN


def score_case(
    prediction: torch.Tensor,
    reference: torch.Tensor,
    *,
    label_names: Sequence[str],
    case: str,
    group: str,
    spacing_mm: Sequence[float] | None = None,
    surfaces: bool = False,
    tolerance: Mapping[str, float] | None = None,
) -> list[CaseScore]:
    """Compare two label maps of one shape, (1, H, W) or (1, H, W, D), class by class without background.

    Args:
        spacing_mm: of the grid, None without calibration.
        surfaces: whether to compute the distances, far slower than the counts.
        tolerance: of surface Dice, see `surface_scores`.

    >>> reference, prediction = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    >>> reference[0, 2:6, 2:6] = prediction[0, 2:6, 2:4] = 1
    >>> names = {"label_names": ["background", "kidney"], "case": "c1", "group": "g1"}
    >>> (score,) = score_case(prediction, reference, **names, spacing_mm=(0.5, 0.5))
    >>> round(score.dice, 3), score.size(score.reference_pixels), score.size_unit
    (0.667, 4.0, 'mm2')
    """
    maps = [as_labels(each) for each in (prediction, reference)]
    counts = _confusion(*maps, classes=len(label_names))
    spacing = None if spacing_mm is None else tuple(float(value) for value in spacing_mm)
    scores = []
    for k, name in enumerate(label_names[1:], start=1):
        distances = None
        if surfaces:
            distances = surface_scores(maps[0] == k, maps[1] == k, spacing_mm=spacing, tolerance=tolerance)
        numbers = int(counts[k].sum()), int(counts[:, k].sum()), int(counts[k, k])
        known: dict[str, Any] = {"spacing_mm": spacing, "surfaces": distances, "pixels": maps[1].size}
        scores.append(CaseScore(case, group, name, *numbers, **known))
    return scores


def as_labels(label_map: torch.Tensor) -> np.ndarray:
    """A label map (1, H, W) or (1, H, W, D) of at most 256 classes as bytes, without its channel."""
    array = np.asarray(torch.as_tensor(label_map).cpu())[0]
    return array.view(np.uint8) if array.dtype == bool else array.astype(np.uint8, copy=False)


def _confusion(prediction: np.ndarray, reference: np.ndarray, *, classes: int) -> np.ndarray:
    """Counts of pixels by class in the reference (rows) and in the prediction (columns).

    It counts piece by piece: 16 bytes per pixel would be gigabytes for a whole volume.
    """
    counts = np.zeros(classes * classes, np.int64)
    flat = prediction.ravel(), reference.ravel()
    for begin in range(0, prediction.size, PIECE):
        predicted, true = (each[begin : begin + PIECE] for each in flat)
        counts += np.bincount(true.astype(np.intp) * classes + predicted, minlength=len(counts))
    return counts.reshape(classes, classes)


def source_spacing(item: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The source grid's spacing in mm by the metadata of an item's image, else of its label, else None.

    Calibrated frames have it as ``spacing_mm``; a volume has it in its label's affine.
    """
    metas = [getattr(item.get(key), "meta", {}) for key in ("image", "label")]
    label = item["label"]
    axes = label.ndim - 1
    for meta in metas:
        if (stated := meta.get("spacing_mm")) is not None and len(stated) == axes:
            return tuple(float(value) for value in stated)
    if axes == 3 and hasattr(label, "pixdim") and metas[1].get("spacing_source") != "none":
        return tuple(float(value) for value in label.pixdim)
    return None
