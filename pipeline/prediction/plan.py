"""What of the items found this run is to do, and what it does it with; nothing is written yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pyraseg.pipeline.inference.backends import Backend, build_backend
from pyraseg.pipeline.prediction.bundle import LoadedBundle
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.writers.tables.item_records import Item

__all__ = ["CHUNK", "Plan", "batch_size", "lanes", "make_backend", "make_plan"]

CHUNK = 4  # frames that a worker sends to the network at a time
GPU_BATCH, GPU_WINDOWS = 32, 4


@dataclass(frozen=True)
class Plan:
    """This run's items.

    Attributes:
        due: to do now.
        kept: done before, by the same weights and options, of the same files.
        beyond: how many are due as well, but beyond the limit.
    """

    due: tuple[Item, ...]
    kept: tuple[Item, ...] = ()
    beyond: int = 0

    @property
    def frames(self) -> int:
        """Frames to score."""
        return sum(item.frames for item in self.due)


def make_plan(job: Job, items: Sequence[Item], folder: OutputFolder | None) -> Plan:
    """Take this shard's items, those that are not done yet if the run resumes, and at most ``limit`` of
    them."""
    mine = [item for item in items if job.shard.takes(item.key)]
    done = {item.case for item in mine if job.resume and folder is not None and folder.is_done(item)}
    due = [item for item in mine if item.case not in done]
    now = due[: job.limit]
    return Plan(tuple(now), tuple(item for item in mine if item.case in done), len(due) - len(now))


def make_backend(job: Job, bundle: LoadedBundle, frames: int, *, former: str | None) -> Backend:
    """What scores the frames.

    Args:
        former: the backend that has scored this job's other frames: ``auto`` keeps to it.

    Raises:
        ConfigError: it is not installed, or gives other classes than torch.
    """
    return build_backend(
        former if former and job.backend == "auto" else job.backend,
        network=bundle.network,
        device=bundle.device,
        amp=bundle.inference["amp"],
        input_size=bundle.input_shape[1:],
        in_channels=bundle.input_shape[0],
        weights_hash=bundle.algorithm.weights,
        network_threads=lanes(bundle),
        batch_size=batch_size(job, bundle),
        mode="whole" if bundle.volumes else bundle.inference["mode"],  # the workers cut volumes into windows
        tta_flips=bundle.inference["tta_flips"],
        images=frames,
    )


def lanes(bundle: LoadedBundle) -> int:
    """Threads that run the network side by side."""
    return 1 if bundle.device.type != "cpu" else torch.get_num_threads()


def batch_size(job: Job, bundle: LoadedBundle) -> int:
    """The most frames, or windows of volumes, in one pass."""
    on_cpu, on_gpu = (1, GPU_WINDOWS) if bundle.volumes else (CHUNK, GPU_BATCH)
    return job.batch_size or (on_cpu if bundle.device.type == "cpu" else on_gpu)
