"""Laws of overlays: what is drawn, what is cropped, what a PNG holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.pictures.overlay import draw_overlay, write_overlay
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError

DECLARED = [{"name": "kidney", "colour": [255, 0, 0]}, {"name": "hydronephrosis", "colour": [0, 255, 0]}]
SEGMENTS = resolve_segments(("background", "kidney", "hydronephrosis"), DECLARED)


@pytest.fixture
def image():
    """Grey tissue in rows 100 to 520 and columns 60 to 560 of a black frame."""
    frame = np.zeros((1, 600, 800), np.float32)
    frame[:, 100:520, 60:560] = 0.5
    return frame


@pytest.fixture
def mask():
    labels = np.zeros((600, 800), np.uint8)
    labels[200:400, 150:450] = 1
    labels[250:350, 250:400] = 2
    return labels


def colours(picture):
    codes = np.unique(picture.reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1])).tolist()
    return {(code >> 16, code >> 8 & 255, code & 255) for code in codes}


def test_without_a_mask_only_the_tissue_and_a_margin_is_left(image):
    out = draw_overlay(image, np.zeros((600, 800), int), SEGMENTS)
    margin = 10  # 2 % of 500
    assert out.shape == (420 + 2 * margin, 500 + 2 * margin, 3)
    assert out.dtype == np.uint8
    assert colours(out) == {(0, 0, 0), (128, 128, 128)}


def test_fill_and_contour_have_the_segments_colours_where_the_mask_is(image, mask):
    out = draw_overlay(image, mask, SEGMENTS, alpha=0.4)
    at = {"row": 100 - 10, "column": 60 - 10}

    def pixel(row, column):
        return tuple(out[row - at["row"], column - at["column"]].tolist())

    assert pixel(220, 180) == pytest.approx((178.5, 76.5, 76.5), abs=0.6)  # 0.6 x 127.5 and 0.4 of red
    assert pixel(300, 300) == pytest.approx((76.5, 178.5, 76.5), abs=0.6)
    assert pixel(200, 300) == pixel(399, 300) == pixel(300, 150) == (255, 0, 0)
    assert pixel(250, 300) == pixel(300, 399) == (0, 255, 0)
    assert pixel(199, 300) == pixel(400, 300) == (128, 128, 128)


def test_at_alpha_0_the_tissue_in_the_contour_is_untouched(image, mask):
    out = draw_overlay(image, mask, SEGMENTS, alpha=0)
    assert colours(out) == {(0, 0, 0), (128, 128, 128), (255, 0, 0), (0, 255, 0)}


def test_a_mask_on_black_is_shown_and_not_cropped_away(image, mask):
    mask[560:590, 700:780] = 2
    out = draw_overlay(image, mask, SEGMENTS)
    assert np.count_nonzero((out == (0, 255, 0)).all(axis=2)[-60:, -200:]) > 200


def test_a_small_frame_is_enlarged_by_a_whole_factor_with_its_mask(image, mask):
    small, labels = image[:, ::10, ::10], mask[::10, ::10]
    out = draw_overlay(small, labels, SEGMENTS)
    assert out.shape == (44 * 8, 52 * 8, 3)
    red = (out == (255, 0, 0)).all(axis=2)
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max()) == ((20 - 9) * 8, (40 - 9) * 8 - 1)
    assert (columns.min(), columns.max()) == ((15 - 5) * 8, (45 - 5) * 8 - 1)


def test_the_reference_is_a_dashed_line_in_another_tone_and_no_fill(image, mask):
    reference = np.zeros_like(mask)
    reference[150:180, 100:500] = 1
    plain, both = (draw_overlay(image, mask, SEGMENTS, reference=each) for each in (None, reference))
    changed = (plain != both).any(axis=2)
    assert colours(both[changed]) == {(255, 140, 140)}
    perimeter = 2 * (30 + 400)
    assert 0.35 * perimeter < np.count_nonzero(changed) < 0.75 * perimeter


def test_a_mask_equal_to_its_reference_shows_both(image, mask):
    out = draw_overlay(image, mask, SEGMENTS, reference=mask)
    assert {(255, 0, 0), (255, 140, 140), (0, 255, 0), (140, 255, 140)} <= colours(out)


def test_a_structure_cut_by_the_frame_has_no_contour_along_the_edge():
    frame, labels = np.full((1, 500, 500), 0.5, np.float32), np.ones((500, 500), np.uint8)
    assert len(colours(draw_overlay(frame, labels, SEGMENTS))) == 1


def test_grey_and_rgb_arrays_and_tensors_of_any_integer_are_drawn_alike(image, mask):
    expected = draw_overlay(image, mask, SEGMENTS)
    np.testing.assert_array_equal(draw_overlay(np.repeat(image, 3, axis=0), mask, SEGMENTS), expected)
    tensors = torch.from_numpy(image), torch.from_numpy(mask).long()
    np.testing.assert_array_equal(draw_overlay(*tensors, SEGMENTS), expected)


def test_the_inputs_are_left_as_they_were(image, mask):
    before = image.copy(), mask.copy()
    draw_overlay(image, mask, SEGMENTS, reference=mask)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_a_black_frame_is_shown_whole():
    assert draw_overlay(np.zeros((1, 500, 700)), np.zeros((500, 700), int), SEGMENTS).shape == (500, 700, 3)


def test_the_png_has_no_chunk_besides_header_pixels_and_end(tmp_path, image, mask):
    content = write_overlay(tmp_path / "o.png", image, mask, SEGMENTS, reference=mask).read_bytes()
    kinds, at = [], 8
    while at < len(content):
        kinds.append(content[at + 4 : at + 8])
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_the_png_holds_the_pixels_that_were_drawn(tmp_path, image, mask):
    from PIL import Image

    path = write_overlay(tmp_path / "o.png", image, mask, SEGMENTS)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), draw_overlay(image, mask, SEGMENTS))


@pytest.mark.parametrize("shape", [(600, 800), (2, 600, 800), (1, 0, 800), (1, 1, 600, 800)])
def test_an_image_of_another_shape_is_refused(shape, mask):
    with pytest.raises(GeometryError):
        draw_overlay(np.zeros(shape, np.float32), mask, SEGMENTS)


def test_a_mask_or_reference_of_another_size_is_refused(image, mask):
    for wrong in ({"mask": mask.T}, {"mask": mask, "reference": mask[:-1]}):
        with pytest.raises(GeometryError):
            draw_overlay(image, segments=SEGMENTS, **wrong)


def test_a_value_without_a_segment_is_refused(image, mask):
    with pytest.raises(LabelError):
        draw_overlay(image, mask + 1, SEGMENTS)


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 5)), np.zeros((4, 5, 3), np.float32), np.zeros((4, 5, 4), np.uint8)]
)
def test_what_is_no_rgb_picture_is_no_png(tmp_path, picture):
    with pytest.raises(GeometryError):
        write_png(tmp_path / "p.png", picture)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_out_of_range_is_refused(image, mask, alpha):
    with pytest.raises(ConfigError):
        draw_overlay(image, mask, SEGMENTS, alpha=alpha)
