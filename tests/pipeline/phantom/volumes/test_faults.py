"""Each fault is in the files as its name says, and only there."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest

from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.phantom.volumes.faults import FAULTS, assign_faults
from pyraseg.transforms.errors import ConfigError

COUNT = 40  # slices of the sound series


def positions(slices: list[pydicom.Dataset]) -> np.ndarray:
    return np.array([dataset.ImagePositionPatient for dataset in slices], float)


def steps(slices: list[pydicom.Dataset]) -> list[float]:
    return np.unique(np.round(np.linalg.norm(np.diff(positions(slices), axis=0), axis=1), 3)).tolist()


def values(slices: list[pydicom.Dataset], keyword: str) -> list[str]:
    return sorted({str(dataset.get(keyword)) for dataset in slices})


def test_a_missing_slice_leaves_one_gap(build_pet):
    slices = FAULTS["missing_slice"](build_pet())
    assert len(slices) == COUNT - 1
    assert steps(slices) == [5, 10]


def test_a_duplicate_slice_has_its_place_twice_under_two_identifiers(build_pet):
    slices = FAULTS["duplicate_slice"](build_pet())
    assert len(np.unique(positions(slices), axis=0)) == COUNT
    assert len(values(slices, "SOPInstanceUID")) == len(slices) == COUNT + 1
    for dataset in slices:
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_a_single_slice_is_left(build_pet):
    assert len(FAULTS["single_slice"](build_pet())) == 1


def test_uneven_slices_have_one_step_of_another_length(build_pet):
    assert steps(FAULTS["uneven"](build_pet())) == [5, 7]


def test_a_tilted_series_is_shifted_along_its_columns_in_even_steps(build_pet):
    slices = FAULTS["tilt"](build_pet())
    shifts = np.diff(positions(slices), axis=0)
    assert steps(slices) == pytest.approx([5 / np.cos(np.deg2rad(12))], abs=1e-3)
    np.testing.assert_allclose(np.abs(shifts), [[0, 5 * np.tan(np.deg2rad(12)), 5]] * (COUNT - 1), atol=1e-5)
    assert len(values(slices, "ImageOrientationPatient")) == 1


def test_two_series_have_the_same_places(build_pet):
    slices = FAULTS["two_series"](build_pet())
    assert len(values(slices, "SeriesInstanceUID")) == 2
    assert len(values(slices, "SOPInstanceUID")) == len(slices) == 2 * COUNT
    assert len(np.unique(positions(slices), axis=0)) == COUNT


def test_two_times_are_one_series_with_every_place_twice(build_pet):
    slices = FAULTS["two_times"](build_pet())
    assert len(values(slices, "SeriesInstanceUID")) == 1
    assert len(values(slices, "InstanceNumber")) == len(values(slices, "SOPInstanceUID")) == 2 * COUNT
    assert len(np.unique(positions(slices), axis=0)) == COUNT
    early, late = slices[:COUNT], slices[COUNT:]
    assert all(a.AcquisitionTime < b.AcquisitionTime for a, b in zip(early, late, strict=True))


def test_a_localizer_lies_across_the_other_slices(build_pet):
    *slices, scout = FAULTS["localizer"](build_pet())
    assert "LOCALIZER" in scout.ImageType
    assert all("LOCALIZER" not in dataset.ImageType for dataset in slices)
    normals = [
        np.cross(*np.reshape(np.array(d.ImageOrientationPatient, float), (2, 3))) for d in (slices[0], scout)
    ]
    assert np.dot(*normals) == pytest.approx(0)


def test_one_slice_has_half_of_the_rows(build_pet, tmp_path):
    slices = FAULTS["sizes"](build_pet())
    assert values(slices, "Rows") == ["4", "8"]
    small = next(dataset for dataset in slices if dataset.Rows == 4)
    small.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert pydicom.dcmread(tmp_path / "a.dcm").pixel_array.shape == (4, 9)


@pytest.mark.parametrize(
    ("kind", "keyword", "wrong"),
    [("no_position", "ImagePositionPatient", "None"), ("zero_slope", "RescaleSlope", "0")],
)
def test_a_fault_of_one_slice_leaves_the_others_alone(build_pet, kind, keyword, wrong):
    slices = FAULTS[kind](build_pet())
    assert [str(dataset.get(keyword)) in (wrong, f"{wrong}.0") for dataset in slices].count(True) == 1


def test_faults_of_the_dose_are_in_the_header(build_pet):
    weight = FAULTS["zero_weight"](build_pet())
    assert [float(value) for value in values(weight, "PatientWeight")] == [0]
    assert values(FAULTS["no_decay_correction"](build_pet()), "DecayCorrection") == ["NONE"]
    item = build_pet()[0].RadiopharmaceuticalInformationSequence[0]
    dose = float(item.RadionuclideTotalDose)
    faulty = {
        kind: FAULTS[kind](build_pet())[-1].RadiopharmaceuticalInformationSequence[0]
        for kind in ("zero_dose", "dose_in_mbq", "no_half_life", "early_scan")
    }
    assert faulty["zero_dose"].RadionuclideTotalDose == 0
    assert float(faulty["dose_in_mbq"].RadionuclideTotalDose) == pytest.approx(dose / 1e6)
    assert faulty["no_half_life"].RadionuclideHalfLife is None
    first = build_pet()[0]
    assert faulty["early_scan"].RadiopharmaceuticalStartDateTime > first.SeriesDate + first.SeriesTime


def test_every_fault_can_be_written(build_pet, tmp_path):
    for kind in FAULTS:
        for dataset in FAULTS[kind](build_pet())[::20]:
            dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)


def test_faults_go_to_cases_in_turn_or_to_the_one_named():
    assert assign_faults(["tilt", "uneven"], "ct", 3) == {0: "tilt", 1: "uneven"}
    assert assign_faults(["tilt:3", "uneven"], "ct", 3) == {2: "tilt", 1: "uneven"}


@pytest.mark.parametrize(
    ("faults", "modality"),
    [
        (["dent"], "ct"),
        (["zero_dose"], "ct"),
        (["zero_slope"], "mr"),
        (["tilt:6"], "ct"),
        (["tilt:0"], "ct"),
        (["tilt:x"], "ct"),
        (["tilt:1", "uneven:1"], "ct"),
        (["tilt"], "us"),
    ],
    ids=str,
)
def test_a_fault_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, faults, modality):
    with pytest.raises(ConfigError):
        generate(tmp_path / "out", modality=modality, cases=5, faults=faults)
    assert not (tmp_path / "out").exists()


def test_a_faulty_case_keeps_its_label_and_the_others_their_bytes(volumes, tmp_path):
    faulty = generate(tmp_path / "out", modality="mr", cases=3, seed=2, faults=["missing_slice:2"])
    sound = volumes("mr")
    names = [sorted((r.output / "images" / "case_0002").iterdir()) for r in (sound, faulty)]
    assert len(names[1]) == len(names[0]) - 1
    labels = ("labels/case_0002.nii.gz", "segmentations/case_0002.dcm", "structures/case_0002.dcm")
    for part in (*labels, "labels/case_0001.nii.gz"):
        assert (faulty.output / part).read_bytes() == (sound.output / part).read_bytes()
    assert (
        json.loads(faulty.datalist.read_text())["digest"] == json.loads(sound.datalist.read_text())["digest"]
    )
    assert ",missing_slice" in (faulty.output / "truth.csv").read_text()
    assert any("case_0002: missing_slice" in line for line in faulty.lines())
