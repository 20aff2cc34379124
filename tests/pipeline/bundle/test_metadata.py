"""What metadata.json declares is read as typed records, and refused with the key's path where it is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pyraseg.pipeline.bundle.metadata import BundleMetadata, Review
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.records import Code

BUNDLES = Path(__file__).parents[3] / "bundles"
NAMES = sorted(path.name for path in BUNDLES.iterdir() if (path / "configs").is_dir())
FRAMES = json.loads((BUNDLES / "us_hydronephrosis/configs/metadata.json").read_text(encoding="utf-8"))
VOLUMES = json.loads((BUNDLES / "ct_sarcoma/configs/metadata.json").read_text(encoding="utf-8"))


def changed(declared: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at ``a.b.0.c``; None takes the key out."""
    declared = copy.deepcopy(declared)
    *parents, last = path.split(".")
    entry: Any = declared
    for key in parents:
        entry = entry[int(key) if isinstance(entry, list) else key]
    if value is None:
        del entry[last]
    else:
        entry[last] = value
    return declared


@pytest.mark.parametrize("name", NAMES)
def test_every_bundle_is_valid(name):
    declared = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
    metadata = BundleMetadata.from_mapping(declared)
    assert metadata.segments
    assert metadata.quantities
    assert metadata.prediction


def test_values_are_those_of_the_file():
    metadata = BundleMetadata.from_mapping(FRAMES)
    assert metadata.segments[1].colour == (255, 0, 0)
    assert metadata.segments[1].type == Code("64033007", "SCT", "Kidney")
    assert metadata.quantities[2].segments == ("kidney", "hydronephrosis")
    assert metadata.prediction.modalities == ("US",)
    assert metadata.prediction.review.area_mm2["kidney"] == (300.0, 15000.0)
    assert metadata.evaluation.surface_tolerance.mm == 2.0


def test_what_is_not_declared_is_empty_and_the_keys_of_the_zoo_pass():
    metadata = BundleMetadata.from_mapping({"name": "x", "version": 1, "network_data_format": {}})
    assert (metadata.segments, metadata.prediction) == ((), None)
    assert Review().expected == ()


def test_records_do_not_change():
    metadata = BundleMetadata.from_mapping(FRAMES)
    with pytest.raises(ValidationError):
        metadata.prediction.unit = "series"


WRONG = [
    # of the mapping, the key's path, its value, what the message says
    (FRAMES, "quantites", [], '"quantites"'),
    (FRAMES, "segments.1.color", [255, 0, 0], r'segments.1: .*"color". Did you mean "colour"'),
    (FRAMES, "segments.1.colour", [256, 0, 0], "segments.1.colour: a colour of three"),
    (FRAMES, "segments.1.type", ["64033007", "SCT"], "segments.1.type: a code"),
    (FRAMES, "segments.1.name", None, "segments.1.name: a value, found none"),
    (FRAMES, "segments.1.name", "hydronephrosis", 'segments: .*"hydronephrosis" twice'),
    (FRAMES, "segments", {"kidney": 1}, "segments: a valid list"),
    (FRAMES, "quantities.0.segments", ["kidny"], r'quantities.0.segments: .*"kidny". Did you mean "kidney"'),
    (FRAMES, "quantities.0.segments", [], "quantities.0.segments: "),
    (FRAMES, "quantities.1.name", "kidney_area", 'quantities: .*"kidney_area" twice'),
    (FRAMES, "quantities.0.unit", "mm2", 'quantities.0: .*"unit"'),
    (FRAMES, "prediction", [], "prediction: a mapping with the keys unit"),
    (FRAMES, "prediction.unit", "study", "prediction.unit: one of 'file' or 'series'"),
    (FRAMES, "prediction.modalities", "US", "prediction.modalities: a list"),
    (FRAMES, "prediction.sop_classes", {"ultrasound": "x"}, "prediction.sop_classes: a mapping of UIDs"),
    (FRAMES, "prediction.leave_out", ["color_doppler"], 'leave_out.0: .*Did you mean "colour_doppler"'),
    (FRAMES, "prediction.key_frame", "kidny", 'prediction.key_frame: .*Did you mean "kidney"'),
    (FRAMES, "prediction.review.low_confidence", True, "review.low_confidence: a number from 0 to 1"),
    (FRAMES, "prediction.review.expected", ["kidnee"], 'prediction.review.expected: .*"kidnee"'),
    (FRAMES, "prediction.review.area_mm2.kidney", [5000, 100], "prediction.review.area_mm2.kidney: .*asc"),
    (FRAMES, "prediction.review.area_mm2.liver", [1, 2], 'prediction.review.area_mm2: .*"liver"'),
    (FRAMES, "evaluation.surface_tolerance.cm", 1, 'evaluation.surface_tolerance: .*"cm"'),
    (FRAMES, "evaluation.surface_tolerance.mm", -1, "evaluation.surface_tolerance.mm: a number of 0 or more"),
    (FRAMES, "operating_point", {"kidny": {"missed": 1}}, 'operating_point: .*Did you mean "kidney"'),
    (FRAMES, "operating_point", {"kidney": {"mised": 0.1}}, "operating_point.kidney.mised"),
    (FRAMES, "reading", {"stack": 1}, "reading: options for single files, .* found stack"),
    (VOLUMES, "reading", {"value_range": [0, 1]}, "reading: options for series, which this bundle takes"),
    (VOLUMES, "reading", {"repair": ["all"]}, "reading: a list of repairs.*found 'all'. Correct it"),
    (VOLUMES, "reading", {"stak": 1}, "reading: reading options among .*found 'stak'"),
    (VOLUMES, "reading", {"series": 1}, "reading: .*found series, which depends on the folder"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "path", "value", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_refused_with_the_key_s_path(declared, path, value, message):
    with pytest.raises(ConfigError, match=message):
        BundleMetadata.from_mapping(changed(declared, path, value))


@pytest.mark.parametrize("section", ["network", "preprocessing", "postprocessing"])
def test_what_the_configs_say_is_not_said_again(section):
    with pytest.raises(ConfigError, match="stand in the bundle's configs"):
        BundleMetadata.from_mapping({section: {}})
