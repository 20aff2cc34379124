"""Thumbnails are small in pixels and in bytes, whatever they show."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pyraseg.pipeline.writers.pictures.picture_files import draw_thumbnail
from pyraseg.transforms.errors import GeometryError


@pytest.mark.parametrize("shape", [(600, 800, 3), (800, 300, 3), (20, 30, 3), (1, 2000, 3)])
def test_a_thumbnail_of_noise_fits_and_keeps_the_aspect_ratio(shape):
    content = draw_thumbnail(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    assert len(content) < 6000
    small = Image.open(BytesIO(content))
    assert max(small.size) == min(160, max(shape))
    height = max(1, shape[0] * small.width / shape[1])
    assert small.height == pytest.approx(height, abs=1)


def test_a_thumbnail_carries_no_metadata_and_repeats_itself():
    picture = np.full((300, 400, 3), 90, np.uint8)
    content = draw_thumbnail(picture)
    assert content == draw_thumbnail(picture)
    assert set(Image.open(BytesIO(content)).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_what_is_no_picture_is_refused():
    with pytest.raises(GeometryError):
        draw_thumbnail(np.zeros((3, 40, 50), np.uint8))
