"""A series is one item, whatever lies among its files; what cannot be a whole volume fails as one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pydicom
import pytest

from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.discovery.find_items import Discovered, find_items
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder_lock import Shard
from pyraseg.pipeline.prediction.plan import Plan, describe, make_plan
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.privacy import case_name
from tests.pipeline.prediction.volume_runs import BUNDLES
from tests.transforms.dicom.series_cases import write_enhanced, write_series

METADATA = json.loads((BUNDLES["ct"] / "configs/metadata.json").read_text(encoding="utf-8"))
RULES = read_rules(METADATA)


def find(*inputs: Path) -> Discovered:
    return find_items(inputs, RULES)


def reasons(found: Discovered) -> dict[str, str]:
    return {left.file: left.reason for left in found.left_out}


def renamed(uid: str, **more: object):
    """An edit that gives a series another UID, and other attributes."""

    def edit(_: int, dataset: pydicom.Dataset) -> None:
        dataset.SeriesInstanceUID = uid
        for name, value in more.items():
            setattr(dataset, name, value)

    return edit


def test_the_files_of_a_series_are_one_item_wherever_they_lie(tmp_path):
    write_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    moved = sorted((tmp_path / "a").iterdir())[-2:]
    for path in moved:
        shutil.move(path, tmp_path / "b")
    write_series(tmp_path / "c", edit=renamed("1.2.77"), first_uid=300)
    first, second = find(tmp_path).items
    assert (first.case, second.case) == (case_name("1.2.2"), case_name("1.2.77"))
    assert first.file == min(f"a/{path.name}" for path in (tmp_path / "a").iterdir())
    assert len(first.paths) == first.frames == 5
    assert {Path(path).parent.name for path in first.paths} == {"a", "b"}


def test_two_series_in_one_folder_are_two_items_with_names_of_their_own(tmp_path):
    write_series(tmp_path)
    write_series(tmp_path, edit=renamed("1.2.77"), first_uid=300)
    found = find(tmp_path)
    assert len({item.file for item in found.items}) == len({item.case for item in found.items}) == 2


def test_an_enhanced_file_is_an_item_by_itself(tmp_path):
    write_enhanced(tmp_path / "enhanced.dcm")
    (item,) = find(tmp_path).items
    assert (item.file, item.frames, len(item.paths)) == ("enhanced.dcm", 5, 1)


def test_what_is_no_slice_is_left_out_with_its_reason(tmp_path):
    write_series(tmp_path / "ct")
    write_series(tmp_path / "mr", modality="MR", edit=renamed("1.2.5"), first_uid=300)
    scout = pydicom.dcmread(sorted((tmp_path / "ct").iterdir())[0])
    scout.SOPInstanceUID = scout.file_meta.MediaStorageSOPInstanceUID = "1.2.4.999"
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.save_as(tmp_path / "ct" / "scout.dcm")
    for name, uid in (("seg", "66.4"), ("rt", "481.3"), ("gsps", "11.1"), ("sr", "88.33")):
        other = pydicom.Dataset()
        other.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{uid}"
        other.SOPInstanceUID, other.SeriesInstanceUID = f"1.2.9.{len(name)}{ord(name[0])}", "1.2.2"
        other.file_meta = pydicom.dataset.FileMetaDataset()
        other.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        other.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    (tmp_path / "labels.nii.gz").write_bytes(b"")
    found = find(tmp_path)
    assert [item.frames for item in found.items] == [5]
    told = reasons(found)
    assert told.pop("ct/scout.dcm") == "a localizer"
    assert told.pop("labels.nii.gz") == "no DICOM (.gz)"
    assert told["seg.dcm"] == "another kind of object: Segmentation Storage"
    assert told["rt.dcm"] == "another kind of object: RT Structure Set Storage"
    assert told["gsps.dcm"] == "another kind of object: Grayscale Softcopy Presentation State Storage"
    assert {reason for file, reason in told.items() if file.startswith("mr/")} == {"modality MR"}
    assert found.failures == ()


def test_a_copy_of_a_slice_counts_once(tmp_path):
    write_series(tmp_path)
    name = sorted(tmp_path.iterdir())[0].name
    shutil.copy(tmp_path / name, tmp_path / "zz.dcm")
    found = find(tmp_path)
    assert found.items[0].frames == 5
    assert reasons(found) == {"zz.dcm": f"a copy of {name}"}


def test_two_slices_under_one_uid_fail_the_series_once(tmp_path):
    write_series(tmp_path, edit=lambda index, dataset: _share_uid(dataset))
    found = find(tmp_path)
    (failure,) = found.failures
    assert found.items == ()
    assert "5 of its 5 files" in failure.reason
    assert "other content" in failure.reason
    assert failure.case == case_name("1.2.2")


def _share_uid(dataset):
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.4.1"


def test_a_slice_without_readable_pixels_fails_the_series_with_its_reason(tmp_path):
    write_series(tmp_path)
    broken = sorted(tmp_path.iterdir())[2]
    content = broken.read_bytes()
    broken.write_bytes(content[:-40])
    found = find(tmp_path)
    assert found.items == ()
    (failure,) = found.failures
    assert failure.reason.startswith("a series with 1 of its 5 files: ")
    assert failure.remedy


@pytest.mark.parametrize("length", [150, 300])
def test_a_file_that_cannot_be_read_at_all_fails_and_its_neighbours_note_it(tmp_path, length):
    write_series(tmp_path)
    broken = sorted(tmp_path.iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:length])
    found = find(tmp_path)
    assert [failure.file for failure in found.failures] == [broken.name]
    assert any("could not be read" in note for note in found.items[0].notes)


def test_a_series_without_uid_is_told_by_its_folder(tmp_path):
    for name in ("a", "b"):
        write_series(tmp_path / name, edit=renamed(""), first_uid=100 if name == "a" else 300)
    found = find(tmp_path)
    assert [item.frames for item in found.items] == [5, 5]
    assert [item.case for item in found.items] == [case_name(f"file:{item.file}") for item in found.items]
    assert all("no Series Instance UID" in item.notes[0] for item in found.items)


def test_nifti_is_an_item_where_it_is_named_itself(tmp_path):
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(b"not looked into here")
    assert find(tmp_path).items == ()
    (item,) = find(path).items
    assert (item.file, item.case) == ("volume.nii.gz", case_name("file:volume.nii.gz"))
    assert "NIfTI" in item.notes[0]


def test_a_change_of_any_slice_makes_a_series_due_again(tmp_path):
    folder = write_series(tmp_path / "in")
    (before,) = find(folder).items
    path = sorted(folder.iterdir())[3]
    path.touch()
    (touched,) = find(folder).items
    assert (before.size, before.modified_ns) != (touched.size, touched.modified_ns)
    path.unlink()
    (shorter,) = find(folder).items
    assert shorter.size != touched.size


def test_shards_part_series_and_not_their_slices(tmp_path):
    for number in range(6):
        write_series(tmp_path / str(number), edit=renamed(f"1.2.70.{number}"), first_uid=100 * number + 100)
    items = find(tmp_path).items
    parts = [make_plan(Job((), Path(), None, shard=Shard(index, 2)), items, None).due for index in (1, 2)]
    assert sorted(item.case for part in parts for item in part) == sorted(item.case for item in items)


def test_a_description_counts_series_and_slices(tmp_path):
    write_series(tmp_path)
    found = find(tmp_path)
    lines = list(describe(found, Plan(found.items)))
    assert lines[0] == "1 item to do (1 series, 5 slices)"
    assert lines[1].endswith("(5 slices)")


def test_rules_know_volumes_and_what_the_model_was_trained_on():
    declared = METADATA["prediction"]
    assert RULES.volumes
    assert RULES.trained_on == declared["trained_on"]
    review = {"review": {"volume_ml": {"tumour": [0.1, 5000]}}}
    assert read_rules({**METADATA, "prediction": {**declared, **review}}).review.volume_ml == {
        "tumour": (0.1, 5000.0)
    }
    for wrong in (
        {"trained_on": 3},
        {"review": {"volume_ml": {"tumour": [5, 1]}}},
        {"review": {"volume_ml": {"x": [1, 2]}}},
    ):
        with pytest.raises(ConfigError):
            read_rules({**METADATA, "prediction": {**declared, **wrong}})
