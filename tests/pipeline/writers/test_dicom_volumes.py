"""Segmentations, reports and NIfTI of volumes hold every voxel at its place in the patient, and refer to its
slice."""

from __future__ import annotations

from dataclasses import replace

import highdicom
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from pyraseg.pipeline.writers.dicom.seg import KINDS, write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.pipeline.writers.nifti import write_labels, write_probabilities
from pyraseg.transforms.dicom.labels.seg import read_segmentation
from pyraseg.transforms.dicom.labels.seg_labels import segmentation_labels
from pyraseg.transforms.errors import GeometryError, InputError
from tests.pipeline.writers.dicom_checkers import accepts, errors, needs
from tests.pipeline.writers.test_dicom_conformance import FOREIGN_ROOT
from tests.pipeline.writers.volume_cases import predict_volume, read
from tests.transforms.dicom.series_cases import oblique, write_enhanced, write_series


@pytest.fixture(params=["slices", "frames"])
def volume(request, tmp_path):
    """An oblique series: a file for each slice, or one file whose frames are in the reverse order."""
    if request.param == "slices":
        return read(write_series(tmp_path / "series", orientation=oblique()))
    return read(write_enhanced(tmp_path / "enhanced.dcm", orientation=oblique()))


def shares(prediction):
    """(F, K, H, W) that are 1 in the class of each voxel."""
    return np.stack([prediction.labels == value for value in range(3)], axis=1).astype(np.float32)


def write(prediction, folder, kind="binary"):
    return write_seg(folder / "seg.dcm", replace(prediction, probabilities=shares(prediction)), kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_segmentation_on_an_oblique_series_comes_back_bit_for_bit(tmp_path, volume, kind):
    prediction = predict_volume(volume)
    labels, notes = segmentation_labels(
        read_segmentation(write(prediction, tmp_path, kind).path), volume.source
    )
    np.testing.assert_array_equal(labels.T, prediction.labels)
    assert notes == ()


def test_frames_lie_where_their_slices_do_and_name_them(tmp_path, volume):
    read_back = dcmread(write(predict_volume(volume), tmp_path).path)
    assert read_back.FrameOfReferenceUID == volume.source.frame_of_reference_uid
    (shared,) = read_back.SharedFunctionalGroupsSequence
    grid, names = volume.grid, volume.source.slice_indices
    stated = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose(stated, [*grid.row_direction, *grid.column_direction], atol=1e-9)
    measures = shared.PixelMeasuresSequence[0]
    spacing = (measures.PixelSpacing[1], measures.PixelSpacing[0], measures.SpacingBetweenSlices)
    np.testing.assert_allclose(spacing, grid.spacing, atol=1e-9)
    for item in read_back.PerFrameFunctionalGroupsSequence:
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        index = names[image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber", 1) - 1]
        place = grid.affine_lps @ [0, 0, index, 1]
        np.testing.assert_allclose(item.PlanePositionSequence[0].ImagePositionPatient, place[:3], atol=1e-6)


def test_slices_without_a_segment_have_no_frame_of_it(tmp_path, volume):
    labels = np.zeros(volume.grid.shape, np.uint8)
    labels[2:4, 1:3, 1:3], labels[5, 5, 2] = 1, 2
    written = write(predict_volume(volume, labels=labels.T), tmp_path)
    assert written.frame_numbers == {"tumour": (1, 2), "bone": (3,)}
    read_back = dcmread(written.path)
    ranks = [
        item.FrameContentSequence[0].DimensionIndexValues
        for item in read_back.PerFrameFunctionalGroupsSequence
    ]
    assert ranks == [[1, 1], [1, 2], [2, 2]]


def test_a_volume_in_which_nothing_was_found_has_one_empty_frame(tmp_path, volume):
    for kind in KINDS:
        read_back = dcmread(write(predict_volume(volume, labels=np.zeros(volume.grid.shape, np.uint8).T),
                                  tmp_path, kind).path)  # fmt: skip
        assert read_back.NumberOfFrames == 1
        assert not read_back.pixel_array.any()


def test_highdicom_finds_each_slice_by_its_source_image(tmp_path):
    volume = read(write_series(tmp_path / "series", orientation=oblique()))
    prediction = predict_volume(volume)
    seg = highdicom.seg.segread(write(prediction, tmp_path).path)
    pixels = seg.get_pixels_by_source_instance(
        [image.sop_instance_uid for image in volume.source.slices],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(pixels, prediction.labels)


def test_simpleitk_and_pydicom_read_the_frames_that_are_there(tmp_path, volume):
    prediction = predict_volume(volume)
    written = write(prediction, tmp_path)
    expected = [
        prediction.labels[frame] == value
        for value in (1, 2)
        for frame in range(1, len(prediction.labels) - 1)
    ]
    np.testing.assert_array_equal(
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(written.path)) > 0, expected
    )
    np.testing.assert_array_equal(dcmread(written.path).pixel_array, expected)


def test_a_series_without_a_frame_of_reference_gets_one_and_a_note(tmp_path):
    def without(index, dataset):
        del dataset.FrameOfReferenceUID

    volume = read(write_series(tmp_path / "series", edit=without))
    first, second = (write(predict_volume(volume), tmp_path) for _ in range(2))
    assert any("no Frame of Reference" in note for note in first.notes)
    assert dcmread(first.path).FrameOfReferenceUID == dcmread(second.path).FrameOfReferenceUID != ""


def test_labels_of_another_shape_are_refused(tmp_path, volume):
    with pytest.raises(GeometryError, match="as the source"):
        write_seg(tmp_path / "seg.dcm", predict_volume(volume, labels=np.zeros((5, 8, 6), np.uint8)))


def test_a_slice_that_nothing_can_refer_to_is_refused(tmp_path):
    volume = read(write_series(tmp_path / "series"))
    slices = (*volume.source.slices[:2], replace(volume.source.slices[2], sop_instance_uid=""))
    prediction = predict_volume(
        volume, series=replace(volume.source, slices=(*slices, *volume.source.slices[3:]))
    )  # fmt: skip
    for refused in (write_seg, lambda path, given: write_sr(path, given, seg=None)):
        with pytest.raises(InputError, match="SOP Instance UID"):
            refused(tmp_path / "out.dcm", prediction)


def content(written):
    return highdicom.sr.srread(written.path).content


def report(prediction, folder, *, seg=True):
    return write_sr(folder / "sr.dcm", prediction, seg=write(prediction, folder) if seg else None)


def texts(written):
    root = dcmread(written.path).ContentSequence
    return [item.TextValue for item in root if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"]


def test_each_segment_has_its_outline_in_its_largest_slice_for_viewers_that_show_coordinates_alone(
    tmp_path, volume
):
    labels = np.zeros(volume.grid.shape, np.uint8)
    labels[2:4, 1:3, 1], labels[1:6, 1:5, 2] = 1, 1
    found = content(report(predict_volume(volume, labels=labels.T), tmp_path))
    (group,) = found.get_planar_roi_measurement_groups()
    (whole,) = found.get_volumetric_roi_measurement_groups()
    assert group.tracking_uid == whole.tracking_uid
    outline = np.array(group.roi.value)
    np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], [[1, 1], [6, 5]], atol=0.03)
    image, source = group.roi.ContentSequence[0].ReferencedSOPSequence[0], volume.source
    assert image.ReferencedSOPInstanceUID == source.slices[2].sop_instance_uid
    assert image.get("ReferencedFrameNumber") == (source.frames[2] + 1 if source.frames else None)


def test_each_segment_has_a_volumetric_group_with_its_quantities_and_how_they_were_taken(tmp_path, volume):
    groups = content(report(predict_volume(volume), tmp_path)).get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["tumour", "bone"]
    (seg,) = [dcmread(tmp_path / "seg.dcm")]
    segment = groups[0].referenced_segment
    assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1]
    found = {}
    for item in groups[0].get_measurements():
        derivation = item.derivation.meaning if item.derivation is not None else ""
        found[item.name.meaning, derivation] = (float(item.value), item.unit.value)
    assert found == {
        ("Volume", ""): (12.5, "ml"),
        ("Long axis", ""): (31.0, "mm"),
        ("Attenuation Coefficient", "Mean"): (-3.5, "[hnsf'U]"),
        ("SUVbw", "Maximum"): (7.25, "g/ml{SUVbw}"),
        ("Total Lesion Glycolysis", ""): (80.0, "g"),
    }


def test_a_report_names_its_series_and_all_images_of_it(tmp_path, volume):
    dataset = dcmread(report(predict_volume(volume), tmp_path).path)
    (evidence,) = dataset.CurrentRequestedProcedureEvidenceSequence
    source = evidence.ReferencedSeriesSequence[0]
    assert source.SeriesInstanceUID == volume.source.series_instance_uid
    assert {item.ReferencedSOPInstanceUID for item in source.ReferencedSOPSequence} == volume.source.instances


def test_a_report_says_what_was_not_found_and_what_the_prediction_remarks(tmp_path, volume):
    labels = np.zeros(volume.grid.shape, np.uint8)
    labels[3, 3, 3] = 1
    remarks = ("The model was trained on phantoms.",)
    written = report(predict_volume(volume, labels=labels.T, remarks=remarks), tmp_path)
    found = texts(written)
    assert "Not found in this volume: bone." in found
    assert remarks[0] in found
    assert not any("frame" in text for text in found)


def test_of_a_volume_in_which_nothing_was_found_the_report_has_the_zeros(tmp_path, volume):
    empty = predict_volume(volume, labels=np.zeros(volume.grid.shape, np.uint8).T)
    lesion = replace(empty.quantities[0], value=0.0)
    written = report(replace(empty, segments=empty.segments[:2], quantities=(lesion,)), tmp_path)
    assert content(written).get_volumetric_roi_measurement_groups() == []
    (group,) = content(written).get_image_measurement_groups()
    assert [(item.name.meaning, float(item.value)) for item in group.get_measurements()] == [("Volume", 0.0)]


@needs("dciodvfy")
@needs("dsrdump")
def test_what_is_written_of_a_volume_is_valid(tmp_path, volume):
    prediction = predict_volume(volume)
    for kind in ("fractional", "binary"):
        assert errors(write(prediction, tmp_path, kind).path) == []
    for seg in (True, False):
        written = report(prediction, tmp_path, seg=seg)
        assert errors(written.path) == []
        assert accepts("dsrdump", written.path)


def test_nifti_of_a_volume_has_the_source_affine(tmp_path, volume):
    prediction, affine = predict_volume(volume), volume.grid.affine
    read_back = nib.load(write_labels(tmp_path / "labels.nii.gz", prediction.labels, affine=affine))
    np.testing.assert_array_equal(np.asarray(read_back.dataobj), prediction.labels.T)
    np.testing.assert_allclose(read_back.affine, affine, atol=1e-4)
    np.testing.assert_allclose(read_back.get_qform(), affine, atol=1e-3)
    image = SimpleITK.ReadImage(tmp_path / "labels.nii.gz")
    np.testing.assert_allclose(image.GetOrigin(), volume.grid.origin, atol=1e-3)
    soft = nib.load(write_probabilities(tmp_path / "p.nii.gz", shares(prediction), affine=affine))
    assert soft.shape == (*volume.grid.shape, 1, 3)
    np.testing.assert_array_equal(soft.get_fdata()[..., 0, 1] > 0.5, prediction.labels.T == 1)


REAL = (
    "dicom/ct/small_17slices",
    "dicom/mr/philips_enhanced_8frames",
    "dicom/mr/rle_4files",
    "sarcoma/dicom/STS_002/CT/image",
    "sarcoma/dicom/STS_002/MR_T1/image",
    "sarcoma/dicom/STS_002/PET/image",
)


def test_a_real_series_without_a_study_is_refused_with_what_can_be_done(shared_data, tmp_path):
    volume = read(shared_data / "dicom/ct/chest_j2k_20slices")
    with pytest.raises(InputError, match="leave seg and sr out of the formats"):
        write(predict_volume(volume), tmp_path)


@needs("dciodvfy")
@pytest.mark.parametrize("name", REAL)
def test_results_of_a_real_series_are_valid_and_hold_the_labels(shared_data, tmp_path, name):
    volume = read(shared_data / name, assume_hu=True)
    columns, rows, slices = volume.grid.shape
    labels = np.zeros((columns, rows, slices), np.uint8)
    labels[columns // 4 : columns // 2, rows // 5 : rows // 2, slices // 3 :] = 1
    labels[columns // 3 : columns // 3 + 9, rows // 3 : rows // 3 + 5, : slices // 2 + 1] = 2
    prediction = predict_volume(volume, labels=labels.T)
    written = write(prediction, tmp_path)
    read_back, _ = segmentation_labels(read_segmentation(written.path), volume.source)
    np.testing.assert_array_equal(read_back, labels)
    for path in (written.path, write_sr(tmp_path / "sr.dcm", prediction, seg=written).path):
        assert [line for line in errors(path) if not FOREIGN_ROOT.match(line)] == []
