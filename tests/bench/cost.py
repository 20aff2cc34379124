"""``python -m tests.bench.cost FOLDER STAGE [COUNT]``: processor seconds of whole runs of ``predict``.

Stages: ``ct`` (300 x 512 x 512, raw), ``cine`` (100 frames of 512 x 512), ``frames`` (COUNT of 512 x 512), each with
its bundle's default network, untrained; ``engines`` (COUNT tiny frames and a tiny network: one machine, then Ray with
one and with two engines). The time is of all processes, sampled twenty times a second, starts included; files are
written to FOLDER, which must not exist. Prints Markdown.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from pydicom import uid

from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from tests.bench.series import write_series
from tests.pipeline.prediction import batch
from tests.pipeline.prediction.runs import write_checkpoint

__all__ = ["spent"]

NETWORK = {"depth": 18, "attention": "cbam", "output_stride": 16, "stem": "deep3", "skips": [2, 1]}
SLICES, FRAMES, SIDE = 300, 100, 512


def spent(words: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of all processes' processors."""
    began, times = time.monotonic(), dict[int, float]()
    with subprocess.Popen([sys.executable, "-m", "pyraseg.pipeline", "predict", *words]) as process:
        top = psutil.Process(process.pid)
        while process.poll() is None:
            for each in (top, *top.children(recursive=True)):
                try:
                    used = each.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                times[each.pid] = max(times.get(each.pid, 0.0), used.user + used.system)
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.monotonic() - began, sum(times.values())


def network(path: Path, *, volumes: bool) -> Path:
    """The default network of a bundle, with random weights."""
    dims, channels, labels = (3, 1, ["background", "tumour"]) if volumes else (
        2, 3, ["background", "kidney", "hydronephrosis"]
    )  # fmt: skip
    options = {**NETWORK, "in_channels": channels, "spatial_dims": dims}
    built = build_network(out_channels=len(labels), **options).eval()
    size = [48, 48, 48] if volumes else [224, 224]
    facts = {"label_names": labels, "input_size": size, "network": options}
    return save_checkpoint(path, {"model": built.state_dict(), **facts})


def main(folder: Path, stage: str, count: int) -> None:
    folder.mkdir(parents=True)
    images, bundle, number = folder / "in", "us_hydronephrosis", count
    weights, runs = folder / "model.pt", {stage: []}
    if stage == "ct":
        write_series(images, uid.ExplicitVRLittleEndian, SLICES)
        bundle, number = "ct_sarcoma", 1
        network(weights, volumes=True)
    elif stage == "engines":
        for index in range(count):
            batch.write_image(images / f"{index // 1000}" / f"{index:06d}.dcm", index)
        write_checkpoint(weights)
        runs = {"one machine": [], **{f"Ray, {n} of {c} cores": ["--engine", "ray", "--ray-cores", f"{c}"]
                for n, c in _engines()}}  # fmt: skip
    else:
        batch.SIDE, number = SIDE, 1 if stage == "cine" else count
        for index in range(number):
            batch.write_image(images / f"{index:06d}.dcm", index, frames=FRAMES if stage == "cine" else 1)
        network(weights, volumes=False)
    print(f"{number} items, torch with {torch.get_num_threads()} threads\n")
    print("| run | s | core-seconds | core-seconds an item |\n| --- | --- | --- | --- |", flush=True)
    for name, options in runs.items():
        words = [
            str(images),
            "--bundle",
            f"bundles/{bundle}",
            "--checkpoint",
            str(weights),
            "--backend",
            "torch",
        ]
        clock, cores = spent([*words, "--output", str(folder / name.replace(" ", "-")), *options])
        print(f"| {name} | {clock:.0f} | {cores:.1f} | {cores / number:.3f} |", flush=True)


def _engines() -> list[tuple[int, int]]:
    """Numbers of engines, and the cores of each, of 1, 2 and 4 as far as this process may use cores."""
    cores = len(os.sched_getaffinity(0))
    return [(number, cores // number) for number in (1, 2, 4) if number <= cores]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
