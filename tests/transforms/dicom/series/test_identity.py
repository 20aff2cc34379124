"""Two patients, studies, places or devices under one Series Instance UID never become one volume."""

from __future__ import annotations

import pytest

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import GeometryError, InputError
from tests.transforms.dicom.series_cases import write_series


def read(source, **options):
    return read_series(the_series(find_series(source)), **options)


def changed(folder, first=3, modality="CT", **values):
    """A series whose slices from ``first`` on have other attributes."""

    def edit(index, dataset):
        dataset.PatientBirthDate, dataset.Manufacturer, dataset.StationName = "19770101", "ACME", "CT1"
        for name, value in values.items():
            if index >= first:
                setattr(dataset, name, value)

    return write_series(folder, modality=modality, edit=edit)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("PatientID", "OTHER-ID", "patient"),
        ("PatientName", "Other^Name", "patient"),
        ("PatientBirthDate", "19780101", "patient"),
        ("StudyInstanceUID", "1.2.88", "study"),
        ("FrameOfReferenceUID", "1.2.89", "frame of reference"),
        ("Manufacturer", "Other Works", "device"),
        ("StationName", "CT2", "device"),
        ("Modality", "MR", "modality"),
    ],
)
def test_slices_that_state_different_identities_are_series_of_their_own(tmp_path, name, value, word):
    folder = changed(tmp_path, **{name: value})
    with pytest.raises(GeometryError, match=f"share a Series Instance UID and differ in {word}") as caught:
        read(folder)
    assert not any(part in str(caught.value) for part in ("SENTINEL", "1977", "1978", "1.2.8", "ther", "CT2"))
    assert [len(series.planes) for series in find_series(folder)] == [3, 2]


@pytest.mark.parametrize(
    "values",
    [
        {"PatientID": ""},
        {"PatientName": "", "PatientBirthDate": ""},
        {"FrameOfReferenceUID": ""},
        {"PatientName": "sentinel^name^^"},
        {"PatientBirthDate": "1977.01.01"},
    ],
    ids=str,
)
def test_what_is_not_stated_or_spelt_in_another_way_parts_nothing(tmp_path, values):
    assert read(changed(tmp_path, **values)).grid.shape == (8, 6, 5)


def test_between_two_patients_a_slice_without_an_id_is_nobodys(tmp_path):
    def edit(index, dataset):
        dataset.PatientID = ["A", "A", "B", "B", ""][index]

    assert sorted(len(series.planes) for series in find_series(write_series(tmp_path, edit=edit))) == [
        1,
        2,
        2,
    ]


@pytest.mark.parametrize(
    "name",
    [
        "RadionuclideTotalDose",
        "RadionuclideHalfLife",
        "RadiopharmaceuticalStartTime",
        "PatientWeight",
        "Units",
    ],
)
def test_a_pet_series_of_two_facts_for_suv_is_refused_by_their_name(tmp_path, name):
    values = {"Units": "GML", "RadiopharmaceuticalStartTime": "100000"}

    def edit(index, dataset):
        if index > 2:
            owner = dataset if name in dataset else dataset.RadiopharmaceuticalInformationSequence[0]
            setattr(owner, name, values.get(name, 1000))

    with pytest.raises(InputError, match=f"one {name}, found 2 different ones"):
        read(write_series(tmp_path, modality="PT", edit=edit))


def test_slices_of_two_rescale_types_are_refused_whatever_is_assumed(tmp_path):
    with pytest.raises(InputError, match="one Rescale Type"):
        read(changed(tmp_path, RescaleType="US"), assume_hu=True)
