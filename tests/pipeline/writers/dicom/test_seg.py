"""Segmentations hold the mask to the bit, sit in their source's study and say where every frame is from."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import highdicom
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.uid import SegmentationStorage, UltrasoundImageStorage

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.dicom.seg import KINDS, write_seg
from pyraseg.transforms.dicom.labels.seg import read_segmentation
from pyraseg.transforms.errors import ConfigError, GeometryError, InputError, LabelError, OutputError
from tests.pipeline.writers.dicom_cases import (
    ALGORITHM,
    HEADER,
    SEGMENTS,
    predict,
    probabilities,
    write_source,
)
from tests.pipeline.writers.dicom_checkers import accepts, errors, needs

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
FRAMES = {"single": 1, "cine": 5}  # of 13 x 17 pixels: no frame but the first starts on a byte of its own


@pytest.fixture(params=FRAMES)
def prediction(request, tmp_path):
    return predict(write_source(tmp_path / "source.dcm", frames=FRAMES[request.param]))


@pytest.fixture
def cine(tmp_path):
    return predict(write_source(tmp_path / "cine.dcm", frames=5))


@pytest.fixture
def single(tmp_path):
    return predict(write_source(tmp_path / "single.dcm"))


def masks(prediction):
    """(2 F, H, W): all frames of the first segment, then all of the second."""
    return np.concatenate([prediction.labels == value for value in (1, 2)])


def read(prediction, folder, kind="binary"):
    return dcmread(write_seg(folder / f"{kind}.dcm", prediction, kind=kind).path)


def frames_of(dataset):
    """pydicom drops the axis of a single frame."""
    return dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)


def stored(prediction, kind):
    """The frames that the file should hold, (N, H, W) uint8."""
    if kind == "binary":
        return masks(prediction).astype(np.uint8)
    if kind == "labelmap":
        return prediction.labels
    return np.rint(np.concatenate([prediction.probabilities[:, value] for value in (1, 2)]) * 255).astype(
        np.uint8
    )


@pytest.mark.parametrize("kind", KINDS)
def test_pydicom_and_highdicom_read_the_mask_bit_for_bit(tmp_path, prediction, kind):
    prediction = replace(prediction, probabilities=probabilities(prediction))
    written, wanted = write_seg(tmp_path / "seg.dcm", prediction, kind=kind), stored(prediction, kind)
    np.testing.assert_array_equal(frames_of(dcmread(written.path)), wanted)
    np.testing.assert_array_equal(
        highdicom.seg.segread(written.path).pixel_array.reshape(wanted.shape), wanted
    )


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_simpleitk_reads_the_mask_bit_for_bit(tmp_path, frames, kind):
    # Of an odd size in a cine, so that frames start within a byte; together whole bytes, for ITK 5.4 reads no
    # others. It
    # takes a step of 0 mm between two segments of one image amiss, where pixels have a spacing.
    source = write_source(tmp_path / "a.dcm", frames=frames, shape=(13, 17) if frames > 1 else (9, 20))
    prediction = predict(source, spacing_mm=(0.2, 0.3) if frames > 1 or kind == "labelmap" else None)
    prediction = replace(prediction, probabilities=probabilities(prediction))
    dataset = read(prediction, tmp_path, kind)
    # ITK 5.4 does not know the class of label maps, by whomever they are written; under the elder class it
    # reads them.
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    dataset.save_as(tmp_path / "known.dcm")
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "known.dcm")))
    np.testing.assert_array_equal(seen > 0 if kind == "binary" else seen, stored(prediction, kind))


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_highdicom_finds_the_segments_by_their_source_frames(tmp_path, cine, kind):
    written = write_seg(tmp_path / "seg.dcm", cine, kind=kind)
    found = highdicom.seg.segread(written.path).get_pixels_by_source_frame(
        cine.source.sop_instance_uid, [1, 3, 5], combine_segments=True
    )
    np.testing.assert_array_equal(found, cine.labels[[0, 2, 4]])


def test_highdicom_finds_the_segments_by_their_source_instance(tmp_path, single):
    written = write_seg(tmp_path / "seg.dcm", single)
    found = highdicom.seg.segread(written.path).get_pixels_by_source_instance(
        [single.source.sop_instance_uid], combine_segments=True
    )
    np.testing.assert_array_equal(found, single.labels)


def test_highdicom_finds_the_probabilities_within_half_a_step(tmp_path, cine):
    cine = replace(cine, probabilities=probabilities(cine))
    seg = highdicom.seg.segread(write_seg(tmp_path / "seg.dcm", cine, kind="fractional").path)
    found = seg.get_pixels_by_source_frame(cine.source.sop_instance_uid, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(found, np.moveaxis(cine.probabilities[:, 1:], 1, -1), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_mask_is_a_whole_object(tmp_path, frames, kind):
    source = predict(write_source(tmp_path / "a.dcm", frames=frames))
    empty = replace(source, labels=np.zeros_like(source.labels), probabilities=0 * probabilities(source))
    dataset = read(empty, tmp_path, kind)
    assert not dataset.pixel_array.any()
    assert dataset.NumberOfFrames == frames * (1 if kind == "labelmap" else 2)
    assert [item.SegmentLabel for item in dataset.SegmentSequence if item.SegmentNumber] == [
        "kidney",
        "fluid",
    ]


def test_labels_on_disk_and_other_integers_give_the_same_file(tmp_path, cine):
    mapped = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=cine.labels.shape)
    mapped[:] = cine.labels
    reference = read(cine, tmp_path).PixelData
    assert read(replace(cine, labels=mapped), tmp_path).PixelData == reference
    assert read(replace(cine, labels=cine.labels.astype(np.int64)), tmp_path).PixelData == reference
    whole = read(cine, tmp_path, "labelmap").PixelData
    assert read(replace(cine, labels=cine.labels.astype(np.int64)), tmp_path, "labelmap").PixelData == whole
    assert read(replace(cine, labels=np.asfortranarray(cine.labels)), tmp_path, "labelmap").PixelData == whole


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_names_its_source_frame_and_its_segment(tmp_path, cine, kind):
    cine = replace(cine, probabilities=probabilities(cine))
    items = read(cine, tmp_path, kind).PerFrameFunctionalGroupsSequence
    numbers = [1, 2, 3, 4, 5] * (1 if kind == "labelmap" else 2)
    sources = [item.DerivationImageSequence[0].SourceImageSequence[0] for item in items]
    assert [source.ReferencedFrameNumber for source in sources] == numbers
    assert {source.ReferencedSOPInstanceUID for source in sources} == {cine.source.sop_instance_uid}
    assert {source.ReferencedSOPClassUID for source in sources} == {cine.source.sop_class_uid}
    assert {source.SpatialLocationsPreserved for source in sources} == {"YES"}
    assert [item.FrameContentSequence[0].FrameAcquisitionNumber for item in items] == numbers
    if kind == "labelmap":
        assert not [item for item in items if "SegmentIdentificationSequence" in item]
    else:
        segments = [item.SegmentIdentificationSequence[0].ReferencedSegmentNumber for item in items]
        assert segments == [1] * 5 + [2] * 5


def test_a_frame_number_is_referenced_only_where_the_source_class_has_frames(tmp_path, single):
    claimed = predict(write_source(tmp_path / "b.dcm", frames=3, SOPClassUID=UltrasoundImageStorage))
    for prediction in (single, claimed):
        dataset = read(prediction, tmp_path)
        for item in dataset.PerFrameFunctionalGroupsSequence:
            assert "ReferencedFrameNumber" not in item.DerivationImageSequence[0].SourceImageSequence[0]
    ranks = [
        item.FrameContentSequence[0].FrameAcquisitionNumber
        for item in dataset.PerFrameFunctionalGroupsSequence
    ]
    assert ranks == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_dimensions_point_to_attributes_that_are_there_and_tell_frames_apart(tmp_path, prediction, kind):
    prediction = replace(prediction, probabilities=probabilities(prediction))
    dataset = read(prediction, tmp_path, kind)
    indices = set()
    for item in dataset.PerFrameFunctionalGroupsSequence:
        index = np.atleast_1d(item.FrameContentSequence[0].DimensionIndexValues)
        assert len(index) == len(dataset.DimensionIndexSequence)
        indices.add(tuple(index.tolist()))
        for pointer in dataset.DimensionIndexSequence:
            assert pointer.DimensionIndexPointer in item[pointer.FunctionalGroupPointer].value[0]
    assert len(indices) == dataset.NumberOfFrames
    (organization,) = dataset.DimensionOrganizationSequence
    assert {item.DimensionOrganizationUID for item in dataset.DimensionIndexSequence} == {
        organization.DimensionOrganizationUID
    }


@pytest.mark.parametrize("spacing_mm", [(0.2, 0.3), None])
def test_planes_without_a_frame_of_reference_claim_no_place_and_no_spacing_that_is_not_known(
    tmp_path, prediction, spacing_mm
):
    dataset = read(replace(prediction, spacing_mm=spacing_mm), tmp_path)
    assert "FrameOfReferenceUID" not in dataset
    (shared,) = dataset.SharedFunctionalGroupsSequence
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    (measures,) = shared.PixelMeasuresSequence  # OHIF fails without one, and without anything in it
    assert measures.SpacingBetweenSlices == 1
    assert measures.get("PixelSpacing") == (None if spacing_mm is None else list(spacing_mm))
    for item in dataset.PerFrameFunctionalGroupsSequence:
        frame = item.FrameContentSequence[0].FrameAcquisitionNumber - 1
        assert item.PlanePositionSequence[0].ImagePositionPatient == [0, 0, frame]


def test_our_reader_takes_nominal_planes_for_none(tmp_path, cine):
    segmentation = read_segmentation(write_seg(tmp_path / "seg.dcm", cine).path)
    for number, frame in enumerate(segmentation.frames):
        assert (frame.position, frame.orientation, frame.spacing) == (None, None, None)
        assert frame.images == ((cine.source.sop_instance_uid, number % 5),)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_numbers_handed_on_are_those_of_the_file(tmp_path, cine, kind):
    cine = replace(cine, probabilities=probabilities(cine))
    written = write_seg(tmp_path / "seg.dcm", cine, kind=kind)
    items = dcmread(written.path).PerFrameFunctionalGroupsSequence
    assert list(written.frame_numbers) == ["kidney", "fluid"]
    for segment, numbers in zip((1, 2), written.frame_numbers.values(), strict=True):
        for frame, number in enumerate(numbers, start=1):
            item = items[number - 1]
            assert item.FrameContentSequence[0].FrameAcquisitionNumber == frame
            if kind != "labelmap":
                assert item.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment


def test_patient_and_study_are_the_sources_and_series_and_instance_are_not(tmp_path, prediction):
    dataset = read(prediction, tmp_path)
    for keyword in (
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "AccessionNumber",
    ):
        assert dataset[keyword].value == HEADER[keyword]
    assert str(dataset.PatientName) == "Sentinel^Änne"
    assert HEADER["SeriesInstanceUID"] != dataset.SeriesInstanceUID
    assert HEADER["SOPInstanceUID"] != dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
    assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID != prediction.source.sop_class_uid
    assert "PatientComments" not in dataset
    assert "not for diagnosis" in dataset.SeriesDescription
    assert ALGORITHM.bundle in dataset.SeriesDescription
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == HEADER["SeriesInstanceUID"]
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == HEADER["SOPInstanceUID"]


@pytest.mark.parametrize("kind", KINDS)
def test_segments_carry_codes_colour_and_algorithm(tmp_path, single, kind):
    single = replace(single, probabilities=probabilities(single))
    items = {item.SegmentNumber: item for item in read(single, tmp_path, kind).SegmentSequence}
    assert sorted(items) == ([0, 1, 2] if kind == "labelmap" else [1, 2])
    for segment in SEGMENTS[1:]:
        item = items[segment.value]
        assert item.SegmentLabel == segment.name
        for code, sequence in (
            (segment.category, item.SegmentedPropertyCategoryCodeSequence),
            (segment.type, item.SegmentedPropertyTypeCodeSequence),
        ):
            assert (sequence[0].CodeValue, sequence[0].CodingSchemeDesignator) == (code.value, code.scheme)
        colour = highdicom.color.CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue)
        np.testing.assert_allclose(colour.to_rgb(), segment.colour, atol=2)
        (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (ALGORITHM.name, ALGORITHM.version)
        assert ALGORITHM.weights in algorithm.AlgorithmParameters
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"


def test_green_is_the_green_of_the_standard(tmp_path, single):
    fluid = read(single, tmp_path).SegmentSequence[1]
    wanted = (87.73 * 65535 / 100, (-86.18 + 128) * 65535 / 255, (83.18 + 128) * 65535 / 255)
    np.testing.assert_allclose(fluid.RecommendedDisplayCIELabValue, wanted, atol=30)


def test_a_class_without_codes_is_tissue_and_the_note_says_where_to_declare_it(tmp_path, single):
    bare = replace(single, segments=resolve_segments(("background", "kidney", "fluid")))
    written = write_seg(tmp_path / "seg.dcm", bare)
    item = dcmread(written.path).SegmentSequence[0]
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    assert "metadata.json" in written.notes[-1]
    assert "kidney, fluid" in written.notes[-1]
    assert not write_seg(tmp_path / "seg.dcm", single).notes


def test_names_that_dicom_has_no_room_for_are_cut(tmp_path, single):
    algorithm = replace(ALGORITHM, name="n" * 80, version="v" * 80, bundle="b" * 80)
    dataset = read(replace(single, algorithm=algorithm), tmp_path)
    assert dataset.ManufacturerModelName == "n" * 64
    assert len(dataset.SeriesDescription) == 64
    assert dataset.SeriesDescription.endswith("not for diagnosis")


def test_a_label_map_names_its_background(tmp_path, single):
    dataset = read(single, tmp_path, "labelmap")
    assert dataset.SOPClassUID == LABEL_MAP
    assert dataset.SegmentationType == "LABELMAP"
    assert dataset.PixelPaddingValue == 0
    assert dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "125040"
    assert dataset.PhotometricInterpretation == "MONOCHROME2"


def test_repeated_it_gives_the_same_uids_and_pixels(tmp_path, prediction):
    first, second = (read(prediction, tmp_path) for _ in range(2))
    for element in first.iterall():
        if element.VR == "UI":
            assert element.value in {other.value for other in second.iterall() if other.VR == "UI"}
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.PixelData == second.PixelData


def test_what_sets_results_apart_sets_their_uids_apart(tmp_path, single):
    other_source = predict(
        write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.4", SeriesInstanceUID="1.2.3.5")
    )
    results = [
        write_seg(tmp_path / "seg.dcm", single),
        write_seg(tmp_path / "seg.dcm", single, kind="labelmap"),
        write_seg(tmp_path / "seg.dcm", replace(single, salt="other")),
        write_seg(tmp_path / "seg.dcm", replace(single, algorithm=replace(ALGORITHM, weights="77" * 32))),
        write_seg(tmp_path / "seg.dcm", other_source),
    ]
    for uids in ([r.sop_instance_uid for r in results], [r.series_instance_uid for r in results]):
        assert len(set(uids)) == len(results)


def test_sources_of_one_series_have_their_segmentations_in_one_series(tmp_path, single):
    other = predict(write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.4", InstanceNumber=9))
    first, second = (read(each, tmp_path) for each in (single, other))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SeriesNumber == second.SeriesNumber
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (8, 9)


def test_the_source_is_left_as_it_was(tmp_path, prediction):
    before = (tmp_path / "source.dcm").read_bytes()
    write_seg(tmp_path / "seg.dcm", prediction)
    assert (tmp_path / "source.dcm").read_bytes() == before


@needs("dciodvfy")
@pytest.mark.parametrize("kind", ["binary", "fractional"])
def test_the_validator_finds_no_error(tmp_path, prediction, kind):
    prediction = replace(prediction, probabilities=probabilities(prediction))
    for labels in (prediction.labels, np.zeros_like(prediction.labels)):
        written = write_seg(tmp_path / "seg.dcm", replace(prediction, labels=labels), kind=kind)
        assert errors(written.path) == []


@needs("dcmdump")
@pytest.mark.parametrize("kind", KINDS)
def test_dcmtk_reads_it(tmp_path, prediction, kind):
    prediction = replace(prediction, probabilities=probabilities(prediction))
    assert accepts("dcmdump", write_seg(tmp_path / "seg.dcm", prediction, kind=kind).path)


def test_an_unknown_kind_is_refused(tmp_path, single):
    with pytest.raises(ConfigError, match="binary, labelmap, fractional"):
        write_seg(tmp_path / "seg.dcm", single, kind="runs")


def test_fractional_wants_probabilities(tmp_path, single):
    with pytest.raises(ConfigError, match="probabilities"):
        write_seg(tmp_path / "seg.dcm", single, kind="fractional")


@pytest.mark.parametrize("shape", [(13, 17), (1, 17, 13), (2, 13, 17)])
def test_labels_off_the_sources_grid_are_refused(tmp_path, single, shape):
    with pytest.raises(GeometryError):
        write_seg(tmp_path / "seg.dcm", replace(single, labels=np.zeros(shape, np.uint8)))


def test_probabilities_off_the_sources_grid_are_refused(tmp_path, single):
    with pytest.raises(GeometryError):
        write_seg(
            tmp_path / "seg.dcm",
            replace(single, probabilities=np.zeros((1, 2, 13, 17), np.float32)),
            kind="fractional",
        )


def test_a_label_without_a_segment_is_refused(tmp_path, single):
    with pytest.raises(LabelError):
        write_seg(tmp_path / "seg.dcm", replace(single, labels=np.full_like(single.labels, 3)))
    with pytest.raises(LabelError):
        write_seg(tmp_path / "seg.dcm", replace(single, segments=(SEGMENTS[0], SEGMENTS[2])))


def test_more_pixels_than_dicom_has_room_for_are_refused(tmp_path, single):
    source = replace(single.source, number_of_frames=200, rows=4000, columns=6000)
    labels = np.broadcast_to(np.zeros(1, np.uint8), (200, 4000, 6000))
    with pytest.raises(OutputError, match="4 GiB"):
        write_seg(tmp_path / "seg.dcm", replace(single, source=source, labels=labels), kind="labelmap")


def test_a_refused_or_failed_writing_leaves_what_was_there(tmp_path, single, monkeypatch):
    target = tmp_path / "out" / "seg.dcm"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(InputError):
        write_seg(target, replace(single, source=replace(single.source, sop_instance_uid="")))

    def no_room(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OutputError, match="no room"):
        write_seg(target, single)
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_whatever_the_header_holds_the_object_is_whole_or_refused(tmp_path, single):
    path, generator = tmp_path / "single.dcm", np.random.default_rng(11)
    content, outcomes = np.frombuffer(path.read_bytes(), np.uint8), []
    for _ in range(150):
        mutated = content.copy()
        mutated[generator.integers(132, 900, 3)] = generator.integers(0, 256, 3)
        path.write_bytes(mutated.tobytes())
        try:
            written = write_seg(tmp_path / "seg.dcm", single)
        except InputError:
            outcomes.append("refused")
        else:
            np.testing.assert_array_equal(frames_of(dcmread(written.path)), masks(single))
            outcomes.append("whole")
    assert set(outcomes) == {"whole", "refused"}
