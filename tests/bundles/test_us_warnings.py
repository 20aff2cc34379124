"""A trained network knows images that are none of a kidney from those that are."""

from __future__ import annotations

import shutil
from collections import defaultdict

import numpy as np
import pytest
from monai.bundle import run
from PIL import Image

from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.trust.unlike import FLAG
from tests.pipeline.evaluation.engines import read


@pytest.fixture(scope="module")
def told(ultrasound, trained, shared_data, tmp_path_factory) -> list[dict[str, str]]:
    """What inference says of each image."""
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
    overrides = {**ultrasound.common, "dataset_dir": str(folder), "checkpoint": str(trained)}
    output = ultrasound.output / "warnings"
    run("inference", config_file=ultrasound.config("inference"), output_dir=str(output), **overrides)
    return read(output / "cases.csv")


def test_hearts_vessels_and_blank_frames_are_farther_than_new_patients(told):
    """After two epochs, and however those end: nine times of ten for one of either, whatever the threshold,
    which is that of two patients of validation here."""
    own: dict[str, float] = defaultdict(float)
    for row in told:
        if row["image"].startswith("own/"):
            name = row["image"].split("#")[0]
            own[name] = max(own[name], float(row["unlike"]))
    others = [float(row["unlike"]) for row in told if not row["image"].startswith("own/")]
    assert (len(own), len(others) >= 25) == (16, True)
    assert np.mean([other > mine for other in others for mine in own.values()]) >= 0.9


def test_beyond_the_threshold_an_image_is_flagged_and_few_of_the_training_s_kind_are(told):
    clear = [row for row in told if abs(float(row["unlike"]) - 1) > 0.001]
    assert all((FLAG in row["warnings"]) == (float(row["unlike"]) > 1) for row in clear)
    own = {row["image"].split("#")[0]: FLAG in row["warnings"] for row in told if row["image"][:4] == "own/"}
    assert np.mean([*own.values()]) <= 0.25
    blank = [row for row in told if row["image"] in ("black.png", "grey.png", "noise.png")]
    assert [FLAG in row["warnings"] for row in blank] == [True] * 3
