"""CT Image objects (PS3.3 A.3, C.8.2.1): HU by slope and intercept, in the ways in which scanners store
them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.dicom.series import Stored, add_general_series
from pyraseg.pipeline.phantom.volumes.scans.ct import CtScan
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["CT_STORAGES", "CtSeries", "CtStorage"]


@dataclass(frozen=True)
class CtStorage:
    """How a scanner stores HU.

    Attributes:
        bits: stored; allocated are 16.
        intercept: Rescale Intercept; the slope is 1.
        padding: value of the pixels outside the circle of reconstruction; None where the image has no such
            pixels.
    """

    bits: int
    signed: bool
    intercept: int
    padding: int | None = None


CT_STORAGES = (
    CtStorage(12, False, -1024),
    CtStorage(16, True, 0, padding=-2000),
    CtStorage(16, False, -8192, padding=0),
    CtStorage(12, True, 0),
)


@dataclass(frozen=True)
class CtSeries:
    """The CT modules of one case."""

    scan: CtScan
    storage: CtStorage
    identity: Identity
    oblique: bool

    sop_class: UID = CTImageStorage
    model: str = "CT 64"

    @property
    def image_type(self) -> tuple[str, ...]:
        """Oblique slices are reformatted ones."""
        return ("DERIVED", "SECONDARY", "REFORMATTED") if self.oblique else ("ORIGINAL", "PRIMARY", "AXIAL")

    def store(self, values: Array, grid: VolumeGrid) -> Stored:
        """HU, (x, y, z), less the intercept; the padding value outside the circle of reconstruction."""
        storage = self.storage
        highest = 2 ** (storage.bits - int(storage.signed)) - 1
        pixels = np.clip(np.rint(values) - storage.intercept, None, highest)
        if storage.padding is not None:
            pixels[_outside(grid)] = storage.padding
        kind = np.int16 if storage.signed else np.uint16
        return Stored(
            pixels.astype(kind).T, storage.bits, (1.0,) * grid.shape[2], storage.intercept, storage.padding
        )

    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """CT Image and Contrast/Bolus (C.8.2.1, C.7.6.4)."""
        description = f"Synthetic CT, {'portal venous' if self.scan.contrast else 'native'}"
        add_general_series(dataset, acquisition, self.identity, modality="CT", description=description)
        dataset.RescaleType = "HU"
        dataset.KVP = self.scan.tube_kv
        dataset.GantryDetectorTilt = 0
        dataset.ReconstructionDiameter = round(acquisition.grid.shape[0] * acquisition.grid.spacing[0], 2)
        dataset.ConvolutionKernel = "STANDARD"
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
        if self.scan.contrast:
            dataset.ContrastBolusAgent = "SYNTHETIC IODINE"

    def add_slice(self, dataset: Dataset, index: int, acquisition: Acquisition) -> None:
        """Nothing: slices of a CT differ in pixels and place only."""


def _outside(grid: VolumeGrid) -> NDArray[np.bool_]:
    """The pixels of a slice that the circle of reconstruction, as wide as a row, leaves out, (x, y)."""
    columns, rows = grid.shape[:2]
    x = (np.arange(columns) - (columns - 1) / 2) * grid.spacing[0]
    y = (np.arange(rows) - (rows - 1) / 2) * grid.spacing[1]
    return np.asarray(np.hypot(x[:, None], y[None, :]) > 0.5 * columns * grid.spacing[0])
