"""T1-weighted MR with bias field and magnitude noise, as MR Image objects (PS3.3 A.4, C.8.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import MR_VIEWS, Acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array, grid_points
from pyraseg.pipeline.phantom.volumes.body.tissues import T1, draw_values
from pyraseg.pipeline.phantom.volumes.examination import Examination, Stored, blur, smooth_noise
from pyraseg.transforms.geometry.grid import Vector, VolumeGrid

__all__ = ["MrExamination"]

STORAGES = ((12, False), (16, True), (16, False))  # bits stored, signed
MAPPED_EVERY, MAPPED = 4, 2
TEXTURE_MM = 7.0


@dataclass(frozen=True)
class MrExamination(Examination):
    """One MR; fat has an appearance of about 1.

    Attributes:
        slope, bend: of the bias field's logarithm, per metre and per square metre along x, y and z.
        noise: standard deviation of either part of the complex signal, relative to fat.
        gain: stored value of brightness 1.
        bits, signed: of stored pixels.
        mapped: with a Real World Value Mapping (C.7.6.16.2.11) back to the brightness.
    """

    slope: Vector
    bend: Vector
    noise: float
    gain: float
    bits: int
    signed: bool
    mapped: bool

    views, unit, code, model = MR_VIEWS, "1", "MR", "MR 15"
    sop_class, image_type = MRImageStorage, ("ORIGINAL", "PRIMARY", "OTHER")

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Self:
        """Draw the settings and the brightness of one case."""
        lesions = tuple(round(float(rng.uniform(0.42, 0.6)), 3) for _ in body.lesions)
        slope, bend = rng.uniform(-1.6, 1.6, 3), rng.uniform(2, 9, 3)
        bits, signed = STORAGES[index % len(STORAGES)]
        return cls(
            appearance=Appearance(draw_values(rng, T1), lesions, round(float(rng.uniform(0.2, 0.28)), 3)),
            identity=identity,
            slope=(float(slope[0]), float(slope[1]), float(slope[2])),
            bend=(float(bend[0]), float(bend[1]), float(bend[2])),
            noise=float(rng.uniform(0.015, 0.035)),
            gain=float(rng.uniform(500, 1400)),
            bits=bits,
            signed=signed,
            mapped=index % MAPPED_EVERY == MAPPED,
        )

    @property
    def factors(self) -> tuple[float, float]:
        return (1.0, 1 / self.gain) if self.mapped else (self.gain, 1.0)

    def bias(self, grid: VolumeGrid) -> Array:
        """The coils' sensitivity, about 1, (x, y, z) or broadcastable to it."""
        middle = grid.affine_lps @ [*((count - 1) / 2 for count in grid.shape), 1]
        total: Array = np.zeros((1, 1, 1), np.float32)
        axes = zip(grid_points(grid), middle[:3], self.slope, self.bend, strict=True)
        for points, centre, slope, bend in axes:
            distance = (points - np.float32(centre)) / np.float32(1000)
            total = total + np.float32(slope) * distance - np.float32(bend) * distance**2
        return np.exp(total)

    def render(self, painted: Painted, _: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """Stored values of the scanner, without unit, (x, y, z)."""
        values = painted.values(self.appearance)
        values *= 1 + 0.05 * smooth_noise(rng, grid.shape, (TEXTURE_MM,) * 3, grid.spacing)
        in_plane = 1.1 * grid.spacing[0]
        values = blur(values, (in_plane, in_plane, 0.8 * grid.spacing[2]), grid.spacing)
        values = values * self.bias(grid)
        real, imaginary = np.float32(self.noise) * rng.standard_normal((2, *grid.shape), dtype=np.float32)
        magnitude: Array = np.hypot(values + real, imaginary) * np.float32(self.gain)
        return magnitude

    @property
    def highest(self) -> int:
        """The largest value that the pixels can hold."""
        return int(2 ** (self.bits - int(self.signed)) - 1)

    def store(self, values: Array, _: VolumeGrid) -> Stored:
        """Round the scanner's values, (x, y, z); MR has no Rescale Slope."""
        pixels = np.clip(np.rint(values), 0, self.highest).astype(np.int16 if self.signed else np.uint16)
        return Stored(pixels.T, self.bits)

    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """MR Image."""
        self.add_general_series(dataset, acquisition, "Synthetic T1 spin echo")
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", ""
        dataset.MRAcquisitionType = "2D"
        dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = 560, 12, 1
        dataset.MagneticFieldStrength, dataset.FlipAngle = 1.5, 90
        dataset.SpacingBetweenSlices = acquisition.grid.spacing[2]
        dataset.WindowCenter, dataset.WindowWidth = round(0.5 * self.gain), round(self.gain)
        if self.mapped:
            dataset.RealWorldValueMappingSequence = [self._mapping()]

    def _mapping(self) -> Dataset:
        item, unit = Dataset(), Dataset()
        kind = "SS" if self.signed else "US"
        item.add_new("RealWorldValueFirstValueMapped", kind, 0)
        item.add_new("RealWorldValueLastValueMapped", kind, self.highest)
        item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1 / self.gain
        item.LUTExplanation, item.LUTLabel = "Brightness relative to fat", "RELATIVE"
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "1", "UCUM", "no units"
        item.MeasurementUnitsCodeSequence = [unit]
        return item
