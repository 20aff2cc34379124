"""Checkpoints say what they are: the label set, the network's arguments, and weights that fit them."""

from __future__ import annotations

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from pyraseg.pipeline.inference import Ensemble, load_checkpoints, trained_facts, trained_network
from pyraseg.pipeline.inference.trained import checkpoint_paths
from pyraseg.pipeline.networks.checkpoint import with_facts
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.transforms.errors import CheckpointError
from tests.pipeline.inference.test_ensemble import infer, member

DEFAULTS = {
    "label_names": ["background", "kidney"],
    "input_size": [32, 32],
    "network": {"depth": 18, "in_channels": 1},
}


CONFIG = """
device: cpu
trained:
  _target_: pyraseg.pipeline.inference.trained_facts
  checkpoint: '@checkpoint'
  label_names: [background, kidney]
  input_size: [32, 32]
  network: {name: unet, spatial_dims: 2, in_channels: 1}
label_names: $@trained['label_names']
input_size: $@trained['input_size']
network_def:
  _target_: pyraseg.pipeline.inference.trained_network
  trained: '@trained'
preprocessing:
  _target_: Compose
  transforms:
  - {_target_: pyraseg.transforms.geometry.letterbox.Letterboxd, keys: image, size: '@input_size'}
inferer:
  _target_: pyraseg.pipeline.inference.SegmentationInferer
  mode: whole
  roi_size: '@input_size'
  overlap: 0.5
  device: '@device'
  amp: auto
  tta_flips: null
postprocessing:
  _target_: Compose
  transforms:
  - _target_: pyraseg.pipeline.inference.SourceGridLabelsd
    keys: pred
    preprocessing: '@preprocessing'
    probabilities: null
  - _target_: pyraseg.pipeline.inference.CleanUpLabelsd
    keys: pred
    label_names: '@label_names'
    options: '@cleanup'
"""


def facts_of(checkpoint) -> dict:
    return trained_facts(checkpoint, **DEFAULTS)


def stored(folder, *names: str, **facts) -> list:
    """A checkpoint for each network named, with these facts."""
    paths = []
    for seed, name in enumerate(names):
        network = member(seed, name)
        content = {
            "label_names": ["background", "kidney"],
            "input_size": [32, 32],
            "network": network.options,
        }
        content |= {"model": network.state_dict()} | facts
        paths.append(save_checkpoint(folder / f"{len(list(folder.glob('*.pt')))}.pt", content))
    return paths


class TestFacts:
    """What the defaults are for, and what a file says."""

    FACTS = {  # noqa: RUF012 - constant
        "label_names": ["background", "fluid"],
        "input_size": [64, 64],
        "network": {"depth": 18, "in_channels": 1},
    }
    DECLARED = {  # noqa: RUF012 - constant
        "label_names": ["background", "kidney"],
        "input_size": [32, 32],
        "network": {"depth": 18, "spatial_dims": 2, "in_channels": 1, "out_channels": 2},
    }

    def told(self, path) -> dict:
        facts = facts_of(path)
        facts = {name: facts[name] for name in (*self.DECLARED, "networks")}
        assert facts.pop("networks") == [facts["network"]]
        return facts

    def test_before_any_training_the_defaults_speak(self, tmp_path):
        assert self.told(tmp_path / "none.pt") == self.DECLARED

    def test_bare_weights_say_nothing_so_the_defaults_speak(self, tmp_path):
        torch.save({"weight": torch.ones(2)}, tmp_path / "bare.pt")
        assert self.told(tmp_path / "bare.pt") == self.DECLARED

    def test_a_checkpoint_s_own_facts_replace_the_defaults(self, tmp_path):
        path = save_checkpoint(tmp_path / "model.pt", {"model": {}, **self.FACTS})
        wanted = self.FACTS | {"network": {"depth": 18, "in_channels": 1, "out_channels": 2}}
        assert self.told(path) == wanted

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("label_names", 5),
            ("label_names", []),
            ("input_size", [0, 64]),
            ("input_size", "large"),
            ("network", {"depth": 18}),
            ("preprocessing", {"Spacingd": [4.0]}),
        ],
    )
    def test_facts_of_another_kind_are_refused_by_their_name(self, tmp_path, name, value):
        content = with_facts({"weight": torch.ones(2)}, {**self.FACTS, name: value})
        with pytest.raises(CheckpointError, match=f"a checkpoint's {name}, found another kind"):
            facts_of(save_checkpoint(tmp_path / "model.pt", content))

    def test_what_a_file_does_not_say_is_said(self, tmp_path, caplog):
        facts_of(save_checkpoint(tmp_path / "earlier.pt", {"model": {}, **self.FACTS}))
        assert "does not say its preprocessing: the bundle's are taken" in caplog.text

    def test_a_file_that_is_no_checkpoint_is_refused(self, tmp_path):
        (tmp_path / "model.pt").write_text("weights")
        with pytest.raises(CheckpointError, match=r"torch\.load refuses"):
            facts_of(tmp_path / "model.pt")

    def test_a_plain_config_parser_builds_all_of_inference_before_there_are_weights(self, tmp_path):
        parser = ConfigParser(
            {"checkpoint": str(tmp_path / "none.pt"), "cleanup": None, **yaml.safe_load(CONFIG)}
        )
        assert parser.get_parsed_content("label_names") == DEFAULTS["label_names"]
        network = parser.get_parsed_content("network_def").eval()
        item = parser.get_parsed_content("preprocessing")({"image": MetaTensor(torch.rand(1, 30, 50))})
        with torch.no_grad():
            item["pred"] = parser.get_parsed_content("inferer")(item["image"][None], network)[0]
        assert item["pred"].shape == (2, 32, 32)
        assert parser.get_parsed_content("postprocessing")(item)["pred"].shape == (1, 30, 50)
        with pytest.raises(CheckpointError, match="no such file"):
            load_checkpoints(network, tmp_path / "none.pt")


class TestCheckpoints:
    def test_several_are_built_and_loaded_into_an_ensemble_in_their_order(self, tmp_path):
        paths = stored(tmp_path, "unet", "segresnet")
        network = trained_network(facts_of(paths))
        load_checkpoints(network, [str(path) for path in paths])
        expected = Ensemble([member(0, "unet"), member(1, "segresnet")])
        assert torch.allclose(infer(network.eval()), infer(expected), atol=1e-6)

    def test_one_is_built_and_loaded_as_itself(self, tmp_path):
        (path,) = stored(tmp_path, "unet")
        for given in (path, str(path), [path]):
            network = trained_network(facts_of(given))
            load_checkpoints(network, given)
            assert torch.equal(infer(network.eval()), infer(member(0)))

    def test_a_folder_of_folds_is_its_best_checkpoints_in_the_order_of_the_folds(self, tmp_path):
        for fold in (10, 2, 0):
            save_checkpoint(tmp_path / f"fold_{fold}" / "model.pt", {"model": {}})
            save_checkpoint(tmp_path / f"fold_{fold}" / "last.pt", {"model": {}})
        assert [path.parent.name for path in checkpoint_paths(tmp_path)] == ["fold_0", "fold_2", "fold_10"]
        assert checkpoint_paths(tmp_path / "fold_2") == [tmp_path / "fold_2" / "model.pt"]

    def test_a_folder_without_any_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"a folder with model\.pt") as raised:
            checkpoint_paths(tmp_path)
        assert str(tmp_path) not in str(raised.value)

    @pytest.mark.parametrize(
        ("facts", "sentence"),
        [
            (
                {"label_names": ["background", "fluid"]},
                r"label_names \['background', 'kidney'\] .* found label_names \['background', 'fluid'\]",
            ),
            ({"input_size": [64, 32]}, r"input_size \[32, 32\] .* found input_size \[64, 32\]"),
            ({"network": {"name": "unet", "in_channels": 3}}, "in_channels 1 .* found network in_channels 3"),
        ],
    )
    def test_those_that_were_trained_differently_are_refused(self, tmp_path, facts, sentence):
        paths = stored(tmp_path, "unet") + stored(tmp_path, "unet", **facts)
        with pytest.raises(CheckpointError, match=sentence) as raised:
            facts_of(paths)
        assert raised.value.path == str(paths[1])

    def test_one_that_is_missing_among_several_is_said(self, tmp_path):
        paths = [*stored(tmp_path, "unet"), tmp_path / "none.pt"]
        with pytest.raises(CheckpointError, match="no such file"):
            facts_of(paths)

    def test_no_checkpoint_and_another_number_than_members_are_refused(self, tmp_path):
        (path,) = stored(tmp_path, "unet")
        with pytest.raises(CheckpointError, match="found none"):
            facts_of([])
        with pytest.raises(CheckpointError, match="2 checkpoints, one a network, found 1"):
            load_checkpoints(Ensemble([member(0), member(1)]), path)


def test_a_checkpoint_for_volumes_is_refused_where_images_are_frames(tmp_path):
    torch.save(with_facts({"weight": torch.ones(1)}, {"input_size": [32, 32, 32]}), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="images of 2 dimensions, found one for 3"):
        trained_facts(tmp_path / "model.pt", **DEFAULTS)
