"""Laws of the label set's segments."""

from __future__ import annotations

import pytest

from pyraseg.pipeline.bundle.segments import NEAR, resolve_segments
from pyraseg.transforms.errors import ConfigError, LabelError
from pyraseg.transforms.records import Code

DECLARED = [
    {
        "value": 1,
        "name": "kidney",
        "colour": [255, 0, 0],
        "category": ["91723000", "SCT", "Anatomical Structure"],
        "type": ["64033007", "SCT", "Kidney"],
    },
    {
        "value": 2,
        "name": "hydronephrosis",
        "colour": [0, 255, 0],
        "category": ["49755003", "SCT", "Morphologically Abnormal Structure"],
        "type": ["43064006", "SCT", "Hydronephrosis"],
    },
]


def test_a_declared_segment_has_its_colour_and_codes():
    background, kidney, fluid = resolve_segments(("background", "kidney", "hydronephrosis"), DECLARED)
    assert (background.value, background.colour, background.type) == (0, (0, 0, 0), None)
    assert (kidney.value, kidney.colour) == (1, (255, 0, 0))
    assert kidney.type == Code("64033007", "SCT", "Kidney")
    assert fluid.category == Code("49755003", "SCT", "Morphologically Abnormal Structure")


def test_the_value_is_the_index_whatever_the_declaration_counts():
    _, fluid = resolve_segments(("background", "hydronephrosis"), DECLARED)
    assert (fluid.value, fluid.colour, fluid.type.value) == (1, (0, 255, 0), "43064006")


@pytest.mark.parametrize("extra", [1, 3, 9, 40])
def test_every_segment_has_a_colour_of_its_own(extra):
    names = ("background", "kidney", "hydronephrosis", *(f"other {index}" for index in range(extra)))
    segments = resolve_segments(names, DECLARED)
    assert len({segment.colour for segment in segments}) == len(names)
    assert all(segment.type is None for segment in segments[3:])


def test_a_palette_colour_near_a_declared_one_is_passed_over():
    declared = [{"name": "kidney", "colour": [230, 160, 5]}]
    _, kidney, cyst = resolve_segments(("background", "kidney", "cyst"), declared)
    assert sum((a - b) ** 2 for a, b in zip(kidney.colour, cyst.colour, strict=True)) ** 0.5 >= NEAR


def test_the_same_label_set_has_the_same_segments():
    names = ("background", *map(str, range(20)))
    assert resolve_segments(names) == resolve_segments(names)


@pytest.mark.parametrize("names", [(), ("kidney", "background"), ("background", "kidney", "kidney")])
def test_a_contradictory_label_set_is_refused(names):
    with pytest.raises(LabelError):
        resolve_segments(names)


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "kidney", "color": [255, 0, 0]},
        {"name": "kidney", "colour": [256, 0, 0]},
        {"name": "kidney", "colour": [255, 0]},
        {"name": "kidney", "colour": "red"},
        {"name": "kidney", "type": ["64033007", "SCT"]},
        {"name": "kidney", "category": "SCT"},
        {"colour": [255, 0, 0]},
    ],
)
def test_a_malformed_declaration_is_refused(entry):
    with pytest.raises(ConfigError):
        resolve_segments(("background", "kidney"), [entry])


def test_a_name_declared_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        resolve_segments(("background", "kidney"), [DECLARED[0], DECLARED[0]])
