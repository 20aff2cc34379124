"""Loading a volume and its labels, from a DICOM series or NIfTI, alike in axis order and metadata."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import MetaKeys, SpaceKeys

from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.volume import Volume, read_series
from pyraseg.transforms.errors import GeometryError, PyrasegError
from pyraseg.transforms.io.dicom_reader import volume_metadata
from pyraseg.transforms.io.nifti_volumes import read_nifti_labels, read_nifti_volume
from pyraseg.transforms.labels.label_values import RemapLabels
from pyraseg.transforms.privacy import case_name

__all__ = ["NIFTI_SUFFIXES", "LoadVolume", "LoadVolumed", "put_on_grid"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
SAME_PLACE = 1e-3  # mm, at the corners of the grid

Place = str | Path | Volume


class LoadVolume(Transform):
    """Load a volume as a `MetaTensor` float32 (1, X, Y, Z) on its source grid, in HU, SUVbw or MR
    intensities.

    The metadata: ``affine`` and ``original_affine`` (to RAS+ mm), ``spatial_shape``, ``spacing_mm`` (three
    numbers), ``spacing_source`` ("series" or "nifti"), ``modality`` (empty for NIfTI), ``unit`` (absent for
    NIfTI, which states none) and ``case``, a keyed hash, in place of a path, so that it can be logged.
    """

    def __call__(self, place: Place, case: str | None = None) -> MetaTensor:
        """Load ``place``: a NIfTI file, the folder of one series, a multi-frame file, or a `Volume` that was
        read.

        Raises:
            PyrasegError: as `read_nifti_volume`, `the_series` and `read_series`, with the case in its
                sentence.
        """
        return self.with_series(place, case)[0]

    def with_series(self, place: Place, case: str | None = None) -> tuple[MetaTensor, SourceSeries | None]:
        """The volume, and the series that it is; None for NIfTI."""
        case = case or case_name("a volume in memory" if isinstance(place, Volume) else str(place))
        try:
            if isinstance(place, Volume) or not _is_nifti(place):
                array, meta, series = _series(place)
            else:
                array, meta, series = *_nifti(Path(place)), None
        except PyrasegError as error:
            found = f"{error.found}, in case {case}"
            raise type(error)(error.wanted, found=found, remedy=error.remedy, path=error.path) from None
        values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
        plain = {key: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for key, v in meta.items()}
        return MetaTensor(values, meta=plain | {"case": case}), series


class LoadVolumed(MapTransform):
    """`LoadVolume` on the image of an item, and its label map on the image's grid, uint8 class indices (1, X,
    Y, Z).

    A label is NIfTI on the voxels of the image (axes may be swapped or turned), or a DICOM SEG or RTSTRUCT
    that was drawn on the image's series. Nothing is resampled.

    Args:
        keys: "image", or "image" and "label".
        label_map: from what stands in the label files to classes, as a `Datalist` has it: whole numbers are
            values of NIfTI and numbers of segments (SEG) and regions (RTSTRUCT), texts are names of these.
            None: every value is its class.
        num_classes: needed with a label.
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
        """Load the item; its ``case`` names it, else its path's keyed hash does.

        Raises:
            PyrasegError: as `LoadVolume`; the label does not belong to the image, or has values that are not
                declared.
        """
        item = dict(data)
        image, series = self.load.with_series(item["image"], item.get("case"))
        item["image"] = image
        if "label" in self.keys:
            item["label"] = self._label(Path(item["label"]), image, series)
        return item

    def _label(self, path: Path, image: MetaTensor, series: SourceSeries | None) -> MetaTensor:
        case = image.meta["case"]
        try:
            if _is_nifti(path):
                labels = self._values(path, image)
            else:
                labels = torch.from_numpy(np.ascontiguousarray(_drawn(path, series, self.label_map)))[None]
        except PyrasegError as error:
            found = error.found if case in error.found else f"{error.found}, in case {case}"
            raise type(error)(error.wanted, found=found, remedy=error.remedy, path=error.path) from None
        kept = ("affine", "original_affine", "spatial_shape", "space", "spacing_mm", "spacing_source", "case")
        return MetaTensor(labels, meta={key: image.meta[key] for key in kept})

    def _values(self, path: Path, image: MetaTensor) -> torch.Tensor:
        """The classes of a NIfTI mask."""
        array, affine = read_nifti_labels(path)
        placed = put_on_grid(
            array, affine, shape=tuple(image.shape[1:]), grid_affine=np.asarray(image.affine)
        )
        numbers = (
            None
            if self.label_map is None
            else {k: v for k, v in self.label_map.items() if isinstance(k, int)}
        )
        mapping = RemapLabels(numbers, num_classes=self.num_classes or 0)
        values = torch.from_numpy(np.ascontiguousarray(placed))[None]
        mapped = mapping(MetaTensor(values, meta={"case": image.meta["case"]}))
        return mapped.as_tensor() if isinstance(mapped, MetaTensor) else mapped


def put_on_grid(
    array: np.ndarray, affine: np.ndarray, *, shape: tuple[int, ...], grid_affine: np.ndarray
) -> np.ndarray:
    """A view of an array (X, Y, Z) in the axis order and directions of a grid whose voxels it has.

    Args:
        affine: (4, 4), from the array's indices to mm; grid_affine: from the grid's, in the same frame.
        shape: of the grid.

    Raises:
        GeometryError: the voxels are not the same to within 0.001 mm; nothing is resampled.
    """
    moves = np.linalg.solve(affine, grid_affine)  # from the grid's indices to the array's
    turns = np.rint(moves[:3, :3])
    order = [int(axis) for axis in np.abs(turns).argmax(axis=0)]  # the array's axis along each of the grid's
    if sorted(order) == [0, 1, 2] and np.abs(turns).sum() == 3:
        signs = [int(turns[axis, place]) for place, axis in enumerate(order)]
        turned = array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
        if turned.shape == shape and _same_place(array.shape, affine, order, signs, shape, grid_affine):
            return turned
    raise GeometryError(
        f"labels on the voxels of the image, {' x '.join(map(str, shape))}",
        found=f"{' x '.join(map(str, array.shape))} at another place, spacing or angle",
        remedy="Check that they belong together; nothing is resampled to fit.",
    )


def _same_place(
    size: tuple[int, ...],
    affine: np.ndarray,
    order: list[int],
    signs: list[int],
    shape: tuple[int, ...],
    grid_affine: np.ndarray,
) -> bool:
    """Whether the corners of both lie at the same place."""
    corners = np.array(np.meshgrid(*((0, side - 1) for side in shape), indexing="ij")).reshape(3, -1)
    inner = np.empty_like(corners)
    for place, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        inner[axis] = corners[place] if sign > 0 else size[axis] - 1 - corners[place]
    there, here = ((a[:3, :3] @ c).T + a[:3, 3] for a, c in ((affine, inner), (grid_affine, corners)))
    return bool(np.abs(there - here).max() <= SAME_PLACE)


def _is_nifti(path: str | Path) -> bool:
    return str(path).lower().endswith(NIFTI_SUFFIXES)


def _nifti(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    array, affine = read_nifti_volume(path)
    spacing = [float(side) for side in np.linalg.norm(affine[:3, :3], axis=0)]
    meta = {
        str(MetaKeys.AFFINE): affine,
        str(MetaKeys.ORIGINAL_AFFINE): affine.copy(),
        str(MetaKeys.SPATIAL_SHAPE): np.asarray(array.shape, dtype=np.int64),
        str(MetaKeys.SPACE): str(SpaceKeys.RAS),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0,
        "spacing_mm": spacing,
        "spacing_source": "nifti",
        "modality": "",
    }
    return array, meta


def _series(place: Place) -> tuple[np.ndarray, dict[str, Any], SourceSeries]:
    from pyraseg.transforms.dicom.series.find import find_series, the_series

    volume = place if isinstance(place, Volume) else read_series(the_series(find_series(place)))
    return volume.array, volume_metadata(volume), volume.source


def _drawn(path: Path, series: SourceSeries | None, label_map: Mapping[int | str, int] | None) -> np.ndarray:
    """The label map (X, Y, Z) of a SEG or RTSTRUCT."""
    from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels

    if series is None:
        remedy = "Name the folder of the series as the image, or give the label as NIfTI."
        raise GeometryError(
            "a DICOM label with the series that it was drawn on", found="a NIfTI image", remedy=remedy
        )
    return read_drawn_labels(path).label_map(series, label_map)[0]
