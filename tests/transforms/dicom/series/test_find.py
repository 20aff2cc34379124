"""The series of a folder are found by their headers; what is ambiguous is refused with its candidates."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import ConfigError, GeometryError, InputError
from tests.transforms.dicom.series_cases import (
    AXIAL,
    ORIGIN,
    SPACING,
    STEP,
    oblique,
    stored_values,
    write_series,
)


def read(folder, **options):
    return read_series(the_series(find_series(folder)), **options)


def test_a_folder_holds_its_series_whatever_the_order_of_the_files(tmp_path):
    series = the_series(find_series(write_series(tmp_path)))
    assert (series.modality, len(series.planes), series.localizer) == ("CT", 5, False)
    assert (series.series_instance_uid, series.frame_of_reference_uid) == ("1.2.2", "1.2.3")


def test_nothing_of_the_patient_is_kept(tmp_path):
    def date(index, dataset):
        dataset.PatientBirthDate, dataset.StudyDate = "19770101", "20200102"

    found = find_series(write_series(tmp_path, modality="PT", edit=date))
    text = repr(found) + repr([plane.image.dataset for plane in found[0].planes])
    assert not any(word in text for word in ("SENTINEL", "1977", "20200102"))


def test_slices_are_ordered_along_the_normal(tmp_path):
    volume = read(write_series(tmp_path))
    np.testing.assert_array_equal(volume.array, stored_values().transpose(2, 1, 0) - 1024)
    assert volume.grid.shape == (8, 6, 5)
    np.testing.assert_allclose(volume.grid.origin, ORIGIN)
    np.testing.assert_allclose(volume.grid.spacing, (SPACING[1], SPACING[0], STEP))
    uids = [ref.sop_instance_uid for ref in volume.source.slices]
    assert uids == [f"1.2.4.{100 + index}" for index in range(5)]


@pytest.mark.parametrize("orientation", [AXIAL, (-1, 0, 0, 0, -1, 0), (0, 1, 0, 0, 0, -1), oblique()])
def test_the_affine_is_that_of_simpleitk(tmp_path, orientation):
    import SimpleITK

    volume = read(write_series(tmp_path, orientation=tuple(map(float, orientation))))
    image = SimpleITK.ReadImage(list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))))
    index = np.array([3, 2, 4])
    theirs = image.TransformIndexToPhysicalPoint(tuple(map(int, index)))
    np.testing.assert_allclose((volume.grid.affine_lps @ [*index, 1])[:3], theirs, atol=1e-3)
    np.testing.assert_allclose(
        (volume.grid.affine @ [*index, 1])[:3], np.array(theirs) * [-1, -1, 1], atol=1e-3
    )
    np.testing.assert_array_equal(volume.array, SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0))


def test_empty_uids_fall_back_to_the_file_meta_group(tmp_path):
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = dataset.SOPInstanceUID = ""
        dataset.save_as(path)
    volume = read(tmp_path)
    assert [ref.sop_instance_uid for ref in volume.source.slices] == [
        f"1.2.4.{100 + index}" for index in range(5)
    ]


def test_several_series_are_refused_with_a_list_and_chosen_by_number(tmp_path):
    def other(index, dataset):
        dataset.SeriesInstanceUID = "1.2.99"

    write_series(tmp_path / "a")
    write_series(tmp_path / "b", stored_values(3), modality="MR", edit=other, first_uid=200)
    found = find_series(tmp_path)
    with pytest.raises(GeometryError, match=r"\(1\) CT, 5 slices of 6 x 8; \(2\) MR, 3 slices of 6 x 8"):
        the_series(found)
    assert the_series(found, number=2).modality == "MR"
    with pytest.raises(GeometryError, match="from 1 to 2"):
        the_series(found, number=3)


def test_a_localizer_is_told_apart_though_it_shares_the_series_uid(tmp_path):
    def scout(index, dataset):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path / "a")
    write_series(
        tmp_path / "b", stored_values(1, 9, 9), orientation=(1.0, 0, 0, 0, 0, -1.0), edit=scout, first_uid=200
    )
    found = find_series(tmp_path)
    assert sorted(series.localizer for series in found) == [False, True]
    assert len(the_series(found).planes) == 5


def test_a_folder_of_localizers_alone_has_no_volume(tmp_path):
    def scout(index, dataset):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    with pytest.raises(GeometryError, match="CT localizer"):
        the_series(find_series(write_series(tmp_path, edit=scout)))


def test_an_empty_folder_says_that_it_holds_none(tmp_path):
    with pytest.raises(InputError, match="found none"):
        the_series(find_series(tmp_path))


def test_text_and_other_objects_are_passed_over_and_a_broken_slice_is_not(tmp_path):
    write_series(tmp_path)
    (tmp_path / "README").write_text("not DICOM")
    assert len(find_series(tmp_path)[0].planes) == 5
    broken = sorted(tmp_path.glob("*.dcm"))[0]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError):
        read(tmp_path)


def test_a_missing_slice_is_refused_and_the_longest_run_kept_on_request(tmp_path):
    write_series(tmp_path, stored_values(7))
    next(tmp_path.glob("*_2.dcm")).unlink()
    with pytest.raises(GeometryError, match="1 missing, the first behind slice 2 of 6"):
        read(tmp_path)
    kept = read(tmp_path, repair=["longest_run"])
    np.testing.assert_array_equal(kept.array, stored_values(7)[3:].transpose(2, 1, 0) - 1024)
    np.testing.assert_allclose(kept.grid.origin[2], ORIGIN[2] + 3 * STEP)


def test_uneven_spacing_is_refused(tmp_path):
    def shift(index, dataset):
        dataset.ImagePositionPatient[2] += 0.5 * (index == 2)

    with pytest.raises(GeometryError, match=r"steps from 2\.000 to 3\.000 mm"):
        read(write_series(tmp_path, edit=shift))


def test_positions_in_tenths_are_even_enough(tmp_path):
    def rounded(index, dataset):
        dataset.ImagePositionPatient[2] = round(index * 1.25 + 1e-6, 1)

    assert read(write_series(tmp_path, edit=rounded)).grid.spacing[2] == pytest.approx(1.25, abs=0.02)


def test_gantry_tilt_is_refused_with_its_angle(tmp_path):
    def lean(index, dataset):
        dataset.ImagePositionPatient[1] += index * STEP * np.tan(np.radians(12))

    with pytest.raises(GeometryError, match=r"leans by 12\.00 degrees"):
        read(write_series(tmp_path, edit=lean))


def test_a_slice_beside_the_others_is_refused(tmp_path):
    def aside(index, dataset):
        dataset.ImagePositionPatient[0] += 4 * (index == 3)

    with pytest.raises(GeometryError, match=r"4\.00 mm beside"):
        read(write_series(tmp_path, edit=aside))


def test_mixed_orientations_are_refused_and_chosen_by_number(tmp_path):
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", stored_values(3), orientation=(1.0, 0, 0, 0, 0, -1.0), first_uid=200)
    with pytest.raises(
        GeometryError, match=r"\(1\) 5 slices of 6 x 8, axial; \(2\) 3 slices of 6 x 8, coronal"
    ):
        read(tmp_path)
    assert read(tmp_path, stack=2).grid.shape == (8, 6, 3)
    with pytest.raises(GeometryError, match=r"found 4.*\(2\) 3 slices"):
        read(tmp_path, stack=4)


def test_differing_sizes_are_refused(tmp_path):
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", stored_values(2, 4, 4), first_uid=200)
    with pytest.raises(GeometryError, match=r"5 slices of 6 x 8, axial.*2 slices of 4 x 4, axial"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "word"),
    [("TemporalPositionIdentifier", "time point"), ("EchoTime", "echo time"), ("AcquisitionNumber", "")],
)
def test_time_points_and_echoes_at_one_place_are_stacks(tmp_path, name, word):
    for number in (1, 2):

        def set_value(index, dataset, number=number):
            setattr(dataset, name, number)

        values = stored_values() + 1000 * number
        write_series(tmp_path / str(number), values, modality="MR", edit=set_value, first_uid=200 * number)
    with pytest.raises(GeometryError, match=rf"2 stacks.*{word}.* 1.*{word}.* 2"):
        read(tmp_path)
    np.testing.assert_array_equal(read(tmp_path, stack=2).array, stored_values().transpose(2, 1, 0) + 2000)


def test_a_number_of_acquisition_that_changes_along_the_stack_splits_nothing(tmp_path):
    def number(index, dataset):
        dataset.AcquisitionNumber = 1 + index // 3

    assert read(write_series(tmp_path, edit=number)).grid.shape[2] == 5


def renamed_copy(path, **changes):
    """A copy of a slice under a new SOP Instance UID, with other attributes."""
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.4.999"
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(path.with_name("copy.dcm"))


def test_copies_are_refused_and_dropped_on_request_only_if_they_are_equal(tmp_path):
    first = sorted(write_series(tmp_path).glob("*.dcm"))[1]
    renamed_copy(first)
    with pytest.raises(GeometryError, match="1 of 6 at the place of another"):
        read(tmp_path)
    np.testing.assert_array_equal(
        read(tmp_path, repair=["copies"]).array[..., 0], stored_values()[0].T - 1024
    )


@pytest.mark.parametrize("repair", [[], ["copies"]])
@pytest.mark.parametrize("changes", [{"RescaleIntercept": 0}, {"PixelData": bytes(96)}], ids=str)
def test_what_differs_in_pixels_or_their_meaning_is_never_called_a_copy(tmp_path, changes, repair):
    renamed_copy(sorted(write_series(tmp_path).glob("*.dcm"))[1], **changes)
    with pytest.raises(GeometryError, match="different slices at one place") as caught:
        read(tmp_path, repair=repair)
    assert "copies" not in caught.value.remedy


def test_a_single_slice_is_no_volume_unless_its_thickness_is_taken(tmp_path):
    write_series(tmp_path, stored_values(1))
    with pytest.raises(GeometryError, match=r"found one.*single_slice"):
        read(tmp_path)
    assert read(tmp_path, repair=["single_slice"]).grid.spacing == (0.75, 1.5, 4.0)


@pytest.mark.parametrize("name", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_a_slice_of_unknown_place_is_refused_by_the_name_of_what_it_lacks(tmp_path, name):
    def remove(index, dataset):
        if index == 2:
            delattr(dataset, name)

    words = {
        "ImagePositionPatient": "0020,0032",
        "ImageOrientationPatient": "0020,0037",
        "PixelSpacing": "0028,0030",
    }
    with pytest.raises(GeometryError, match=words[name]):
        read(write_series(tmp_path, edit=remove))


@pytest.mark.parametrize("cosines", [(1, 0, 0, 1, 0, 0), (0, 0, 0, 0, 1, 0), (2, 0, 0, 0, 1, 0)])
def test_an_orientation_that_is_none_is_refused(tmp_path, cosines):
    def turn(index, dataset):
        dataset.ImageOrientationPatient = list(cosines)

    with pytest.raises(GeometryError, match="perpendicular unit vectors"):
        read(write_series(tmp_path, edit=turn))


def test_an_unknown_repair_is_refused(tmp_path):
    series = the_series(find_series(write_series(tmp_path)))
    with pytest.raises(ConfigError, match="copies, longest_run, single_slice"):
        read_series(series, repair="copies")
