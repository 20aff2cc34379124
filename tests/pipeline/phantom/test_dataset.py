"""Laws of a whole phantom data set: its bytes, its split, its refusals."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from pyraseg.pipeline.phantom import PhantomReport, generate
from pyraseg.pipeline.phantom.dataset import split_cases
from pyraseg.pipeline.phantom.ultrasound.cases import plan_cases, write_case
from pyraseg.transforms.errors import ConfigError, OutputError

SPLITS = ("training", "validation", "test")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def make_folders(folder: Path) -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    return folder


def items(report: PhantomReport) -> dict[str, list[dict[str, str]]]:
    datalist = json.loads(report.datalist.read_text())
    return {split: datalist[split] for split in SPLITS}


def test_the_same_seed_gives_the_same_bytes(phantom, tmp_path):
    again = generate(tmp_path / "again", cases=8, seed=3)
    assert digests(again.output) == digests(phantom.output)


def test_a_case_does_not_depend_on_how_many_there_are(phantom, tmp_path):
    write_case(plan_cases(20, seed=3, patient_name=None)[3], make_folders(tmp_path))
    alone, whole = digests(tmp_path), digests(phantom.output)
    assert len(alone) == 2
    assert alone.items() <= whole.items()


def test_another_seed_gives_other_pixels_and_other_identifiers(phantom, tmp_path):
    write_case(plan_cases(1, seed=4, patient_name=None)[0], make_folders(tmp_path))
    one, other = (pydicom.dcmread(folder / "images/case_0001.dcm") for folder in (tmp_path, phantom.output))
    assert one.PixelData != other.PixelData
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.StudyInstanceUID != other.StudyInstanceUID


def test_every_file_is_in_the_datalist_and_every_item_has_its_files(phantom):
    everything = [item for part in items(phantom).values() for item in part]
    assert len(everything) == phantom.images
    labels = {item["label"] for item in everything}
    images = {item["image"].partition("#")[0] for item in everything}
    written = {name for name in digests(phantom.output) if name != "datalist.json"}
    assert labels | images == written


def test_every_frame_has_a_mask_of_its_size_with_declared_values_only(phantom):
    seen: set[int] = set()
    for item in (item for part in items(phantom).values() for item in part):
        dataset = pydicom.dcmread(phantom.output / item["image"].partition("#")[0], stop_before_pixels=True)
        mask = np.asarray(Image.open(phantom.output / item["label"]))
        assert mask.dtype == np.uint8
        assert mask.shape == (dataset.Rows, dataset.Columns)
        assert 1 in mask
        seen |= set(np.unique(mask).tolist())
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("cases", [5, 6, 9, 24, 60])
def test_the_split_is_by_patient_and_shows_fluid_everywhere(cases):
    for seed in range(3):
        plans = plan_cases(cases, seed=seed, patient_name=None)
        split = split_cases(plans, seed)
        names = [plan.name for part in split.values() for plan in part]
        assert sorted(names) == [plan.name for plan in plans]
        assert all(any(plan.grade for plan in part) for part in split.values())
        assert 0.5 <= len(split["training"]) / cases <= 0.7


def test_no_patient_is_in_two_splits(phantom):
    groups = [{item["group"] for item in part} for part in items(phantom).values()]
    assert all(groups)
    assert sum(map(len, groups)) == len(set.union(*groups)) == phantom.cases


def test_the_report_counts_what_is_there(phantom, images):
    frames = [int(pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames", 1)) for path in images]
    assert (phantom.cases, phantom.images) == (len(frames), sum(frames))
    assert f"({sum(count > 1 for count in frames)} cines), {sum(frames)} frames" in phantom.lines()[0]
    assert sum(phantom.encodings.values()) == sum(1 for _ in images)
    assert "7 cases with fluid, 1 without calibration" in phantom.lines()[1]


@pytest.mark.parametrize(
    "wrong", [{"modality": "xa"}, {"cases": 4}, {"seed": -1}, {"patient_name": "名"}, {"patient_name": ""}]
)
def test_a_value_out_of_range_is_refused_and_nothing_is_written(tmp_path, wrong):
    with pytest.raises(ConfigError) as caught:
        generate(tmp_path / "out", **wrong)
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError) as caught:
        generate(tmp_path, cases=5)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert str(tmp_path) not in str(caught.value)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            generate(place, cases=5)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyraseg.pipeline.phantom.ultrasound.cases.write_case", fail)
    with pytest.raises(OutputError, match="No space left"):
        generate(tmp_path / "out", cases=5)
    assert not (tmp_path / "out").exists()
