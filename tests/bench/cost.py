"""``python -m tests.bench.cost FOLDER STAGE [COUNT]``: processor seconds of whole runs of ``predict``.

Stages: ``ct`` (COUNT slices of 512 x 512, raw, RTSTRUCT too), ``cine`` (COUNT frames of 512 x 512), ``frames`` (COUNT
of 512 x 512), each with its bundle's default network, untrained; ``engines`` (COUNT tiny frames and a tiny network: one
machine, then Ray with one and with two engines). The time is of all processes, sampled twenty times a second, starts
included; memory is their largest sum (PSS, sampled five times a second). Files are written to FOLDER, which must not exist.
Prints Markdown.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from pydicom import uid

from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from tests.bench.processes import run
from tests.bench.series import write_series
from tests.pipeline.prediction import batch
from tests.pipeline.prediction.runs import write_checkpoint

__all__ = ["network"]

NETWORK = {"depth": 18, "attention": "cbam", "output_stride": 16, "stem": "deep3", "skips": [2, 1]}
TUMOUR = 0.98  # the quantile of a window's scores at which the tumour begins to win
SIDE = 512


def network(path: Path, *, volumes: bool) -> Path:
    """The default network of a bundle, with random weights."""
    dims, channels, labels = (3, 1, ["background", "tumour"]) if volumes else (
        2, 3, ["background", "kidney", "hydronephrosis"]
    )  # fmt: skip
    options = {**NETWORK, "in_channels": channels, "spatial_dims": dims}
    torch.manual_seed(0)
    built = build_network(out_channels=len(labels), **options).eval()
    size = [48, 48, 48] if volumes else [224, 224]
    if volumes:
        _let_win(built, size)
    facts = {"label_names": labels, "input_size": size, "network": options}
    return save_checkpoint(path, {"model": built.state_dict(), **facts})


def _let_win(network: torch.nn.Module, size: list[int]) -> None:
    """Shift the classifier's bias so that the tumour wins at edges: results of nothing would be quick."""
    window = 0.5 + 0.05 * torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    window[..., : size[2] // 2] = 0  # air
    with torch.no_grad():
        background, tumour = network(window)[0].flatten(1)
        parts = [part for name, part in network.named_modules() if "aux" not in name]
        (bias,) = [
            each.bias for each in parts if getattr(each, "bias", None) is not None and len(each.bias) == 2
        ]
        bias[1] -= torch.quantile(tumour - background, TUMOUR)


def main(folder: Path, stage: str, count: int) -> None:
    folder.mkdir(parents=True)
    images, bundle, number = folder / "in", "us_hydronephrosis", count
    weights, runs = folder / "model.pt", {stage: []}
    if stage == "ct":
        write_series(images, uid.ExplicitVRLittleEndian, count)
        bundle, number = "ct_sarcoma", 1
        network(weights, volumes=True)
        runs = {stage: ["--formats", "seg,sr,nifti,overlay,rtstruct"]}
    elif stage == "engines":
        for index in range(count):
            batch.write_image(images / f"{index // 1000}" / f"{index:06d}.dcm", index)
        write_checkpoint(weights)
        runs = {"one machine": [], **{f"Ray, {n} of {c} cores": ["--engine", "ray", "--ray-cores", f"{c}"]
                for n, c in _engines()}}  # fmt: skip
    else:
        batch.SIDE, number = SIDE, 1 if stage == "cine" else count
        for index in range(number):
            batch.write_image(images / f"{index:06d}.dcm", index, frames=count if stage == "cine" else 1)
        network(weights, volumes=False)
    print(f"{number} items, torch with {torch.get_num_threads()} threads\n")
    print("| run | s | core-seconds | core-seconds an item | peak of all processes, MiB |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    predict = [sys.executable, "-m", "pyraseg.pipeline", "predict", str(images)]
    bundled = ["--bundle", f"bundles/{bundle}", "--checkpoint", str(weights), "--backend", "torch"]
    for name, options in runs.items():
        output = folder / name.replace(" ", "-")
        used = run([*predict, *bundled, "--output", str(output), *options])
        cells = f"{used.seconds:.0f} | {used.cores:.1f} | {used.cores / number:.3f} | {used.peak_mib:.0f}"
        print(f"| {name} | {cells} |", flush=True)
    stages = json.loads((output / "manifest.json").read_text())["seconds"]["by_stage"]
    print("\nProcessor seconds by stage (network: wall time):\n")
    print("\n".join(f"| {name} | {seconds:.1f} |" for name, seconds in stages.items()))


def _engines() -> list[tuple[int, int]]:
    """Numbers of engines, and the cores of each, of 1, 2 and 4 as far as this process may use cores."""
    cores = len(os.sched_getaffinity(0))
    return [(number, cores // number) for number in (1, 2, 4) if number <= cores]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 300)
