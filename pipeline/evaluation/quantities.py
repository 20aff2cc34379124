"""How far clinical quantities of a prediction are from those of its reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate
from pyraseg.pipeline.evaluation.scores import as_labels
from pyraseg.pipeline.measurement.frame import measure_frame
from pyraseg.pipeline.measurement.volume import measure_volume
from pyraseg.transforms.records import Quantity

__all__ = [
    "QuantityError",
    "QuantitySummary",
    "compare_quantities",
    "compare_volume_quantities",
    "summarise_quantities",
]


@dataclass(frozen=True)
class QuantityError:
    """One quantity of one case, measured on the prediction and on the reference."""

    case: str
    group: str
    predicted: Quantity
    reference: Quantity

    @property
    def error(self) -> float:
        """Predicted minus reference, in the quantity's unit; NaN where either is absent."""
        if self.predicted.value is None or self.reference.value is None:
            return float("nan")
        return self.predicted.value - self.reference.value

    @property
    def relative_error(self) -> float:
        """The error's magnitude as a share of the reference's; NaN where either is absent or the reference is
        0."""
        return abs(self.error / self.reference.value) if self.reference.value else float("nan")

    @property
    def reason(self) -> str:
        """Why there is no error, else empty."""
        absent = {"prediction": self.predicted.reason, "reference": self.reference.reason}
        if len(set(absent.values())) == 1:
            return self.predicted.reason
        return "; ".join(f"{where}: {reason}" for where, reason in absent.items() if reason)


def compare_quantities(
    prediction: torch.Tensor,
    reference: torch.Tensor,
    *,
    label_names: Sequence[str],
    declared: Iterable[Mapping[str, Any]],
    spacing_mm: Sequence[float] | None,
    case: str,
    group: str,
) -> list[QuantityError]:
    """Measure two label maps (1, H, W) alike, as far as their segments are in the label set; see
    `measure_frame`."""
    wanted = _known(declared, label_names)
    maps = [torch.as_tensor(x).cpu().numpy() for x in (prediction, reference)]
    measured = [measure_frame(m, label_names=label_names, declared=wanted, spacing_mm=spacing_mm) for m in maps]
    return [QuantityError(case, group, p, r) for p, r in zip(*measured, strict=True)]


def compare_volume_quantities(
    prediction: torch.Tensor,
    reference: torch.Tensor,
    *,
    label_names: Sequence[str],
    declared: Iterable[Mapping[str, Any]],
    affine: np.ndarray,
    image: np.ndarray | None = None,
    image_unit: str = "",
    case: str,
    group: str,
) -> list[QuantityError]:
    """Measure two label maps (1, X, Y, Z) alike, as `compare_quantities` does; see `measure_volume`."""
    wanted = _known(declared, label_names)
    grid: dict[str, Any] = {"affine": affine, "image_unit": image_unit}
    maps = [as_labels(each) for each in (prediction, reference)]
    measured = [measure_volume(m, image, label_names=label_names, declared=wanted, **grid) for m in maps]
    return [QuantityError(case, group, p, r) for p, r in zip(*measured, strict=True)]


def _known(declared: Iterable[Mapping[str, Any]], label_names: Sequence[str]) -> list[Mapping[str, Any]]:
    return [entry for entry in declared if set(entry.get("segments", ())) <= set(label_names)]


@dataclass(frozen=True)
class QuantitySummary:
    """The errors of one quantity over many cases.

    Attributes:
        error: the bias. absolute_error: the mean distance. Both in ``unit``.
        relative_error: the mean distance as a share of the reference's value, where that is not 0: lesions of
            all sizes weigh the same.
    """

    name: str
    unit: str
    error: Estimate
    absolute_error: Estimate
    relative_error: Estimate


def summarise_quantities(
    errors: Sequence[QuantityError], *, resamples: int = 0, seed: int = 0
) -> dict[str, QuantitySummary]:
    """Summarise quantity by quantity; the arguments are those of `estimate`."""
    summary: dict[str, QuantitySummary] = {}
    for name in dict.fromkeys(error.reference.name for error in errors):
        rows = [error for error in errors if error.reference.name == name]
        values, groups = [row.error for row in rows], [row.group for row in rows]
        signed = estimate(values, groups, resamples=resamples, seed=seed)
        absolute = estimate([abs(value) for value in values], groups, resamples=resamples, seed=seed)
        relative = estimate([row.relative_error for row in rows], groups, resamples=resamples, seed=seed)
        summary[name] = QuantitySummary(name, rows[0].reference.unit, signed, absolute, relative)
    return summary
