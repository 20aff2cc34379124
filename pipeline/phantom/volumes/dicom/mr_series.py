"""MR Image objects (PS3.3 A.4, C.8.3.1): T1-weighted spin echo, some with a Real World Value Mapping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.dicom.series import Stored, add_general_series
from pyraseg.pipeline.phantom.volumes.scans.mr import MrScan
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["MrSeries"]


@dataclass(frozen=True)
class MrSeries:
    """The MR modules of one case.

    Attributes:
        bits, signed: how pixels are stored.
        mapped: whether a Real World Value Mapping (C.7.6.16.2.11) leads back to the brightness, fat about 1.
    """

    scan: MrScan
    identity: Identity
    bits: int
    signed: bool
    mapped: bool

    sop_class: UID = MRImageStorage
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "OTHER")
    model: str = "MR 15"

    @property
    def highest(self) -> int:
        """The largest value that the pixels can hold."""
        return int(2 ** (self.bits - int(self.signed)) - 1)

    def store(self, values: Array, _: VolumeGrid) -> Stored:
        """Values of the scanner, (x, y, z), as they are; MR has no Rescale Slope."""
        pixels = np.clip(np.rint(values), 0, self.highest).astype(np.int16 if self.signed else np.uint16)
        return Stored(pixels.T, self.bits)

    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """MR Image."""
        description = "Synthetic T1 spin echo"
        add_general_series(dataset, acquisition, self.identity, modality="MR", description=description)
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", ""
        dataset.MRAcquisitionType = "2D"
        dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = 560, 12, 1
        dataset.MagneticFieldStrength, dataset.FlipAngle = 1.5, 90
        dataset.SpacingBetweenSlices = acquisition.grid.spacing[2]
        dataset.WindowCenter, dataset.WindowWidth = round(0.5 * self.scan.gain), round(self.scan.gain)
        if self.mapped:
            dataset.RealWorldValueMappingSequence = [self._mapping()]

    def _mapping(self) -> Dataset:
        item, unit = Dataset(), Dataset()
        kind = "SS" if self.signed else "US"
        item.add_new("RealWorldValueFirstValueMapped", kind, 0)
        item.add_new("RealWorldValueLastValueMapped", kind, self.highest)
        item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1 / self.scan.gain
        item.LUTExplanation, item.LUTLabel = "Brightness relative to fat", "RELATIVE"
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "1", "UCUM", "no units"
        item.MeasurementUnitsCodeSequence = [unit]
        return item

    def add_slice(self, dataset: Dataset, index: int, acquisition: Acquisition) -> None:
        """Nothing: slices of this series differ in pixels and place only."""
