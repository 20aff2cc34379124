"""Errors of clinical quantities: prediction against reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate
from pyraseg.pipeline.evaluation.scores import as_labels
from pyraseg.pipeline.measurement.declared import declared_measures
from pyraseg.pipeline.measurement.frame import measure_frame
from pyraseg.pipeline.measurement.volume import VOLUME_MEASURES, as_ucum, measure_volume
from pyraseg.transforms.dicom.series.volume import Volume
from pyraseg.transforms.io.reading_options import ReadingOptions
from pyraseg.transforms.io.volumes import LoadVolume
from pyraseg.transforms.records import Quantity

__all__ = [
    "QuantityError",
    "QuantitySummary",
    "compare_quantities",
    "image_units",
    "source_values",
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
        """The error's magnitude by the reference's; NaN where the reference is 0 or either is absent."""
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
    case: str,
    group: str,
    spacing_mm: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    image: np.ndarray | None = None,
    image_unit: str = "",
) -> list[QuantityError]:
    """Measure two label maps with the same declarations, as far as their segments are in the label set.

    Args:
        prediction, reference: (1, H, W), see `measure_frame`, or (1, X, Y, Z), see `measure_volume`.
        declared: the bundle's quantities.
        spacing_mm: of a frame.
        affine, image, image_unit: of a volume.
    """
    declared = [entry for entry in declared if set(entry.get("segments", ())) <= set(label_names)]
    known: dict[str, Any] = {"label_names": label_names, "declared": declared}
    measured = []
    for labels in (prediction, reference):
        if affine is None:
            frame = torch.as_tensor(labels).cpu().numpy()
            measured.append(measure_frame(frame, spacing_mm=spacing_mm, **known))
        else:
            known |= {"affine": affine, "image_unit": image_unit}
            measured.append(measure_volume(as_labels(labels), image, **known))
    return [QuantityError(case, group, *pair) for pair in zip(*measured, strict=True)]


def image_units(declared: Iterable[Mapping[str, Any]]) -> set[str]:
    """The UCUM units of the image that quantities of volumes need; label maps alone need none.

    Raises:
        ConfigError: a declaration with an unknown measure.
    """
    return {how.image_unit for _, how in declared_measures(declared, VOLUME_MEASURES)} - {""}


def source_values(
    source: str | Path | Volume, *, case: str, unit: str = "", reading: ReadingOptions | None = None
) -> tuple[np.ndarray, str]:
    """Read a volume's values on its source grid, because preprocessing has resampled and scaled the item's.

    Args:
        source: a NIfTI file, a series' folder, a multi-frame file, or a `Volume`.
        case: its name in errors.
        unit: of an image that states none, as NIfTI.
        reading: how to read a series.

    Returns:
        The values (X, Y, Z) and their UCUM unit.

    Raises:
        PyrasegError: it cannot be read.
    """
    image = LoadVolume(reading)(source, case)
    return image.as_tensor().numpy()[0], as_ucum(str(image.meta.get("unit", unit)))


@dataclass(frozen=True)
class QuantitySummary:
    """The errors of one quantity over many cases.

    Attributes:
        error: the bias, in ``unit``.
        absolute_error: the mean distance, in ``unit``.
        relative_error: the mean distance relative to the reference's value, where that is not 0; lesions of
            all sizes weigh the same.
    """

    name: str
    unit: str
    error: Estimate
    absolute_error: Estimate
    relative_error: Estimate

    def document(self) -> dict[str, Any]:
        """The entry of ``summary.json``."""
        names = ("error", "absolute_error", "relative_error")
        return {"unit": self.unit} | {name: getattr(self, name).document() for name in names}


def summarise_quantities(
    errors: Sequence[QuantityError], *, resamples: int = 0, seed: int = 0
) -> dict[str, QuantitySummary]:
    """Summarise quantity by quantity; the arguments are those of `estimate`."""
    summary: dict[str, QuantitySummary] = {}
    for name in dict.fromkeys(error.reference.name for error in errors):
        rows = [error for error in errors if error.reference.name == name]
        columns = ([r.error for r in rows], [abs(r.error) for r in rows], [r.relative_error for r in rows])
        groups = [row.group for row in rows]
        estimates = (estimate(column, groups, resamples=resamples, seed=seed) for column in columns)
        summary[name] = QuantitySummary(name, rows[0].reference.unit, *estimates)
    return summary
