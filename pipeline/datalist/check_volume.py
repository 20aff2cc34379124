"""Checking a volume against its labels: one grid, declared labels, a series that makes a volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyraseg.pipeline.datalist.items import Entry
from pyraseg.pipeline.datalist.sources.headers import is_nifti
from pyraseg.transforms.errors import GeometryError, PyrasegError

if TYPE_CHECKING:
    import numpy as np

    from pyraseg.transforms.dicom.series.source_series import SourceSeries

__all__ = ["check_volume"]


@dataclass(frozen=True)
class _Image:
    """Where a volume lies: shape (X, Y, Z), affine to RAS+ mm, and its series; None for NIfTI."""

    shape: tuple[int, ...]
    affine: np.ndarray
    series: SourceSeries | None = None


def check_volume(
    entry: Entry, root: Path, declared: Mapping[int | str, int] | None
) -> tuple[Entry | None, str]:
    """The entry with the values in its label, or None and why image and label are no pair.

    The pixels of a series are not decoded. Those of NIfTI are read where they may be NaN, and those of every
    label.

    Args:
        entry: its image is a NIfTI file, a multi-frame file or the folder of one series.
        declared: from what stands in label files to classes; None accepts every value and takes every part.
    """
    try:
        image = _image(root / entry.image)
    except PyrasegError as error:
        return None, f"image: {_reason(error)}"
    try:
        return replace(entry, values=_values(root / entry.label, image, declared)), ""
    except PyrasegError as error:
        return None, f"mask: {_reason(error)}"


def _reason(error: PyrasegError) -> str:
    return f"wanted {error.wanted}, found {error.found}"


def _image(path: Path) -> _Image:
    if is_nifti(path):
        from pyraseg.transforms.io.nifti_volumes import check_nifti_volume

        return _Image(*check_nifti_volume(path))
    from pyraseg.transforms.dicom.series.find import find_series, the_series
    from pyraseg.transforms.dicom.series.volume import read_source_series

    series = read_source_series(the_series(find_series(path)))
    return _Image(series.grid.shape, series.grid.affine, series)


def _values(path: Path, image: _Image, declared: Mapping[int | str, int] | None) -> frozenset[int | str]:
    """The values of a NIfTI mask, or the keys that name a class that is there; numbers of parts without a
    map."""
    import numpy as np

    if is_nifti(path):
        return frozenset(int(value) for value in np.unique(_on_grid(path, image)))
    present = set(np.unique(_drawn(path, image, declared)).tolist())
    keys = declared if declared is not None else {value: value for value in present}
    return frozenset(key for key, value in keys.items() if value in present)


def _on_grid(path: Path, image: _Image) -> np.ndarray:
    from pyraseg.transforms.io.nifti_volumes import read_nifti_labels
    from pyraseg.transforms.io.volumes import put_on_grid

    labels, affine = read_nifti_labels(path)
    return put_on_grid(labels, affine, shape=image.shape, grid_affine=image.affine)


def _drawn(path: Path, image: _Image, declared: Mapping[int | str, int] | None) -> np.ndarray:
    from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels

    if image.series is None:
        remedy = "Name the folder of the series as the image, or give the label as NIfTI."
        raise GeometryError(
            "a DICOM label with the series that it was drawn on", found="a NIfTI image", remedy=remedy
        )
    return read_drawn_labels(path).label_map(image.series, declared)[0]
