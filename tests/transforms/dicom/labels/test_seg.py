"""Segmentations that highdicom wrote become label maps on their own series' grid, or are refused with the
reason."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import permutations, product

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless

from pyraseg.transforms.dicom.labels.seg import read_segmentation
from pyraseg.transforms.dicom.labels.seg_labels import segmentation_labels
from pyraseg.transforms.errors import GeometryError, InputError, LabelError, PyrasegError
from pyraseg.transforms.geometry.grid import turned
from tests.transforms.dicom.label_cases import (
    FRAME_OF_REFERENCE,
    SERIES,
    SHAPE,
    STUDY,
    oblique_grid,
    source_series,
)

ELSEWHERE = "1.2.826.0.1.4711"
SURNAME = "Sentinel"
LABELS = np.random.default_rng(8).integers(0, 3, SHAPE, np.uint8)


def ct_slices(grid):
    """The files of a series, without pixels."""
    columns, rows, count = grid.shape
    slices = []
    for index in range(count):
        item = Dataset()
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.SOPClassUID, item.SOPInstanceUID = CTImageStorage, f"{SERIES}.{index + 1}"
        item.StudyInstanceUID, item.SeriesInstanceUID = STUDY, SERIES
        item.FrameOfReferenceUID, item.Modality = FRAME_OF_REFERENCE, "CT"
        for keyword in (
            "PatientID",
            "PatientName",
            "PatientBirthDate",
            "PatientSex",
            "StudyDate",
            "StudyTime",
        ):
            setattr(item, keyword, "")
        item.AccessionNumber = item.StudyID = item.ReferringPhysicianName = ""
        item.Rows, item.Columns, item.SamplesPerPixel, item.BitsAllocated = rows, columns, 1, 16
        item.PixelSpacing = [f"{grid.spacing[1]:.6f}", f"{grid.spacing[0]:.6f}"]
        item.SliceThickness = f"{grid.spacing[2]:.6f}"
        item.ImageOrientationPatient = [
            f"{value:.9f}" for value in (*grid.row_direction, *grid.column_direction)
        ]
        position = np.array(grid.origin) + index * grid.spacing[2] * np.array(grid.slice_direction)
        item.ImagePositionPatient = [f"{value:.9f}" for value in position]
        slices.append(item)
    return slices


@pytest.fixture
def write(tmp_path, grid):
    """A segmentation file of arrays (columns, rows, slices) or, of overlapping segments, with one axis
    more."""

    def written(
        pixels=LABELS, *, kind="BINARY", names=("a", "b"), change=None, syntax=ExplicitVRLittleEndian
    ):
        segments = [
            highdicom.seg.SegmentDescription(number, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
            for number, name in enumerate(names, 1)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = highdicom.seg.Segmentation(
                ct_slices(grid),
                np.ascontiguousarray(np.moveaxis(pixels.swapaxes(0, 1), 2, 0)),
                kind,
                segments,
                *(highdicom.UID(), 1, highdicom.UID(), 1),
                *("maker", "model", "1", "1"),
                transfer_syntax_uid=syntax,
            )
        if change:
            change(dataset)
        dataset.save_as(tmp_path / "seg.dcm")
        return tmp_path / "seg.dcm"

    return written


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_every_kind_gives_its_labels_on_an_oblique_grid(write, series, kind):
    labels, notes = segmentation_labels(read_segmentation(write(kind=kind)), series)
    np.testing.assert_array_equal(labels, LABELS)
    assert (labels.dtype, notes) == (np.uint8, ())


def test_compressed_frames_are_read(write, series):
    path = write(kind="LABELMAP", syntax=RLELossless)
    np.testing.assert_array_equal(segmentation_labels(read_segmentation(path), series)[0], LABELS)


def test_slices_without_a_frame_are_background(write, series):
    sparse = LABELS.copy()
    sparse[:, :, [0, 3]] = 0
    segmentation = read_segmentation(write(sparse))
    assert len(segmentation.frames) == 2 * 4
    np.testing.assert_array_equal(segmentation_labels(segmentation, series)[0], sparse)


def test_fractional_values_count_from_one_half_on(write, series):
    fractions = np.zeros((*SHAPE, 1))
    fractions[2:5, 3, 1, 0] = 0.25, 0.6, 1.0
    segmentation = read_segmentation(write(fractions, kind="FRACTIONAL", names=("a",)))
    assert segmentation_labels(segmentation, series)[0][2:5, 3, 1].tolist() == [0, 1, 1]


def overlapping():
    pixels = np.zeros((*SHAPE, 2), np.uint8)
    pixels[2:8, 2:8, 1:3, 0] = pixels[5:12, 5:10, 2:4, 1] = 1
    return pixels


def test_where_segments_overlap_the_last_class_counts(write, series):
    segmentation, pixels = read_segmentation(write(overlapping())), overlapping().astype(bool)
    for order, top in (({1: 1, 2: 2}, 1), ({2: 2, 1: 1}, 0)):
        labels, notes = segmentation_labels(segmentation, series, order)
        assert (labels[pixels[..., top]] == top + 1).all()
        assert (labels > 0).sum() == pixels.any(axis=-1).sum()
        assert notes == ("voxels of two classes, the last one counts: 9",)
    labels, notes = segmentation_labels(segmentation, series, {1: 4, 2: 4})
    assert (labels.max(), notes) == (4, ())  # one class, nothing to settle


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_without_a_class_are_left_out(write, series, kind):
    labels, _ = segmentation_labels(read_segmentation(write(kind=kind)), series, {2: 7})
    np.testing.assert_array_equal(labels, 7 * (LABELS == 2))


def test_no_label_is_shown(write):
    assert SURNAME not in repr(read_segmentation(write(names=(f"{SURNAME} mass", "b"))))


def test_a_segmentation_of_another_series_is_refused(write, series, grid):
    segmentation = read_segmentation(write())
    with pytest.raises(GeometryError, match="in another frame of reference"):
        segmentation_labels(segmentation, replace(series, frame_of_reference_uid=ELSEWHERE))
    with pytest.raises(GeometryError, match="refers to another series"):
        segmentation_labels(segmentation, source_series(grid, series=ELSEWHERE))


def test_files_that_got_new_uids_are_found_by_position(write, series):
    renamed = tuple(replace(ref, sop_instance_uid=f"{ELSEWHERE}.{n}") for n, ref in enumerate(series.slices))
    labels, _ = segmentation_labels(read_segmentation(write()), replace(series, slices=renamed))
    np.testing.assert_array_equal(labels, LABELS)


def without(keyword):
    def change(dataset):
        for item in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
            if keyword in item:
                delattr(item, keyword)

    return change


def test_without_positions_frames_are_found_by_the_files_that_they_name(write, series):
    segmentation = read_segmentation(write(change=without("PlanePositionSequence")))
    np.testing.assert_array_equal(segmentation_labels(segmentation, series)[0], LABELS)
    frames = tuple(replace(frame, images=()) for frame in segmentation.frames)
    with pytest.raises(GeometryError, match="neither"):
        segmentation_labels(replace(segmentation, frames=frames), series)


def test_a_frame_that_names_another_slice_than_it_lies_on_is_refused(write, series):
    def swap(dataset):
        first, second = dataset.PerFrameFunctionalGroupsSequence[:2]
        first.DerivationImageSequence = second.DerivationImageSequence

    with pytest.raises(GeometryError, match="lies on slice 5 and names slice 4"):
        segmentation_labels(read_segmentation(write(change=swap)), series)


def test_frames_of_a_part_of_the_slices_are_put_where_they_lie(write, series, grid):
    part = oblique_grid((20, 15, 6))
    origin = part.affine_lps @ [-2, -1, 0, 1]
    larger = source_series(replace(part, origin=tuple(origin[:3])))
    labels, _ = segmentation_labels(read_segmentation(write()), larger)
    np.testing.assert_array_equal(labels[2:19, 1:14], LABELS)
    assert (labels > 0).sum() == (LABELS > 0).sum()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"spacing": (0.71, 1.1, 2.9)}, "another pixel spacing"),
        ({"shape": (16, 13, 6)}, "reach beyond"),
        ({"origin": (-123.0, 56.7, -890.1)}, "between pixels or slices"),
    ],
)
def test_frames_on_other_pixels_are_refused(write, series, changes, found):
    with pytest.raises(GeometryError, match=found):
        segmentation_labels(read_segmentation(write()), replace(series, grid=replace(series.grid, **changes)))


def elsewhere(series, grid):
    """The series on another grid, of files that the frames do not name."""
    other = source_series(grid)
    named = (replace(ref, sop_instance_uid=f"{ELSEWHERE}.{n}") for n, ref in enumerate(other.slices))
    return replace(other, slices=tuple(named))


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_frames_of_every_orientation_come_onto_the_series_grid_bit_for_bit(write, series, kind):
    """Coronal and sagittal ones, rows and columns swapped, forth and back."""
    segmentation = read_segmentation(write(kind=kind))
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turns = list(zip(axes, signs, strict=True))
        labels, notes = segmentation_labels(segmentation, elsewhere(series, series.grid.turned(turns)))
        np.testing.assert_array_equal(labels, turned(LABELS, turns))
        assert notes == ()


def test_a_flipped_frame_names_the_slice_that_it_lies_on(write, series):
    segmentation, back = read_segmentation(write()), [(0, -1), (1, 1), (2, -1)]
    flipped = replace(series, grid=series.grid.turned(back), slices=series.slices[::-1])
    np.testing.assert_array_equal(segmentation_labels(segmentation, flipped)[0], turned(LABELS, back))
    with pytest.raises(GeometryError, match="lies on slice 0 and names slice 5"):
        segmentation_labels(segmentation, replace(flipped, slices=series.slices))


def test_turned_frames_at_another_distance_than_the_voxels_are_refused(write, series):
    sparse = read_segmentation(write())
    grid = series.grid.turned([(0, 1), (2, 1), (1, 1)])
    finer = replace(grid, shape=(17, 12, 13), spacing=(grid.spacing[0], grid.spacing[1] / 2, grid.spacing[2]))
    with pytest.raises(GeometryError, match="another distance between frames"):
        segmentation_labels(sparse, elsewhere(series, finer))


def test_frames_between_the_axes_are_refused(write, series):
    grid = series.grid
    row, column = np.array(grid.row_direction), np.array(grid.column_direction)
    for angle in (0.01, 0.7):
        across = np.cos(angle) * row + np.sin(angle) * column, np.cos(angle) * column - np.sin(angle) * row
        other = replace(grid, row_direction=tuple(across[0]), column_direction=tuple(across[1]))
        with pytest.raises(GeometryError, match="another orientation"):
            segmentation_labels(read_segmentation(write()), replace(series, grid=other))


def test_frames_beyond_the_slices_are_refused_or_on_request_left_out(write):
    segmentation = read_segmentation(write())
    fewer = source_series(oblique_grid((*SHAPE[:2], 4)))
    with pytest.raises(GeometryError, match=r"4 beyond the first or last slice.*crop=True"):
        segmentation_labels(segmentation, fewer)
    labels, notes = segmentation_labels(segmentation, fewer, crop=True)
    np.testing.assert_array_equal(labels, LABELS[:, :, :4])
    assert notes == ("left out: 4 frames beyond the series",)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_frames_that_reach_beyond_the_slices_are_cut_on_request(write, series, kind):
    part = series.grid.affine_lps @ [3, 2, 1, 1]
    smaller = replace(series.grid, shape=(9, 8, 4), origin=tuple(part[:3]))
    renamed = replace(source_series(smaller), slices=series.slices[1:5])
    labels, notes = segmentation_labels(read_segmentation(write(kind=kind)), renamed, crop=True)
    np.testing.assert_array_equal(labels, LABELS[3:12, 2:10, 1:5])
    assert len(notes) == 2


def test_two_frames_of_one_segment_and_slice_are_refused(write, series):
    segmentation = read_segmentation(write())
    twice = replace(segmentation, frames=(segmentation.frames[0], *segmentation.frames[:-1]))
    with pytest.raises(GeometryError, match="two of them"):
        segmentation_labels(twice, series)


def test_a_value_without_a_segment_is_refused(write, series):
    segmentation = read_segmentation(write(kind="LABELMAP"))
    with pytest.raises(LabelError, match="found 2"):
        segmentation_labels(replace(segmentation, segments=segmentation.segments[:1]), series)


@pytest.mark.parametrize("classes", [{1: 0}, {1: 256}, {}])
def test_classes_that_are_no_bytes_above_0_are_refused(write, series, classes):
    with pytest.raises(LabelError, match="1 to 255"):
        segmentation_labels(read_segmentation(write()), series, classes)


def test_another_kind_of_object_is_refused(write):
    path = write()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.5"))
    with pytest.raises(InputError, match="another kind of DICOM object"):
        read_segmentation(path)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_wherever_a_file_is_cut_off_it_is_refused(write, series, kind):
    path = write(kind=kind)
    content = path.read_bytes()
    for length in range(len(content) - 2, 0, -len(content) // 30):
        path.write_bytes(content[:length])
        with pytest.raises(PyrasegError):
            segmentation_labels(read_segmentation(path), series)


def test_whatever_the_bytes_are_the_answer_is_a_label_map_or_a_reason(write, series):
    path = write()
    content, generator, outcomes = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(3), set()
    for _ in range(60):
        mutated = content.copy()
        mutated[generator.integers(132, len(content), 4)] = generator.integers(0, 256, 4)
        path.write_bytes(mutated.tobytes())
        try:
            outcomes.add(segmentation_labels(read_segmentation(path), series)[0].shape)
        except PyrasegError:
            outcomes.add("refused")
    assert outcomes == {SHAPE, "refused"}


@pytest.mark.parametrize(
    "name",
    ["Rows", "BitsAllocated", "NumberOfFrames", "SegmentSequence", "PerFrameFunctionalGroupsSequence"],
)
def test_a_segmentation_without_what_every_one_has_is_refused(write, name):
    path = write()
    dataset = pydicom.dcmread(path)
    del dataset[name]
    dataset.save_as(path)
    with pytest.raises(InputError, match="found one that is cut off or broken"):
        read_segmentation(path)


def test_a_segment_without_a_number_is_refused(write):
    path = write()
    dataset = pydicom.dcmread(path)
    del dataset.SegmentSequence[0].SegmentNumber
    dataset.save_as(path)
    with pytest.raises(InputError, match="an attribute that is missing"):
        read_segmentation(path)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_two_segments_of_one_number_are_refused(write, kind):
    path = write(kind=kind)
    dataset = pydicom.dcmread(path)
    dataset.SegmentSequence[-1].SegmentNumber = dataset.SegmentSequence[-2].SegmentNumber
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"\(0062,0004\) that two of them have.*Number the segments anew"):
        read_segmentation(path)
