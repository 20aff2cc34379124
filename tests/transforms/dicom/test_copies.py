"""Files under one SOP Instance UID are one image if their pixels are, whatever their encoding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid

from pyraseg.pipeline.datalist.check import check_duplicates
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.discovery.find_items import find_items
from pyraseg.transforms.dicom.copies import part_copies
from pyraseg.transforms.dicom.files.discover import discover
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import DatalistError, GeometryError
from tests.pipeline.prediction.volume_runs import BUNDLES
from tests.transforms.dicom.series_cases import stored_values, write_series

US = Path(__file__).parents[3] / "bundles/us_hydronephrosis/configs/metadata.json"


def meta(dataset):
    dataset.file_meta.ImplementationVersionName = "OTHER 1.0"


def compress(dataset):
    dataset.compress(uid.RLELossless, generate_instance_uid=False)


def private(dataset):
    dataset.private_block(0x0009, "ACME", create=True).add_new(0x01, "LO", "anything")


def comment(dataset):
    dataset.ImageComments = "another"


def pixels(dataset):
    dataset.PixelData = bytes(len(dataset.PixelData))


def patient(dataset):
    dataset.PatientID = "OTHER"


def study(dataset):
    dataset.StudyInstanceUID = "1.2.88"


SAME, OTHER = (meta, compress, private, comment), (pixels, patient, study)


def copy(path: Path, to: Path, change) -> Path:
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(to)
    return to


@pytest.fixture
def frame(write_dicom, grey, tmp_path) -> Path:
    """An ultrasound frame in a folder of its own."""
    (tmp_path / "us").mkdir()
    return write_dicom(grey, name="us/a.dcm")


@pytest.mark.parametrize("change", [*SAME, *OTHER])
def test_frames_of_one_uid_are_one_image_or_all_refused(frame, change):
    second = copy(frame, frame.with_name("b.dcm"), change)
    same = change in SAME
    assert part_copies([[frame, second]]) == [[[frame, second]] if same else [[frame], [second]]]
    refs, errors = discover(frame.parent)
    assert [ref.path for ref in refs] == ([str(frame)] if same else [])
    words = "the image of an earlier file again" if same else "different images under one UID"
    assert {error.found for error in errors} == {words}
    found = find_items([frame.parent], read_rules(json.loads(US.read_text(encoding="utf-8"))))
    assert [item.file for item in found.items] == (["a.dcm"] if same else [])
    assert [left.reason for left in found.left_out] == (["a copy of a.dcm"] if same else [])
    assert len(found.failures) == (0 if same else 2)


@pytest.mark.parametrize("change", [*SAME, pixels])
def test_slices_of_one_uid_are_one_slice_or_refused(tmp_path, change):
    folder = write_series(tmp_path)
    first = sorted(folder.glob("*.dcm"))[1]
    copy(first, folder / "zz.dcm", change)
    rules = read_rules(json.loads((BUNDLES["ct"] / "configs/metadata.json").read_text(encoding="utf-8")))
    found = find_items([folder], rules)
    if change in SAME:
        volume = read_series(the_series(find_series(folder)))
        np.testing.assert_array_equal(volume.array, stored_values().transpose(2, 1, 0) - 1024)
        assert [left.file for left in found.left_out] == ["zz.dcm"]
        assert [item.frames for item in found.items] == [5]
    else:
        with pytest.raises(GeometryError, match="one image under each SOP Instance UID"):
            read_series(the_series(find_series(folder)), repair=["copies"])
        assert "other content under the same SOP Instance UID" in found.failures[0].reason


@pytest.mark.parametrize("change", [compress, pixels])
def test_an_image_of_two_groups_is_a_leak_in_whatever_encoding(frame, change):
    copy(frame, frame.with_name("b.dcm"), change)
    entries = tuple(Entry(name, "mask.png", group=name) for name in ("a.dcm", "b.dcm"))
    collected = Collection(frame.parent, entries, ())
    if change is pixels:
        check_duplicates(collected, shown=str)
    else:
        with pytest.raises(DatalistError, match="the same image in 2 groups"):
            check_duplicates(collected, shown=str)
