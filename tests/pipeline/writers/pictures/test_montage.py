"""Laws of pictures of volumes: which slices are shown, which way round, at which scale, with which
colours."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.pictures.montage import (
    chosen_slices,
    display_spacing,
    draw_projection,
    draw_volume,
    to_display,
)
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError

RED = (255, 0, 0)
SEGMENTS = resolve_segments(("background", "tumour"), [{"name": "tumour", "colour": list(RED)}])
SHAPE = (40, 30, 20)
SIZES = {"L": 4, "P": 5, "S": 6}
SPACING = {"L": 1.0, "P": 2.0, "S": 3.0}
RAS = {"L": (-1, 0, 0), "P": (0, -1, 0), "S": (0, 0, 1)}


def shown(*spacing_mm: float) -> np.ndarray:
    """The affine, to RAS+ mm, of a volume that is stored as it is shown."""
    x, y, z = spacing_mm
    return np.diag([-x, -y, z, 1.0])


CUBES = shown(1, 1, 1)


@pytest.fixture
def view():
    return np.full(SHAPE, 0.5, np.float32)


@pytest.fixture
def labels():
    """A tumour on the patient's left, in front, near the head."""
    array = np.zeros(SHAPE, np.uint8)
    array[30:38, 2:8, 15:18] = 1
    return array


def place(picture, colour=RED):
    """Where a colour lies: the mean row and column as shares of the picture, and its height and width in
    pixels."""
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    extent = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    return rows.mean() / picture.shape[0], columns.mean() / picture.shape[1], extent


def test_a_slice_shows_the_left_on_the_right_and_the_front_above(view, labels):
    picture = draw_volume(view, labels, SEGMENTS, affine=CUBES, slices=1)
    row, column, _ = place(picture)
    assert (row < 0.3, column > 0.7) == (True, True)
    assert (picture.dtype, picture.shape) == (np.uint8, (240, 320, 3))


def test_a_projection_has_the_head_above_and_the_left_on_the_right(view, labels):
    picture = draw_projection(view, labels, SEGMENTS, affine=CUBES)
    row, column, _ = place(picture)
    assert picture.shape[:2] == (320, 640)
    assert (row < 0.4, column > 0.6) == (True, True)


def test_pixels_are_square_whatever_the_voxels_are(view):
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:20, 10:15, 5:7] = 1  # 10 mm a side with these voxels
    affine = shown(1, 2, 5)
    for picture in (
        draw_volume(view, labels, SEGMENTS, affine=affine, slices=1),
        draw_projection(view, labels, SEGMENTS, affine=affine),
    ):
        height, width = place(picture)[2]
        assert height == pytest.approx(width, rel=0.03)


def test_slices_lie_where_the_labels_are_and_run_from_the_feet():
    labels = np.zeros((4, 4, 100), np.uint8)
    labels[:, :, 20:80] = 1
    chosen = chosen_slices([labels], 6)
    assert chosen.tolist() == pytest.approx([25, 35, 45, 55, 65, 75], abs=1)
    assert chosen_slices([labels[:, :, :23]], 6).tolist() == [20, 21, 22]
    assert chosen_slices([np.zeros_like(labels)], 4).tolist() == pytest.approx([12, 37, 62, 87], abs=1)


def test_a_small_reference_is_shown_beside_a_large_wrong_prediction():
    wrong, reference = np.zeros((2, 20, 20, 60), np.uint8)
    wrong[:, :, 30:60] = 1
    reference[3:5, 3:5, 4] = 1
    assert 4 in chosen_slices([wrong, reference], 4)


def test_no_more_slices_are_chosen_than_wanted_and_none_twice():
    generator = np.random.default_rng(0)
    for _ in range(50):
        labels = (generator.random((3, 3, 30)) > generator.random(30)).astype(np.uint8)
        for count in (1, 4, 9):
            chosen = chosen_slices([labels], count)
            filled = np.flatnonzero(labels.any(axis=(0, 1)))
            assert len(chosen) == min(count, len(filled) or labels.shape[2])
            assert (np.diff(chosen) > 0).all()


def test_the_montage_s_slices_have_one_scale_and_are_cut_to_the_body(labels):
    body = np.zeros(SHAPE, np.float32)
    body[10:40, :, 10:] = 0.5
    labels[35, 3, 3] = 1  # below the body
    picture = draw_volume(body, labels, SEGMENTS, affine=CUBES, slices=4, columns=2)
    assert picture.shape == (2 * 310 + 4, 2 * 320 + 4, 3)
    assert (picture[:, 320:324] == 0).all()


def test_a_reference_is_a_dashed_line_in_a_paler_tone_and_no_fill(view, labels):
    plain, both = (
        draw_volume(view, np.zeros_like(labels), SEGMENTS, affine=CUBES, reference=each, slices=1)
        for each in (None, labels)
    )
    coloured = np.ptp(both.astype(int), axis=2) > 20
    assert not np.ptp(plain, axis=2).any()
    assert 0.001 < coloured.mean() < 0.05


def test_a_single_voxel_is_seen_in_a_picture_of_fewer_pixels():
    generator = np.random.default_rng(1)
    view = np.zeros((1500, 2, 30), np.uint8)
    for column in generator.integers(0, 1500, 25):
        labels = np.zeros(view.shape, np.uint8)
        labels[column, 1, 15] = 1
        picture = draw_projection(view, labels, SEGMENTS, affine=CUBES)
        assert (picture == RED).all(axis=2).any()


def test_bytes_and_values_from_0_to_1_give_one_picture(labels):
    view = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    pictures = [
        draw(each, labels, SEGMENTS, affine=shown(1, 1, 2))
        for draw in (draw_volume, draw_projection)
        for each in (view, view / np.float32(255))
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[2], pictures[3])


def test_a_volume_in_any_stored_order_gives_one_picture(view, labels):
    view = np.random.default_rng(0).random(SHAPE, np.float32)
    affine = shown(1, 2, 3)
    expected = draw_volume(view, labels, SEGMENTS, affine=affine, reference=labels)
    stored = [each[::-1, :, ::-1].transpose(2, 0, 1) for each in (view, labels)]
    turned = (affine @ np.diag([-1, 1, -1, 1]))[:, [2, 0, 1, 3]]
    assert np.array_equal(draw_volume(*stored, SEGMENTS, affine=turned, reference=stored[1]), expected)


def test_what_cannot_be_drawn_is_refused(view, labels):
    good = {"affine": CUBES}
    with pytest.raises(GeometryError):
        draw_volume(view[None], labels, SEGMENTS, **good)
    with pytest.raises(GeometryError):
        draw_volume(view, labels[:-1], SEGMENTS, **good)
    with pytest.raises(GeometryError):
        draw_projection(view, labels, SEGMENTS, affine=shown(1, 0, 1))
    with pytest.raises(LabelError):
        draw_projection(view, labels + 1, SEGMENTS, **good)
    with pytest.raises(ConfigError):
        draw_volume(view, labels, SEGMENTS, slices=0, **good)


def stored(order, signs):
    """A body whose values are its own (left, back, head) places, stored with other axes, and its affine."""
    body = np.arange(np.prod(list(SIZES.values()))).reshape(tuple(SIZES.values()))
    array = body.transpose(["LPS".index(axis) for axis in order])
    affine = np.eye(4)
    for place, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, place] = sign * SPACING[axis] * np.array(RAS[axis])
        array = np.flip(array, place) if sign < 0 else array
    return body, array, affine


@pytest.mark.parametrize("order", list(permutations("LPS")), ids="".join)
def test_however_the_axes_are_stored_the_patient_is_shown_from_the_feet_with_the_left_on_the_right(order):
    for signs in product((1, -1), repeat=3):
        body, array, affine = stored(order, signs)
        assert np.array_equal(to_display(array, affine), body)
        assert display_spacing(affine) == pytest.approx((1, 2, 3))


def test_an_oblique_volume_is_shown_along_its_nearest_axes_and_not_resampled():
    body, array, affine = stored("SLP", (1, -1, 1))
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    assert np.array_equal(to_display(array, affine), body)
    assert display_spacing(affine) == pytest.approx((1, 2, 3))
