"""Lesion by lesion: which of the reference's are detected, and which predicted ones are false."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate
from pyraseg.pipeline.evaluation.scores import as_labels
from pyraseg.transforms.geometry.components import foreground_box

__all__ = ["OVERLAP", "CaseLesions", "Lesion", "LesionSummary", "compare_lesions", "summarise_lesions"]

OVERLAP = 0.1  # part of a lesion's voxels that must be predicted


@dataclass(frozen=True)
class Lesion:
    """A connected component: its voxels, and how many have the same class in the other label map."""

    voxels: int
    common: int


@dataclass(frozen=True)
class CaseLesions:
    """The components of one class in one case.

    Attributes:
        case, group, label: as in `CaseScore`.
        reference, predicted: the components of the two label maps.
        voxel_ml: the volume of a voxel; None without calibration, or of a frame.
    """

    case: str
    group: str
    label: str
    reference: tuple[Lesion, ...]
    predicted: tuple[Lesion, ...]
    voxel_ml: float | None = None

    @property
    def detected(self) -> tuple[bool, ...]:
        """For each lesion of the reference, whether at least a tenth of its voxels is predicted.

        The criterion is the intersection over the reference (Maier-Hein et al., Metrics reloaded, Nat Methods
        21:195, 2024). The low limit asks for a hit; the Dice judges the outline.
        """
        return tuple(lesion.common / lesion.voxels >= OVERLAP for lesion in self.reference)

    @property
    def false_positives(self) -> tuple[Lesion, ...]:
        """The predicted components without a voxel of the reference (autoPET, Gatidis et al., 2022)."""
        return tuple(lesion for lesion in self.predicted if not lesion.common)

    @property
    def sensitivity(self) -> float:
        """The detected share; NaN without any lesion."""
        return float(np.mean(self.detected)) if self.reference else float("nan")

    @property
    def false_positive_ml(self) -> float:
        """Their volume; NaN without calibration."""
        voxels = sum(lesion.voxels for lesion in self.false_positives)
        return float("nan") if self.voxel_ml is None else voxels * self.voxel_ml


def compare_lesions(
    prediction: torch.Tensor,
    reference: torch.Tensor,
    *,
    label_names: Sequence[str],
    case: str,
    group: str,
    spacing_mm: Sequence[float] | None = None,
) -> list[CaseLesions]:
    """The components of each class in two label maps of one shape, (1, H, W) or (1, H, W, D).

    Diagonal neighbours belong together, as in `CleanUpLabels`.

    >>> reference, prediction = torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 8, 8)
    >>> reference[0, 1:3, 1:3, 1:3] = prediction[0, 2:4, 1:3, 1:3] = prediction[0, 7, 7, 7] = 1
    >>> names = {"label_names": ["background", "tumour"], "case": "c", "group": "g"}
    >>> (lesions,) = compare_lesions(prediction, reference, **names, spacing_mm=(1, 1, 1))
    >>> lesions.detected, len(lesions.false_positives)
    ((True,), 1)
    """
    maps = [as_labels(each) for each in (prediction, reference)]
    voxel_ml = None if spacing_mm is None or len(spacing_mm) != 3 else float(np.prod(spacing_mm)) / 1000
    cases = []
    for value, name in enumerate(label_names[1:], start=1):
        predicted, true = (labels == value for labels in maps)
        box = foreground_box(predicted | true)
        if box is not None:
            predicted, true = predicted[box], true[box]
        lesions = _components(true, predicted), _components(predicted, true)
        cases.append(CaseLesions(case, group, name, *lesions, voxel_ml=voxel_ml))
    return cases


def _components(mask: np.ndarray, other: np.ndarray) -> tuple[Lesion, ...]:
    components, number = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = np.bincount(components[mask], minlength=number + 1)[1:]
    common = np.bincount(components[mask & other], minlength=number + 1)[1:]
    return tuple(Lesion(int(size), int(shared)) for size, shared in zip(sizes, common, strict=True))


@dataclass(frozen=True)
class LesionSummary:
    """The detection of one class over many cases.

    Attributes:
        lesions, detected: numbers in the reference, in all cases.
        sensitivity: the detected share; over groups the mean of each group's share, over "frames" the share
            of all lesions.
        false_positives, false_positive_ml: number and volume per case.
    """

    label: str
    lesions: int
    detected: int
    sensitivity: Estimate
    false_positives: Estimate
    false_positive_ml: Estimate

    def metrics(self) -> dict[str, float]:
        """Values by name for trackers: means over groups."""
        named = {"lesion_sensitivity": self.sensitivity, "false_positive_lesions": self.false_positives}
        named |= {"false_positive_lesion_volume_ml": self.false_positive_ml}
        return {f"{name}_{self.label}": value.group_mean for name, value in named.items() if value.cases}

    def document(self) -> dict[str, Any]:
        """The entry of ``summary.json``."""
        values = {key: value for key, value in vars(self).items() if key != "label"}
        return {key: v.document() if isinstance(v, Estimate) else v for key, v in values.items()}


def summarise_lesions(
    cases: Iterable[CaseLesions], *, resamples: int = 0, seed: int = 0
) -> dict[str, LesionSummary]:
    """Summarise class by class; the arguments are those of `estimate`, which resamples groups."""
    by_class: dict[str, list[CaseLesions]] = defaultdict(list)
    for case in cases:
        by_class[case.label].append(case)
    bootstrap = {"resamples": resamples, "seed": seed}
    summaries = {}
    for name, members in by_class.items():
        groups = [case.group for case in members]
        hits = [(float(hit), case.group) for case in members for hit in case.detected]
        false_positives = [float(len(case.false_positives)) for case in members]
        summaries[name] = LesionSummary(
            name,
            lesions=len(hits),
            detected=int(sum(hit for hit, _ in hits)),
            sensitivity=estimate([hit for hit, _ in hits], [group for _, group in hits], **bootstrap),
            false_positives=estimate(false_positives, groups, **bootstrap),
            false_positive_ml=estimate([case.false_positive_ml for case in members], groups, **bootstrap),
        )
    return summaries
