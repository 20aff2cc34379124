"""Structure sets hold the label map to the bit, sit in their source's study and say what every contour was
drawn on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from skimage.draw import polygon2mask

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.transforms.dicom.files.discover import source_ref
from pyraseg.transforms.dicom.labels.rtstruct import read_rtstruct
from pyraseg.transforms.dicom.labels.rtstruct_mask import roi_label_map, roi_mask
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.errors import GeometryError, InputError, LabelError
from tests.pipeline.writers.dicom_cases import ALGORITHM, HEADER, SEGMENTS, write_source
from tests.pipeline.writers.dicom_checkers import accepts, errors, needs
from tests.transforms.dicom.label_cases import oblique_grid
from tests.transforms.dicom.labels.test_rtstruct import real_series

FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.4"


def series_of(folder, grid, **changes):
    """A series whose files are there, for their headers."""
    columns, rows, count = grid.shape
    folder.mkdir(exist_ok=True)
    paths = [
        write_source(
            folder / f"{index}.dcm",
            shape=(rows, columns),
            SOPInstanceUID=f"{HEADER['SOPInstanceUID']}.{index + 1}",
            **changes,
        )
        for index in range(count)
    ]
    return SourceSeries(grid, FRAME_OF_REFERENCE, tuple(map(source_ref, paths)))


@pytest.fixture
def series(tmp_path):
    return series_of(tmp_path / "images", oblique_grid())


@pytest.fixture
def labels():
    return np.random.default_rng(6).integers(0, 3, oblique_grid().shape, np.uint8)


def write(path, labels, series, **changes):
    return write_rtstruct(path, labels, series, **{"segments": SEGMENTS, "algorithm": ALGORITHM, **changes})


def read_back(path, series):
    labels, notes = roi_label_map(read_rtstruct(path), series, {1: 1, 2: 2})
    assert notes == ()
    return labels


def test_the_label_map_comes_back_bit_for_bit(tmp_path, series):
    """Noise has holes, islands in them, parts that touch at corners, single pixels, and pixels on every
    border."""
    generator = np.random.default_rng(1)
    for density in (0.02, 0.3, 0.6, 0.9, 1.0):
        labels = (generator.random(series.grid.shape) < density) * generator.integers(1, 3, series.grid.shape)
        labels[0, 0, 0], labels[-1, -1, -1] = 1, 2
        written = write(tmp_path / "rs.dcm", labels.astype(np.uint8), series)
        np.testing.assert_array_equal(read_back(written.path, series), labels)


def test_it_comes_back_from_grids_of_any_size_and_place(tmp_path, labels):
    for scale, origin in ((1e-3, (0.1, 0.2, 0.3)), (40.0, (-9e4, 9e4, 9e4))):
        grid = oblique_grid()
        grid = replace(grid, origin=origin, spacing=tuple(scale * value for value in grid.spacing))
        series = series_of(tmp_path / "images", grid)
        written = write(tmp_path / "rs.dcm", labels, series)
        np.testing.assert_array_equal(read_back(written.path, series), labels)
        for element in dcmread(written.path).iterall():
            if element.keyword == "ContourData":
                assert all(len(str(value)) <= 16 for value in element.value)


def polygons(path, series):
    """By region and slice the contours as index coordinates."""
    to_index, found = np.linalg.inv(series.grid.affine_lps), {}
    for roi in read_rtstruct(path).rois:
        for contour in roi.contours:
            index = contour.points @ to_index[:3, :3].T + to_index[:3, 3]
            found.setdefault((roi.number, round(index[0, 2])), []).append(index[:, :2])
    return found


def test_readers_that_fill_every_contour_by_itself_see_the_holes_too(tmp_path, series, labels):
    written = write(tmp_path / "rs.dcm", labels, series)
    for (number, index), contours in polygons(written.path, series).items():
        union = np.any([polygon2mask(series.grid.shape[:2], contour) for contour in contours], axis=0)
        np.testing.assert_array_equal(union, labels[:, :, index] == number)


def test_a_contour_of_more_than_64_kib_comes_back(tmp_path):
    grid = oblique_grid((121, 101, 1))
    series = series_of(tmp_path / "images", grid)
    labels = np.zeros(grid.shape, np.uint8)
    labels[::2], labels[:, 50] = 1, 1
    labels[1:-1:2, 1:-1:4] = 1
    written = write(tmp_path / "rs.dcm", labels, series)
    structures = read_rtstruct(written.path)
    kidney = structures.rois[0]
    assert len(kidney.contours) == 1
    assert kidney.contours[0].points.size * 9 > 2**16
    np.testing.assert_array_equal(roi_mask(structures, series, kidney).mask, labels > 0)


def test_names_colours_and_codes_are_the_bundles(tmp_path, series, labels):
    read = dcmread(write(tmp_path / "rs.dcm", labels, series).path)
    regions, drawings, observations = (
        read.StructureSetROISequence,
        read.ROIContourSequence,
        read.RTROIObservationsSequence,
    )
    assert [(item.ROINumber, item.ROIName) for item in regions] == [(1, "kidney"), (2, "fluid")]
    assert {item.ROIGenerationAlgorithm for item in regions} == {"AUTOMATIC"}
    assert [list(item.ROIDisplayColor) for item in drawings] == [[255, 0, 0], [0, 255, 0]]
    assert [item.ReferencedROINumber for item in (*drawings, *observations)] == [1, 2, 1, 2]
    codes = [item.RTROIIdentificationCodeSequence[0].CodeValue for item in observations]
    categories = [item.SegmentedPropertyCategoryCodeSequence[0].CodeValue for item in observations]
    assert (codes, categories) == (["64033007", "43064006"], ["91723000", "49755003"])
    assert [item.RTROIInterpretedType for item in observations] == ["ORGAN", ""]


def test_a_class_without_codes_has_none(tmp_path, series, labels):
    segments = resolve_segments(("background", "kidney", "fluid"))
    read = dcmread(write(tmp_path / "rs.dcm", labels, series, segments=segments).path)
    assert "RTROIIdentificationCodeSequence" not in read.RTROIObservationsSequence[0]


def test_patient_and_study_are_the_sources_and_nothing_else_is(tmp_path, series, labels):
    read = dcmread(write(tmp_path / "rs.dcm", labels, series).path)
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "StudyInstanceUID",
        "StudyID",
        "AccessionNumber",
    ):
        assert read[keyword].value == HEADER[keyword]
    assert "PatientComments" not in read
    assert read.SeriesInstanceUID != HEADER["SeriesInstanceUID"]
    assert (read.Modality, read.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    assert "not for diagnosis" in read.SeriesDescription
    assert "not for diagnosis" in read.StructureSetDescription


def test_every_contour_names_its_image_and_the_set_names_all(tmp_path, series, labels):
    read = dcmread(write(tmp_path / "rs.dcm", labels, series).path)
    frame = read.ReferencedFrameOfReferenceSequence[0]
    listed = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    uids = [ref.sop_instance_uid for ref in series.slices]
    assert [item.ReferencedSOPInstanceUID for item in listed.ContourImageSequence] == uids
    assert listed.SeriesInstanceUID == HEADER["SeriesInstanceUID"]
    assert {read.FrameOfReferenceUID, frame.FrameOfReferenceUID} == {FRAME_OF_REFERENCE}
    assert {item.ReferencedFrameOfReferenceUID for item in read.StructureSetROISequence} == {
        FRAME_OF_REFERENCE
    }
    for drawing in read.ROIContourSequence:
        for contour in drawing.ContourSequence:
            (image,) = contour.ContourImageSequence
            assert "ReferencedFrameNumber" not in image
            assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)


def test_frames_of_one_file_are_named_by_their_numbers(tmp_path, labels):
    grid = oblique_grid()
    path = write_source(tmp_path / "multi.dcm", frames=6, shape=(13, 17))
    series = SourceSeries(grid, FRAME_OF_REFERENCE, (source_ref(path),) * 6, frames=(5, 4, 3, 2, 1, 0))
    written = write(tmp_path / "rs.dcm", labels, series)
    first = dcmread(written.path).ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert first.ReferencedFrameNumber == 6
    np.testing.assert_array_equal(read_back(written.path, series), labels)


def test_a_class_that_is_nowhere_is_a_region_without_contours(tmp_path, series):
    labels = np.zeros(series.grid.shape, np.uint8)
    labels[3:5, 3:5, 2] = 1
    structures = read_rtstruct(write(tmp_path / "rs.dcm", labels, series).path)
    assert [(roi.number, len(roi.contours)) for roi in structures.rois] == [(1, 1), (2, 0)]
    assert roi_mask(structures, series, structures.rois[0]).mask.sum() == 4
    with pytest.raises(InputError, match="no contours at all"):
        roi_mask(structures, series, structures.rois[1])


def test_a_series_without_a_frame_of_reference_gets_one_and_a_note(tmp_path, series, labels):
    bare = replace(series, frame_of_reference_uid="")
    written = write(tmp_path / "rs.dcm", labels, bare)
    assert "Frame of Reference" in written.notes[-1]
    np.testing.assert_array_equal(read_back(written.path, bare), labels)


def test_it_belongs_to_its_own_series_alone(tmp_path, series, labels):
    written = write(tmp_path / "rs.dcm", labels, series)
    uid = f"{HEADER['SeriesInstanceUID']}.9"
    renamed = tuple(
        replace(ref, series_instance_uid=uid, sop_instance_uid=f"{uid}.{index}")
        for index, ref in enumerate(series.slices)
    )
    with pytest.raises(GeometryError, match="another series"):
        read_back(written.path, replace(series, slices=renamed))


def test_a_repeated_run_writes_the_same_uids_and_other_weights_or_options_others(tmp_path, series, labels):
    first, again = (write(tmp_path / name, labels, series) for name in ("a.dcm", "b.dcm"))
    assert (first.sop_instance_uid, first.series_instance_uid) == (
        again.sop_instance_uid,
        again.series_instance_uid,
    )
    others = ({"salt": "other"}, {"algorithm": replace(ALGORITHM, weights="0" * 64)})
    uids = [write(tmp_path / "c.dcm", labels, series, **other).sop_instance_uid for other in others]
    assert len({first.sop_instance_uid, *uids}) == 3


@needs("dciodvfy")
@needs("dcmdump")
def test_the_validator_finds_no_error(tmp_path, series, labels):
    for given in (labels, np.zeros_like(labels)):
        for name in ("kidney", "a name that is longer than sixteen characters"):
            segments = (*SEGMENTS[:2], replace(SEGMENTS[2], name=name))
            path = write(tmp_path / "rs.dcm", given, series, segments=segments).path
            assert errors(path) == []
            assert accepts("dcmdump", path)


@needs("dciodvfy")
@pytest.mark.parametrize("folder", ["CT", "MR_T1", "PET"])
def test_a_real_series_gives_a_valid_set_that_reads_back(shared_data, tmp_path, folder):
    place = shared_data / "sarcoma/dicom/STS_002" / folder
    structures = read_rtstruct(place / "mask/RS.dcm")
    series = real_series(place / "image", structures.rois[0].frame_of_reference_uid)
    labels = roi_mask(structures, series, structures.rois[0]).mask.astype(np.uint8)
    labels[2:9, 2:9, 3], labels[4:6, 4:7, 3] = 2, 0
    written = write(tmp_path / "rs.dcm", labels, series)
    assert errors(written.path) == []
    np.testing.assert_array_equal(read_back(written.path, series), labels)


@pytest.mark.parametrize("shape", [(13, 17, 6), (17, 13, 5), (17, 13)])
def test_labels_off_the_sources_grid_are_refused(tmp_path, series, shape):
    with pytest.raises(GeometryError):
        write(tmp_path / "rs.dcm", np.zeros(shape, np.uint8), series)


def test_a_label_without_a_segment_is_refused(tmp_path, series, labels):
    with pytest.raises(LabelError, match="found 2"):
        write(tmp_path / "rs.dcm", labels, series, segments=SEGMENTS[:2])
