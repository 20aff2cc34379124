"""What is true of the lesions of a case: as they were planned, and as the voxels of the label show them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyraseg.pipeline.phantom.volumes.body.lesions import Lesion
from pyraseg.pipeline.phantom.volumes.volume import Volume

__all__ = ["truth_rows"]

DIGITS = 6  # significant


def truth_rows(
    case: str, modality: str, unit: str, fault: str, volume: Volume
) -> tuple[Mapping[str, object], ...]:
    """A row for each lesion.

    ``volume_ml``, ``value``, ``core_value`` and ``core_share`` (of the volume) are exact and come before
    blur, noise and, in MR, the bias field. ``label_ml``, ``mean``, ``sd`` and ``maximum`` are those of the
    label's voxels, in the unit that a reader of the series finds.
    """
    return tuple(
        {"case": case, "modality": modality, "lesion": number, "place": lesion.place, "unit": unit}
        | _planned(lesion, number, volume)
        | _found(number, volume)
        | {"fault": fault}
        for number, lesion in enumerate(volume.body.lesions, start=1)
    )


def _planned(lesion: Lesion, number: int, volume: Volume) -> dict[str, object]:
    appearance, factor = volume.examination.scan.appearance, volume.examination.planned
    return {
        "volume_ml": _text(lesion.volume_ml),
        "value": _text(appearance.lesions[number - 1] * factor),
        "core_value": _text(appearance.core * factor) if lesion.core_level else "",
        "core_share": _text(lesion.core_share),
    }


def _found(number: int, volume: Volume) -> dict[str, object]:
    inside = volume.painted.lesions == number
    values = volume.values[inside].astype(np.float64) * volume.examination.rendered
    return {
        "label_ml": _text(np.count_nonzero(inside) * volume.acquisition.grid.voxel_ml),
        "mean": _text(values.mean()),
        "sd": _text(values.std()),
        "maximum": _text(values.max()),
    }


def _text(value: float) -> str:
    return f"{value:.{DIGITS}g}"
