"""FDG-PET: SUV with blur and noise, as PET Image objects (PS3.3 A.21, C.8.9), in scanners' variants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import PositronEmissionTomographyImageStorage

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import PET_VIEWS, Acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.body.tissues import SUV, draw_values
from pyraseg.pipeline.phantom.volumes.examination import Examination, Stored, blur, smooth_noise
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["MIDNIGHT", "PROTOCOLS", "PetExamination", "PetProtocol", "draw_tracer"]

HIGHEST = 32767
BED_MM, BED_S = 150.0, 150.0  # length of a bed position, and how long it is measured
CORRECTIONS = ("NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN")
DIGITS = 9  # of a slope: what fits a decimal string
HALF_LIFE_S = 6586.2  # fluorine-18
MBQ = 1e6
MIDNIGHT = "002000"  # start of a scan whose injection was on the day before


@dataclass(frozen=True)
class PetProtocol:
    """The elements by which a scanner states SUV.

    Attributes:
        units: (0054,1001): BQML, GML or CNTS.
        decay: (0054,1102): START or ADMIN.
        dated: the injection has a date (0018,1078) beside the time of day (0018,1072).
        delay_min: minutes between the first acquisition and the stated start, as in a series that was
            reconstructed again; the true start then follows from Frame Reference Time.
        private: vendor of the private element with the start, or the SUV factor: "GE", "Philips" or "".
        midnight: the day changes between injection and scan.
    """

    units: str = "BQML"
    decay: str = "START"
    dated: bool = True
    delay_min: int = 0
    private: str = ""
    midnight: bool = False


PROTOCOLS = (
    PetProtocol(),
    PetProtocol(dated=False),
    PetProtocol(delay_min=47),
    PetProtocol(dated=False, midnight=True),
    PetProtocol(decay="ADMIN"),
    PetProtocol(delay_min=35, private="GE"),
    PetProtocol(units="GML"),
    PetProtocol(units="CNTS", private="Philips"),
)


@dataclass(frozen=True)
class Tracer:
    """One injection of FDG.

    Attributes:
        dose_bq: at the time of injection.
        start: of the first acquisition, the reference of START.
        factor: SUV of a count per second and millilitre, for CNTS.
    """

    protocol: PetProtocol
    weight_kg: float
    dose_bq: float
    injected: datetime
    start: datetime
    factor: float

    @property
    def scale(self) -> float:
        """The value in the series' units of SUV 1 (methods: SUVbw = value * weight in g / activity)."""
        if self.protocol.units == "GML":
            return 1.0
        if self.protocol.units == "CNTS":
            return 1 / self.factor
        uptake_s = (self.start - self.injected).total_seconds() if self.protocol.decay == "START" else 0.0
        return float(self.dose_bq * float(2 ** (-uptake_s / HALF_LIFE_S)) / (self.weight_kg * 1000))


def draw_tracer(
    rng: np.random.Generator, protocol: PetProtocol, identity: Identity, *, weight_kg: float
) -> Tracer:
    """Draw dose and uptake time for a study that begins at the identity's date and time."""
    begin = datetime.strptime(identity.study_date + identity.study_time, "%Y%m%d%H%M%S")
    start = begin + timedelta(minutes=5)
    uptake = timedelta(seconds=int(rng.integers(52 * 60, 75 * 60)))
    return Tracer(
        protocol=protocol,
        weight_kg=weight_kg,
        dose_bq=round(float(rng.uniform(3.2, 5.2)) * weight_kg * MBQ, -3),
        injected=start - uptake,
        start=start,
        factor=float(f"{rng.uniform(2e-4, 9e-4):.6g}"),
    )


@dataclass(frozen=True)
class PetExamination(Examination):
    """One PET; its appearance is SUV by body weight, g/ml.

    Attributes:
        fwhm_mm: the scanner's resolution.
        noise: standard deviation of SUV 1.
    """

    fwhm_mm: float
    noise: float
    tracer: Tracer

    views, scale, whole_body, unit = PET_VIEWS, (0.8, 0.92), True, "g/ml{SUVbw}"
    code, model, sop_class = "PT", "PET 8", PositronEmissionTomographyImageStorage

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Self:
        """Draw the settings, the uptake and the injection of one case."""
        lesions = tuple(round(float(rng.uniform(4, 14)), 2) for _ in body.lesions)
        appearance = Appearance(draw_values(rng, SUV), lesions, round(float(rng.uniform(0.8, 1.8)), 2))
        fwhm_mm, noise = float(rng.uniform(5, 7.5)), float(rng.uniform(0.08, 0.15))
        protocol = PROTOCOLS[index % len(PROTOCOLS)]
        tracer = draw_tracer(rng, protocol, identity, weight_kg=body.weight_kg)
        return cls(appearance, identity, fwhm_mm, noise, tracer)

    def render(self, painted: Painted, _: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """SUV, (x, y, z), never negative."""
        width = (self.fwhm_mm,) * 3
        values = blur(painted.values(self.appearance), width, grid.spacing)
        grain = smooth_noise(rng, grid.shape, (0.8 * self.fwhm_mm,) * 3, grid.spacing)
        return np.maximum(values + np.float32(self.noise) * np.sqrt(values + 0.02) * grain, 0)

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
        """PET Image (C.8.9.4): the slice's bed position gives its times; scanning begins at the head."""
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
    """The time within a frame at which the activity equals its mean."""
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
    item = _code(codes.SCT.Recumbent)
    gantry = codes.SCT.Headfirst if position[0] == "H" else codes.SCT.FeetFirst
    turned = codes.SCT.Supine if position.endswith("S") else codes.SCT.Prone
    item.PatientOrientationModifierCodeSequence = [_code(turned)]
    dataset.PatientOrientationCodeSequence = [item]
    dataset.PatientGantryRelationshipCodeSequence = [_code(gantry)]


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S")
