"""A box in patient coordinates holds the voxels whose centres lie in it, however the series lies."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.pipeline.prediction.discovery.search_box import SearchBox, parse_search_box
from pyraseg.transforms.errors import GeometryError, UsageError
from tests.transforms.dicom.label_cases import oblique_grid

GRID = oblique_grid((17, 13, 20))


def centres():
    """(17, 13, 20, 3) LPS mm."""
    index = np.moveaxis(np.indices(GRID.shape), 0, -1)
    return index @ GRID.affine_lps[:3, :3].T + GRID.affine_lps[:3, 3]


def around(point, reach):
    return SearchBox(tuple(point - reach), tuple(point + reach))


def test_a_region_is_read_in_pairs():
    assert parse_search_box("-60.5,80,-40,100,-900,-750") == SearchBox((-60.5, -40, -900), (80, 100, -750))
    assert parse_search_box("0,1,0,1,0,1").bounds == (0, 1, 0, 1, 0, 1)


@pytest.mark.parametrize(
    "text", ["", "1,2,3,4,5", "1,0,0,1,0,1", "0,0,0,1,0,1", "a,b,c,d,e,f", "0,nan,0,1,0,1"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="X0,X1"):
        parse_search_box(text)


def test_the_voxels_inside_are_those_with_their_centre_in_the_box():
    place = centres()
    region = around(place[8, 6, 9], np.array([4.0, 3.0, 9.0]))
    expected = ((place >= region.low) & (place <= region.high)).all(axis=-1)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(region.inside(GRID, slice(0, 20)), expected)
    np.testing.assert_array_equal(region.inside(GRID, slice(7, 11)), expected[:, :, 7:11])


def test_a_box_beside_the_volume_is_refused_and_the_remedy_says_where_it_lies():
    place = centres()
    with pytest.raises(GeometryError, match="beside") as caught:
        SearchBox((5000, 5000, 5000), (5001, 5001, 5001)).check_meets(GRID)
    reach = parse_search_box(caught.value.remedy.partition("--roi=")[2].split(", ")[0])
    assert (reach.low <= place.min(axis=(0, 1, 2))).all()
    assert (reach.high >= place.max(axis=(0, 1, 2))).all()
    reach.check_meets(GRID)


def test_a_box_between_voxels_holds_none_and_is_refused():
    between = (centres()[3, 3, 3] + centres()[4, 3, 3]) / 2
    with pytest.raises(GeometryError, match="beside"):
        around(between, 0.01).check_meets(GRID)


def test_the_window_covers_the_box_and_is_as_large_as_the_network_sees():
    network = np.diag([1.5, 1.5, 1.5, 1.0])
    network[:3, 3] = GRID.affine[:3, 3] - 60
    middle = centres()[8, 6, 9]
    for reach in (0.5, 8.0, 200.0):
        region = around(middle, reach)
        window = region.window(GRID, network, (90, 90, 90), (24, 24, 24))
        for span in window:
            assert 0 <= span.start < span.stop <= 90
            assert span.stop - span.start >= 24
        flip = np.array([-1, -1, 1])
        corners = np.array([region.low, region.high]) * flip
        at = (corners - network[:3, 3]) / 1.5
        for axis, span in enumerate(window):
            assert span.start <= max(at[:, axis].min(), 0) + 1e-9
            assert span.stop - 1 >= min(at[:, axis].max(), 89) - 1e-9
