"""A training step of the bundle's network, of its variants and of a U-Net, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from pyraseg.pipeline.inference.inferer import mixed_precision
from pyraseg.pipeline.losses import AuxiliaryLoss, Float32DiceCELoss
from pyraseg.pipeline.networks import build_network

SIZE, BATCH, ROUNDS = 224, 8, 5
PSPNET = {"depth": 18, "aux": True}
NETWORKS = {
    "U-Net, ResNet-34 encoder": {"name": "flexible_unet"},
    "CBAM-ResNet-18-PSPNet, stride 8": {**PSPNET, "output_stride": 8},
    "CBAM-ResNet-18-PSPNet, stride 16, skips [2, 1]": {**PSPNET, "output_stride": 16, "skips": [2, 1]},
    "the same, stem plain7, stride 32, skips [3, 2, 1]": {
        **PSPNET,
        "stem": "plain7",
        "output_stride": 32,
        "skips": [3, 2, 1],
    },
}


def table() -> str:
    """Median seconds of a step (forward, loss, backward, AdamW) on one thread, and the ratio to the
    U-Net's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = {name: _step(**options) for name, options in NETWORKS.items()}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(ROUNDS + 1):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                if number:  # the first warms up
                    seconds[name].append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    return (
        f"Batch {BATCH} of {SIZE} x {SIZE}, one thread, amp auto, median of {ROUNDS} rounds.\n\n"
        "| network | seconds a step | ratio |\n| --- | --- | --- |\n"
        + "\n".join(f"| {name} | {value:.2f} | {value / first:.2f} |" for name, value in medians.items())
    )


def _step(**options: object) -> Callable[[], None]:
    network = build_network(out_channels=2, **options).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    loss, dtype = (
        AuxiliaryLoss(Float32DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)),
        mixed_precision(torch.device("cpu")),
    )
    images = torch.rand(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (BATCH, 1, SIZE, SIZE))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            output = network(images).float()
        loss(output, labels).backward()
        optimizer.step()

    return step
