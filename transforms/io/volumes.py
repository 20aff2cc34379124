"""Load a volume and its labels from a DICOM series or NIfTI, with equal axes and metadata."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.labels.overlaps import CROP
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.volume import Volume, read_series
from pyraseg.transforms.errors import GeometryError, Option, PyrasegError
from pyraseg.transforms.geometry.grid import find_turns, turned, turned_affine
from pyraseg.transforms.io.dicom_reader import spatial_metadata, volume_metadata
from pyraseg.transforms.io.nifti_volumes import NiftiVolume, read_nifti_labels, read_nifti_volume
from pyraseg.transforms.io.paths import is_nifti
from pyraseg.transforms.io.reading_options import ReadingOptions, as_reading
from pyraseg.transforms.labels.label_values import RemapLabels, background_label
from pyraseg.transforms.privacy import case_name
from pyraseg.transforms.records import BACKGROUND

__all__ = ["LoadVolume", "LoadVolumed", "Loaded", "put_on_grid", "read_volume"]

SAME_POSITION = 1e-3  # mm, at the corners of the grid
OF_IMAGE = ("affine", "original_affine", "spatial_shape", "space", "spacing_mm", "spacing_source", "case")

Loaded = Volume | NiftiVolume


def read_volume(
    source: str | PathLike[str] | Iterable[str | Path],
    *,
    series: int | None = None,
    stack: int | None = None,
    repair: Collection[str] = (),
    assume_hu: bool = False,
    workers: int | None = None,
) -> Loaded:
    """Read a NIfTI file, or the one series of a folder, of its files or of a multi-frame file.

    Args:
        series, stack, repair, assume_hu: for series, see `ReadingOptions`; NIfTI needs none.
        workers: see `read_series`.

    Raises:
        PyrasegError: as `read_nifti_volume`, `the_series` and `read_series`.

    >>> read_volume(series).array.shape, read_volume(nifti).array.shape
    ((8, 6, 5), (8, 6, 5))
    """
    source = Path(source) if isinstance(source, PathLike) else source
    if isinstance(source, str | Path) and is_nifti(source):
        return NiftiVolume(*read_nifti_volume(source))
    chosen = the_series(find_series(source), number=series)
    return read_series(chosen, stack=stack, repair=repair, assume_hu=assume_hu, workers=workers)


class LoadVolume(Transform):
    """Load a volume as a `MetaTensor` float32 (1, X, Y, Z) on its source grid: HU, SUVbw or MR intensities.

    The metadata: ``affine`` and ``original_affine`` (to RAS+ mm), ``spatial_shape``, ``spacing_mm`` (three
    numbers), ``spacing_source`` ("series" or "nifti"), ``modality`` (empty for NIfTI), ``unit`` (absent for
    NIfTI) and ``case``, a keyed hash instead of a path, so it can be logged.

    Args:
        reading: `ReadingOptions` or a mapping of them.

    >>> image = LoadVolume()(series)
    >>> image.shape, image.meta["unit"]
    (torch.Size([1, 8, 6, 5]), 'HU')
    """

    def __init__(self, reading: ReadingOptions | Mapping[str, Any] | None = None) -> None:
        self.reading = ReadingOptions.of(reading)

    def __call__(self, source: str | Path | Loaded, case: str | None = None) -> MetaTensor:
        """Load a path for `read_volume`, or its result.

        Raises:
            PyrasegError: as `read_volume`; the message names the case.
        """
        return self.with_series(source, case)[0]

    def with_series(
        self, source: str | Path | Loaded, case: str | None = None
    ) -> tuple[MetaTensor, SourceSeries | None]:
        """The volume, and its series; None for NIfTI."""
        given = isinstance(source, Loaded)
        case = case or case_name("a volume in memory" if given else str(source))
        try:
            volume = source if isinstance(source, Loaded) else read_volume(source, **self.reading.of_images)
        except PyrasegError as error:
            raise error.restated(found=f"{error.found}, in case {case}", spell=as_reading) from None
        meta = volume_metadata(volume) if isinstance(volume, Volume) else _nifti_metadata(volume)
        values = np.empty(volume.array.shape, np.float32)
        for row, stored in zip(values.swapaxes(0, 1), volume.array.swapaxes(0, 1), strict=True):
            row[:] = stored  # by rows, which the cache holds: a third of the time of all at once
        plain = {key: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for key, v in meta.items()}
        image = MetaTensor(torch.from_numpy(values)[None], meta=plain | {"case": case})
        return image, volume.source if isinstance(volume, Volume) else None


class LoadVolumed(MapTransform):
    """`LoadVolume` on the image of an item; its label map on the image's grid, uint8 (1, X, Y, Z).

    A label is NIfTI on the voxels of the image (axes may be swapped or flipped), or a DICOM SEG or RTSTRUCT
    drawn on the image's series. Nothing is resampled.

    Args:
        keys: "image", or "image" and "label".
        label_map: from labels in files to classes, as in a `Datalist`: whole numbers are values of NIfTI or
            numbers of segments (SEG) and regions (RTSTRUCT); texts are names of segments and regions. None:
            every value is its class.
        num_classes: needed with a label.
        reading: `ReadingOptions` or a mapping of them, as in a `Datalist`.

    >>> item = LoadVolumed(["image", "label"], num_classes=2)({"image": series, "label": mask})
    >>> item["label"].shape, item["label"].dtype
    (torch.Size([1, 8, 6, 5]), torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        label_map: Mapping[Any, int] | None = None,
        num_classes: int | None = None,
        reading: ReadingOptions | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(keys)
        self.load = LoadVolume(reading)
        self.label_map = None if label_map is None else dict(label_map)
        self.num_classes = num_classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load the item; its case is its ``case``, or else the path's keyed hash.

        An item with ``background`` shows none of the classes; its label is 0 everywhere.

        Raises:
            PyrasegError: as `LoadVolume`; the label does not belong to the image, or has undeclared values.
        """
        item = dict(data)
        item["image"], series = self.load.with_series(item["image"], item.get("case"))
        blank = item.pop(BACKGROUND, False)
        if "label" in self.keys and blank:
            item["label"] = background_label(item["image"])
        elif "label" in self.keys:
            item["label"] = self._label(Path(item["label"]), item["image"], series)
        return item

    def _label(self, path: Path, image: MetaTensor, series: SourceSeries | None) -> MetaTensor:
        case = image.meta["case"]
        meta = {key: image.meta[key] for key in OF_IMAGE}
        try:
            if is_nifti(path):
                return self._values(path, image, meta)
            options = self.load.reading.of_labels
            labels, notes = read_drawn_labels(path).label_map(series, self.label_map, **options)
            for note in notes:
                warnings.warn(f"{note}, in case {case}", stacklevel=2)
            return MetaTensor(torch.from_numpy(np.ascontiguousarray(labels))[None], meta=meta)
        except PyrasegError as error:
            found = error.found if case in error.found else f"{error.found}, in case {case}"
            raise error.restated(found=found, spell=as_reading) from None

    def _values(self, path: Path, image: MetaTensor, meta: dict[str, Any]) -> MetaTensor:
        """The classes of a NIfTI mask."""
        array, affine = read_nifti_labels(path)
        shape, grid_affine = tuple(image.shape[1:]), np.asarray(image.affine)
        crop = self.load.reading.crop
        placed = put_on_grid(array, affine, shape=shape, grid_affine=grid_affine, crop=crop)
        numbers = self.label_map
        if numbers is not None:
            numbers = {key: value for key, value in numbers.items() if isinstance(key, int)}
        remap = RemapLabels(numbers, num_classes=self.num_classes or 0)
        return remap(MetaTensor(torch.from_numpy(np.ascontiguousarray(placed))[None], meta=meta))


def put_on_grid(
    array: np.ndarray,
    affine: np.ndarray,
    *,
    shape: tuple[int, ...],
    grid_affine: np.ndarray,
    crop: bool = False,
) -> np.ndarray:
    """A view of an array (X, Y, Z) in the axis order and directions of a grid with the same voxels.

    Args:
        affine: (4, 4), from the array's indices to mm; grid_affine: from the grid's, in the same frame.
        shape: of the grid.
        crop: leave out what reaches beyond the grid.

    Raises:
        GeometryError: the voxels are not the same to within 0.001 mm, or some lie beyond the grid; nothing is
            resampled.
    """
    placed = _placed(array, affine, shape, grid_affine)
    if placed is not None and (crop or placed.size == array.size):
        return placed
    off = "at another place, spacing or angle" if placed is None else "that reach beyond it"
    raise GeometryError(
        f"labels on the voxels of the image, {' x '.join(map(str, shape))}",
        found=f"{' x '.join(map(str, array.shape))} {off}",
        remedy="Check that they belong together; nothing is resampled to fit.",
        option=None if placed is None else Option(CROP, "crop", True),
    )


def _placed(
    array: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], grid_affine: np.ndarray
) -> np.ndarray | None:
    """The part of an array on the voxels of a grid; None where it does not cover them."""
    turns = find_turns(np.linalg.solve(affine, grid_affine)[:3, :3])
    if turns is None:
        return None
    view, moved = turned(array, turns), turned_affine(affine, turns, array.shape)
    first = np.rint(np.linalg.solve(moved, grid_affine)[:3, 3]).astype(int)  # the grid's first voxel
    last = first + shape
    moved[:3, 3] += moved[:3, :3] @ first
    corners = [(*corner, 1) for corner in product(*((0, side - 1) for side in shape))]
    apart = np.abs((moved - grid_affine) @ np.transpose(corners)).max()
    if apart > SAME_POSITION or first.min() < 0 or (last > view.shape).any():
        return None
    part: np.ndarray = view[tuple(slice(*ends) for ends in zip(first, last, strict=True))]
    return part


def _nifti_metadata(volume: NiftiVolume) -> dict[str, Any]:
    return spatial_metadata(volume.affine, volume.array.shape) | {
        "spacing_mm": [float(side) for side in np.linalg.norm(volume.affine[:3, :3], axis=0)],
        "spacing_source": "nifti",
        "modality": "",
    }
