"""Clinical quantities follow their formulas, and what cannot be said is absent with a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pyraseg.pipeline.measurement.declared import Measure
from pyraseg.pipeline.measurement.frame import FRAME_MEASURES, measure_frame
from pyraseg.transforms.errors import ConfigError, GeometryError
from pyraseg.transforms.records import Code

NAMES = ["background", "kidney", "hydronephrosis"]
BUNDLE = Path(__file__).resolve().parents[3] / "bundles" / "us_hydronephrosis" / "configs" / "metadata.json"
DECLARED = json.loads(BUNDLE.read_text())["quantities"]
SPACING = (0.5, 0.4)
CALIBRATED = {entry["name"] for entry in DECLARED if FRAME_MEASURES[entry["measure"]].calibrated}


def kidney(*, fluid: bool = True, parenchyma: bool = True) -> np.ndarray:
    """A block of 40 x 60 pixels with 10 x 20 pixels of fluid in it."""
    labels = np.zeros((80, 100), np.uint8)
    if parenchyma:
        labels[20:60, 20:80] = 1
    if fluid:
        labels[30:40, 40:60] = 2
    return labels


def measured(labels, **options):
    options = {"label_names": NAMES, "declared": DECLARED, "spacing_mm": SPACING, **options}
    return {quantity.name: quantity for quantity in measure_frame(labels, **options)}


def test_ratios_and_areas_follow_their_formulas():
    fluid, parenchyma = 200, 2400 - 200
    values = {name: quantity.value for name, quantity in measured(kidney()).items()}
    assert values["hydronephrosis_index"] == pytest.approx(100 * parenchyma / 2400)
    assert values["harp"] == pytest.approx(fluid / parenchyma)
    assert values["phar"] == pytest.approx(parenchyma / fluid)
    assert values["fluid_fraction"] == pytest.approx(fluid / 2400)
    assert values["kidney_area"] == pytest.approx(parenchyma * 0.2)
    assert values["hydronephrosis_area"] == pytest.approx(fluid * 0.2)


def test_lengths_are_those_of_the_kidney_and_its_fluid():
    values = {name: quantity.value for name, quantity in measured(kidney()).items()}
    assert values["kidney_length"] == pytest.approx(math.hypot(20, 24), abs=0.5)
    assert values["fluid_inscribed_circle"] == pytest.approx(5, abs=0.5)
    assert values["parenchymal_thickness_minimum"] == pytest.approx(5)  # ten rows above the fluid
    assert values["parenchymal_thickness_median"] >= 5


def test_a_length_has_its_ends_in_the_frame():
    length = measured(kidney())["kidney_length"]
    ends = np.array(length.ends)
    assert math.dist(*ends * SPACING) == pytest.approx(length.value)
    np.testing.assert_allclose(np.sort(ends, axis=0), [[20, 20], [59, 79]], atol=0.5)
    assert measured(kidney())["kidney_area"].ends == ()


def test_a_second_component_does_not_lengthen_the_kidney():
    labels = kidney()
    labels[75:78, 95:98] = 1
    assert measured(labels)["kidney_length"] == measured(kidney())["kidney_length"]


def test_the_place_in_the_frame_and_a_channel_axis_change_nothing():
    moved = np.roll(kidney(), (-20, 20), (0, 1))  # to the top edge and the right one
    assert measured(moved) == measured(kidney())
    assert measured(kidney()[None]) == measured(kidney())


def test_without_calibration_ratios_stay_and_millimetres_are_absent():
    found = measured(kidney(), spacing_mm=None)
    absent = {name for name, quantity in found.items() if quantity.value is None}
    assert absent == CALIBRATED
    assert {found[name].reason for name in absent} == {"the image is not calibrated"}
    calibrated = measured(kidney())
    assert all(found[name].value == calibrated[name].value for name in set(found) - absent)


def test_a_segment_that_is_not_in_the_label_set_makes_its_quantities_absent_and_not_zero():
    labels = (kidney() == 2).astype(np.uint8)
    found = measured(labels, label_names=["background", "hydronephrosis"])
    present = {name for name, quantity in found.items() if quantity.value is not None}
    assert present == {"hydronephrosis_area", "fluid_inscribed_circle"}
    assert found["hydronephrosis_index"].reason == "the label set has no kidney"
    assert found["hydronephrosis_area"].value == pytest.approx(40)


def test_a_denominator_of_zero_is_absent_with_its_reason():
    dry, bare, empty = (measured(kidney(**parts)) for parts in ({"fluid": False}, {"parenchyma": False}, {}))
    assert (dry["phar"].value, dry["phar"].reason) == (None, "no fluid in the frame")
    assert (dry["hydronephrosis_index"].value, dry["harp"].value, dry["hydronephrosis_area"].value) == (
        100,
        0,
        0,
    )
    assert (bare["harp"].value, bare["harp"].reason) == (None, "no parenchyma in the frame")
    assert bare["hydronephrosis_index"].value == 0
    assert empty["harp"].value is not None


def test_no_value_is_ever_infinite_or_nan_and_absence_always_has_a_reason():
    frames = [kidney(fluid=f, parenchyma=p) for f in (True, False) for p in (True, False)]
    single = np.zeros((5, 5), np.uint8)
    single[0, 0] = 2
    for labels in [*frames, single, np.ones((4, 4), np.uint8)]:
        for spacing in (None, SPACING):
            for quantity in measured(labels, spacing_mm=spacing).values():
                assert (quantity.value is None) == bool(quantity.reason)
                assert quantity.value is None or math.isfinite(quantity.value)
                assert quantity.unit


def test_the_bundle_s_codes_come_with_the_quantities():
    found = measured(kidney())
    assert found["kidney_length"].code == Code("410668003", "SCT", "Length")
    assert found["hydronephrosis_index"].code.scheme == "99HYDRO"
    assert {quantity.unit for quantity in found.values()} == {"mm", "mm2", "%", "{ratio}"}


@pytest.mark.parametrize(
    "change",
    [
        {"measure": "volume"},
        {"segments": ["kidney"]},
        {"code": ["HI", "99HYDRO"]},
        {"colour": "red"},
        {"name": ""},
    ],
    ids=str,
)
def test_a_declaration_that_is_wrong_is_refused(change):
    entry = next(entry for entry in DECLARED if entry["name"] == "harp")
    with pytest.raises(ConfigError):
        measured(kidney(), declared=[{**entry, **change}])


def test_a_volume_is_refused():
    with pytest.raises(GeometryError):
        measured(np.zeros((4, 5, 6), np.uint8))


@pytest.mark.parametrize("side", [1e-320, 1e-7, 1e200, float("inf"), float("nan")])
def test_a_spacing_that_no_image_has_gives_a_reason_and_no_size(side):
    found = measured(kidney(), spacing_mm=(0.5, side))
    for name, quantity in found.items():
        if name in CALIBRATED:
            assert (quantity.value, quantity.ends) == (None, ())
            assert quantity.reason.startswith("no image has pixels of 0.5 x")
        else:
            assert quantity.value is not None


def test_a_value_that_is_no_finite_number_becomes_a_reason(monkeypatch):
    for value in (float("nan"), float("inf"), (float("nan"), ((0.0, 0.0), (1.0, 1.0)))):
        monkeypatch.setitem(FRAME_MEASURES, "area", Measure(lambda of, v=value: v, "mm2", ("segment",)))
        area = measured(kidney(), declared=[{"name": "a", "measure": "area", "segments": ["kidney"]}])["a"]
        assert (area.value, area.reason, area.ends) == (None, "its value is no finite number", ())
