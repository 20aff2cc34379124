"""Which parts of a SEG or RTSTRUCT a label map takes, and what overlapping ones become."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.transforms.dicom.labels.drawn_labels import DrawnLabels, read_drawn_labels
from pyraseg.transforms.dicom.labels.seg import Segmentation, SegmentInfo
from pyraseg.transforms.errors import GeometryError, InputError, LabelError
from tests.transforms.dicom.label_cases import SERIES, contour, write_structures

SQUARE = [(2, 2), (2, 6), (6, 6), (6, 2)]
SHIFTED = [(4, 2), (4, 6), (9, 6), (9, 2)]


@pytest.fixture
def structures(tmp_path, grid):
    """Tumour (4) and liver (7) that overlap, and an outline of the body (9)."""
    return write_structures(
        tmp_path / "rtstruct.dcm",
        {
            4: ("GTV_Mass ", [contour(grid, SQUARE, at=1)]),
            7: ("Liver", [contour(grid, SHIFTED, at=1)]),
            9: ("Body", [contour(grid, [(0, 0), (0, 12), (12, 12), (12, 0)], at=1)]),
        },
    )


def segments(*names: str) -> DrawnLabels:
    infos = tuple(SegmentInfo(number, name) for number, name in enumerate(names, 1))
    content = Segmentation("seg.dcm", "BINARY", 1, 0, 4, 4, infos, (), "1.2", {})
    return DrawnLabels(content, {info.number: info.label for info in infos}, {}, frozenset(), frozenset())


def test_a_drawn_label_needs_the_series_that_it_was_drawn_on(structures):
    with pytest.raises(GeometryError, match="a NIfTI image"):
        read_drawn_labels(structures).label_map(None, None)


@pytest.mark.parametrize("key", [4, "GTV_Mass", " gtv_mass"])
def test_a_part_is_taken_by_its_number_or_name_and_the_others_are_left_out(structures, series, key):
    labels, _ = read_drawn_labels(structures).label_map(series, {0: 0, key: 1})
    assert labels.sum() == labels[2:7, 2:7, 1].sum() == 25


def test_where_parts_overlap_the_later_class_counts_however_the_keys_are_ordered(structures, series):
    drawn = read_drawn_labels(structures)
    one, two = (drawn.label_map(series, keys)[0] for keys in ({"liver": 2, 4: 1}, {4: 1, "liver": 2}))
    np.testing.assert_array_equal(one, two)
    assert (one[4:7, 2:7, 1] == 2).all()
    assert (one[2:4, 2:7, 1] == 1).all()


def test_names_of_one_class_may_vary_from_patient_to_patient(structures):
    assert read_drawn_labels(structures).classes({0: 0, "GTV": 1, "gtv_mass": 1, "Tumor": 1}) == {4: 1}


def test_without_a_label_map_every_part_is_its_own_class(structures):
    assert read_drawn_labels(structures).classes(None) == {4: 4, 7: 7, 9: 9}


@pytest.mark.parametrize("keys", [{0: 0, 1: 1}, {"GTV": 1}, {"Liver": 0}, {}])
def test_a_map_that_names_no_part_is_refused_with_the_numbers_and_no_name(structures, keys):
    with pytest.raises(LabelError, match="there are: 4, 7, 9") as caught:
        read_drawn_labels(structures).classes(keys)
    assert "Body" not in str(caught.value)


def test_one_part_of_two_classes_and_one_name_of_two_parts_are_refused(structures):
    with pytest.raises(LabelError, match="two for number 4"):
        read_drawn_labels(structures).classes({4: 1, "GTV_Mass": 2})
    twice = segments("lesion", "Lesion", "liver")
    with pytest.raises(LabelError, match=r"a name that several have.*there are: 1, 2, 3") as caught:
        twice.classes({"lesion": 1})
    assert "lesion" not in str(caught.value).casefold()
    assert twice.classes({1: 1, 2: 1, "LIVER": 2}) == {1: 1, 2: 1, 3: 2}


def test_a_region_that_is_listed_and_not_drawn_is_absent_unless_none_is_drawn(tmp_path, series, grid):
    path = tmp_path / "rtstruct.dcm"
    write_structures(path, {1: ("GTV", [contour(grid, SQUARE, at=1)]), 2: ("Node", []), 3: ("Cord", None)})
    drawn = read_drawn_labels(path)
    labels, notes = drawn.label_map(series, {"GTV": 1, "Node": 2, "Cord": 3})
    assert np.unique(labels).tolist() == [0, 1]
    assert notes == ("region 2: not drawn", "region 3: not drawn")
    with pytest.raises(InputError, match="no contours at all"):
        drawn.label_map(series, {"Node": 2, "Cord": 3})


def test_what_it_was_drawn_on_is_known_before_any_pixel_is_read(structures):
    drawn = read_drawn_labels(structures)
    assert set(drawn.series) == {SERIES}
    assert "GTV" not in repr(drawn)


def test_another_object_is_no_label(write_dicom, grey):
    with pytest.raises(InputError, match="SEG or RTSTRUCT"):
        read_drawn_labels(write_dicom(grey))
