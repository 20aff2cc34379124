"""Reports say what was measured, on which region of which frame, and that they are no diagnosis."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace

import highdicom
import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.uid import UID, UltrasoundImageStorage

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.dicom.seg import KINDS, write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.records import Code
from tests.pipeline.writers.dicom_cases import (
    HEADER,
    QUANTITIES,
    SEGMENTS,
    predict,
    probabilities,
    write_source,
)
from tests.pipeline.writers.dicom_checkers import accepts, errors, needs

RULE = "largest fluid area after a median over 3 frames"


@pytest.fixture
def single(tmp_path):
    return predict(write_source(tmp_path / "single.dcm"))


@pytest.fixture
def cine(tmp_path):
    return predict(write_source(tmp_path / "cine.dcm", frames=5), key_frame=3, key_frame_rule=RULE)


@pytest.fixture(params=["single", "cine"])
def prediction(request):
    return request.getfixturevalue(request.param)


def write(prediction, folder, kind="binary"):
    return write_sr(folder / "sr.dcm", prediction, seg=write_seg(folder / "seg.dcm", prediction, kind=kind))


def content(written):
    """The report as highdicom understands it."""
    return highdicom.sr.srread(written.path).content


def items(dataset):
    """All content items below one, by depth."""
    for item in dataset.get("ContentSequence", ()):
        if "ConceptNameCodeSequence" in item:
            yield item
        yield from items(item)


def groups(written):
    """Those of segments; outlines are in others."""
    found = content(written).get_planar_roi_measurement_groups()
    return [group for group in found if group.referenced_segmentation_frame is not None]


def texts(written):
    """The comments."""
    root = dcmread(written.path).ContentSequence
    return [item.TextValue for item in root if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"]


def only(written, keep):
    """The prediction's labels cut to one class."""
    return replace(written, labels=np.where(written.labels == keep, keep, 0).astype(np.uint8))


def test_each_segment_in_the_frame_has_a_group_with_its_own_quantities(tmp_path, prediction):
    found = {group.tracking_identifier: group for group in groups(write(prediction, tmp_path))}
    assert list(found) == ["kidney", "fluid"]
    for segment, area in zip(SEGMENTS[1:], (1234.57, 56.25), strict=True):
        group = found[segment.name]
        assert group.finding_type.value == segment.type.value
        assert group.finding_category.value == segment.category.value
        (measurement,) = group.get_measurements()
        assert (measurement.name.value, measurement.name.scheme_designator) == ("42798000", "SCT")
        assert float(measurement.value) == area
        assert (measurement.unit.value, measurement.unit.scheme_designator) == ("mm2", "UCUM")


def test_quantities_of_several_segments_have_a_group_of_their_own_at_the_organ(tmp_path, prediction):
    (group,) = content(write(prediction, tmp_path)).get_image_measurement_groups()
    assert group.tracking_identifier == "kidney and fluid"
    assert [site.value.meaning for site in group.finding_sites] == ["Kidney"]
    found = {item.name.meaning: (float(item.value), item.unit.value) for item in group.get_measurements()}
    assert found == {"Hydronephrosis index": (95.0, "%"), "thickness without a code": (0.333333, "mm")}


def test_a_quantity_without_a_code_has_a_private_one_and_the_scheme_is_named(tmp_path, single):
    dataset = dcmread(write(single, tmp_path).path)
    assert [item.CodingSchemeDesignator for item in dataset.CodingSchemeIdentificationSequence] == ["99HYDRO"]
    standard = replace(single, quantities=QUANTITIES[:2])
    assert "CodingSchemeIdentificationSequence" not in dcmread(write(standard, tmp_path).path)
    other = replace(QUANTITIES[0], code=Code("X", "99LUNG", "Something"))
    schemes = dcmread(
        write(replace(single, quantities=(other,)), tmp_path).path
    ).CodingSchemeIdentificationSequence
    assert [item.CodingSchemeDesignator for item in schemes] == ["99LUNG"]


def test_an_interval_is_the_measurement_s_uncertainty_in_its_unit(tmp_path, single):
    area = replace(QUANTITIES[0], value=20.0, interval=(15.0, 26.0))
    dataset = dcmread(write(replace(single, quantities=(area,)), tmp_path).path)
    found = {
        item.ConceptNameCodeSequence[0].CodeMeaning[0]: item.MeasuredValueSequence[0]
        for item in items(dataset)
        if "uncertainty" in item.ConceptNameCodeSequence[0].CodeMeaning
    }
    assert {sign: float(value.NumericValue) for sign, value in found.items()} == {"+": 6.0, "-": 5.0}
    units = {value.MeasurementUnitsCodeSequence[0].CodeValue for value in found.values()}
    assert units == {QUANTITIES[0].unit}


def test_an_absent_quantity_is_absent(tmp_path, single):
    dataset = dcmread(write(single, tmp_path).path)
    names = {element.value for element in dataset.iterall() if element.keyword == "CodeMeaning"}
    assert "Hydronephrosis index" in names
    assert "absent" not in names


def test_a_segment_that_is_not_in_the_frame_has_no_group_and_is_named(tmp_path, single):
    written = write(only(single, 1), tmp_path)
    assert [group.tracking_identifier for group in groups(written)] == ["kidney"]
    assert "Not found in this frame: fluid." in texts(written)
    assert not [text for text in texts(write(single, tmp_path)) if "Not found" in text]


def test_a_frame_in_which_nothing_is_found_has_a_report_that_says_so(tmp_path, prediction):
    empty = replace(prediction, labels=np.zeros_like(prediction.labels), quantities=())
    written = write(empty, tmp_path)
    assert groups(written) == []
    (group,) = content(written).get_image_measurement_groups()
    assert group.get_measurements() == []
    assert "Not found in this frame: kidney, fluid." in texts(written)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_refer_to_the_frame_of_their_segment_by_frame_alone(tmp_path, cine, kind):
    cine = replace(cine, probabilities=probabilities(cine))
    seg = write_seg(tmp_path / "seg.dcm", cine, kind=kind)
    dataset = dcmread(seg.path)
    planes = dataset.pixel_array
    for segment, group in zip((1, 2), groups(write_sr(tmp_path / "sr.dcm", cine, seg=seg)), strict=True):
        items = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group[0].ContentSequence}
        frame, source = (
            items[name].ReferencedSOPSequence[0]
            for name in ("Referenced Segmentation Frame", "Source Image for Segmentation")
        )
        assert frame.ReferencedSOPInstanceUID == dataset.SOPInstanceUID
        assert frame.ReferencedSOPClassUID == dataset.SOPClassUID
        assert "ReferencedSegmentNumber" not in frame
        assert source.ReferencedSOPInstanceUID == HEADER["SOPInstanceUID"]
        assert source.ReferencedFrameNumber == 4
        shown = planes[frame.ReferencedFrameNumber - 1]
        if kind != "fractional":
            np.testing.assert_array_equal(
                shown == (segment if kind == "labelmap" else 1), cine.labels[3] == segment
            )


def test_frames_of_a_class_without_frames_are_not_numbered(tmp_path, single):
    claimed = predict(
        write_source(tmp_path / "b.dcm", frames=3, SOPClassUID=UltrasoundImageStorage), key_frame=2
    )
    for prediction in (single, claimed):
        written = write(prediction, tmp_path)
        for item in dcmread(written.path).iterall():
            if item.keyword == "ReferencedSOPSequence":
                (reference,) = item.value
                source = reference.ReferencedSOPInstanceUID == prediction.source.sop_instance_uid
                assert not (source and "ReferencedFrameNumber" in reference)


def test_a_cine_is_reported_by_its_key_frame_and_the_rule_is_named(tmp_path, cine):
    assert f"Measured on frame 4 of 5, chosen by this rule: {RULE}." in texts(write(cine, tmp_path))
    bare = replace(cine, key_frame_rule="")
    assert "Measured on frame 4 of 5." in texts(write(bare, tmp_path))


def test_a_single_frame_names_no_frame(tmp_path, single):
    assert not [text for text in texts(write(single, tmp_path)) if "frame 1" in text]


def test_it_says_in_three_places_that_it_is_no_diagnosis(tmp_path, prediction):
    written = write(prediction, tmp_path)
    dataset = dcmread(written.path)
    assert texts(written)[0].startswith("Not for diagnosis")
    assert "not for diagnosis" in dataset.SeriesDescription
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_an_uncalibrated_image_is_said_to_be_so(tmp_path, single):
    uncalibrated = replace(single, spacing_mm=None, quantities=QUANTITIES[2:3])
    assert [text for text in texts(write(uncalibrated, tmp_path)) if "not calibrated" in text]
    assert not [text for text in texts(write(single, tmp_path)) if "not calibrated" in text]


def test_regions_are_tracked_by_the_uids_of_the_segmentation(tmp_path, prediction):
    seg = write_seg(tmp_path / "seg.dcm", prediction)
    found = groups(write_sr(tmp_path / "sr.dcm", prediction, seg=seg))
    segments = dcmread(seg.path).SegmentSequence
    assert [group.tracking_uid for group in found] == [item.TrackingUID for item in segments]


def test_without_a_segmentation_the_groups_are_on_the_source(tmp_path, cine):
    written = write_sr(tmp_path / "sr.dcm", cine, seg=None)
    assert groups(written) == []
    found = content(written).get_image_measurement_groups()
    assert [group.tracking_identifier for group in found] == ["kidney", "fluid", "kidney and fluid"]
    assert all(group.source_images[0].referenced_frame_numbers == [4] for group in found)


def test_the_evidence_names_source_and_segmentation_in_the_sources_study(tmp_path, prediction):
    seg = write_seg(tmp_path / "seg.dcm", prediction)
    dataset = dcmread(write_sr(tmp_path / "sr.dcm", prediction, seg=seg).path)
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == dataset.StudyInstanceUID == HEADER["StudyInstanceUID"]
    found = {
        (series.SeriesInstanceUID, series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
    }
    assert found == {
        (HEADER["SeriesInstanceUID"], HEADER["SOPInstanceUID"]),
        (seg.series_instance_uid, seg.sop_instance_uid),
    }
    assert str(dataset.PatientName) == "Sentinel^Änne"
    assert dataset.PatientID == HEADER["PatientID"]


def test_repeated_it_has_the_same_uids_and_another_salt_gives_others(tmp_path, single):
    first, second, other = (write(each, tmp_path) for each in (single, single, replace(single, salt="other")))
    assert first.sop_instance_uid == second.sop_instance_uid != other.sop_instance_uid
    assert first.series_instance_uid == second.series_instance_uid != other.series_instance_uid
    seg = write_seg(tmp_path / "seg.dcm", single)
    assert seg.sop_instance_uid != first.sop_instance_uid
    assert seg.series_instance_uid != first.series_instance_uid


def test_a_class_without_codes_is_reported_as_tissue(tmp_path, single):
    written = write(replace(single, segments=resolve_segments(("background", "kidney", "fluid"))), tmp_path)
    assert {group.finding_type.meaning for group in groups(written)} == {"Tissue"}
    assert "metadata.json" in written.notes[-1]


def test_no_warning_and_no_log_quotes_the_header(tmp_path, caplog):
    path = write_source(
        tmp_path / "a.dcm", PatientName="Sentinel"
    )  # a form that libraries find worth a warning
    dataset = dcmread(path)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        uid = UID(f"{dataset[keyword].value}.007", config.IGNORE)
        dataset[keyword] = DataElement(keyword, "UI", uid, validation_mode=config.IGNORE)
    dataset.save_as(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prediction = predict(path)
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        written = write(prediction, tmp_path)
    quoted = [str(warning.message) for warning in caught] + caplog.messages
    assert not [text for text in quoted if "Sentinel" in text or ".007" in text]
    assert b".007" in written.path.read_bytes()


def test_a_key_frame_that_is_not_there_is_refused(tmp_path, cine):
    with pytest.raises(GeometryError):
        write_sr(tmp_path / "sr.dcm", replace(cine, key_frame=5), seg=None)
    assert not (tmp_path / "sr.dcm").exists()


@needs("dciodvfy")
@pytest.mark.parametrize("filled", [True, False])
def test_the_validator_finds_no_error(tmp_path, prediction, filled):
    if not filled:
        prediction = replace(prediction, labels=np.zeros_like(prediction.labels), quantities=())
    assert errors(write(prediction, tmp_path).path) == []
    assert errors(write_sr(tmp_path / "alone.dcm", prediction, seg=None).path) == []


@needs("dsrdump")
def test_dcmtk_reads_it(tmp_path, prediction):
    assert accepts("dsrdump", write(prediction, tmp_path).path)
    assert accepts("dcmdump", write(prediction, tmp_path).path)


def test_quantities_in_a_frame_have_coordinates_in_it_and_the_images_are_listed(tmp_path, cine):
    line = replace(QUANTITIES[3], ends=((2.0, 3.5), (10.5, 14.0)))
    labels = np.zeros_like(cine.labels)
    labels[3, 4:9, 5:12] = 1
    cine = replace(cine, labels=labels, quantities=(*QUANTITIES[:3], line))
    written = write(cine, tmp_path)
    found = content(written).get_planar_roi_measurement_groups()
    (region,) = [group.roi for group in found if group.roi is not None]
    outline = np.array(region.value)
    np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], [[5, 4], [12, 9]], atol=0.03)
    (group,) = content(written).get_image_measurement_groups()
    ends, inferred = [item.referenced_coordinates for item in reversed(group.get_measurements())]
    np.testing.assert_allclose(ends[0].value, [[4, 2.5], [14.5, 11]])  # column first, from a pixel's edge
    np.testing.assert_allclose(inferred[0].value, outline)
    image = ends[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert (image.ReferencedSOPInstanceUID, image.ReferencedFrameNumber) == (HEADER["SOPInstanceUID"], 4)
    root = dcmread(written.path).ContentSequence
    (library,) = [item for item in root if item.ConceptNameCodeSequence[0].CodeMeaning == "Image Library"]
    (listed,) = library.ContentSequence[0].ContentSequence
    assert listed.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == HEADER["SOPInstanceUID"]
