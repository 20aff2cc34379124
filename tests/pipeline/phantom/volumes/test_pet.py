"""SUV follows from what each object states, in all the ways in which scanners state it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest

from pyraseg.pipeline.phantom.volumes.pet import PROTOCOLS


def moment(date: str, time: str) -> datetime:
    return datetime.strptime(date + time.split(".")[0], "%Y%m%d%H%M%S")


def scan_start(slices: list[pydicom.Dataset]) -> datetime:
    """The time to which START corrects (QIBA's SUV pseudo-code)."""
    first = min(slices, key=lambda dataset: dataset.AcquisitionDate + dataset.AcquisitionTime)
    stated = moment(first.SeriesDate, first.SeriesTime)
    acquired = moment(first.AcquisitionDate, first.AcquisitionTime)
    if stated <= acquired:
        return stated
    decay = math.log(2) / float(first.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife)
    frame_s = float(first.ActualFrameDuration) / 1000
    mean_s = math.log(decay * frame_s / (1 - math.exp(-decay * frame_s))) / decay
    return acquired + timedelta(seconds=mean_s - float(first.FrameReferenceTime) / 1000)


def suv_factor(slices: list[pydicom.Dataset]) -> float:
    """From a value in the series' units to SUV by body weight."""
    first = slices[0]
    if first.Units == "GML":
        assert first.SUVType == "BW"
        return 1.0
    if first.Units == "CNTS":
        return float(first.private_block(0x7053, "Philips PET Private Group")[0x00].value)
    item = first.RadiopharmaceuticalInformationSequence[0]
    dose = float(item.RadionuclideTotalDose)
    if first.DecayCorrection == "START":
        start = scan_start(slices)
        injected = moment(start.strftime("%Y%m%d"), item.RadiopharmaceuticalStartTime)
        if "RadiopharmaceuticalStartDateTime" in item:
            injected = datetime.strptime(item.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S")
        elif injected > start:
            injected -= timedelta(days=1)
        assert timedelta(minutes=45) < start - injected < timedelta(minutes=90)
        dose *= 2 ** (-(start - injected).total_seconds() / float(item.RadionuclideHalfLife))
    return float(first.PatientWeight) * 1000 / dose


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
def test_suv_comes_out_within_a_thousandth(build_pet, protocol):
    slices = build_pet(protocol)
    factor = suv_factor(slices)
    in_order = sorted(slices, key=lambda dataset: dataset.ImagePositionPatient[2])
    for dataset, plane in zip(in_order, np.moveaxis(build_pet.suv, -1, 0), strict=True):
        found = dataset.pixel_array * float(dataset.RescaleSlope) * factor
        np.testing.assert_allclose(found, plane.T, atol=1e-3 * plane.max())


def test_every_slice_has_a_slope_of_its_own_and_uses_the_whole_range(build_pet):
    slices = build_pet(PROTOCOLS[0])
    assert len({float(dataset.RescaleSlope) for dataset in slices}) == len(slices)
    assert all(dataset.pixel_array.max() == 32767 for dataset in slices)
    assert all(dataset.RescaleIntercept == 0 for dataset in slices)


def test_the_scan_goes_on_from_bed_to_bed_and_the_decay_factor_with_it(build_pet):
    slices = sorted(build_pet(PROTOCOLS[0]), key=lambda dataset: -dataset.ImagePositionPatient[2])
    times = [dataset.AcquisitionTime for dataset in slices]
    factors = [float(dataset.DecayFactor) for dataset in slices]
    assert times == sorted(times)
    assert 1 < len(set(times)) < len(times)
    assert factors == sorted(factors)
    assert 1 < factors[0] < 1.05


def test_a_scan_after_midnight_has_its_injection_on_the_day_before(build_pet):
    protocol = next(protocol for protocol in PROTOCOLS if protocol.midnight)
    first = build_pet(protocol)[0]
    item = first.RadiopharmaceuticalInformationSequence[0]
    assert item.RadiopharmaceuticalStartTime > first.SeriesTime
    assert "RadiopharmaceuticalStartDateTime" not in item


def test_a_series_made_anew_keeps_the_start_in_the_private_element(build_pet):
    protocol = next(protocol for protocol in PROTOCOLS if protocol.private == "GE")
    slices = build_pet(protocol)
    stated = slices[0].private_block(0x0009, "GEMS_PETD_01")[0x0D].value
    assert abs(moment(stated[:8], stated[8:]) - scan_start(slices)) < timedelta(seconds=1)
    assert moment(slices[0].SeriesDate, slices[0].SeriesTime) > moment(stated[:8], stated[8:])


def test_the_table_s_suv_is_the_one_that_the_files_give(volumes, series, truth):
    import nibabel

    for folder in series("pet"):
        slices = sorted(
            map(pydicom.dcmread, folder.iterdir()), key=lambda dataset: dataset.ImagePositionPatient[2]
        )
        rescaled = np.stack([dataset.pixel_array * float(dataset.RescaleSlope) for dataset in slices])
        label = np.asarray(nibabel.load(volumes("pet").output / "labels" / f"{folder.name}.nii.gz").dataobj).T
        suv = rescaled * suv_factor(slices)
        rows = [row for row in truth("pet") if row["case"] == folder.name]
        assert suv[label > 0].max() == pytest.approx(max(float(row["maximum"]) for row in rows), rel=0.002)
        weights = [float(row["label_ml"]) for row in rows]
        mean = np.average([float(row["mean"]) for row in rows], weights=weights)
        assert suv[label > 0].mean() == pytest.approx(mean, rel=0.002)
