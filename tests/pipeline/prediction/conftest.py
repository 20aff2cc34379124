"""What tests of ``predict`` share: a checkpoint, a phantom and one run with all results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from pyraseg.pipeline.phantom import generate
from tests.pipeline.prediction.runs import Run, predict, write_checkpoint
from tests.pipeline.prediction.volume_runs import write_volume_checkpoint

EXAMPLES = (  # pydicom's own ultrasound files, as far as they come with it
    "ExplVR_BigEnd.dcm",
    "examples_jpeg2k.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Of the bundle's three classes."""
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "model.pt")


@pytest.fixture(scope="session")
def volume_checkpoint(tmp_path_factory) -> Path:
    """Of the volume bundles' two classes."""
    return write_volume_checkpoint(tmp_path_factory.mktemp("weights") / "volume.pt")


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """A folder with five cases: a frame each, but for two cines."""
    folder = tmp_path_factory.mktemp("phantom")
    generate(folder / "us", cases=5, seed=7)
    return folder / "us" / "images"


@pytest.fixture(scope="session")
def inputs(phantom, tmp_path_factory) -> Path:
    """The phantom and pydicom's examples, a folder each."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(phantom, folder / "phantom")
    (folder / "pydicom").mkdir()
    for name in EXAMPLES:
        shutil.copy(str(get_testdata_file(name, download=False)), folder / "pydicom" / name)
    return folder


@pytest.fixture(scope="session")
def predicted(inputs, checkpoint, tmp_path_factory) -> Run:
    """All formats of all ``inputs``; for tests that look and change nothing.

    One frame in a pass, as MONAI's command has it: with several, some processors add in another order.
    """
    output = tmp_path_factory.mktemp("predicted") / "out"
    return predict(inputs, output=output, checkpoints=[checkpoint], options=["--batch-size", "1"])
