"""PET Image objects (PS3.3 A.21, C.8.9): another rescale slope on every slice, and all that SUV needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, PositronEmissionTomographyImageStorage

from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.dicom.series import Stored
from pyraseg.pipeline.phantom.volumes.scans.pet import PetScan
from pyraseg.pipeline.phantom.volumes.scans.tracer import HALF_LIFE_S, Tracer
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["PetSeries"]

HIGHEST = 32767
BED_MM, BED_S = 150.0, 150.0  # length of a bed position, and how long it is measured
CORRECTIONS = ("NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN")
DIGITS = 9  # of a slope: what fits a decimal string


@dataclass(frozen=True)
class PetSeries:
    """The PET modules of one case."""

    scan: PetScan
    tracer: Tracer

    sop_class: UID = PositronEmissionTomographyImageStorage
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY")
    model: str = "PET 8"

    def store(self, values: Array, _: VolumeGrid) -> Stored:
        """SUV, (x, y, z), in the series' units; each slice uses the whole range of the integers."""
        measured = np.moveaxis(values.astype(np.float64) * self.tracer.scale, -1, 0)
        peaks = np.maximum(measured.max(axis=(1, 2)), self.tracer.scale * 1e-3)
        slopes = tuple(float(f"{peak / HIGHEST:.{DIGITS}g}") for peak in peaks)
        pixels = np.rint(measured / np.array(slopes)[:, None, None])
        return Stored(np.clip(pixels, 0, HIGHEST).astype(np.int16).transpose(0, 2, 1), slopes=slopes)

    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """PET Series, PET Isotope and NM/PET Patient Orientation (C.8.9.1, C.8.9.2, C.8.4.6)."""
        protocol = self.tracer.protocol
        stated = self.tracer.start + timedelta(minutes=protocol.delay_min)
        dataset.Modality = "PT"
        dataset.SeriesDate, dataset.SeriesTime = _date(stated), _time(stated)
        dataset.ContentDate, dataset.ContentTime = _date(stated), _time(stated)
        dataset.SeriesDescription = "Synthetic FDG PET"
        dataset.PatientWeight = self.tracer.weight_kg
        dataset.Units = protocol.units
        dataset.CountsSource = "EMISSION"
        dataset.SeriesType = ["WHOLE BODY", "IMAGE"]
        dataset.NumberOfSlices = acquisition.grid.shape[2]
        dataset.CorrectedImage = list(CORRECTIONS)
        dataset.DecayCorrection = protocol.decay
        dataset.CollimatorType = "NONE"
        dataset.AttenuationCorrectionMethod = "measured"
        dataset.ActualFrameDuration = round(BED_S * 1000)
        dataset.RadiopharmaceuticalInformationSequence = [self._injection()]
        if protocol.units == "GML":
            dataset.SUVType = "BW"
        _add_private(dataset, self.tracer)
        _add_patient_orientation(dataset, acquisition.view.position)

    def _injection(self) -> Dataset:
        item, tracer = Dataset(), self.tracer
        item.Radiopharmaceutical = "FDG -- fluorodeoxyglucose"
        item.RadiopharmaceuticalStartTime = _time(tracer.injected)
        if tracer.protocol.dated:
            item.RadiopharmaceuticalStartDateTime = _date(tracer.injected) + _time(tracer.injected)
        item.RadionuclideTotalDose = tracer.dose_bq
        item.RadionuclideHalfLife = HALF_LIFE_S
        item.RadionuclidePositronFraction = 0.967
        item.RadionuclideCodeSequence = [_code(codes.SCT._18Fluorine)]
        item.RadiopharmaceuticalCodeSequence = [_code(codes.SCT.FluorodeoxyglucoseF18)]
        return item

    def add_slice(self, dataset: Dataset, index: int, acquisition: Acquisition) -> None:
        """PET Image (C.8.9.4): the slice's bed position gives its times. Scanning goes from the head
        downwards."""
        grid = acquisition.grid
        below_top = (grid.shape[2] - 1 - index) * grid.spacing[2]
        begin_s = BED_S * (below_top // BED_MM)
        begin = self.tracer.start + timedelta(seconds=begin_s)
        dataset.AcquisitionDate, dataset.AcquisitionTime = _date(begin), _time(begin)
        reference_s = begin_s + _mean_time(BED_S)
        dataset.FrameReferenceTime = round(reference_s * 1000, 3)
        since_s = reference_s
        if self.tracer.protocol.decay == "ADMIN":
            since_s += (self.tracer.start - self.tracer.injected).total_seconds()
        dataset.DecayFactor = round(2 ** (since_s / HALF_LIFE_S), 6)
        dataset.ImageIndex = dataset.InstanceNumber


def _mean_time(duration_s: float) -> float:
    """When within a frame the activity equals its mean over the frame."""
    decay = math.log(2) / HALF_LIFE_S
    return math.log(decay * duration_s / (1 - math.exp(-decay * duration_s))) / decay


def _add_private(dataset: Dataset, tracer: Tracer) -> None:
    """GE's scan date-time (0009,xx0D) or Philips' SUV factor (7053,xx00)."""
    if tracer.protocol.private == "GE":
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", f"{_date(tracer.start)}{_time(tracer.start)}.00")
    elif tracer.protocol.private == "Philips":
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", tracer.factor)


def _add_patient_orientation(dataset: Dataset, position: str) -> None:
    item, gantry = (
        _code(codes.SCT.Recumbent),
        codes.SCT.Headfirst if position[0] == "H" else codes.SCT.FeetFirst,
    )
    turned = codes.SCT.Supine if position.endswith("S") else codes.SCT.Prone
    item.PatientOrientationModifierCodeSequence = [_code(turned)]
    dataset.PatientOrientationCodeSequence = [item]
    dataset.PatientGantryRelationshipCodeSequence = [_code(gantry)]


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return item


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S")
