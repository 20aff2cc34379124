"""A frame is read once, for the network and for pictures, and both see what the bundle's preprocessing
leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import uid

from pyraseg.pipeline.prediction.bundle import read_bundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.discovery.find_items import find_items
from pyraseg.pipeline.prediction.items.frame_results import FrameReading
from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.transforms.io.frames import LoadFrame
from pyraseg.transforms.io.paths import frame_paths
from tests.chains import frame_preprocessing
from tests.pipeline.prediction.runs import BUNDLE
from tests.transforms.dicom.conftest import image_dataset, set_native

SIZE = (96, 96)
BOX = (slice(10, 110), slice(30, 190))  # rows and columns of echoes


def items(folder: Path) -> list[Item]:
    return list(find_items([folder], read_rules(read_bundle(BUNDLE).metadata)).items)


def sector(white: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """Speckle in a box of an asymmetric image, a note in a corner, black between them."""
    image = np.zeros((120, 200), dtype)
    shape = (BOX[0].stop - BOX[0].start, BOX[1].stop - BOX[1].start)
    image[BOX] = np.random.default_rng(0).integers(white // 10, white, shape)
    image[2:6, 2:20] = white
    return image


def write(folder: Path, *frames: np.ndarray, stored: int = 8) -> Item:
    dataset = image_dataset(list(frames), photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian)
    dataset.BitsStored, dataset.HighBit = stored, stored - 1
    set_native(dataset, list(frames))
    dataset.save_as(folder / "image.dcm", enforce_file_format=False)
    return items(folder)[0]


def reading_of(item: Item, **options: Any) -> FrameReading:
    preprocessing = frame_preprocessing(size=SIZE, **options)
    return FrameReading(preprocessing, frame_paths(item.source), item.case)


def test_a_view_is_the_source_within_the_tissue_and_black_beside_it(tmp_path):
    image = sector()
    view = reading_of(write(tmp_path, image)).view(0)
    assert view.shape == (1, *image.shape)
    assert view.dtype == np.uint8
    inner = tuple(slice(side.start + 8, side.stop - 8) for side in BOX)
    np.testing.assert_array_equal(view[0][inner], image[inner])
    assert not view[0, 2:6, 2:20].any()
    assert set(np.unique(view[0] - image)) <= {0, *np.unique(-image)}  # as it is, or black


def test_the_network_s_image_is_the_same_with_a_view_and_without(phantom):
    seen = 0
    for item in items(phantom):
        reading = reading_of(item)
        for index in range(min(2, item.source.number_of_frames)):
            both, alone = (reading.read(index, view=view) for view in (True, False))
            assert alone.view is None
            assert torch.equal(both.image.as_tensor(), alone.image.as_tensor())
            assert both.image.applied_operations == alone.image.applied_operations
            np.testing.assert_array_equal(both.view, reading.view(index))
            assert both.view.shape[1:] == (item.source.rows, item.source.columns)
            seen += 1
    assert seen == 7


def test_frames_of_a_cine_are_their_own(tmp_path):
    frames = [sector(), sector()[:, ::-1].copy()]
    reading = reading_of(write(tmp_path, *frames), blank=False, crop=False)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(reading.view(index)[0], frame)


@pytest.mark.parametrize("stored", [12, 16])
def test_a_view_of_16_bits_has_its_white_at_255(tmp_path, stored):
    white = 2**stored - 1
    image = sector(white, np.uint16)
    image[60, 60] = white
    item = write(tmp_path, image, stored=stored)
    view = reading_of(item, blank=False, crop=False).view(0)
    np.testing.assert_array_equal(view[0], np.round(image * (255 / white)).astype(np.uint8))


def test_colours_stay(phantom):
    coloured = 0
    for item in items(phantom):
        if item.source.number_of_frames == 1:
            loaded = LoadFrame()(item.source.path)
            expected = np.asarray(loaded) * (255 / loaded.meta["display_max"])  # a palette has 16 bits
            assert np.abs(reading_of(item, crop=False, blank=False).view(0) - expected).max() <= 0.5 + 1e-3
            coloured += loaded.shape[0] == 3
    assert coloured
