"""Load a volume and its labels from a DICOM series or NIfTI, with equal axes and metadata."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import MetaKeys, SpaceKeys

from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.volume import Volume, read_series
from pyraseg.transforms.errors import GeometryError, PyrasegError
from pyraseg.transforms.geometry.grid import find_turns, turned, turned_affine
from pyraseg.transforms.io.dicom_reader import volume_metadata
from pyraseg.transforms.io.nifti_volumes import NiftiVolume, read_nifti_labels, read_nifti_volume
from pyraseg.transforms.io.paths import is_nifti
from pyraseg.transforms.labels.label_values import RemapLabels
from pyraseg.transforms.privacy import case_name

__all__ = ["LoadVolume", "LoadVolumed", "put_on_grid", "read_volume"]

SAME_POSITION = 1e-3  # mm, at the corners of the grid
OF_IMAGE = ("affine", "original_affine", "spatial_shape", "space", "spacing_mm", "spacing_source", "case")

Loaded = Volume | NiftiVolume


def read_volume(
    source: str | Path | Iterable[str | Path],
    *,
    repair: Collection[str] = (),
    assume_hu: bool = False,
    workers: int | None = None,
) -> Loaded:
    """Read a NIfTI file, or the one series of a folder, of its files or of a multi-frame file.

    Args:
        repair, assume_hu, workers: for series, see `read_series`.

    Raises:
        PyrasegError: as `read_nifti_volume`, `the_series` and `read_series`.

    >>> read_volume(series).array.shape, read_volume(nifti).array.shape
    ((8, 6, 5), (8, 6, 5))
    """
    if isinstance(source, str | Path) and is_nifti(source):
        return NiftiVolume(*read_nifti_volume(source))
    chosen = the_series(find_series(source))
    return read_series(chosen, repair=repair, assume_hu=assume_hu, workers=workers)


class LoadVolume(Transform):
    """Load a volume as a `MetaTensor` float32 (1, X, Y, Z) on its source grid: HU, SUVbw or MR intensities.

    The metadata: ``affine`` and ``original_affine`` (to RAS+ mm), ``spatial_shape``, ``spacing_mm`` (three
    numbers), ``spacing_source`` ("series" or "nifti"), ``modality`` (empty for NIfTI), ``unit`` (absent for
    NIfTI) and ``case``, a keyed hash instead of a path, so it can be logged.

    >>> image = LoadVolume()(series)
    >>> image.shape, image.meta["unit"]
    (torch.Size([1, 8, 6, 5]), 'HU')
    """

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
            volume = source if isinstance(source, Loaded) else read_volume(source)
        except PyrasegError as error:
            found = f"{error.found}, in case {case}"
            raise type(error)(error.wanted, found=found, remedy=error.remedy, path=error.path) from None
        meta = volume_metadata(volume) if isinstance(volume, Volume) else _nifti_metadata(volume)
        values = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))[None]
        plain = {key: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for key, v in meta.items()}
        image = MetaTensor(values, meta=plain | {"case": case})
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
    ) -> None:
        super().__init__(keys)
        self.load = LoadVolume()
        self.label_map = None if label_map is None else dict(label_map)
        self.num_classes = num_classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load the item; its case is its ``case``, or else the path's keyed hash.

        Raises:
            PyrasegError: as `LoadVolume`; the label does not belong to the image, or has undeclared values.
        """
        item = dict(data)
        item["image"], series = self.load.with_series(item["image"], item.get("case"))
        if "label" in self.keys:
            item["label"] = self._label(Path(item["label"]), item["image"], series)
        return item

    def _label(self, path: Path, image: MetaTensor, series: SourceSeries | None) -> MetaTensor:
        case = image.meta["case"]
        meta = {key: image.meta[key] for key in OF_IMAGE}
        try:
            if is_nifti(path):
                return self._values(path, image, meta)
            if series is None:
                wanted = "a DICOM label with the series that it was drawn on"
                remedy = "Name the folder of the series as the image, or give the label as NIfTI."
                raise GeometryError(wanted, found="a NIfTI image", remedy=remedy)
            labels = read_drawn_labels(path).label_map(series, self.label_map)[0]
            return MetaTensor(torch.from_numpy(np.ascontiguousarray(labels))[None], meta=meta)
        except PyrasegError as error:
            found = error.found if case in error.found else f"{error.found}, in case {case}"
            raise type(error)(error.wanted, found=found, remedy=error.remedy, path=error.path) from None

    def _values(self, path: Path, image: MetaTensor, meta: dict[str, Any]) -> MetaTensor:
        """The classes of a NIfTI mask."""
        array, affine = read_nifti_labels(path)
        shape, grid_affine = tuple(image.shape[1:]), np.asarray(image.affine)
        placed = put_on_grid(array, affine, shape=shape, grid_affine=grid_affine)
        numbers = self.label_map
        if numbers is not None:
            numbers = {key: value for key, value in numbers.items() if isinstance(key, int)}
        remap = RemapLabels(numbers, num_classes=self.num_classes or 0)
        return remap(MetaTensor(torch.from_numpy(np.ascontiguousarray(placed))[None], meta=meta))


def put_on_grid(
    array: np.ndarray, affine: np.ndarray, *, shape: tuple[int, ...], grid_affine: np.ndarray
) -> np.ndarray:
    """A view of an array (X, Y, Z) in the axis order and directions of a grid with the same voxels.

    Args:
        affine: (4, 4), from the array's indices to mm; grid_affine: from the grid's, in the same frame.
        shape: of the grid.

    Raises:
        GeometryError: the voxels are not the same to within 0.001 mm; nothing is resampled.
    """
    turns = find_turns(np.linalg.solve(affine, grid_affine)[:3, :3])
    if turns is not None and (placed := turned(array, turns)).shape == shape:
        corners = [(*corner, 1) for corner in product(*((0, side - 1) for side in shape))]
        apart = (turned_affine(affine, turns, array.shape) - grid_affine) @ np.transpose(corners)
        if np.abs(apart).max() <= SAME_POSITION:
            return placed
    raise GeometryError(
        f"labels on the voxels of the image, {' x '.join(map(str, shape))}",
        found=f"{' x '.join(map(str, array.shape))} at another place, spacing or angle",
        remedy="Check that they belong together; nothing is resampled to fit.",
    )


def _nifti_metadata(volume: NiftiVolume) -> dict[str, Any]:
    return {
        str(MetaKeys.AFFINE): volume.affine,
        str(MetaKeys.ORIGINAL_AFFINE): volume.affine.copy(),
        str(MetaKeys.SPATIAL_SHAPE): np.asarray(volume.array.shape, dtype=np.int64),
        str(MetaKeys.SPACE): str(SpaceKeys.RAS),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0,
        "spacing_mm": [float(side) for side in np.linalg.norm(volume.affine[:3, :3], axis=0)],
        "spacing_source": "nifti",
        "modality": "",
    }
