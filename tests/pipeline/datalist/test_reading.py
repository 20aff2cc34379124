"""How a datalist's series are read: given when it is built, kept in it, and what training reads with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.data import load_decathlon_datalist

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.datalist import load_datalist
from pyraseg.pipeline.evaluation.quantities import source_values
from pyraseg.pipeline.training import CachedDataset
from pyraseg.transforms.dicom import find_series, read_source_series, the_series
from pyraseg.transforms.errors import DatalistError, GeometryError
from pyraseg.transforms.frame.source_view import source_view
from pyraseg.transforms.io.volumes import LoadVolumed
from tests.transforms.dicom.label_cases import contour, write_structures
from tests.transforms.dicom.series_cases import ORIGIN, SPACING, STEP, stored_values, write_series
from tests.transforms.volumes import write_nifti

BUNDLE = Path(__file__).resolve().parents[3] / "bundles/ct_sarcoma/configs"
RECORDED = {"assume_hu": True}


def unspecified(_, dataset):
    dataset.RescaleType = "US"


def write_mask(path: Path, slices: int = 5) -> Path:
    values = np.zeros((8, 6, slices), np.uint8)
    values[2:4, 2:4, 1] = 1
    affine = np.diag([-SPACING[1], -SPACING[0], STEP, 1.0])
    affine[:3, 3] = [-ORIGIN[0], -ORIGIN[1], ORIGIN[2]]
    path.parent.mkdir(exist_ok=True)
    return write_nifti(path, values, affine)


def build(root: Path, *more: str) -> int:
    given = ["--images", str(root / "images"), "--labels", str(root / "labels"), "--group-from", "stem"]
    split = ["--label-map", "1=tumour", "--fractions", "1", "0", "0", "--output", str(root / "d.json")]
    return main(["datalist", *given, *split, *more])


@pytest.fixture
def by_itk(tmp_path) -> Path:
    """A CT as SimpleITK and GDCM write it, in HU and with the Rescale Type "unspecified"."""
    write_series(tmp_path / "images/p1", edit=unspecified)
    write_mask(tmp_path / "labels/p1.nii.gz")
    return tmp_path


def test_the_option_that_a_refusal_names_is_taken_and_kept(by_itk, capsys):
    assert build(by_itk) == 1
    assert "to take its values for HU if you know that they are: --assume-hu (1)" in capsys.readouterr().err
    assert build(by_itk, "--assume-hu") == 0
    assert json.loads((by_itk / "d.json").read_text())["reading"] == RECORDED
    datalist = load_datalist(by_itk / "d.json")
    assert datalist.reading.given == RECORDED
    assert datalist.digest[:12] in capsys.readouterr().out
    assert len(load_decathlon_datalist(by_itk / "d.json")) == 1  # MONAI passes over the key


def test_training_and_evaluation_read_as_the_datalist_was_built(by_itk, tmp_path):
    build(by_itk, "--assume-hu")
    for name, section in (
        ("train", "train::deterministic_transforms"),
        ("evaluate", "validate::preprocessing"),
    ):
        parser = ConfigParser(ConfigParser.load_config_file(str(BUNDLE / f"{name}.yaml")))
        parser["_meta_"] = ConfigParser.load_config_file(str(BUNDLE / "metadata.json"))
        parser.update({"datalist": str(by_itk / "d.json"), "dataset_dir": str(by_itk), "split": "training"})
        parser.update({"data::split": "training", "label_names": ["background", "tumour"]})
        chain = parser.get_parsed_content(section)
        (item,) = parser.get_parsed_content("data").items("training")
        loaded = chain.transforms[0](item)
        assert loaded["image"].meta["unit"] == "HU"
        assert loaded["label"].sum() == 4
        assert source_view(chain)(item)["image"].shape == (1, 8, 6, 5)  # pictures read the file again
    scores = parser.get_parsed_content("scores")  # and so do quantities
    assert source_values(item["image"], case="c", reading=scores.reading)[1] == "[hnsf'U]"


def test_the_bundle_s_reading_is_read_with_besides_and_must_not_contradict(by_itk):
    build(by_itk, "--assume-hu", "--stack", "1")
    path = by_itk / "d.json"
    assert load_datalist(path, reading={"crop": True}).reading.given == {"stack": 1, **RECORDED, "crop": True}
    assert load_datalist(path, reading={"crop": True}).digest == load_datalist(path).digest
    with pytest.raises(DatalistError, match="reading option stack: 1, found 2"):
        load_datalist(path, reading={"stack": 2})
    path.write_text(path.read_text().replace('"assume_hu"', '"assume_HU"'))
    with pytest.raises(DatalistError, match=r"'assume_HU' in the datalist\. Build it again"):
        load_datalist(path)


def test_what_is_cached_depends_on_how_it_was_read(by_itk, tmp_path):
    item = {"image": str(by_itk / "images/p1"), "label": str(by_itk / "labels/p1.nii.gz")}
    hashes = {
        CachedDataset([item], LoadVolumed("image", reading=reading), tmp_path / "cache").transform_hash
        for reading in (None, {}, RECORDED, {"stack": 1})
    }
    assert len(hashes) == 3


def test_without_options_a_datalist_is_the_same_as_ever(tmp_path):
    write_series(tmp_path / "images/p1")
    write_mask(tmp_path / "labels/p1.nii.gz")
    assert build(tmp_path) == 0
    assert "reading" not in json.loads((tmp_path / "d.json").read_text())


def test_a_series_of_a_folder_and_a_stack_of_a_series_are_chosen_by_number(tmp_path, capsys):
    def later(index, dataset):
        dataset.TemporalPositionIdentifier = 2

    def other(_, dataset):
        dataset.SeriesInstanceUID = "1.2.9"

    folder = write_series(tmp_path / "images/p1", stored_values(4), modality="MR", edit=other, first_uid=300)
    for number, edit in enumerate((None, later)):
        more = {} if edit is None else {"edit": edit}
        moved = write_series(tmp_path / f"{number}", modality="MR", first_uid=100 * (number + 1), **more)
        for path in moved.iterdir():
            shutil.move(path, folder / f"z{number}_{path.name}")
    write_mask(tmp_path / "labels/p1.nii.gz")
    assert build(tmp_path) == 1
    assert "to choose one by its number: --series-number 1" in capsys.readouterr().err
    assert build(tmp_path, "--series-number", "2") == 1
    assert "to choose one by its number: --stack 1" in capsys.readouterr().err
    assert build(tmp_path, "--series-number", "2", "--stack", "2") == 0
    datalist = load_datalist(tmp_path / "d.json")
    load = LoadVolumed(["image", "label"], num_classes=2, reading=datalist.reading)
    assert load(datalist.items("training")[0])["image"].shape == (1, 8, 6, 5)


def test_contours_between_slices_are_drawn_on_the_nearest_where_that_is_asked_for(tmp_path, capsys):
    folder = write_series(tmp_path / "images/p1")
    series = read_source_series(the_series(find_series(folder)))
    (tmp_path / "labels").mkdir()
    square = contour(series.grid, [(1, 1), (1, 3), (4, 3), (4, 1)], at=1.4)
    named = {"series": series.series_instance_uid, "frame_of_reference": series.frame_of_reference_uid}
    write_structures(tmp_path / "labels/p1.dcm", {1: ("tumour", [square])}, **named)
    assert build(tmp_path) == 1
    assert "to draw each on the nearest slice: --nearest" in capsys.readouterr().err
    assert build(tmp_path, "--nearest") == 0
    note = "region 1: drawn on the nearest slice: 1 contours, up to 1.00 mm off"
    assert f"  1 x {note} (first: images/p1)" in capsys.readouterr().out
    datalist = load_datalist(tmp_path / "d.json")
    (item,) = datalist.items("training")
    options = {"label_map": {1: 1}, "num_classes": 2}
    with pytest.warns(UserWarning, match=f"{note}, in case {item['case']}"):
        loaded = LoadVolumed(["image", "label"], **options, reading=datalist.reading)(item)
    assert loaded["label"].sum(dim=(0, 1, 2)).tolist() == [0, 12, 0, 0, 0]
    with pytest.raises(GeometryError, match=r"reading=\{'nearest': True\}"):
        LoadVolumed(["image", "label"], **options)(item)
