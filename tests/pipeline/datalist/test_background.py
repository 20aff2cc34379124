"""Images that show none of the classes: declared, never guessed, for training alone, and no leak."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.datalist import (
    BackgroundSource,
    DatalistReport,
    FolderSource,
    Grouping,
    build_datalist,
    load_datalist,
    write_datalist,
)
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.frames import LoadFramed
from pyraseg.transforms.io.volumes import LoadVolumed

GROUPING = Grouping(pattern=r"(p\d+)_")
NAMES = ["background", "hydronephrosis"]


@pytest.fixture
def root(tmp_path: Path, make_image) -> Path:
    for patient in range(6):
        make_image(tmp_path / f"images/p{patient}_0.png", seed=1 + patient)
        make_image(tmp_path / f"masks/p{patient}_0.png", values=(0, 255))
    return tmp_path


def built(root: Path, **options) -> DatalistReport:
    source = FolderSource(root / "images", root / "masks", GROUPING)
    background = BackgroundSource(root / "healthy", GROUPING)
    fractions = options.pop("fractions", (0.5, 0.25, 0.25))
    return build_datalist(
        source,
        root / "d.json",
        label_map=["255=hydronephrosis"],
        fractions=fractions,
        background=background,
        **options,
    )


def test_background_joins_training_and_its_label_is_nothing_on_the_images_grid(
    root: Path, make_image
) -> None:
    make_image(root / "healthy/p9_0.png", seed=90)
    report = built(root)
    (item,) = [item for item in load_datalist(report.path).training if "background" in item]
    assert "label" not in item
    assert "1 in training" in "\n".join(report.lines())
    loaded = LoadFramed(["image", "label"])(item)
    assert loaded["label"].shape[1:] == loaded["image"].shape[1:]
    assert loaded["label"].dtype == torch.uint8
    assert not loaded["label"].any()
    assert "background" not in loaded  # a batch has the same keys in all items


def test_a_volume_without_the_classes_has_an_empty_label(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    item = {"image": str(tmp_path / "a.nii.gz"), "background": True}
    loaded = LoadVolumed(["image", "label"], num_classes=2)(item)
    assert loaded["label"].shape == (1, 4, 5, 6)
    assert not loaded["label"].any()
    assert "background" not in loaded


def test_background_of_patients_held_out_and_of_labelled_images_is_left_out(root: Path, make_image) -> None:
    for patient in range(6):
        make_image(root / f"healthy/p{patient}_1.png", seed=50 + patient)
    report = built(root, keep_groups=True)
    datalist = load_datalist(report.path)
    held_out = {item["group"] for item in (*datalist.validation, *datalist.test)}
    blank = [item for item in datalist.training if "background" in item]
    assert len(blank) + len(report.left_out) == 6
    assert {item["group"] for item in blank}.isdisjoint(held_out)
    assert {reason for _, reason in report.left_out} <= {
        "background: its group is in validation",
        "background: its group is in test",
    }


def test_background_in_folds_trains_and_is_never_validated_on(root: Path, make_image) -> None:
    for patient in (0, 1, 2, 9):
        make_image(root / f"healthy/p{patient}_1.png", seed=50 + patient)
    report = built(root, folds=3, fractions=(0.8, 0.2, 0.0))
    assert sum("background" in item for item in load_datalist(report.path, split=()).training) == 4
    for fold in range(3):
        datalist = load_datalist(report.path, fold=fold, split=("training", "validation"))
        held_out = {item["group"] for item in datalist.validation}
        assert not any("background" in item for item in datalist.validation)
        assert all(item["group"] not in held_out for item in datalist.training)


def test_one_image_with_a_label_in_test_and_as_background_is_a_leak(root: Path, make_image) -> None:
    for patient in range(6):  # the same bytes under another patient's name
        make_image(root / f"healthy/p9_{patient}.png", seed=1 + patient)
    with pytest.raises(DatalistError, match="the same image in 2 groups"):
        built(root)


@pytest.mark.parametrize(
    ("split", "extra", "found"),
    [
        ("training", {"background": "yes"}, "'yes'"),
        ("training", {"background": True, "label": "b.png"}, "beside a label"),
        ("test", {"background": True}, "outside training"),
        ("training", {}, "without a path under label"),
    ],
)
def test_background_is_declared_in_one_way(tmp_path: Path, split: str, extra: dict, found: str) -> None:
    with pytest.raises(DatalistError) as caught:
        write_datalist(tmp_path / "d.json", {split: [{"image": "a.png"} | extra]}, label_names=NAMES)
    assert found in caught.value.found


def test_the_command_takes_a_folder_of_background(root: Path, make_image, capsys) -> None:
    make_image(root / "healthy/p9_0.png", seed=90)
    folders = ["--images", str(root / "images"), "--labels", str(root / "masks")]
    options = ["--group-pattern", r"(p\d+)_", "--label-map", "255=fluid", "--output", str(root / "d.json")]
    assert main(["datalist", *folders, *options, "--background", str(root / "healthy")]) == 0
    assert '"background": true' in (root / "d.json").read_text()
    assert json.loads((root / "d.json").read_text())["training"]
