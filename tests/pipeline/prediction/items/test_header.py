"""What results take from a header: the frames' time, the patient only when asked, a mask's spacing."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from pyraseg.pipeline.prediction.items.header import read_item_header, spacing_of_mask
from pyraseg.transforms.dicom.files.header import read_header, source_ref
from pyraseg.transforms.errors import InputError
from tests.transforms.dicom.conftest import image_dataset, set_native, ultrasound_region


@pytest.fixture
def facts(tmp_path):
    """Of a cine with ``attributes``; ``patches`` change its bytes to what no library would write."""

    def read(*, identify=False, patches=(), **attributes):
        frames = [np.zeros((8, 8), np.uint8)] * 3
        dataset = image_dataset(
            frames, photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian, **attributes
        )
        set_native(dataset, frames)
        dataset.save_as(tmp_path / "cine.dcm", enforce_file_format=False)
        content = (tmp_path / "cine.dcm").read_bytes()
        for old, new in patches:
            assert content.count(old) == 1
            assert len(old) == len(new)
            content = content.replace(old, new)
        (tmp_path / "cine.dcm").write_bytes(content)
        return read_item_header(source_ref(tmp_path / "cine.dcm"), dicom=False, identify=identify)[1]

    return read


def test_the_frame_time_comes_before_its_vector_and_that_before_rates(facts):
    all_of_them = {"FrameTime": "40", "FrameTimeVector": ["0", "20", "30"], "CineRate": 10}
    all_of_them["RecommendedDisplayFrameRate"] = 5
    for expected in (40, 25, 100, 200):
        assert facts(**all_of_them).frame_time_ms == expected
        del all_of_them[next(iter(all_of_them))]
    assert facts().frame_time_ms is None


@pytest.mark.parametrize("frame_time", ["0", "-40", ""])
def test_a_time_that_is_none_gives_way_to_the_rate(facts, frame_time):
    assert facts(FrameTime=frame_time, CineRate=20).frame_time_ms == 50


@pytest.mark.parametrize("broken", [b"quick!", b"nan   ", b"inf   "])
def test_a_broken_value_costs_itself_alone(facts, broken):
    assert facts(FrameTime="123.25", CineRate=20, patches=[(b"123.25", broken)]).frame_time_ms == 50
    assert facts(FrameTime="40", CineRate=123456, patches=[(b"123456", broken)]).frame_time_ms == 40
    assert facts(FrameTime="123.25", patches=[(b"123.25", broken)]).frame_time_ms is None


def test_a_vector_of_one_time_says_nothing(facts):
    assert facts(FrameTimeVector="0", CineRate=20).frame_time_ms == 50


def test_the_patient_is_named_only_when_asked_for(facts):
    attributes = {
        "PatientName": "Mei^Li",
        "PatientID": "7",
        "PatientBirthDate": "19990101",
        "StudyInstanceUID": "1.2",
    }
    silent, told = facts(**attributes), facts(identify=True, **attributes)
    assert silent.identity is None
    assert told.identity == {"patient_name": "Mei^Li", "patient_id": "7", "birth_date": "19990101"}


def test_what_is_missing_is_empty(facts):
    empty = facts(identify=True, PatientName="")
    assert empty.identity == {"patient_name": "", "patient_id": "", "birth_date": ""}


def test_a_file_that_has_gone_is_an_error_of_ours(facts, tmp_path):
    facts()
    ref = source_ref(tmp_path / "cine.dcm")
    (tmp_path / "cine.dcm").unlink()
    with pytest.raises(InputError, match="a DICOM file"):
        read_item_header(ref, dicom=True, identify=True)


UPPER, LOWER = (0, 0, 49, 119), (50, 0, 99, 119)  # row0, column0, row1, column1, inclusive


@pytest.fixture
def source(tmp_path):
    def write(*regions):
        image = np.zeros((100, 120), np.uint8)
        more = {"SequenceOfUltrasoundRegions": [ultrasound_region(box, delta) for box, delta in regions]}
        dataset = image_dataset([image], photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian, **more)
        set_native(dataset, [image])
        dataset.save_as(tmp_path / "image.dcm", enforce_file_format=False)
        return read_header(tmp_path / "image.dcm")

    return write


def mask(*boxes, frames=1):
    labels = np.zeros((frames, 100, 120), np.uint8)
    for number, (top, left, bottom, right) in enumerate(boxes):
        labels[number % frames, top:bottom, left:right] = 1 + number % 2
    return labels


DIFFERENT = ((UPPER, (0.02, 0.03)), (LOWER, (0.04, 0.05)))


def test_a_mask_within_one_region_has_its_spacing_row_first(source):
    header = source(*DIFFERENT)
    assert spacing_of_mask(header, mask((0, 0, 50, 120))) == pytest.approx((0.2, 0.3))
    assert spacing_of_mask(header, mask((50, 5, 100, 120))) == pytest.approx((0.4, 0.5))


def test_a_mask_across_regions_has_none(source):
    assert spacing_of_mask(source(*DIFFERENT), mask((49, 5, 51, 30))) is None


def test_all_frames_and_classes_count(source):
    header = source(*DIFFERENT)
    assert spacing_of_mask(header, mask((5, 5, 20, 20), (60, 5, 70, 20), frames=2)) is None
    assert spacing_of_mask(header, mask((5, 5, 20, 20), (25, 5, 40, 20))) == pytest.approx((0.2, 0.3))


def test_regions_that_overlap_and_disagree_give_none(source):
    header = source(((0, 0, 99, 119), (0.02, 0.02)), (UPPER, (0.04, 0.04)))
    assert spacing_of_mask(header, mask((5, 5, 20, 20))) is None
    assert spacing_of_mask(header, mask((5, 5, 70, 20))) == pytest.approx((0.2, 0.2))


def test_without_a_mask_or_a_region_there_is_none(source):
    assert spacing_of_mask(source(*DIFFERENT), mask()) is None
    assert spacing_of_mask(source(), mask((5, 5, 20, 20))) is None
