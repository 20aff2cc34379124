"""Pictures of the cases in which arms differ: frames, and of volumes the slice that shows it."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from PIL import Image

from pyraseg.pipeline.comparison.present.pictures import Frame, Frames, side_by_side
from pyraseg.pipeline.comparison.read.runs import Arm, Run
from pyraseg.transforms.records import Segment

RAS = np.diag([1.0, 2.0, 3.0, 1.0])  # x grows to the patient's right
SEGMENTS = (Segment(0, "background", (0, 0, 0)), Segment(1, "kidney", (255, 0, 0)))


@pytest.fixture
def masks() -> tuple[np.ndarray, np.ndarray]:
    """Two volumes (48, 40, 6) that agree in slice 1 and differ in slice 4."""
    one, other = np.zeros((2, 48, 40, 6), np.uint8)
    one[8:40, 8:32, 1] = other[8:40, 8:32, 1] = 1
    one[10:38, 10:20, 4] = 1
    other[10:38, 20:30, 4] = 1
    return one, other


def pictures(masks, folder, *, frames=None):
    """Of one case ``c`` in an arm for each mask."""
    arms = []
    for index, mask in enumerate(masks):
        np.savez_compressed(folder / f"{index}.npz", c=mask)
        rows = [{"case": "c", "group": "p", "class": "kidney", "dice": "0.5"}]
        run = Run(str(index), str(index), 0, scores=rows, masks=True, label_names=("background", "kidney"))
        arms.append(Arm(str(index), (run,)))
    store = SimpleNamespace(fetch=lambda run_id, path, folder: folder / f"{run_id}.npz")
    comparison = SimpleNamespace(arms=arms, most_different=("c",), labels=("kidney",))
    (case,) = side_by_side(comparison, store, folder=folder, frames=frames)
    return case, [np.asarray(Image.open(io.BytesIO(tile))).astype(int) for _, tile in case.tiles]


def test_a_volume_is_shown_in_the_slice_in_which_the_arms_differ(masks, tmp_path):
    case, (one, other) = pictures(masks, tmp_path)
    assert not case.over_frame
    assert np.abs(one - other).mean() > 10


def test_a_volume_with_its_image_is_shown_in_that_slice_too_with_the_reference(masks, tmp_path):
    image = np.full((1, 48, 40, 6), 0.2, np.float32)
    image[..., 4] = 0.6
    case, tiles = pictures(masks, tmp_path, frames=Frames(SEGMENTS, lambda name: Frame(image, masks[0], RAS)))
    assert case.over_frame
    assert [int(np.median(tile)) for tile in tiles] == pytest.approx([153, 153], abs=8)  # 0.6 * 255, not 0.2
    assert np.abs(tiles[0] - tiles[1]).mean() > 5


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR"])
def test_a_volume_is_shown_as_radiologists_see_it_however_it_is_stored(masks, tmp_path, axes):
    """The patient's left is on the right of the picture, and the front above."""
    left, front = masks[0] * 0, masks[0] * 0
    left[4:12, 18:22, 4], front[22:26, 30:36, 4] = 1, 1  # low x: the patient's left; high y: the front
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    affine = RAS @ inv_ornt_aff(turn, masks[0].shape)
    image, *stored = (apply_orientation(each, turn) for each in (np.full(masks[0].shape, 0.4), left, front))
    frame = Frame(image[None], stored[0] * 0, affine)
    _, tiles = pictures(stored, tmp_path, frames=Frames(SEGMENTS, lambda name: frame))
    (_, x), (y, _) = (np.argwhere(tile[..., 0] > tile[..., 1] + 50).mean(axis=0) for tile in tiles)
    assert x > 0.6 * tiles[0].shape[1]
    assert y < 0.3 * tiles[1].shape[0]
    assert tiles[0].shape[0] / tiles[0].shape[1] == pytest.approx(40 * 2 / 48, rel=0.05)  # square pixels


def test_an_image_of_another_size_is_not_drawn_under_a_mask(masks, tmp_path):
    image, reference = np.zeros((1, 20, 20)), np.zeros((20, 20), np.uint8)
    case, _ = pictures(
        [m[..., 4] for m in masks], tmp_path, frames=Frames(SEGMENTS, lambda name: Frame(image, reference))
    )
    assert not case.over_frame
