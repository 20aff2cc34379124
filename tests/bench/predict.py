"""Batch prediction end to end against the bare forward pass on the same frames, and where its time goes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pyraseg.pipeline.inference import SegmentationInferer
from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.discovery.find_items import find_items
from pyraseg.pipeline.prediction.items.frame_results import FrameReading
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.transforms.io.paths import frame_paths

__all__ = ["table"]

BUNDLE = Path("bundles/us_hydronephrosis")
LABELS = ["background", "kidney", "hydronephrosis"]
PATENT = {"depth": 50, "attention": "cbam", "output_stride": 16, "stem": "deep3", "skips": []}
SIZE, CASES, BATCH, ROUNDS = 473, 16, 4, 2
FOREGROUND = (0.85, 0.95)  # quantiles of a frame at which kidney and fluid begin to win
RUNS = (
    ("seg, torch", ["--formats", "seg", "--backend", "torch"]),
    ("all formats, torch", ["--backend", "torch"]),
    ("all formats, openvino", ["--backend", "openvino"]),
)


def table() -> str:
    """Wall time of the bare forward pass and of ``predict``, in turns; medians of the rounds.

    "work" is from the first worker's start to the last result; with "start" come imports, discovery, the
    choice of a backend and tables, paid once however many frames there are. The network is the patent's at
    473 x 473, untrained, its scores shifted so that about as much is foreground as a kidney covers.
    """
    with _workspace() as (folder, frames, images):
        ratios: dict[str, list[float]] = {name: [] for name, _ in RUNS}
        manifests: dict[str, dict[str, Any]] = {}
        forwards: dict[int, list[float]] = {1: [], torch.get_num_threads(): []}
        for turn in range(ROUNDS):
            for lanes, seconds in forwards.items():
                seconds.append(_forward(folder, images, lanes=lanes))
            for name, options in RUNS:
                manifests[name] = _predict(folder, folder / f"{name}-{turn}", options)
                ratios[name].append(manifests[name]["seconds"]["work"])
        medians = {lanes: statistics.median(seconds) for lanes, seconds in forwards.items()}
        bare = min(medians.values())
        words = (
            f"{1000 * value / frames:.0f} ms a frame in {lanes} lane(s)" for lanes, value in medians.items()
        )
        lines = [
            f"{frames} frames; bare forward, torch bf16, batch {BATCH}, all cores: {', '.join(words)}",
            "",
            "| run | backend | work, ms a frame | ratio to the faster bare forward | start, s |",
            "| --- | --- | --- | --- | --- |",
        ]
        for name, _ in RUNS:
            work, manifest = statistics.median(ratios[name]), manifests[name]
            start = manifest["seconds"]["process"] - manifest["seconds"]["work"]
            row = f"| {name} | {manifest['backend']} | {1000 * work / frames:.0f} | {work / bare:.2f} | {start:.1f} |"
            lines.append(row)
        stages = manifests[RUNS[1][0]]["seconds"]["by_stage"]
        lines += ["", f"Processor ms per frame by stage ({RUNS[1][0]}; network: its threads' wall time):", ""]
        lines += ["| " + " | ".join(stages) + " |", "|" + " --- |" * len(stages)]
        lines += ["| " + " | ".join(f"{1000 * value / frames:.1f}" for value in stages.values()) + " |"]
        return "\n".join(lines)


@contextmanager
def _workspace() -> Iterator[tuple[Path, int, torch.Tensor]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder / "phantom", modality="us", cases=CASES, seed=7)
        network = build_network(in_channels=3, out_channels=len(LABELS), **PATENT).eval()
        _save(folder, network)
        images = _images(folder)
        _shift_scores(network, images[:1])
        _save(folder, network)
        yield folder, len(images), images


def _save(folder: Path, network: torch.nn.Module) -> None:
    facts = {"label_names": LABELS, "input_size": [SIZE, SIZE], "network": {**PATENT, "in_channels": 3}}
    save_checkpoint(folder / "model.pt", {"model": network.state_dict(), **facts})


def _images(folder: Path) -> torch.Tensor:
    """Every frame as the network takes it, (F, 3, h, w)."""
    bundle = load_bundle(read_bundle(BUNDLE), checkpoints=[folder / "model.pt"])
    items = find_items([folder / "phantom" / "images"], read_rules(read_bundle(BUNDLE).metadata)).items
    readings = [FrameReading(bundle.preprocessing, frame_paths(item.source), item.case) for item in items]
    frames = (reading.read(n, view=False) for reading in readings for n in range(len(reading.frames)))
    return torch.stack([frame.image.as_tensor() for frame in frames])


def _shift_scores(network: torch.nn.Module, image: torch.Tensor) -> None:
    """Give the last convolution's biases values with which background wins in most of a frame."""
    with torch.no_grad():
        scores = network(image)[0]
    last = next(part for name, part in reversed(list(network.named_modules())) if _is_classifier(name, part))
    for index, quantile in zip((1, 2), FOREGROUND, strict=True):
        last.bias.data[index] -= torch.quantile((scores[index] - scores[0]).flatten()[::7], quantile)


def _is_classifier(name: str, part: torch.nn.Module) -> bool:
    return isinstance(part, torch.nn.Conv2d) and part.out_channels == len(LABELS) and "aux" not in name


def _forward(folder: Path, images: torch.Tensor, *, lanes: int) -> float:
    """Seconds for all frames, the weights in place and one pass done before; in this process.

    One lane is a loop over batches with all threads in each pass; several are threads that share the cores.
    """
    bundle = load_bundle(read_bundle(BUNDLE), checkpoints=[folder / "model.pt"])
    inferer, threads = SegmentationInferer("whole", device=torch.device("cpu")), torch.get_num_threads()
    network = bundle.network.to(memory_format=torch.channels_last)

    def score(batch: torch.Tensor) -> None:
        torch.set_num_threads(max(1, threads // lanes))
        with torch.inference_mode():
            inferer(batch, network)

    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(score, [images[:BATCH]] * lanes))
        begin = time.perf_counter()
        list(pool.map(score, images.split(BATCH)))
        seconds = time.perf_counter() - begin
    torch.set_num_threads(threads)
    return seconds


def _predict(folder: Path, output: Path, options: list[str]) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "pyraseg.pipeline",
        "predict",
        str(folder / "phantom" / "images"),
        "--bundle",
        str(BUNDLE),
    ]
    command += ["--checkpoint", str(folder / "model.pt"), "--output", str(output), *options]
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    manifest: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    manifest["seconds"]["process"] = time.perf_counter() - begin
    return manifest
