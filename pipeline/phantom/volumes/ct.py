"""CT: HU with the grain of filtered back projection, on a couch, as CT Image objects (PS3.3 A.3, C.8.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import CT_VIEWS, Acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array, grid_points
from pyraseg.pipeline.phantom.volumes.body.tissues import CONTRAST_HU, HU, draw_values
from pyraseg.pipeline.phantom.volumes.examination import Examination, Stored, blur
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["CT_STORAGES", "CtExamination", "CtStorage"]

LOWEST_HU, HIGHEST_HU = -1024, 3071
SHARP_MM, SOFT_MM = 1.8, 6.0  # scales of the noise: reconstruction leaves no slow noise
COUCH_MM = 7.0


@dataclass(frozen=True)
class CtStorage:
    """How a scanner stores HU.

    Attributes:
        bits: stored, of 16 allocated.
        intercept: Rescale Intercept; the slope is 1.
        padding: value of the pixels outside the circle of reconstruction; None without such pixels.
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
class CtExamination(Examination):
    """One CT.

    Attributes:
        contrast: with iodine.
        noise_hu: standard deviation in soft tissue.
        tube_kv: peak voltage.
        oblique: with reformatted slices.
    """

    contrast: bool
    noise_hu: float
    tube_kv: int
    storage: CtStorage
    oblique: bool

    views, unit, code, model = CT_VIEWS, "[hnsf'U]", "CT", "CT 64"
    sop_class, image_type = CTImageStorage, ("ORIGINAL", "PRIMARY", "AXIAL")

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Self:
        """Draw the settings and the HU of one case."""
        contrast = bool(rng.random() < 0.6)
        tissues = draw_values(rng, {**HU, **CONTRAST_HU} if contrast else HU)
        ranges = ((15, 38), (88, 125)) if contrast else ((8, 30), (8, 34))
        lesions = tuple(round(float(rng.uniform(*ranges[int(rng.integers(2))])), 1) for _ in body.lesions)
        return cls(
            appearance=Appearance(tissues, lesions, round(float(rng.uniform(2, 12)), 1)),
            identity=identity,
            contrast=contrast,
            noise_hu=float(rng.uniform(7, 16)),
            tube_kv=int(rng.choice([100, 120, 140])),
            storage=CT_STORAGES[index % len(CT_STORAGES)],
            oblique=CT_VIEWS[index % len(CT_VIEWS)].oblique,
        )

    def render(self, painted: Painted, body: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """HU, (x, y, z)."""
        values = painted.values(self.appearance)
        values[(painted.tissue == 0) & _couch(body, grid)] = -30
        in_plane = 1.1 * grid.spacing[0]
        values = blur(values, (in_plane, in_plane, 0.7 * grid.spacing[2]), grid.spacing)
        white = rng.standard_normal(grid.shape, dtype=np.float32)
        fine, coarse = (blur(white, (w, w, 0.0), grid.spacing) for w in (SHARP_MM, SOFT_MM))
        noise = fine - coarse
        level = np.float32(self.noise_hu) * np.clip(1 + values / 2500, 0.55, 1.5)
        return np.clip(values + level * noise / noise.std(), LOWEST_HU, HIGHEST_HU)

    def store(self, values: Array, grid: VolumeGrid) -> Stored:
        """HU, (x, y, z), less the intercept; the padding value outside the circle of reconstruction."""
        storage = self.storage
        highest = 2 ** (storage.bits - int(storage.signed)) - 1
        pixels = np.clip(np.rint(values) - storage.intercept, None, highest)
        if storage.padding is not None:
            pixels[_outside(grid)] = storage.padding
        kind = np.int16 if storage.signed else np.uint16
        slopes = (1.0,) * grid.shape[2]
        return Stored(pixels.astype(kind).T, storage.bits, slopes, storage.intercept, storage.padding)

    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """CT Image and Contrast/Bolus (C.8.2.1, C.7.6.4)."""
        description = f"Synthetic CT, {'portal venous' if self.contrast else 'native'}"
        self.add_general_series(dataset, acquisition, description)
        if self.oblique:
            dataset.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED"]
        dataset.RescaleType = "HU"
        dataset.KVP = self.tube_kv
        dataset.GantryDetectorTilt = 0
        dataset.ReconstructionDiameter = round(acquisition.grid.shape[0] * acquisition.grid.spacing[0], 2)
        dataset.ConvolutionKernel = "STANDARD"
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
        if self.contrast:
            dataset.ContrastBolusAgent = "SYNTHETIC IODINE"


def _outside(grid: VolumeGrid) -> NDArray[np.bool_]:
    """The pixels of a slice outside the circle of reconstruction, which is as wide as a row, (x, y)."""
    columns, rows = grid.shape[:2]
    x = (np.arange(columns) - (columns - 1) / 2) * grid.spacing[0]
    y = (np.arange(rows) - (rows - 1) / 2) * grid.spacing[1]
    return np.asarray(np.hypot(x[:, None], y[None, :]) > 0.5 * columns * grid.spacing[0])


def _couch(body: Body, grid: VolumeGrid) -> NDArray[np.bool_]:
    """A shallow trough beneath the back."""
    x, y, _ = grid_points(grid)
    surface = 118 * body.scale - (x / 260) ** 2 * 70
    trough = (np.abs(y - surface - COUCH_MM / 2) < COUCH_MM / 2) & (np.abs(x) < 205)
    return np.broadcast_to(trough, grid.shape)
