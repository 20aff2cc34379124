"""A series as MONAI takes it: an array with a channel, and its metadata."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import MetaKeys, SpaceKeys

from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.dicom.series.find import VOLUME_MODALITIES, find_series, the_series
from pyraseg.transforms.dicom.series.volume import Volume, read_series
from pyraseg.transforms.errors import InputError

__all__ = ["SeriesOptions", "holds_volume", "read_volume_item", "volume_metadata"]


@dataclass(frozen=True)
class SeriesOptions:
    """Which series of several is meant and what may be mended; see `the_series` and `read_series`."""

    series: int | None = None
    stack: int | None = None
    repair: Collection[str] = ()
    assume_hu: bool = False
    workers: int | None = None


def holds_volume(paths: Sequence[Path]) -> bool:
    """Whether these are a folder, slices of CT, MR or PET, or one multi-frame file of these."""
    if any(path.is_dir() for path in paths):
        return True
    try:
        header = read_header(paths[0])
    except InputError:
        return False
    return header.modality in VOLUME_MODALITIES and (len(paths) > 1 or header.number_of_frames > 1)


def read_volume_item(paths: Sequence[Path], options: SeriesOptions) -> tuple[np.ndarray, dict[str, Any]]:
    """The one series of a folder or of files, (1, X, Y, Z), and its metadata.

    Raises:
        GeometryError, InputError: as `the_series` and `read_series`.
    """
    volume = read_series(
        the_series(find_series(paths), number=options.series),
        stack=options.stack,
        repair=options.repair,
        assume_hu=options.assume_hu,
        workers=options.workers,
    )
    return volume.array[None], volume_metadata(volume)


def volume_metadata(volume: Volume) -> dict[str, Any]:
    """Affine to RAS+ mm, spacing, unit, modality and the series' UID; nothing that identifies a patient."""
    return {
        str(MetaKeys.AFFINE): volume.grid.affine,
        str(MetaKeys.ORIGINAL_AFFINE): volume.grid.affine,
        str(MetaKeys.SPATIAL_SHAPE): np.asarray(volume.grid.shape, dtype=np.int64),
        str(MetaKeys.SPACE): str(SpaceKeys.RAS),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0,
        "spacing_mm": list(volume.grid.spacing),
        "spacing_source": "series",
        "unit": volume.unit,
        "modality": volume.modality,
        "series_instance_uid": volume.source.series_instance_uid,
    }
