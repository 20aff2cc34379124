"""A result that may be wrong is flagged, and one without a doubt is not."""

from __future__ import annotations

import numpy as np

from pyraseg.pipeline.prediction.items.review import Review, review_flags

REVIEW = Review(
    low_confidence=0.7, expected=("tumour",), area_mm2={"tumour": (50, 900)}, volume_ml={"tumour": (1, 20)}
)


def flags(voxels: int, **given) -> tuple[str, ...]:
    facts = {"spacing_mm": None, "confidence": 0.9, "voxel_ml": 0.01, **given}
    return review_flags(
        REVIEW, label_names=("background", "tumour"), areas=np.array([10_000, voxels]), **facts
    )


def test_a_volume_is_judged_by_its_ml():
    assert flags(500) == ()
    assert flags(99) == flags(2001) == ("implausible tumour volume",)


def test_a_volume_without_what_is_expected_says_so_and_has_no_size():
    assert flags(0, confidence=None) == ("no tumour found",)


def test_a_frame_is_judged_by_its_area():
    assert flags(99, voxel_ml=None, spacing_mm=(1.0, 1.0)) == ()
    assert flags(99, voxel_ml=None, spacing_mm=(0.5, 0.5)) == ("implausible tumour area",)
    assert flags(99, voxel_ml=None) == ()


def test_low_confidence_is_flagged():
    assert flags(500, confidence=0.69) == ("low confidence",)
