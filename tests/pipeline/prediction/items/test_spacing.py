"""Where regions disagree a mask has the spacing of the one region that holds all of it, or none."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from pyraseg.pipeline.prediction.items.spacing import spacing_of_mask
from pyraseg.transforms.dicom.files.discover import source_ref
from tests.transforms.dicom.conftest import image_dataset, set_native, ultrasound_region

UPPER, LOWER = (0, 0, 49, 119), (50, 0, 99, 119)  # row0, column0, row1, column1, inclusive


@pytest.fixture
def source(tmp_path):
    def write(*regions):
        image = np.zeros((100, 120), np.uint8)
        more = {"SequenceOfUltrasoundRegions": [ultrasound_region(box, delta) for box, delta in regions]}
        dataset = image_dataset([image], photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian, **more)
        set_native(dataset, [image])
        dataset.save_as(tmp_path / "image.dcm", enforce_file_format=False)
        return source_ref(tmp_path / "image.dcm")

    return write


def mask(*boxes, frames=1):
    labels = np.zeros((frames, 100, 120), np.uint8)
    for number, (top, left, bottom, right) in enumerate(boxes):
        labels[number % frames, top:bottom, left:right] = 1 + number % 2
    return labels


DIFFERENT = ((UPPER, (0.02, 0.03)), (LOWER, (0.04, 0.05)))


def test_a_mask_within_one_region_has_its_spacing_row_first(source):
    ref = source(*DIFFERENT)
    assert spacing_of_mask(ref, mask((0, 0, 50, 120))) == pytest.approx((0.2, 0.3))
    assert spacing_of_mask(ref, mask((50, 5, 100, 120))) == pytest.approx((0.4, 0.5))


def test_a_mask_across_regions_has_none(source):
    assert spacing_of_mask(source(*DIFFERENT), mask((49, 5, 51, 30))) is None


def test_all_frames_and_classes_count(source):
    ref = source(*DIFFERENT)
    assert spacing_of_mask(ref, mask((5, 5, 20, 20), (60, 5, 70, 20), frames=2)) is None
    assert spacing_of_mask(ref, mask((5, 5, 20, 20), (25, 5, 40, 20))) == pytest.approx((0.2, 0.3))


def test_regions_that_overlap_and_disagree_give_none(source):
    ref = source(((0, 0, 99, 119), (0.02, 0.02)), (UPPER, (0.04, 0.04)))
    assert spacing_of_mask(ref, mask((5, 5, 20, 20))) is None
    assert spacing_of_mask(ref, mask((5, 5, 70, 20))) == pytest.approx((0.2, 0.2))


def test_without_a_mask_or_a_region_there_is_none(source):
    assert spacing_of_mask(source(*DIFFERENT), mask()) is None
    assert spacing_of_mask(source(), mask((5, 5, 20, 20))) is None
