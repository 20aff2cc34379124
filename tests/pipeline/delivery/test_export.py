"""An export gives torch's classes, says what it takes, and is whole or not there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.delivery import export
from pyraseg.pipeline.delivery.export import FORMATS, export_checkpoint
from pyraseg.pipeline.delivery.info import describe
from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.networks.checkpoint import with_facts
from pyraseg.pipeline.utils.files import sha256_of
from pyraseg.transforms.errors import CheckpointError, ConfigError, OutputError, UsageError
from tests.pipeline.delivery.test_info import documented
from tests.pipeline.prediction.runs import BUNDLE, write_checkpoint

NETWORK = {"name": "unet", "spatial_dims": 2, "in_channels": 1}
LABELS = ["background", "kidney"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "model.pt"
    facts = {"label_names": LABELS, "input_size": [32, 32], "network": NETWORK}
    torch.save(with_facts(build_network(**NETWORK, out_channels=2).state_dict(), facts), path)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_gives_torch_s_classes_says_what_it_takes_and_names_no_folder(name, checkpoint, tmp_path):
    if FORMATS[name].runtime is not None:
        pytest.importorskip(FORMATS[name].runtime.name, reason="an optional library")
    folder, record = export_checkpoint(checkpoint, format=name, output=tmp_path / name)
    assert record["agreement"]["least"] >= 0.999
    assert record["sha256"][record["file"]] == sha256_of(folder / record["file"])
    assert record["checkpoint"]["sha256"] == sha256_of(checkpoint)
    sizes = [-1, -1] if name in ("pt2", "torchscript") else [32, 32]
    assert (record["input"]["shape"], record["output"]["shape"]) == ([-1, 1, *sizes], [-1, 2, *sizes])
    found = describe(folder)
    assert found == {"kind": "export", **json.loads((folder / "model.json").read_text())}
    assert found.keys() - {"kind"} == documented()["export"]
    written = b"".join(file.read_bytes() for file in folder.iterdir())
    libraries = str(Path(torch.__file__).parents[1]).encode()
    assert name == "torchscript" or libraries not in written  # torch keeps source files' names there


def test_a_user_s_images_are_what_is_compared_on(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(30, 220, (60, 80), dtype=np.uint8)).save(frames / f"{number}.png")
    model = write_checkpoint(tmp_path / "model.pt")
    folder, record = export_checkpoint(model, format="torchscript", bundle=BUNDLE, inputs=frames)
    assert folder == tmp_path / "model_torchscript"
    assert (record["agreement"]["images"], record["agreement"]["generated"]) == (2, False)


def refusing(network, image, path):
    path.write_bytes(b"half")
    raise KeyError("an operation")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"write": refusing}, "one that its exporter refuses (KeyError)"),
        ({"load": lambda path, image: lambda x: -torch.jit.load(path)(x)}, "by model.ts"),
    ],
)
def test_a_refused_or_wrong_export_is_a_sentence_and_leaves_nothing(
    changes, said, checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(export.FORMATS, "torchscript", replace(FORMATS["torchscript"], **changes))
    output = str(tmp_path / "out")
    assert (
        main(["export", "--checkpoint", str(checkpoint), "--format", "torchscript", "--output", output]) == 1
    )
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(checkpoint, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="no such file"):
        export_checkpoint(tmp_path / "none.pt", format="pt2")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "plain.pt")
    with pytest.raises(CheckpointError, match="without label_names, input_size, network"):
        export_checkpoint(tmp_path / "plain.pt", format="pt2")
    for fold in ("fold_0", "fold_1"):
        (tmp_path / fold).mkdir()
        (tmp_path / fold / "model.pt").write_bytes(checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match="wanted one checkpoint, found 2"):
        export_checkpoint(tmp_path, format="pt2")
    with pytest.raises(UsageError, match="--bundle and --inputs together"):
        export_checkpoint(checkpoint, format="pt2", inputs=tmp_path)
    with pytest.raises(OutputError, match="a new folder"):
        export_checkpoint(checkpoint, format="pt2", output=tmp_path)
    absent = replace(FORMATS["onnx"].runtime, name="no_such_library", requirement="no_such_library>=1")
    monkeypatch.setitem(export.FORMATS, "onnx", replace(FORMATS["onnx"], runtime=absent))
    with pytest.raises(ConfigError, match=r'pip install "no_such_library>=1"'):
        export_checkpoint(checkpoint, format="onnx", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
