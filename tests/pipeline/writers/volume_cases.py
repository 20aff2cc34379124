"""Volumes and predictions of them for the tests of the writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import Volume, read_series
from pyraseg.transforms.records import Code, Quantity

__all__ = ["QUANTITIES", "SEGMENTS", "predict_volume", "read"]

ALGORITHM = Algorithm("Tumour in CT", "0.1.0", "7a" * 32, "ct_sarcoma")
LESION = {
    "category": ["49755003", "SCT", "Morphologically Abnormal Structure"],
    "type": ["372087000", "SCT", "Neoplasm, Primary"],
}
BONE = {"category": ["91723000", "SCT", "Anatomical Structure"], "type": ["272673000", "SCT", "Bone"]}
SEGMENTS = resolve_segments(
    ("background", "tumour", "bone"),
    [{"name": "tumour", "colour": [255, 0, 0], **LESION}, {"name": "bone", "colour": [0, 255, 0], **BONE}],
)
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
SUV = Code("126401", "DCM", "SUVbw")
QUANTITIES = (
    Quantity("tumour_volume", 12.5, "ml", segments=("tumour",), code=Code("118565006", "SCT", "Volume")),
    Quantity(
        "tumour_long_axis", 31.0, "mm", segments=("tumour",), code=Code("103339001", "SCT", "Long axis")
    ),
    Quantity(
        "tumour_hu_mean", -3.5, "[hnsf'U]", segments=("tumour",), code=ATTENUATION,
        derivation=Code("373098007", "SCT", "Mean"),
    ),
    Quantity(
        "tumour_suv_max", 7.25, "g/ml{SUVbw}", segments=("tumour",), code=SUV,
        derivation=Code("56851009", "SCT", "Maximum"),
    ),
    Quantity(
        "tumour_tlg", 80.0, "g", segments=("tumour",), code=Code("126033", "DCM", "Total Lesion Glycolysis"),
    ),
)  # fmt: skip


def read(place: Path, **options: Any) -> Volume:
    """The one series of a folder or file."""
    return read_series(the_series(find_series(place)), workers=1, **options)


def predict_volume(volume: Volume, **changes: Any) -> Prediction:
    """Random labels on a series, all but its first and last slice, on which nothing is."""
    labels = np.random.default_rng(3).integers(0, 3, volume.grid.shape, np.uint8)
    labels[..., 0] = labels[..., -1] = 0
    given = {
        "labels": labels.T,
        "spacing_mm": volume.grid.spacing[1::-1],
        "quantities": QUANTITIES,
        "salt": "salt",
        "series": volume.source,
        **changes,
    }
    return Prediction(volume.source.slices[0], "case", given.pop("labels"), SEGMENTS, ALGORITHM, **given)
