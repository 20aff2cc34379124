"""A trained network knows images that are none of a kidney from those that are."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from monai.bundle import run
from PIL import Image

from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.trust.unlike import FLAG
from tests.bundles.conftest import ROOT, Workspace
from tests.pipeline.evaluation.engines import read


@pytest.fixture(scope="module")
def kidneys(tmp_path_factory) -> Workspace:
    """24 patients of the phantom: with two epochs on ten it depended on the processor's arithmetic."""
    folder = tmp_path_factory.mktemp("kidneys")
    generate(folder / "data", modality="us", cases=24, seed=3)
    return Workspace(ROOT / "bundles" / "us_hydronephrosis", folder / "data", folder / "runs")


@pytest.fixture(scope="module")
def flagged(kidneys, shared_data, tmp_path_factory) -> dict[str, bool]:
    """Whether each image, by its file name, was flagged as unlike the training data."""
    once = {"max_epochs": 8, "val_interval": 8, "track": False}
    run("training", config_file=kidneys.config("train"), **kidneys.training(), **once)
    folder = tmp_path_factory.mktemp("others")
    for path in (shared_data / "dicom" / "us").glob("*.dcm"):
        shutil.copy(path, folder)
    across = np.linspace(0, 255, 256)
    noise = np.random.default_rng(0).integers(0, 255, (192, 256))
    blank = {"black": 0 * noise, "grey": 0 * noise + 90, "ramp": noise * 0 + across, "noise": noise}
    for name, frame in blank.items():
        Image.fromarray(frame.astype(np.uint8)).save(folder / f"{name}.png")
    generate(folder / "own", modality="us", cases=16, seed=11)
    shutil.rmtree(folder / "own" / "labels")
    checkpoint, output = kidneys.output / "models" / "model.pt", kidneys.output / "warnings"
    overrides = {**kidneys.common, "dataset_dir": str(folder), "checkpoint": str(checkpoint)}
    run("inference", config_file=kidneys.config("inference"), output_dir=str(output), **overrides)
    rows = read(output / "cases.csv")
    return {row["image"]: FLAG in row["warnings"] for row in rows}


def test_hearts_vessels_and_blank_frames_are_flagged(flagged):
    others = [flag for image, flag in flagged.items() if not image.startswith("own/")]
    assert len(others) >= 25
    assert np.mean(others) >= 0.95


def test_new_images_of_the_training_s_kind_are_not(flagged):
    own = {image.split("#")[0]: flag for image, flag in flagged.items() if image.startswith("own/")}
    assert len(own) == 16
    assert np.mean([*own.values()]) <= 0.25
