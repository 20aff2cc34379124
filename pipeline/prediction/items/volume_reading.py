"""The volume of an item: a DICOM series or a NIfTI file, read once."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from pyraseg.pipeline.measurement.volume import as_ucum
from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.transforms.dicom.series.volume import Volume
from pyraseg.transforms.errors import PyrasegError
from pyraseg.transforms.io.nifti_volumes import NiftiVolume
from pyraseg.transforms.io.volumes import read_volume

__all__ = ["ItemVolume", "SeriesReading"]


@dataclass(frozen=True, eq=False)
class ItemVolume:
    """What results are measured on and delivered with.

    Attributes:
        image: what a bundle's preprocessing takes.
        array: (X, Y, Z) in ``unit``, on the source grid.
        affine: (4, 4), from index to RAS+ mm.
        unit: UCUM; empty for NIfTI, and for MR without a real-world value mapping.
        series: None for NIfTI.
    """

    image: Volume | NiftiVolume
    array: np.ndarray
    affine: np.ndarray
    unit: str
    series: Volume | None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along x, y and z."""
        x, y, z = map(float, np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z


@dataclass(frozen=True)
class SeriesReading:
    """How series are read: see `read_series`."""

    repair: tuple[str, ...] = ()
    assume_hu: bool = False

    def read(self, item: Item) -> ItemVolume:
        """Read an item's files.

        Raises:
            InputError, GeometryError: they are no volume that is beyond doubt.
        """
        source = item.paths if item.source.sop_class_uid else item.source.path
        try:
            volume = read_volume(source, repair=self.repair, assume_hu=self.assume_hu, workers=1)
        except PyrasegError as error:
            remedy = as_typed(error.remedy)
            raise type(error)(error.wanted, found=error.found, remedy=remedy, path=error.path) from None
        series = volume if isinstance(volume, Volume) else None
        return ItemVolume(volume, volume.array, volume.affine, as_ucum(volume.unit), series)


def as_typed(remedy: str) -> str:
    """A remedy in the words of the command line, which has no choice of a stack or series within one item."""
    text = re.sub(r'repair=\["(\w+)"\]', r"--repair \1", remedy).replace("assume_hu=True", "--assume-hu")
    return re.sub(r"Choose one by its number, [^,]*, or (\w)", lambda match: match[1].upper(), text)
