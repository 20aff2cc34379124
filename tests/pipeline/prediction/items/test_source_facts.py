"""What results say of their source: the study, the time from frame to frame, and the patient only when
asked."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from pyraseg.pipeline.prediction.items.source_facts import source_facts
from pyraseg.transforms.dicom.files.discover import source_ref
from pyraseg.transforms.errors import InputError
from tests.transforms.dicom.conftest import image_dataset, set_native


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
        return source_facts(source_ref(tmp_path / "cine.dcm"), identify=identify)

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
    assert silent.study_instance_uid == told.study_instance_uid == "1.2"


def test_what_is_missing_is_empty(facts):
    empty = facts(identify=True, PatientName="")
    assert empty.identity == {"patient_name": "", "patient_id": "", "birth_date": ""}
    assert empty.study_instance_uid == ""


def test_a_file_that_has_gone_is_an_error_of_ours(facts, tmp_path):
    facts()
    ref = source_ref(tmp_path / "cine.dcm")
    (tmp_path / "cine.dcm").unlink()
    with pytest.raises(InputError, match="readable DICOM header"):
        source_facts(ref, identify=False)
