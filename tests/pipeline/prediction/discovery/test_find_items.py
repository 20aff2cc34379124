"""Discovery finds each item once under a name of its own, and says of every other file why it is none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from pyraseg.pipeline.prediction.discovery import find_items as find_items_module
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.discovery.find_items import (
    Discovered,
    find_items,
    header_or_error,
    in_processes,
)
from pyraseg.pipeline.prediction.plan import Plan, describe
from pyraseg.transforms.dicom.copies import image_key
from pyraseg.transforms.dicom.files.objects import ObjectHeader
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import InputError, PyrasegError
from tests.pipeline.prediction.discovery.test_dicomdir import write_dicomdir
from tests.transforms.dicom.conftest import image_dataset, set_native

METADATA = Path(__file__).parents[4] / "bundles/us_hydronephrosis/configs/metadata.json"
RULES = read_rules(json.loads(METADATA.read_text(encoding="utf-8")))
Writer = Callable[..., Path]


@pytest.fixture
def image(tmp_path: Path) -> Writer:
    """``image("a/b.dcm", frames=1, **attributes)`` below ``tmp_path``; an attribute of None is left out."""

    def write(name: str, *, frames: int = 1, **more: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = [np.full((8, 8), 9 * number, np.uint8) for number in range(frames)]
        dataset = image_dataset(
            pixels, photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian, StudyInstanceUID="1.2.3"
        )
        set_native(dataset, pixels)
        for key, value in more.items():
            if value is None:
                delattr(dataset, key)
            else:
                setattr(dataset, key, value)
        if "SOPInstanceUID" in more:
            dataset.file_meta.MediaStorageSOPInstanceUID = more["SOPInstanceUID"]
        if "SOPClassUID" in more:
            dataset.file_meta.MediaStorageSOPClassUID = more["SOPClassUID"]
        dataset.save_as(path, enforce_file_format=False)
        return path

    return write


def files(found: Discovered) -> list[str]:
    return [item.file for item in found.items]


def reasons(found: Discovered) -> dict[str, str]:
    return {left.file: left.reason for left in found.left_out}


def failures(found: Discovered) -> dict[str, str]:
    return {failure.file: failure.reason for failure in found.failures}


def test_an_item_is_a_file_single_frame_or_cine(image, tmp_path):
    image("b/cine.dcm", frames=5)
    path = image("b/IM1")
    found = find_items([tmp_path], RULES)
    assert files(found) == ["b/IM1", "b/cine.dcm"]
    assert [item.source.number_of_frames for item in found.items] == [1, 5]
    assert found.items[0].source.study_instance_uid == "1.2.3"
    assert (found.items[0].size, found.items[0].modified_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert not found.left_out
    assert not found.failures


def test_several_frames_make_a_cine_whatever_the_sop_class_says(image, tmp_path):
    image("a.dcm", frames=3, SOPClassUID=uid.UltrasoundImageStorage)
    assert find_items([tmp_path], RULES).items[0].source.number_of_frames == 3


def test_a_case_keeps_its_name_wherever_the_file_lies(image, tmp_path):
    first = find_items([image("a/x.dcm", SOPInstanceUID="1.2.9")], RULES).items[0]
    second = find_items([image("b/c/y.dcm", SOPInstanceUID="1.2.9").parent], RULES).items[0]
    assert first.case == second.case


def test_files_of_the_same_name_and_without_a_uid_are_cases_of_their_own(image, tmp_path):
    for folder in ("one/us", "two/us"):
        path = image(f"{folder}/x.dcm")
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = ""
        dataset.save_as(path, enforce_file_format=False)
    inputs = [tmp_path / "one/us", tmp_path / "two/us"]
    found = find_items(inputs, RULES)
    assert files(found) == ["us-2/x.dcm", "us/x.dcm"]
    assert len({item.case for item in found.items}) == 2
    assert all(any("no SOP Instance UID" in note for note in item.notes) for item in found.items)
    assert [item.case for item in find_items(inputs, RULES).items] == [item.case for item in found.items]


def test_a_uid_of_the_file_meta_group_names_the_case(image, tmp_path):
    path = image("x.dcm", SOPInstanceUID="1.2.9")
    case = find_items([path], RULES).items[0].case
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = ""
    dataset.save_as(path)
    item = find_items([path], RULES).items[0]
    assert item.case == case
    assert item.source.sop_instance_uid == "1.2.9"


def test_overlapping_inputs_count_a_file_once(image, tmp_path):
    path = image("a/b/x.dcm")
    (tmp_path / "same").symlink_to(tmp_path / "a")
    found = find_items([tmp_path / "a", path, tmp_path / "a/b", tmp_path / "same"], RULES)
    assert files(found) == ["a/b/x.dcm"]
    assert not found.failures


def test_copies_count_once_and_stay_the_first_by_path(image, tmp_path):
    path = image("b.dcm")
    shutil.copy(path, tmp_path / "a.dcm")
    shutil.copy(path, tmp_path / "c.dcm")
    found = find_items([tmp_path], RULES)
    assert files(found) == ["a.dcm"]
    assert reasons(found) == {"b.dcm": "a copy of a.dcm", "c.dcm": "a copy of a.dcm"}


def test_one_uid_with_different_content_fails_and_lists_the_candidates(image, tmp_path):
    for name, comment in (("a.dcm", "first"), ("b.dcm", "second"), ("other.dcm", None)):
        image(name, **({"SOPInstanceUID": "1.2.9", "ImageComments": comment} if comment else {}))
    shutil.copy(tmp_path / "a.dcm", tmp_path / "copy.dcm")
    found = find_items([tmp_path], RULES)
    assert files(found) == ["other.dcm"]
    assert set(failures(found)) == {"a.dcm", "b.dcm"}
    assert "b.dcm" in failures(found)["a.dcm"]
    assert "a.dcm" in failures(found)["b.dcm"]
    assert reasons(found) == {"copy.dcm": "a copy of a.dcm"}
    assert {failure.case for failure in found.failures} != {""}


def test_what_should_be_dicom_and_is_not_fails_and_what_need_not_is_left_out(image, tmp_path):
    image("good.dcm")
    image("good.jpg", SOPInstanceUID="1.2.9")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "NOTES").write_text("text")
    (tmp_path / "README.txt").write_text("text")
    (tmp_path / "mask.PNG").write_bytes(b"\x89PNG")
    found = find_items([tmp_path], RULES)
    assert files(found) == ["good.dcm", "good.jpg"]
    assert reasons(found) == {"README.txt": "no DICOM (.txt)", "mask.PNG": "no DICOM (.png)"}
    assert list(failures(found)) == ["NOTES", "empty.dcm"]
    assert "a file without the DICM prefix" in failures(found)["NOTES"]
    assert "an empty file" in failures(found)["empty.dcm"]
    asked = find_items([tmp_path / "README.txt"], RULES)
    assert list(failures(asked)) == ["README.txt"]


def test_other_objects_need_no_pixels_to_be_left_out(image, tmp_path):
    image("sr.dcm", SOPClassUID=uid.ComprehensiveSRStorage, Modality="SR", PixelData=None)
    image("ct.dcm", SOPClassUID=uid.CTImageStorage, Modality="CT", PixelRepresentation=1)
    image("sc.dcm", SOPClassUID=uid.SecondaryCaptureImageStorage)
    assert list(reasons(find_items([tmp_path], RULES)).values()) == [
        "modality CT",
        "a secondary capture",
        "another kind of object: Comprehensive SR Storage",
    ]


def test_an_ultrasound_image_that_cannot_be_read_fails_under_its_case(image, tmp_path):
    image("nothing.dcm", PixelData=None)
    image("huge.dcm", Rows=60000, Columns=60000)
    image("frames.dcm", NumberOfFrames=70)
    image("bits.dcm", BitsAllocated=16, BitsStored=16, HighBit=15)
    image("wrong.dcm", Columns=4)
    found = find_items([tmp_path], RULES)
    assert files(found) == []
    texts = failures(found)
    assert "without pixel data" in texts["nothing.dcm"]
    assert "60000 x 60000" in texts["huge.dcm"]
    assert set(texts) == {"bits.dcm", "frames.dcm", "huge.dcm", "nothing.dcm", "wrong.dcm"}
    assert all(failure.case and failure.remedy for failure in found.failures)


def test_missing_attributes_that_may_be_empty_do_no_harm(image, tmp_path):
    image("a.dcm", Modality=None, SeriesInstanceUID=None, StudyInstanceUID=None, PatientName=None)
    item = find_items([tmp_path], RULES).items[0]
    assert item.notes == ("no Modality: taken for its SOP class", "no Study Instance UID")


def test_names_with_spaces_other_letters_and_undecodable_bytes_are_found(image, tmp_path):
    path = image("ein Ordner/Niere größer 腎.dcm")
    odd = os.fsencode(tmp_path) + b"/\xff\xfe.dcm"
    image("temporary.dcm").rename(os.fsdecode(odd))
    found = find_items([tmp_path], RULES)
    assert found.items[0].file == "ein Ordner/Niere größer 腎.dcm"
    assert os.fsencode(found.items[1].file) == b"\xff\xfe.dcm"
    assert CineReader(found.items[1].source.path).frame(0).shape == (1, 8, 8)
    assert path.exists()
    assert "\udcff" not in "\n".join(describe(found, Plan(found.items)))


def test_links_hidden_files_and_pipes_are_passed_over_with_a_reason(image, tmp_path):
    root = tmp_path / "in"
    image("in/a.dcm")
    image("in/.hidden/b.dcm")
    image("in/.c.dcm")
    image("out/d.dcm")
    for name, target in (
        ("up", tmp_path),
        ("again", root),
        ("x", root / "y"),
        ("y", root / "x"),
        ("z", root / "a.dcm"),
    ):
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe.dcm")
    found = find_items([root], RULES)
    assert files(found) == ["a.dcm"]
    assert reasons(found) == {
        ".c.dcm": "a hidden file or folder",
        ".hidden": "a hidden file or folder",
        "again": "a link to a place in the same folder, which is searched there",
        "pipe.dcm": "no regular file",
        "up": "a link that leads out of the folder",
        "x": "a link that leads nowhere or to itself",
        "y": "a link that leads nowhere or to itself",
        "z": "a link to a place in the same folder, which is searched there",
    }


def test_a_dicomdir_names_its_files_and_in_a_folder_it_is_an_index_without_a_word(image, tmp_path):
    image("DICOM/IM1")
    image("IM2")
    path = write_dicomdir(tmp_path / "DICOMDIR", [["DICOM", "IM1"], ["DICOM", "GONE"]])
    found = find_items([path], RULES)
    assert files(found) == ["DICOM/IM1"]
    assert failures(found) == {"DICOM/GONE": "a reference to a file that is not there"}
    searched = find_items([tmp_path, path], RULES)
    assert files(searched) == ["DICOM/IM1", "IM2"]
    assert searched.left_out == ()
    path.write_bytes(b"broken")
    assert list(failures(find_items([path], RULES))) == ["DICOMDIR"]


def test_an_input_that_is_not_there_stops_before_anything(tmp_path):
    with pytest.raises(InputError, match="nothing of that name"):
        find_items([tmp_path, tmp_path / "missing"], RULES)


def test_the_real_files_are_items_colour_doppler_or_one_uid_for_several(shared_data):
    found = find_items([shared_data / "dicom" / "us"], RULES)
    assert len(found.items) == 7
    assert set(reasons(found).values()) == {"colour Doppler"}
    assert list(failures(found)) == ["OBXXXX1A.dcm", "OBXXXX1A_2frame.dcm", "OBXXXX1A_rle_2frame.dcm"]
    for name in failures(found):
        assert len(find_items([shared_data / "dicom" / "us" / name], RULES).items) == 1


EXAMPLES = [
    "examples_palette",
    "examples_rgb_color",
    "examples_ybr_color",
    "examples_jpeg2k",
    "ExplVR_BigEnd",
]


def test_pydicoms_ultrasound_examples_are_items_whose_frames_are_read():
    paths = [get_testdata_file(f"{name}.dcm", download=False) for name in EXAMPLES]
    if None in paths:
        pytest.skip("these examples are not part of the installed pydicom")
    found = find_items([Path(path) for path in paths], RULES)
    assert sorted(files(found)) == sorted(f"{name}.dcm" for name in EXAMPLES)
    for item in found.items:
        cine = CineReader(item.source.path)
        assert cine.frame(len(cine) - 1).shape[1:] == (item.source.rows, item.source.columns)


def dies_on_bad_files(path: Path) -> ObjectHeader | InputError:
    if path.name.startswith("killer"):
        os.abort()
    return header_or_error(path)


def test_processes_give_what_one_process_gives_and_a_killer_costs_itself_alone(image, tmp_path, monkeypatch):
    for number in range(6):
        image(f"{number}.dcm")
    image("killer.dcm")
    assert find_items([tmp_path], RULES, map_files=in_processes(2, few=0)) == find_items([tmp_path], RULES)
    monkeypatch.setattr("pyraseg.pipeline.prediction.discovery.find_items.header_or_error", dies_on_bad_files)
    found = find_items([tmp_path], RULES, map_files=in_processes(2, few=0))
    assert len(found.items) == 6
    assert list(failures(found)) == ["killer.dcm"]
    assert "SIGABRT" in failures(found)["killer.dcm"]


def dies_on_killers(path: Path) -> str | PyrasegError:
    if path.name.startswith("killer"):
        os.abort()
    return image_key(path)


def test_a_decoder_that_crashes_on_files_of_one_uid_costs_these_files_alone(image, tmp_path, monkeypatch):
    image("good.dcm")
    for name in ("a.dcm", "killer.dcm"):
        image(name, SOPInstanceUID="1.2.9", ImageComments=name)
    monkeypatch.setattr("pyraseg.transforms.dicom.copies.image_key", dies_on_killers)
    found = find_items([tmp_path], RULES, map_files=in_processes(1, few=0))
    assert files(found) == ["good.dcm"]
    assert set(failures(found)) == {"a.dcm", "killer.dcm"}
    assert all("SIGABRT" in reason for reason in failures(found).values())


def test_each_file_of_one_uid_is_decoded_once_however_many_there_are(image, tmp_path):
    decoded = []

    def counting(function, paths):
        decoded.extend(paths if function is image_key else [])
        return map(function, paths)

    dataset = pydicom.dcmread(image("0.dcm"))
    for number in range(12):
        dataset.ImageComments = str(number // 2)
        dataset.save_as(tmp_path / f"{number}.dcm")
    assert len(find_items([tmp_path], RULES, map_files=counting).left_out) == 11
    assert len(decoded) == 6  # of files of the same bytes, one


def test_a_path_longer_than_the_system_takes_fails_alone(image, tmp_path):
    image("good.dcm")
    with contextlib.ExitStack() as opened:
        handle = os.open(tmp_path, os.O_RDONLY)
        opened.callback(os.close, handle)
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=handle)
            handle = os.open("d" * 250, os.O_RDONLY, dir_fd=handle)
            opened.callback(os.close, handle)
        found = find_items([tmp_path], RULES)
    subprocess.run(["rm", "-rf", tmp_path / ("d" * 250)], check=True)  # Python cannot remove it by its path
    assert files(found) == ["good.dcm"]
    assert "a path that is too long" in " ".join(failures(found).values())


def test_a_uid_that_reads_like_a_file_shares_no_name_with_that_file(image, tmp_path):
    image("a.dcm", SOPInstanceUID=None)
    path = image("b.dcm", SOPInstanceUID="1.2.9")
    path.write_bytes(path.read_bytes().replace(b"1.2.9\0", b"file:a"))
    bare = pydicom.dcmread(tmp_path / "a.dcm")
    del bare.file_meta.MediaStorageSOPInstanceUID
    bare.save_as(tmp_path / "a.dcm", enforce_file_format=False)
    cases = {item.case for item in find_items([tmp_path], RULES).items}
    assert len(cases) == 2


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), PermissionError(13, "Permission denied")])
def test_whatever_reading_one_file_raises_is_that_files_failure(image, tmp_path, monkeypatch, error):
    image("good.dcm")
    bad, read = image("bad.dcm"), find_items_module.read_object

    def raising(path):
        if path == bad:
            raise error
        return read(path)

    monkeypatch.setattr(find_items_module, "read_object", raising)
    found = find_items([tmp_path], RULES)
    assert files(found) == ["good.dcm"]
    words = {MemoryError: "fits into the memory", PermissionError: "the system refuses (Permission denied)"}
    assert words.get(type(error), "an unexpected RecursionError") in failures(found)["bad.dcm"]


def test_a_description_groups_reasons_and_ends_in_counts(image, tmp_path):
    for number in range(30):
        image(f"{number:02d}.dcm", frames=1 + number % 2)
        (tmp_path / f"{number}.txt").touch()
        (tmp_path / f"broken{number:02d}.dcm").touch()
    shutil.copy(tmp_path / "00.dcm", tmp_path / "zz.dcm")
    (tmp_path / "esc\x1b[31m.dcm").touch()
    found = find_items([tmp_path], RULES)
    lines = list(describe(found, Plan(found.items[:25], beyond=len(found.items) - 25)))
    assert lines[0] == "25 items to do (12 cines, 37 frames)"
    assert "  01.dcm (2 frames)" in lines
    assert "5 more, beyond the limit" in lines
    assert any(line.endswith("no DICOM (.txt): 0.txt, 1.txt, 10.txt, ...") and "30" in line for line in lines)
    assert any("a copy of another file: zz.dcm" in line for line in lines)
    assert "31 files that cannot be done" in lines
    assert len(lines) < 60
    assert not any("\x1b" in line or str(tmp_path) in line for line in lines)
