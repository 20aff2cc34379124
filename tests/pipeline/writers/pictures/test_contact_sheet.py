"""Laws of the contact sheet."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.pictures.contact_sheet import draw_grid
from pyraseg.transforms.errors import ConfigError

COLOURS = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 200, 10), (10, 200, 200)]
SEGMENTS = resolve_segments(("background", "kidney", "cyst"), [{"name": "kidney", "colour": [255, 0, 0]}])


def tile(colour, height=400, width=600):
    return np.full((height, width, 3), colour, np.uint8)


def box(sheet, colour):
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_tiles_stand_row_by_row_and_keep_their_aspect():
    sheet = draw_grid([tile(colour) for colour in COLOURS], columns=3, titles=[""] * 5, cell=120)
    boxes = [box(sheet, colour) for colour in COLOURS]
    assert {(bottom - top, right - left) for top, bottom, left, right in boxes} == {(80, 120)}
    tops, lefts = [each[0] for each in boxes], [each[2] for each in boxes]
    assert tops[0] == tops[1] == tops[2] < tops[3] == tops[4]
    assert lefts[0] == lefts[3] < lefts[1] == lefts[4] < lefts[2]


def test_a_row_is_as_tall_as_the_tallest_tile_and_its_title():
    sheet = draw_grid([tile(COLOURS[0], 100, 300), tile(COLOURS[1], 200, 300)], columns=1, titles=["", ""])
    first, second = box(sheet, COLOURS[0]), box(sheet, COLOURS[1])
    assert second[0] - first[0] == 200 + 22 + 8
    assert len(sheet) - second[1] == 8


def test_a_tile_smaller_than_its_cell_is_not_enlarged():
    top, bottom, left, right = box(draw_grid([tile(COLOURS[0], 30, 50)], columns=1, titles=["a"]), COLOURS[0])
    assert (bottom - top, right - left) == (30, 50)


def test_the_sheet_is_no_wider_than_its_tiles_need():
    one = draw_grid([tile(COLOURS[0])], columns=8, titles=["a"])
    assert one.shape == draw_grid([tile(COLOURS[0])], columns=1, titles=["a"]).shape


def test_the_legend_has_the_colour_of_each_segment_but_background():
    plain = draw_grid([tile(COLOURS[0])], columns=1, titles=["a"])
    sheet = draw_grid(
        [tile(COLOURS[0])], columns=1, titles=["a"], segments=SEGMENTS, note="dashed: reference"
    )
    np.testing.assert_array_equal(sheet[: len(plain)], plain)
    legend = sheet[len(plain) :]
    for segment in SEGMENTS[1:]:
        assert (legend == segment.colour).all(axis=2).any()
    assert not (legend == SEGMENTS[0].colour).all(axis=2).any()


def test_a_legend_too_wide_for_the_sheet_takes_more_rows():
    many = resolve_segments(("background", *(f"structure {index}" for index in range(9))))
    sheet = draw_grid([tile(COLOURS[0])], columns=1, titles=["a"], segments=many, cell=160)
    for segment in many[1:]:
        assert (sheet == segment.colour).all(axis=2).any()


def test_a_long_title_stays_over_its_own_tile():
    titles = ["", "a title far longer than the width of any cell that there is " * 3]
    sheet = draw_grid([tile(COLOURS[0]), tile(COLOURS[1])], columns=2, titles=["", ""], cell=120)
    titled = draw_grid([tile(COLOURS[0]), tile(COLOURS[1])], columns=2, titles=titles, cell=120)
    columns = np.nonzero((sheet != titled).any(axis=(0, 2)))[0]
    assert columns.min() >= 8 + 120 + 8
    assert columns.max() < 8 + 120 + 8 + 120


def test_a_title_with_letters_that_the_font_lacks_is_drawn():
    draw_grid([tile(COLOURS[0])], columns=1, titles=["Dice 0.81 腎 \n é"])


def test_the_same_input_gives_the_same_pixels():
    sheets = [
        draw_grid([tile(COLOURS[0])], columns=1, titles=["c0 0.91"], segments=SEGMENTS) for _ in range(2)
    ]
    np.testing.assert_array_equal(*sheets)


@pytest.mark.parametrize(("number", "titles", "columns"), [(0, 0, 1), (2, 1, 1), (1, 1, 0)])
def test_what_cannot_be_laid_out_is_refused(number, titles, columns):
    with pytest.raises(ConfigError):
        draw_grid([tile(COLOURS[0])] * number, columns=columns, titles=["a"] * titles)
