"""Laws of moving pictures and contact sheets: which frames, in what box, at what pace."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.pictures.cine import write_cine, write_contact_sheet
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError

DECLARED = [{"name": "kidney", "colour": [255, 0, 0]}, {"name": "hydronephrosis", "colour": [0, 255, 0]}]
SEGMENTS = resolve_segments(("background", "kidney", "hydronephrosis"), DECLARED)


def make_cine(count: int, *, shape=(120, 200)):
    """Grey tissue that moves one pixel to the right a frame, and a kidney that stays in it."""
    images = np.zeros((count, 1, *shape), np.uint8)
    labels = np.zeros((count, *shape), np.uint8)
    for index in range(count):
        images[index, 0, 20:100, 20 + index % 40 : 120 + index % 40] = 128
        labels[index, 40:80, 70:110] = 1
    return images, labels


def frames_of(path):
    with Image.open(path) as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            yield np.asarray(picture.convert("RGB")), picture.info["duration"]


def test_every_frame_of_a_short_cine_is_shown_at_its_own_pace_in_one_box(tmp_path):
    images, labels = make_cine(7)
    shown = list(
        frames_of(write_cine(tmp_path / "c.webp", images.__getitem__, labels, SEGMENTS, frame_time_ms=40.0))
    )
    assert len(shown) == 7
    assert {duration for _, duration in shown} == {40}
    (size,) = {picture.shape for picture, _ in shown}
    assert size[0] < size[1] < 320  # 320 is the enlarged frame with its black sides
    left = [int(np.flatnonzero(picture[10, :, 0] > 60)[0]) for picture, _ in shown]
    assert left == sorted(left)
    assert left[0] < left[-1]  # the tissue moves in the box, and not the box with the tissue


def test_a_long_cine_shows_a_hundred_even_frames_in_the_same_time_and_asks_for_no_others(tmp_path):
    images, labels = make_cine(250, shape=(40, 60))
    asked = []

    def frame(index):
        asked.append(index)
        return images[index]

    shown = list(frames_of(write_cine(tmp_path / "c.webp", frame, labels, SEGMENTS, frame_time_ms=40.0)))
    assert sum(duration for _, duration in shown) == 250 * 40
    assert len(asked) == 100
    assert (asked[0], asked[-1]) == (0, 249)
    assert set(np.diff(asked)) <= {2, 3}


def test_masks_are_drawn_in_their_colours_on_the_frame_s_grid(tmp_path):
    images, labels = make_cine(3, shape=(600, 800))
    labels[:, 300:500, 200:600] = 2
    picture = next(frames_of(write_cine(tmp_path / "c.webp", images.__getitem__, labels, SEGMENTS)))[0]
    assert max(picture.shape) <= 640
    green = picture[..., 1].astype(int) - picture[..., 0] > 40
    assert green.sum() == pytest.approx(200 * 400 * 0.8**2, rel=0.05)


def test_bytes_and_values_from_0_to_1_are_the_same_picture(tmp_path):
    images, labels = make_cine(3)
    one = write_cine(tmp_path / "a.webp", images.__getitem__, labels, SEGMENTS).read_bytes()
    unit = [image.astype(np.float32) / 255 for image in images]
    assert write_cine(tmp_path / "b.webp", unit.__getitem__, labels, SEGMENTS).read_bytes() == one


def white_tiles(path):
    """Whether the four corners of each tile of the first row of a sheet are white."""
    sheet = np.asarray(Image.open(path))
    return np.count_nonzero((sheet == 255).all(axis=2).sum(axis=1) > 100)


@pytest.mark.parametrize("key_frame", [0, 1, 17, 29])
def test_a_sheet_has_twelve_frames_and_the_key_frame_among_them_in_white(tmp_path, key_frame):
    images, labels = make_cine(30)
    asked = []

    def frame(index):
        asked.append(index)
        return images[index]

    path = write_contact_sheet(tmp_path / "s.png", frame, labels, SEGMENTS, key_frame=key_frame)
    assert len(set(asked)) == 12
    assert key_frame in asked
    assert asked == sorted(asked)
    assert white_tiles(path) == 6  # three rows of pixels above, three below


def test_a_short_cine_s_sheet_has_each_frame_once(tmp_path):
    images, labels = make_cine(2)
    asked = []
    write_contact_sheet(
        tmp_path / "s.png", lambda i: asked.append(i) or images[i], labels, SEGMENTS, key_frame=1
    )
    assert asked == [0, 1]


def test_what_does_not_fit_is_refused_and_leaves_no_file(tmp_path):
    images, labels = make_cine(3)
    frames, target = images.__getitem__, tmp_path / "c.webp"
    with pytest.raises(GeometryError):
        write_cine(target, frames, labels[0], SEGMENTS)
    with pytest.raises(GeometryError):
        write_cine(target, frames, labels[:, :-1], SEGMENTS)
    with pytest.raises(LabelError):
        write_cine(target, frames, labels + 2, SEGMENTS)
    with pytest.raises(ConfigError):
        write_cine(target, frames, labels, SEGMENTS, frame_time_ms=0.0)
    with pytest.raises(ConfigError):
        write_contact_sheet(target, frames, labels, SEGMENTS, key_frame=3)
    assert not list(tmp_path.iterdir())
