"""Structure sets become masks on their own series' grid, or are refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK

from pyraseg.transforms.dicom.files.discover import source_ref
from pyraseg.transforms.dicom.labels.contours import fill_contours
from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.labels.rtstruct import read_rtstruct
from pyraseg.transforms.dicom.labels.rtstruct_mask import roi_label_map, roi_mask
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.errors import GeometryError, InputError, LabelError, PyrasegError
from pyraseg.transforms.geometry.grid import VolumeGrid
from tests.transforms.dicom.label_cases import (
    SERIES,
    SHAPE,
    contour,
    write_structures,
)

SQUARE = [[2, 1], [9, 1], [9, 7], [2, 7]]
HOLE = [[4.5, 2.5], [7.5, 2.5], [7.5, 4.5], [4.5, 4.5]]
ELSEWHERE = "1.2.826.0.1.4711"
SURNAME = "Sentinel"


@pytest.fixture
def read(tmp_path):
    """Structures with one region of the given contours, or as `write_structures` takes them."""

    def write_and_read(contours, **changes):
        rois = contours if isinstance(contours, dict) else {1: ("tumour", contours)}
        return read_rtstruct(write_structures(tmp_path / "rs.dcm", rois, **changes))

    return write_and_read


def mask_of(structures, series, **options):
    """The mask of the one region."""
    (roi,) = structures.rois
    return roi_mask(structures, series, roi, **options)


def test_contours_fill_their_slices_of_an_oblique_grid(read, series, grid):
    drawn = [contour(grid, SQUARE, at=0), contour(grid, HOLE, at=0), contour(grid, HOLE, at=5)]
    expected = np.zeros(SHAPE, bool)
    expected[:, :, 0] = fill_contours([np.array(SQUARE), np.array(HOLE)], SHAPE[:2])
    expected[:, :, 5] = fill_contours([np.array(HOLE)], SHAPE[:2])
    assert expected[:, :, 0].sum() == 8 * 7 - 3 * 2
    result = mask_of(read(drawn), series)
    np.testing.assert_array_equal(result.mask, expected)
    assert result.notes == ()


def test_contours_that_overlap_in_part_are_united_and_by_their_own_type_exclude_each_other(
    read, series, grid
):
    across = [[7, 5], [12, 5], [12, 9], [7, 9]]
    united = mask_of(read([contour(grid, shape, at=2) for shape in (SQUARE, HOLE, across)]), series)
    assert united.mask.sum() == 8 * 7 - 3 * 2 + 6 * 5 - 3 * 3
    assert united.notes == ("slices where contours overlap in part, which are united: 1",)
    both = [contour(grid, shape, at=2, kind="CLOSEDPLANAR_XOR") for shape in (SQUARE, HOLE, across)]
    excluded = mask_of(read(both), series)
    expected = fill_contours([np.array(shape) for shape in (SQUARE, HOLE, across)], SHAPE[:2])
    np.testing.assert_array_equal(excluded.mask[:, :, 2], expected)
    assert excluded.mask.sum() == united.mask.sum() - 1  # what is shared, but for paths
    assert excluded.notes == ()


def test_a_contour_that_stands_twice_counts_once_and_is_noted(read, series, grid):
    turned = [*SQUARE[2:], *SQUARE[:2]]
    drawn = [
        contour(grid, points, at=1) for points in (SQUARE, SQUARE, turned, SQUARE[::-1], [*SQUARE, SQUARE[0]])
    ]
    result = mask_of(read(drawn), series)
    np.testing.assert_array_equal(result.mask, mask_of(read(drawn[:1]), series).mask)
    assert "more than once, counted once: 4" in result.notes[0]


def test_points_and_contours_without_an_area_are_left_out_and_noted(read, series, grid):
    spare = [
        contour(grid, [3, 3], at=1, kind="POINT"),
        contour(grid, SQUARE[:2], at=1),
        contour(grid, [], at=1),
    ]
    result = mask_of(read([contour(grid, SQUARE, at=1), *spare]), series)
    assert result.mask.sum() == 56
    assert result.notes == ("left out: 1 points", "left out: 2 closed contours of less than three points")


@pytest.mark.parametrize("kind", ["OPEN_PLANAR", "OPEN_NONPLANAR", SURNAME.upper()])
def test_an_open_or_unknown_contour_is_left_out_and_noted_unless_it_is_all(read, series, grid, kind):
    stray = contour(grid, SQUARE, at=2, kind=kind)
    result = mask_of(read([contour(grid, SQUARE, at=1), stray]), series)
    assert (result.mask.sum(), len(result.notes)) == (56, 1)
    assert result.notes[0].startswith("left out: 1 ")
    with pytest.raises(InputError, match="closed planar contours in region of interest 1") as caught:
        mask_of(read([stray]), series)
    assert SURNAME.upper() not in f"{result.notes} {caught.value}"


def test_what_osirix_interpolated_counts_as_closed_and_is_noted(read, series, grid):
    result = mask_of(read([contour(grid, SQUARE, at=1, kind="INTERPOLATED_PLANAR")]), series)
    assert (result.mask.sum(), len(result.notes)) == (56, 1)


@pytest.mark.parametrize("contours", [None, [], ["empty"], ["point"]])
def test_a_region_without_closed_contours_is_refused(read, series, grid, contours):
    made = {"empty": contour(grid, [], at=1), "point": contour(grid, [3, 3], at=1, kind="POINT")}
    structures = read({3: ("tumour", contours and [made[each] for each in contours])})
    with pytest.raises(InputError, match=r"closed planar contours.*Draw the region"):
        mask_of(structures, series)


def test_contours_that_hold_no_voxel_are_noted(read, series, grid):
    beside = np.array(SQUARE) + 100
    result = mask_of(read([contour(grid, beside, at=1)]), series)
    assert result.mask.sum() == 0
    assert result.notes[-1] == "the contours hold no voxel of the series"


def test_a_position_that_was_rounded_is_on_its_slice(read, series, grid):
    assert mask_of(read([contour(grid, SQUARE, at=2.05)]), series).mask[:, :, 2].sum() == 56


def test_contours_between_slices_are_refused_or_on_request_drawn_on_the_nearest(read, series, grid):
    structures = read([contour(grid, SQUARE, at=2), contour(grid, SQUARE, at=3.4)])
    with pytest.raises(GeometryError, match=r"1 between slices, up to 1\.16 mm off.*nearest=True"):
        mask_of(structures, series)
    result = mask_of(structures, series, nearest=True)
    assert result.mask.sum(axis=(0, 1)).tolist() == [0, 0, 56, 56, 0, 0]
    assert result.notes == ("drawn on the nearest slice: 1 contours, up to 1.16 mm off",)


def test_contours_of_two_planes_that_go_to_one_slice_are_no_holes_in_each_other(read, series, grid):
    drawn = [contour(grid, SQUARE, at=2.3), contour(grid, HOLE, at=2.3), contour(grid, HOLE, at=1.75)]
    assert mask_of(read(drawn[:2]), series, nearest=True).mask.sum() == 56 - 6
    assert mask_of(read(drawn), series, nearest=True).mask.sum() == 56


def test_contours_midway_between_slices_all_go_the_same_way(read, series, grid):
    structures = read([contour(grid, SQUARE, at=at) for at in (0.5, 1.5, 2.5)])
    planes = mask_of(structures, series, nearest=True).mask.any(axis=(0, 1))
    assert planes.tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize("at", [-1, -0.6, 5.6, 6, 60])
def test_contours_beyond_the_slices_are_left_out_and_refused_only_where_they_are_all(read, series, grid, at):
    result = mask_of(read([contour(grid, SQUARE, at=0), contour(grid, SQUARE, at=at)]), series)
    assert (result.mask.sum(), result.notes) == (56, ("left out: 1 contours beyond the volume",))
    alone = read([contour(grid, SQUARE, at=at)])
    with pytest.raises(GeometryError, match=r"1 contours, all beyond the first or last slice.*crop=True"):
        mask_of(alone, series)
    assert mask_of(alone, series, crop=True).mask.sum() == 0


def test_contours_that_are_not_parallel_to_the_slices_are_refused(read, series, grid):
    item = contour(grid, SQUARE, at=1)
    item.ContourData = [*item.ContourData[:3], *contour(grid, SQUARE, at=2).ContourData[3:]]
    with pytest.raises(GeometryError, match="parallel to the slices"):
        mask_of(read([item]), series)


def test_contours_with_an_offset_are_refused(read, series, grid):
    item = contour(grid, SQUARE, at=1)
    item.ContourOffsetVector = [0, 0, 1.5]
    with pytest.raises(GeometryError, match="offset"):
        mask_of(read([item]), series)


def test_a_structure_set_of_another_frame_of_reference_is_refused(read, series, grid):
    with pytest.raises(GeometryError, match="in another frame of reference"):
        mask_of(read([contour(grid, SQUARE, at=1)], frame_of_reference=ELSEWHERE), series)


def test_one_of_another_series_in_the_same_frame_of_reference_is_refused(read, series, grid):
    with pytest.raises(GeometryError, match="another series"):
        mask_of(read([contour(grid, SQUARE, at=1)], series=ELSEWHERE), series)
    with pytest.raises(GeometryError, match="another series"):
        mask_of(read([contour(grid, SQUARE, at=1, image=f"{ELSEWHERE}.1")], series=None), series)


def test_a_reference_to_the_series_or_to_one_of_its_files_is_enough(read, series, grid):
    plain = [contour(grid, SQUARE, at=1)]
    for structures in (
        read(plain, instances=(f"{ELSEWHERE}.1",)),  # as files are that got new UIDs
        read(plain, series=ELSEWHERE, instances=(f"{SERIES}.3",)),
        read([contour(grid, SQUARE, at=1, image=f"{SERIES}.2")], series=None),
        read(plain, series=None),  # no reference but the frame of reference
    ):
        assert mask_of(structures, series).mask.sum() == 56


def test_without_any_reference_it_is_refused(read, series, grid):
    structures = read([contour(grid, SQUARE, at=1)], series=None)
    with pytest.raises(GeometryError, match="refers to no series"):
        mask_of(structures, replace(series, frame_of_reference_uid=""))


def test_of_a_file_that_lists_two_series_a_region_belongs_to_the_one_its_contours_name(read, series, grid):
    other = read(
        [contour(grid, SQUARE, at=1, image=f"{ELSEWHERE}.1")], series=ELSEWHERE, instances=(f"{ELSEWHERE}.1",)
    )
    both = replace(other, series={**other.series, SERIES: frozenset({f"{SERIES}.1"})})
    with pytest.raises(GeometryError, match="another series"):
        mask_of(both, series)


def test_a_contour_on_another_slice_than_it_names_is_refused(read, series, grid):
    with pytest.raises(GeometryError, match="lies on slice 1 and names slice 4"):
        mask_of(read([contour(grid, SQUARE, at=1, image=f"{SERIES}.5")]), series)


def test_where_regions_overlap_the_last_class_counts(read, series, grid):
    structures = read({1: ("a", [contour(grid, SQUARE, at=1)]), 2: ("b", [contour(grid, HOLE, at=1)])})
    first, notes = roi_label_map(structures, series, {1: 1, 2: 2})
    last, _ = roi_label_map(structures, series, {2: 2, 1: 1})
    assert np.bincount(first.reshape(-1))[1:].tolist() == [50, 6]
    assert np.bincount(last.reshape(-1))[1:].tolist() == [56]
    assert notes == ("voxels of two classes, the last one counts: 6",)
    one, none = roi_label_map(structures, series, {1: 3, 2: 3})
    assert (one.sum(), none) == (3 * 56, ())


def test_classes_that_are_no_bytes_above_0_are_refused(read, series, grid):
    with pytest.raises(LabelError, match="1 to 255"):
        roi_label_map(read([contour(grid, SQUARE, at=1)]), series, {1: 0})


def test_no_name_is_shown(read, grid):
    assert SURNAME not in repr(read({4: (f"{SURNAME} GTV", [contour(grid, SQUARE, at=1)])}))


def test_other_objects_and_broken_contours_are_refused(tmp_path, grid):
    path = write_structures(tmp_path / "rs.dcm", {1: ("a", [contour(grid, SQUARE, at=1)])})
    content = path.read_bytes()
    for old, new in (
        (b"1.2.840.10008.5.1.4.1.1.481.3\0", b"1.2.840.10008.5.1.4.1.1.481.2\0"),
        (b"\\", b"?"),
        (b"CS", b"SQ"),
    ):
        path.write_bytes(content.replace(old, new))
        with pytest.raises(InputError) as caught:
            read_rtstruct(path)
        assert str(tmp_path) not in str(caught.value)


def test_wherever_a_file_is_cut_off_no_contour_is_lost_in_silence(tmp_path, series, grid):
    path = write_structures(
        tmp_path / "rs.dcm", {1: ("a", [contour(grid, SQUARE, at=slice_) for slice_ in (1, 2)])}
    )
    content = path.read_bytes()
    for length in range(len(content) - 1, 0, -7):
        path.write_bytes(content[:length])
        with pytest.raises(PyrasegError):
            read_drawn_labels(path).label_map(series, None)


def test_whatever_the_bytes_are_the_answer_is_a_mask_or_a_reason(tmp_path, series, grid):
    path = write_structures(
        tmp_path / "rs.dcm", {1: ("a", [contour(grid, SQUARE, at=1, image=f"{SERIES}.2")])}
    )
    content, generator, outcomes = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(3), set()
    for _ in range(200):
        mutated = content.copy()
        mutated[generator.integers(132, len(content), 3)] = generator.integers(0, 256, 3)
        path.write_bytes(mutated.tobytes())
        try:
            outcomes.add(read_drawn_labels(path).label_map(series, None)[0].shape)
        except PyrasegError:
            outcomes.add("refused")
    assert outcomes == {SHAPE, "refused"}


def real_series(folder, reference):
    """The series in a folder, its geometry by SimpleITK."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    directions = np.array(image.GetDirection()).reshape(3, 3).T
    grid = VolumeGrid(image.GetSize(), image.GetOrigin(), *map(tuple, directions), image.GetSpacing())
    return SourceSeries(grid, reference, tuple(source_ref(path) for path in reader.GetFileNames()))


@pytest.mark.parametrize(("folder", "masks"), [("CT", "ct"), ("MR_T1", "mr"), ("PET", "pet")])
def test_real_structure_sets_give_the_masks_that_others_made_of_them(shared_data, folder, masks):
    place = shared_data / "sarcoma/dicom/STS_002" / folder
    structures = read_rtstruct(place / "mask/RS.dcm")
    series = real_series(place / "image", structures.rois[0].frame_of_reference_uid)
    given = (
        SimpleITK.GetArrayFromImage(
            SimpleITK.ReadImage(shared_data / f"sarcoma/{masks}/STS_002_mask.nii.gz")
        ).T
        > 0
    )
    result = mask_of(structures, series)
    assert given.sum() > 500
    np.testing.assert_array_equal(result.mask, given)
    assert result.notes == ()
