"""The bundle's rules take B-mode ultrasound, leave the rest out with a reason, and are refused where
misspelt."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from pyraseg.pipeline.bundle.metadata import Review
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.items.quality import item_flags, review_flags
from pyraseg.pipeline.writers.tables.item_records import FrameRecord
from pyraseg.transforms.dicom.files.objects import ObjectHeader, UltrasoundRegion, read_object
from pyraseg.transforms.errors import ConfigError

METADATA = json.loads(
    (Path(__file__).parents[4] / "bundles/us_hydronephrosis/configs/metadata.json").read_text(
        encoding="utf-8"
    )
)
RULES = read_rules(METADATA)
US, US_MULTI = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
TISSUE, FLOW, M_MODE, SPECTRUM, ECG = (
    UltrasoundRegion(*kind) for kind in ((1, 1), (1, 2), (2, 1), (3, 3), (4, 10))
)


def header(
    sop_class: str = US,
    modality: str = "US",
    mode: str = "",
    regions: tuple[UltrasoundRegion, ...] = (),
    kind: str = "ABDOMINAL",
) -> ObjectHeader:
    return ObjectHeader(
        path="a.dcm",
        sop_instance_uid="1.2.3",
        sop_class_uid=sop_class,
        study_instance_uid="1.2",
        modality=modality,
        image_type=("ORIGINAL", "PRIMARY", kind, *([mode] if mode else [])),
        regions=regions,
        own_instance_uid=True,
        size=1,
        modified_ns=1,
    )


@pytest.mark.parametrize("uid", [US, US_MULTI, "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"])
def test_ultrasound_of_all_classes_is_taken_the_retired_ones_too(uid):
    assert RULES.reason(header(uid)) is None
    assert RULES.reason(header(uid, modality="")) is None


@pytest.mark.parametrize(
    ("uid", "modality", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "modality CT"),
        (US, "CT", "modality CT"),
        ("1.2.840.10008.5.1.4.1.1.7", "US", "a secondary capture"),
        ("1.2.840.10008.5.1.4.1.1.7.4", "OT", "a secondary capture"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "SEG", "another kind of object: Segmentation Storage"),
        ("1.2.840.10008.5.1.4.1.1.88.34", "SR", "another kind of object: Comprehensive 3D SR Storage"),
        (
            "1.2.840.10008.5.1.4.1.1.88.59",
            "KO",
            "another kind of object: Key Object Selection Document Storage",
        ),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", "another kind of object: RT Structure Set Storage"),
        ("1.2.840.10008.5.1.4.1.1.6.2", "US", "another kind of object: Enhanced US Volume Storage"),
        ("1.2.840.10008.1.3.10", "", "a DICOMDIR, which is an index"),
        ("1.3.6.1.4.1.99", "US", "a private or unknown SOP class"),
    ],
)
def test_other_objects_are_left_out_with_a_reason(uid, modality, reason):
    assert RULES.reason(header(uid, modality)) == reason


def test_a_reason_shows_no_text_that_is_no_code():
    assert "Doe" not in str(RULES.reason(header("1.2.840.10008.5.1.4.1.1.2", "Doe^Jane")))


@pytest.mark.parametrize("found", [{"mode": "0011"}, {"mode": "0100"}, {"regions": (TISSUE, FLOW)}])
def test_colour_doppler_is_known_by_its_image_type_or_a_region_of_flow(found):
    assert RULES.reason(header(**found)) == "colour Doppler"


@pytest.mark.parametrize(
    "found", [{"mode": "0002"}, {"mode": "0008"}, {"regions": (M_MODE,)}, {"regions": (SPECTRUM, ECG)}]
)
def test_traces_without_a_2d_image_are_left_out(found):
    assert RULES.reason(header(**found)) == "M-mode or a Doppler spectrum, no 2D image"


@pytest.mark.parametrize(
    "found",
    [
        {"mode": "0001"},
        {"mode": "0009"},  # 2D beside a spectrum
        {"mode": "0008", "regions": (TISSUE, SPECTRUM)},
        {"regions": (TISSUE, ECG)},
        {"regions": (ECG,)},
        {"mode": "nine"},
        {"mode": "11"},
    ],
)
def test_what_has_or_may_have_a_2d_image_is_taken(found):
    assert RULES.reason(header(**found)) is None


def test_a_3d_rendering_is_left_out():
    assert RULES.reason(header(mode="0040")) == "a 3D rendering"


def test_localizers_are_left_out_where_the_bundle_says_so():
    changed = copy.deepcopy(METADATA)
    changed["prediction"]["leave_out"].append("localizer")
    assert read_rules(changed).reason(header(kind="LOCALIZER")) == "a localizer"
    assert RULES.reason(header(kind="LOCALIZER")) is None


# Looked at: the first four show colour Doppler. US1_* do as well, but their headers do not say so; their
# pixels raise a flag. OBXXXX1A* and no-pixel-spacing are B-mode with a coloured ECG, and state Ultrasound
# Color Data Present = 1.
COLOUR = (
    "IM00001.fragmented_no_bot_jpeg_baseline.50",
    "IM00001.implicit_little_endian",
    "color-pl",
    "color-px",
)


def test_of_the_real_files_those_whose_headers_say_colour_are_left_out_and_the_b_mode_is_taken(shared_data):
    files = sorted((shared_data / "dicom" / "us").glob("*.dcm"))
    reasons = {path.stem: RULES.reason(read_object(path)) for path in files}
    assert len(reasons) == 14
    assert {name for name, reason in reasons.items() if reason} == set(COLOUR)
    assert {reasons[name] for name in COLOUR} == {"colour Doppler"}


@pytest.mark.parametrize(
    ("keys", "value", "match"),
    [
        (("colour",), True, "colour"),
        (("unit",), "study", "unit"),
        (("modalities",), [], "modalities"),
        (("modalities",), "US", "modalities"),
        (("sop_classes",), {"ultrasound": "x"}, "UIDs"),
        (("leave_out",), ["color_doppler"], "color_doppler"),
        (("key_frame",), "renal pelvis", "renal pelvis"),
        (("review", "confidence"), 0.5, "confidence"),
        (("review", "low_confidence"), 75, "0 to 1"),
        (("review", "low_confidence"), True, "0 to 1"),
        (("review", "expected"), ["kidnee"], "kidnee"),
        (("review", "area_mm2", "kidney"), [5000, 100], "smallest, largest"),
        (("review",), [], "mapping"),
    ],
)
def test_unknown_keys_and_values_are_refused(keys, value, match):
    changed = copy.deepcopy(METADATA)
    place = changed["prediction"]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(ConfigError, match=match):
        read_rules(changed)


def test_a_bundle_that_declares_nothing_is_refused():
    with pytest.raises(ConfigError, match="prediction"):
        read_rules({"name": "x"})


NAMES = ("background", "kidney", "hydronephrosis")


def flags(areas, *, names=NAMES, spacing=(1.0, 1.0), confidence=0.9, colour=0.0, review=RULES.review):
    return review_flags(
        review,
        label_names=names,
        areas=np.array(areas),
        spacing_mm=spacing,
        confidence=confidence,
        colour=colour,
    )


def test_a_plausible_frame_has_no_flags():
    assert flags([50000, 4000, 800]) == ()


def test_each_threshold_raises_its_flag():
    assert flags([50000, 4000, 800], confidence=0.5) == ("low confidence",)
    assert flags([50000, 0, 800]) == ("no kidney found",)
    assert flags([50000, 20, 0]) == ("implausible kidney area",)
    assert flags([50000, 4000, 90000]) == ("implausible hydronephrosis area",)
    assert flags([50000, 4000, 0], colour=0.3) == ("colour",)
    assert flags([50000, 0, 0], confidence=None) == ("no kidney found",)


def test_areas_are_judged_in_mm2_and_not_without_calibration():
    assert flags([50000, 4000, 0], spacing=(0.1, 0.1)) == ("implausible kidney area",)
    assert flags([50000, 20, 0], spacing=None) == ()


def test_label_sets_without_a_kidney_have_no_flag_of_it():
    assert flags([50000, 4000], names=("background", "liver")) == ()


def test_without_thresholds_nothing_is_flagged():
    assert flags([50000, 0, 0], confidence=0.0, colour=1.0, review=Review()) == ()


def test_a_cine_has_the_flags_of_its_key_frame_and_those_that_many_frames_have():
    frames = [FrameRecord(n, {}, flags=("colour",) if n < 2 else ()) for n in range(20)]
    frames[7] = FrameRecord(7, {}, flags=("low confidence",))
    assert item_flags(frames, 19) == ("colour",)
    assert item_flags(frames, 7) == ("low confidence", "colour")
    assert item_flags(frames[1:], 19 - 1) == ()
