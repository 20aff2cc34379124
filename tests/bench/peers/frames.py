"""``pyraseg predict`` beside nnU-Net v2 in 2D, on the same frames of the phantom: both untrained, as their defaults
plan it, without flips at test time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydicom import dcmread
from torch.utils.flop_counter import FlopCounterMode

from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.phantom import generate
from pyraseg.transforms.io.frames import LoadFrame
from tests.bench.cost import NETWORK, network
from tests.bench.peers.environments import Missing, command, in_environment
from tests.bench.peers.rows import Row, in_turns
from tests.bench.processes import Spent, run

__all__ = ["measure"]

BUNDLE = "bundles/us_hydronephrosis"
LABELS = {"background": 0, "kidney": 1, "hydronephrosis": 2}
FURTHER, CASES, SIZE, ROUNDS = 20, 34, 224, 2
RUNS = ("one", "all")


def measure() -> tuple[list[Row], str]:
    """Cold seconds, seconds of each further frame (of the difference between 21 frames and one), and memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_frames(folder)
        facts = in_environment("nnunet", "frames_model.py", folder, **_variables(folder))
        network(folder / "model.pt", volumes=False)
        peaks: dict[str, float] = {}
        seconds = in_turns(
            {f"{who} {which}": _way(folder, who, which, peaks) for which in RUNS for who in WAYS}, ROUNDS
        )
        backend = json.loads((folder / "ours-all/manifest.json").read_text())["backend"]
    ours = _size()
    return _rows(seconds, peaks, facts, ours["gigaflop"]), _note(facts, ours, backend)


def _rows(
    seconds: dict[str, float], peaks: dict[str, float], facts: dict[str, Any], gigaflop: float
) -> list[Row]:
    peer = f"nnU-Net {facts['version']}"
    cold = {who: seconds[f"{who} one"] for who in WAYS}
    further = {who: 1000 * (seconds[f"{who} all"] - cold[who]) / FURTHER for who in WAYS}
    each = {
        "ours": further["ours"] / gigaflop,
        "theirs": further["theirs"] / facts["gigaflop"] / facts["windows"],
    }
    all_results = "ours with SEG, SR, NIfTI and overlay"
    return [
        Row(peer, "one frame to its label map, from the command to its end", cold["ours"], cold["theirs"]),
        Row(peer, f"the same, {all_results}", cold["whole"], cold["theirs"]),
        Row(
            peer, f"each of {FURTHER} further frames to label maps", further["ours"], further["theirs"], "ms"
        ),
        Row(peer, f"the same, {all_results}", further["whole"], further["theirs"], "ms"),
        Row(peer, "a further frame's time for each GFLOP of its network", **each, unit="ms"),
        Row(peer, "peak memory of all processes, label maps", peaks["ours all"], peaks["theirs all"], "MiB"),
    ]


def _size() -> dict[str, float]:
    built = build_network(out_channels=len(LABELS), in_channels=3, **NETWORK).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        built(torch.zeros(1, 3, SIZE, SIZE))
    parameters = sum(parameter.numel() for parameter in built.parameters())
    return {"parameters": parameters, "gigaflop": counter.get_total_flops() / 1e9}


def _note(facts: dict[str, Any], ours: dict[str, float], backend: str) -> str:
    sizes = [
        f"{found['parameters'] / 1e6:.1f} million parameters, {found['gigaflop']:.1f} GFLOP"
        for found in (ours, facts)
    ]
    return (
        f"ours is the default ResNet-18 at {SIZE} x {SIZE}, {sizes[0]} a frame, {backend}; nnU-Net's own plan is "
        f"{facts['patch']}, {sizes[1]} a window, {facts['windows']:.2f} windows a frame, float32. Frames of about "
        f"{facts['shape']}, ours DICOM, its PNG."
    )


def _variables(folder: Path) -> dict[str, str]:
    return {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}


def _write_frames(folder: Path) -> None:
    """Single frames of the phantom as DICOM, and what they show as nnU-Net's data set of grey PNG."""
    generate(folder / "phantom", modality="us", cases=CASES, seed=7)
    dataset = folder / "raw" / "Dataset001_Frames"
    for place in ("ours-one", "ours-all", "theirs-one", "theirs-all"):
        (folder / "in" / place).mkdir(parents=True)
    for place in ("imagesTr", "labelsTr"):
        (dataset / place).mkdir(parents=True)
    paths = sorted((folder / "phantom/images").glob("*.dcm"))
    singles = [path for path in paths if "NumberOfFrames" not in dcmread(path, stop_before_pixels=True)]
    for index, path in enumerate(singles[: 1 + FURTHER]):
        grey = np.asarray(LoadFrame()(path)).mean(axis=0).round().astype(np.uint8)
        label = folder / "phantom/labels" / f"{path.stem}_f000.png"
        (dataset / "labelsTr" / f"{path.stem}.png").write_bytes(label.read_bytes())
        Image.fromarray(grey).save(dataset / "imagesTr" / f"{path.stem}_0000.png")
        for which in RUNS if index == 0 else RUNS[1:]:
            Image.fromarray(grey).save(folder / "in" / f"theirs-{which}" / f"{path.stem}_0000.png")
            (folder / "in" / f"ours-{which}" / path.name).write_bytes(path.read_bytes())
    facts = {
        "channel_names": {"0": "US"},
        "labels": LABELS,
        "numTraining": 1 + FURTHER,
        "file_ending": ".png",
    }
    (dataset / "dataset.json").write_text(json.dumps(facts))


def _ours(folder: Path, which: str, *options: str) -> Spent:
    words = ["predict", f"{folder}/in/ours-{which}", "--bundle", BUNDLE, "--checkpoint", f"{folder}/model.pt"]
    output = ["--device", "cpu", "--overwrite", "--output", f"{folder}/ours-{which}"]
    return run([sys.executable, "-m", "pyraseg.pipeline", *words, *output, *options])


def _theirs(folder: Path, which: str) -> Spent:
    words = ["-i", f"{folder}/in/theirs-{which}", "-o", f"{folder}/theirs-{which}", "-m", f"{folder}/model"]
    options = ["-f", "0", "--disable_tta", "-device", "cpu", "--disable_progress_bar"]
    program = command("nnunet", "nnUNetv2_predict_from_modelfolder")
    return run([program, *words, *options], {**os.environ, **_variables(folder)})


WAYS = {
    "ours": lambda folder, which: _ours(folder, which, "--formats", "nifti"),
    "whole": _ours,
    "theirs": _theirs,
}


def _way(folder: Path, who: str, which: str, peaks: dict[str, float]) -> Any:
    def way() -> float:
        try:
            spent = WAYS[who](folder, which)
        except subprocess.CalledProcessError as error:
            raise Missing(f"failed: {error.stderr[-200:]}") from error
        peaks[f"{who} {which}"] = max(spent.peak_mib, peaks.get(f"{who} {which}", 0))
        return spent.seconds

    return way
