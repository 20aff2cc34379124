"""Four bundles, one shape: what their configs define, id by id, and the few places where they may differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))
CONFIGS = ("train", "evaluate", "inference", "multi_gpu_train", "soft_labels")
BASELINES = ("unet", "flexible_unet", "segresnet", "dynunet")
LONGEST = 356  # lines

# What stands below these ids is a bundle's own, see docs/new-bundle.md; all else is the same to the letter.
TRAINED = tuple(f"trained::{name}" for name in ("label_names", "input_size", "network", "preprocessing"))
MAY_DIFFER = {
    "train": (
        "experiment_name",
        "label_names",
        *("spacing_mm", "orientation", "window", "body_z_score"),
        *("in_channels", "input_size", "output_stride", "skips"),  # the network and its input
        *("max_epochs", "patience", "val_interval", "batch_size", "frames_per_group", "patches_per_volume"),
        *("learning_rate", "batch_dice"),
        *("inference_mode", "inference_size", "cleanup"),
        "train::deterministic_transforms::transforms",
        "train::random_transforms::transforms",
        "validate::preprocessing::transforms",
    ),
    "evaluate": (
        *("experiment_name", *TRAINED, "spacing_mm", "orientation", "window", "body_z_score"),
        *("inference_mode", "inference_size", "cleanup"),
        "validate::preprocessing::transforms",
    ),
    "inference": (
        *(*TRAINED, "spacing_mm", "orientation", "window", "body_z_score"),
        *("inference_mode", "inference_size", "cleanup"),
        "preprocessing::transforms",
        "images",  # frames or volumes
    ),
    "soft_labels": ("superpixel_size", "train::modes"),
}
ZOO_IDS = {
    "train": """bundle_root device dataset_dir network_def network loss optimizer lr_scheduler
        train::preprocessing train::dataset train::dataset::data train::dataloader train::inferer
        train::handlers train::trainer train::trainer::max_epochs validate::preprocessing validate::dataset
        validate::dataset::data validate::dataloader validate::inferer validate::postprocessing
        validate::handlers validate::key_metric validate::evaluator initialize run training""",
    "evaluate": "bundle_root device dataset_dir network_def validate::evaluator initialize run evaluating",
    "inference": """bundle_root device dataset_dir output_dir network_def network preprocessing dataset
        dataset::data dataloader inferer postprocessing handlers evaluator initialize run inference""",
}


def read(bundle: Path, name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(bundle / "configs" / f"{name}.yaml"))


def leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every id whose value is no mapping."""
    if isinstance(config, dict) and config:
        for name, value in config.items():
            yield from leaves(value, f"{key}::{name}" if key else name)
    else:
        yield key, config


def common(bundle: Path, name: str) -> dict[str, Any]:
    own = MAY_DIFFER.get(name, ())
    return {
        key: value
        for key, value in leaves(read(bundle, name))
        if not any(key == one or key.startswith(f"{one}::") for one in own)
    }


@pytest.mark.parametrize("name", [*CONFIGS, *BASELINES])
def test_the_bundles_differ_only_where_they_may(name):
    first, *others = BUNDLES
    for other in others:
        assert common(other, name) == common(first, name), other.name


@pytest.mark.parametrize(("name", "own"), MAY_DIFFER.items(), ids=list(MAY_DIFFER))
def test_what_may_differ_does(name, own):
    """An entry of the list above that has become the same everywhere belongs out of it."""
    for entry in own:
        values = [
            {k: v for k, v in leaves(read(bundle, name)) if k == entry or k.startswith(f"{entry}::")}
            for bundle in BUNDLES
        ]
        assert any(value != values[0] for value in values[1:]), entry


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
class TestOneBundle:
    def test_the_ids_of_the_model_zoo_are_there(self, bundle):
        for name, ids in ZOO_IDS.items():
            parser = ConfigParser(read(bundle, name))
            assert [one for one in ids.split() if one not in parser] == [], name

    def test_inference_prepares_an_image_as_training_does(self, bundle):
        training = prepared(read(bundle, "train")["train"]["deterministic_transforms"])
        validation = prepared(read(bundle, "train")["validate"]["preprocessing"])
        evaluation = prepared(read(bundle, "evaluate")["validate"]["preprocessing"])
        inference = prepared(read(bundle, "inference")["preprocessing"])
        assert training == validation == evaluation == inference

    def test_evaluation_validates_as_training_does(self, bundle):
        train, evaluate = read(bundle, "train"), read(bundle, "evaluate")
        decided = evaluate["validate"]["postprocessing"]["transforms"]
        assert [step.pop("decision") for step in decided] == ["@decision"] * 2  # a training has the argmax
        assert evaluate["validate"]["postprocessing"] == train["validate"]["postprocessing"]
        flips = {"tta_flips": "@tta_flips"}
        assert evaluate["validate"]["inferer"] == train["validate"]["inferer"] | flips
        assert read(bundle, "inference")["inferer"] == train["validate"]["inferer"] | flips

    def test_what_stands_in_two_files_is_the_same(self, bundle):
        """The network and its input before there is a checkpoint, the clean-up, the inference."""
        train, evaluate, inference = (read(bundle, name) for name in ("train", "evaluate", "inference"))
        for other in (evaluate, inference):
            for name in ("inference_mode", "inference_size", "overlap", "cleanup", "device"):
                assert other.get(name) == train.get(name), name
            assert other["trained"] == inference["trained"]
        trained = inference["trained"]
        assert [trained[name] for name in ("label_names", "input_size")] == [
            train[name] for name in ("label_names", "input_size")
        ]
        seen = {k: v for step in trained.get("preprocessing", {}).values() for k, v in step.items()}
        declared = {"pixdim": "spacing_mm", "axcodes": "orientation"}
        assert seen == {name: train[declared.get(name, name)] for name in seen}
        network = {k: v for k, v in trained["network"].items() if k not in ("name", "spatial_dims")}
        assert network == {name: train[name] for name in network}
        assert trained["network"]["spatial_dims"] == len(train["input_size"])

    def test_inference_reads_as_the_metadata_says(self, bundle):
        metadata = ConfigParser.load_config_file(str(bundle / "configs" / "metadata.json"))
        assert read(bundle, "inference")["reading"] == metadata["reading"]

    def test_nothing_that_other_tools_read_needs_the_metadata(self, bundle):
        """MONAI Label reads ``inference.yaml`` alone, without ``metadata.json``."""
        for name in ("network_def", "preprocessing", "inferer", "postprocessing", "device", "trained"):
            assert "_meta_" not in str(read(bundle, "inference")[name])

    def test_the_loss_is_dice_and_cross_entropy_in_the_patent_s_form(self, bundle):
        loss = read(bundle, "train")["hard_loss"]
        assert loss["_target_"].endswith("DiceCELoss")
        assert all(loss[name] for name in ("softmax", "to_onehot_y", "squared_pred", "include_background"))

    def test_a_training_can_be_read_in_one_go(self, bundle):
        assert len((bundle / "configs" / "train.yaml").read_text().splitlines()) <= LONGEST

    def test_every_id_that_is_named_is_defined(self, bundle):
        for name in ("train", "evaluate", "inference"):
            text = (bundle / "configs" / f"{name}.yaml").read_text()
            parser = ConfigParser(read(bundle, name))
            parser["_meta_"] = ConfigParser.load_config_file(str(bundle / "configs" / "metadata.json"))
            named = re.findall(r"(?<![\w'])'?@([A-Za-z_]\w*(?:::\w+)*)", text)
            assert [one for one in dict.fromkeys(named) if one not in parser] == [], name


def prepared(compose: dict[str, Any]) -> list[Any]:
    """What a chain of transforms does to the image: the steps of the label left out."""
    steps = []
    for step in compose["transforms"]:
        keys = step["keys"] if isinstance(step["keys"], list) else [step["keys"]]
        if "image" in keys and not step["_target_"].endswith("CheckSameGridd"):
            first = {
                k: v[0] if k in ("mode", "fill", "dtype") and isinstance(v, list) else v
                for k, v in step.items()
            }
            of_labels = ("keys", "label_map", "num_classes", "reading")
            image = {k: v for k, v in first.items() if k not in of_labels}
            steps.append(image | {"size": "SIZE"} if "size" in image else image)
    return steps
