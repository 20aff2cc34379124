"""Pixel spacing and tissue box follow the Sequence of Ultrasound Regions (PS3.3 C.8.5.5)."""

from __future__ import annotations

import pytest
from pydicom import DataElement, Dataset

from pyraseg.transforms.dicom.calibration import calibrate


def dataset(*regions: Dataset, **more) -> Dataset:
    made = Dataset()
    made.SequenceOfUltrasoundRegions = list(regions)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_spacing_is_ten_times_the_absolute_delta_of_each_axis(region):
    found = calibrate(dataset(region((5, 10, 84, 109), (-0.02, 0.03))), 100, 120)
    assert found.spacing_mm == pytest.approx((0.2, 0.3))
    assert found.source == "region"
    assert found.tissue_box == (5, 10, 85, 110)


def test_regions_that_agree_share_their_spacing_and_a_box_around_them(region):
    found = calibrate(
        dataset(region((5, 0, 50, 59), (0.1, 0.1)), region((0, 60, 70, 119), (0.1, -0.1))), 100, 120
    )
    assert found.spacing_mm == pytest.approx((1, 1))
    assert found.tissue_box == (0, 0, 71, 120)


def test_regions_that_disagree_give_no_spacing_even_beside_pixel_spacing(region):
    regions = (region((0, 0, 50, 59), (0.1, 0.1)), region((0, 60, 50, 119), (0.2, 0.2)))
    found = calibrate(dataset(*regions, PixelSpacing=[1, 1]), 100, 120)
    assert (found.spacing_mm, found.source) == (None, "none")
    assert found.tissue_box == (0, 0, 51, 120)


@pytest.mark.parametrize("other", [{"data_type": 2}, {"units": 4}])
def test_colour_flow_and_uncalibrated_regions_do_not_count(region, other):
    found = calibrate(dataset(region((0, 0, 50, 59), (0.1, 0.1), **other)), 100, 120)
    assert (found.spacing_mm, found.source, found.tissue_box) == (None, "none", None)


@pytest.mark.parametrize(("box", "delta"), [((0, 0, 250, 59), (0.1, 0.1)), ((0, 0, 50, 59), (0.0, 0.1))])
def test_a_region_outside_the_image_or_without_delta_is_ignored_with_a_warning(region, box, delta):
    with pytest.warns(UserWarning, match="region"):
        found = calibrate(dataset(region(box, delta), PixelSpacing=[0.4, 0.5]), 100, 120)
    assert (found.spacing_mm, found.source, found.tissue_box) == ((0.4, 0.5), "pixel_spacing", None)


def test_an_exclusive_region_end_is_clipped_to_the_image(region):
    assert calibrate(dataset(region((0, 0, 100, 120), (0.1, 0.1))), 100, 120).tissue_box == (0, 0, 100, 120)


@pytest.mark.parametrize("spacing", [[0, 1], [1], None])
def test_pixel_spacing_that_means_nothing_is_no_spacing(spacing):
    made = Dataset()
    if spacing:
        made.PixelSpacing = spacing
    assert calibrate(made, 10, 10).source == "none"


@pytest.mark.parametrize("millimetres", [1e-320, 1e-9, 50.0, 250.0, 1e300, float("nan"), float("inf")])
def test_pixels_of_a_size_that_none_can_have_are_no_calibration(region, millimetres):
    with pytest.warns(UserWarning, match=r"region with pixels of .* mm.* is ignored"):
        found = calibrate(dataset(region((0, 0, 50, 59), (millimetres / 10, 0.05))), 100, 120)
    assert (found.spacing_mm, found.source) == (None, "none")
    made = Dataset()
    made.PixelSpacing = [f"{millimetres:g}", "0.5"]
    assert calibrate(made, 100, 120).spacing_mm is None


def test_a_region_with_an_end_that_is_no_number_is_ignored(region):
    made = region((0, 0, 50, 59), (0.1, 0.1))
    made[0x0018601C] = DataElement(0x0018601C, "LO", "inf")
    with pytest.warns(UserWarning, match="not inside the image"):
        assert calibrate(dataset(made), 100, 120).spacing_mm is None
