"""Faults of real series in phantoms, for tests of readers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pyraseg.pipeline.phantom.identity import file_meta, make_uid
from pyraseg.transforms.errors import ConfigError

__all__ = ["FAULTS", "assign_faults"]

TILT_DEGREES = 12.0
UNEVEN = 0.4  # of the distance between slices
Slices = list[Dataset]


def assign_faults(faults: Sequence[str], modality: str, cases: int) -> dict[int, str]:
    """Read "KIND" or "KIND:CASE"; the n-th fault, if it names no case, goes to case n.

    Returns:
        The kind by the case's index, from 0.

    Raises:
        ConfigError: an unknown kind or case, or two faults for one case.
    """
    excluded = (set() if modality == "pet" else PET_ONLY) | (RESCALED_ONLY if modality == "mr" else set())
    allowed = [kind for kind in FAULTS if kind not in excluded]
    assigned: dict[int, str] = {}
    for position, fault in enumerate(faults, start=1):
        kind, _, case = fault.partition(":")
        if kind not in allowed:
            wanted = f'a fault that a series of "{modality}" can have'
            remedy = f"Choose one of {', '.join(allowed)}."
            raise ConfigError(wanted, found=f'"{kind}"', remedy=remedy)
        number = int(case) if case.isdecimal() else 0 if case else position
        if not 1 <= number <= cases or number - 1 in assigned:
            remedy = f"Give each fault a case of its own from 1 to {cases}, as in {kind}:1."
            raise ConfigError("one case for each fault", found=f'"{fault}"', remedy=remedy)
        assigned[number - 1] = kind
    return assigned


def _change(dataset: Dataset, keyword: str, value: Any) -> None:
    """Change this object alone, although the slices share their elements."""
    if keyword in dataset:
        del dataset[keyword]
    setattr(dataset, keyword, value)


def _renew(dataset: Dataset, *parts: object) -> Dataset:
    """A copy with another SOP Instance UID."""
    other = Dataset()
    other.update(dataset)
    _change(other, "SOPInstanceUID", make_uid(dataset.SOPInstanceUID, *parts))
    other.file_meta = file_meta(other, dataset.file_meta.TransferSyntaxUID)
    return other


def _move(dataset: Dataset, shift: np.ndarray) -> None:
    position = np.round(np.array(dataset.ImagePositionPatient, float) + shift, 6) + 0.0
    _change(dataset, "ImagePositionPatient", position.tolist())


def _uneven(slices: Slices) -> Slices:
    step = np.subtract(*(np.array(s.ImagePositionPatient, float) for s in (slices[1], slices[0])))
    for dataset in slices[len(slices) // 2 :]:
        _move(dataset, UNEVEN * step)
    return slices


def _tilt(slices: Slices) -> Slices:
    """A tilted gantry: shift each slice along its columns by its distance from the first."""
    first = np.array(slices[0].ImagePositionPatient, float)
    for dataset in slices:
        row, column = np.reshape(np.array(dataset.ImageOrientationPatient, float), (2, 3))
        distance = (np.array(dataset.ImagePositionPatient, float) - first) @ np.cross(row, column)
        _move(dataset, distance * math.tan(math.radians(TILT_DEGREES)) * column)
        if dataset.Modality == "CT":
            _change(dataset, "GantryDetectorTilt", TILT_DEGREES)
    return slices


def _two_series(slices: Slices) -> Slices:
    """A second reconstruction of the same scan in the same folder."""
    others = [_renew(dataset, "series") for dataset in slices]
    for dataset in others:
        _change(dataset, "SeriesInstanceUID", make_uid(dataset.SeriesInstanceUID, "second"))
        _change(dataset, "SeriesNumber", 2)
    return slices + others


def _two_times(slices: Slices) -> Slices:
    """A second time point in the same series."""
    others = [_renew(dataset, "time") for dataset in slices]
    for number, dataset in enumerate(others, start=len(slices) + 1):
        moment = datetime.strptime(dataset.AcquisitionTime, "%H%M%S") + timedelta(minutes=2)
        _change(dataset, "AcquisitionTime", moment.strftime("%H%M%S"))
        _change(dataset, "AcquisitionNumber", 2)
        _change(dataset, "InstanceNumber", number)
    return slices + others


def _localizer(slices: Slices) -> Slices:
    """A scout across the other slices, in the same series."""
    scout = _renew(slices[len(slices) // 2], "localizer")
    row, column = np.reshape(np.array(scout.ImageOrientationPatient, float), (2, 3))
    _change(scout, "ImageOrientationPatient", [*row.tolist(), *(-np.cross(row, column) + 0.0).tolist()])
    _change(scout, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])
    _change(scout, "InstanceNumber", len(slices) + 1)
    return [*slices, scout]


def _halve(dataset: Dataset) -> None:
    """Keep every second row."""
    pixels = np.ascontiguousarray(dataset.pixel_array[::2])
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _change(dataset, "Rows", len(pixels))
    del dataset["PixelData"]
    dataset.add_new("PixelData", "OW", pixels.tobytes())


def _setting(keyword: str, value: Any) -> Callable[[Slices], Slices]:
    """Change a value in all slices."""

    def change(slices: Slices) -> Slices:
        for dataset in slices:
            _change(dataset, keyword, value)
        return slices

    return change


def _at_the_middle(change: Callable[[Dataset], None]) -> Callable[[Slices], Slices]:
    """Change the slice in the middle."""

    def change_one(slices: Slices) -> Slices:
        change(slices[len(slices) // 2])
        return slices

    return change_one


def _injection(keyword: str, value: Callable[[Any], Any]) -> Callable[[Slices], Slices]:
    """Change a value in the injection's item, which all slices share."""

    def change(slices: Slices) -> Slices:
        item = slices[0].RadiopharmaceuticalInformationSequence[0]
        _change(item, keyword, value(item.get(keyword)))
        return slices

    return change


def _early_scan(slices: Slices) -> Slices:
    """Date the injection an hour after the scan."""
    first = slices[0]
    moment = datetime.strptime(first.SeriesDate + first.SeriesTime, "%Y%m%d%H%M%S") + timedelta(hours=1)
    item = first.RadiopharmaceuticalInformationSequence[0]
    _change(item, "RadiopharmaceuticalStartDateTime", moment.strftime("%Y%m%d%H%M%S"))
    _change(item, "RadiopharmaceuticalStartTime", moment.strftime("%H%M%S"))
    return slices


# Each takes the slices in the order of instance numbers, may change them, and returns the faulty ones.
FAULTS: Mapping[str, Callable[[Slices], Slices]] = {
    "missing_slice": lambda slices: slices[: len(slices) // 2] + slices[len(slices) // 2 + 1 :],
    "duplicate_slice": lambda slices: [*slices, _renew(slices[len(slices) // 2], "again")],
    "single_slice": lambda slices: [slices[len(slices) // 2]],
    "uneven": _uneven,
    "tilt": _tilt,
    "two_series": _two_series,
    "two_times": _two_times,
    "localizer": _localizer,
    "sizes": _at_the_middle(_halve),
    "no_position": _at_the_middle(lambda dataset: delattr(dataset, "ImagePositionPatient")),
    "zero_slope": _at_the_middle(lambda dataset: _change(dataset, "RescaleSlope", 0)),
    "zero_weight": _setting("PatientWeight", 0),
    "zero_dose": _injection("RadionuclideTotalDose", lambda _: 0),
    "dose_in_mbq": _injection("RadionuclideTotalDose", lambda dose: dose / 1e6),
    "no_half_life": _injection("RadionuclideHalfLife", lambda _: None),
    "no_decay_correction": _setting("DecayCorrection", "NONE"),
    "early_scan": _early_scan,
}
RESCALED_ONLY = {"zero_slope"}
PET_ONLY = {"zero_weight", "zero_dose", "dose_in_mbq", "no_half_life", "no_decay_correction", "early_scan"}
