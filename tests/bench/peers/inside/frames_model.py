"""``frames_model.py FOLDER``, in nnU-Net's environment: a model folder as its training leaves it, with nnU-Net's own
fingerprint and plan of the data set in ``nnUNet_raw``, and random weights. Prints the network's size as JSON."""

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.utils.flop_counter import FlopCounterMode


def main(folder: Path) -> None:
    extract_fingerprints([1], num_processes=1, show_progress_bar=False)
    plan_experiments([1])
    preprocessed, model = folder / "preprocessed" / "Dataset001_Frames", folder / "model"
    (model / "fold_0").mkdir(parents=True)
    shutil.copy(preprocessed / "nnUNetPlans.json", model / "plans.json")
    shutil.copy(folder / "raw" / "Dataset001_Frames" / "dataset.json", model / "dataset.json")
    plans = json.loads((model / "plans.json").read_text())
    manager = PlansManager(plans)
    configuration = manager.get_configuration("2d")
    network = nnUNetTrainer.build_network_architecture(
        manager, configuration, 1, 3, enable_deep_supervision=False
    ).eval()
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "2d"},
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(checkpoint, model / "fold_0" / "checkpoint_final.pth")
    patch = configuration.patch_size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, *patch))
    facts = {
        "version": importlib.metadata.version("nnunetv2"),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "gigaflop": counter.get_total_flops() / 1e9,
        "patch": " x ".join(map(str, patch)),
        "shape": " x ".join(str(round(side)) for side in plans["original_median_shape_after_transp"][1:]),
        "windows": windows(preprocessed, patch),
    }
    print("\n" + json.dumps(facts))


def windows(preprocessed: Path, patch: list) -> float:
    """The mean over the frames; a frame that is smaller than the patch is padded."""
    shapes = json.loads((preprocessed / "dataset_fingerprint.json").read_text())["shapes_after_crop"]
    counts = []
    for _, *shape in shapes:
        padded = [max(side, least) for side, least in zip(shape, patch, strict=True)]
        rows, columns = compute_steps_for_sliding_window(padded, patch, 0.5)
        counts.append(len(rows) * len(columns))
    return sum(counts) / len(counts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
