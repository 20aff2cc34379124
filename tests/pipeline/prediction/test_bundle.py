"""A bundle is loaded with its weights, or refused with a sentence that says what is wrong with it."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch

from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.transforms.errors import CheckpointError, ConfigError, PyrasegError
from tests.pipeline.prediction.runs import BUNDLE, LABELS, SIZE, write_checkpoint


class Trap:
    """Leaves a file behind where somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_bundle_says_what_it_is(checkpoint):
    bundle = load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], device="cpu")
    assert bundle.label_names == LABELS
    assert bundle.input_shape == (3, *SIZE)
    assert (bundle.algorithm.version, bundle.algorithm.bundle) == (
        read_bundle(BUNDLE).metadata["version"],
        BUNDLE.name,
    )
    assert not bundle.network.training
    scores = bundle.network(torch.zeros(1, *bundle.input_shape))
    assert scores.shape == (1, 3, *SIZE)


def test_weights_that_are_not_there_are_missed_by_their_option(tmp_path):
    with pytest.raises(CheckpointError, match="--checkpoint") as caught:
        load_bundle(read_bundle(BUNDLE), checkpoints=[tmp_path / "model.pt"])
    assert str(tmp_path) not in str(caught.value)


def test_a_bundle_that_was_never_trained_has_no_weights(tmp_path):
    shutil.copytree(BUNDLE / "configs", tmp_path / "new" / "configs")
    with pytest.raises(CheckpointError, match="Train the bundle first"):
        load_bundle(read_bundle(tmp_path / "new"))


def test_a_folder_without_configs_is_no_bundle(tmp_path):
    with pytest.raises(ConfigError, match="--bundle"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("name", ["inference.yaml", "metadata.json"])
def test_a_config_that_cannot_be_read_is_no_traceback(checkpoint, tmp_path, name):
    shutil.copytree(BUNDLE / "configs", tmp_path / "configs")
    (tmp_path / "configs" / name).write_text("{: [broken")
    with pytest.raises(ConfigError):
        load_bundle(read_bundle(tmp_path), checkpoints=[checkpoint])


def test_an_unknown_override_stops_with_the_nearest_names(checkpoint):
    with pytest.raises(ConfigError, match="found --inference_mod") as caught:
        load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], overrides={"inference_mod": "sliding"})
    assert "inference_mode" in caught.value.remedy


def test_a_wrong_value_of_an_override_is_an_error_of_ours(checkpoint):
    with pytest.raises(PyrasegError):
        load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], overrides={"inference_size": "nonsense"})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("inference_size", "[128, 64]", r"input_size \[96, 96\], found input_size \[128, 64\]"),
        ("label_names", "[background, kidney, cyst]", "'hydronephrosis'.*, found label_names .*'cyst'"),
        ("trained::network::depth", "50", r"18, as the checkpoint says, found --trained::network::depth 50"),
    ],
)
def test_another_size_or_label_set_than_the_checkpoint_s_is_refused_with_both(
    checkpoint, name, value, wanted
):
    with pytest.raises(CheckpointError, match=wanted):
        load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], overrides={name: value})


def test_overrides_change_the_bundle_and_its_digest(checkpoint):
    plain = load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint])
    overrides = {"inference_mode": "sliding", "inference_size": "[128, 64]", "tta_flips": "[w]"}
    other = load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], overrides=overrides)
    assert other.input_shape == (3, 128, 64)
    assert list(other.inferer.tta_flips) == ["w"]
    assert not plain.inferer.tta_flips
    assert plain.digest != other.digest
    assert plain.digest == load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint]).digest


def test_other_weights_have_another_hash_and_their_order_counts(checkpoint, tmp_path):
    other = write_checkpoint(tmp_path / "other.pt", seed=5)
    given = ([checkpoint], [other], [checkpoint, other], [other, checkpoint])
    assert (
        len({load_bundle(read_bundle(BUNDLE), checkpoints=paths).algorithm.weights for paths in given}) == 4
    )


def test_a_checkpoint_says_what_its_network_saw_in_a_folder_whose_name_monai_would_take_apart(tmp_path):
    (tmp_path / "run#1").mkdir()
    path = write_checkpoint(tmp_path / "run#1" / "model.pt", labels=("background", "hydronephrosis"))
    assert load_bundle(read_bundle(BUNDLE), checkpoints=[path]).label_names == (
        "background",
        "hydronephrosis",
    )


def test_members_of_other_classes_are_no_ensemble(checkpoint, tmp_path):
    two = write_checkpoint(tmp_path / "two.pt", labels=("background", "hydronephrosis"))
    with pytest.raises(CheckpointError):
        load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint, two])


def test_weights_of_another_number_of_classes_than_they_claim_are_refused(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    save_checkpoint(tmp_path / "liar.pt", {**content, "label_names": ["background", "hydronephrosis"]})
    with pytest.raises(CheckpointError):
        load_bundle(read_bundle(BUNDLE), checkpoints=[tmp_path / "liar.pt"])


@pytest.mark.parametrize(
    "writer", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))]
)
def test_weights_that_are_a_program_do_not_run(checkpoint, tmp_path, writer):
    content = torch.load(checkpoint, weights_only=True)
    writer({**content, "trap": Trap(tmp_path / "sprung")}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError):
        load_bundle(read_bundle(BUNDLE), checkpoints=[tmp_path / "model.pt"])
    assert not (tmp_path / "sprung").exists()
