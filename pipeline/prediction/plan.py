"""Plan a run: which items, with which backend, and a description; writes nothing."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from pyraseg.pipeline.inference.backends import Backend, build_backend
from pyraseg.pipeline.prediction.bundle import LoadedBundle
from pyraseg.pipeline.prediction.discovery.find_items import COPY_OF, Discovered
from pyraseg.pipeline.prediction.discovery.stored import Stored
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.pipeline.writers.tables.text import clean
from pyraseg.transforms.errors import NothingFoundError

__all__ = [
    "CHUNK",
    "Plan",
    "batch_size",
    "check_found",
    "count",
    "describe",
    "make_backend",
    "make_plan",
    "network_threads",
    "outline",
]

CHUNK = 4  # frames that a worker sends to the network at once
GPU_BATCH, GPU_WINDOWS = 32, 4
CPU_VOXELS = 2**19  # of the windows in one pass: four of 48 voxels a side, one of 96
LISTED = 20  # items and failures that a description lists
EXAMPLES = 3  # files that it lists for each reason


@dataclass(frozen=True)
class Plan:
    """The items of this run.

    Attributes:
        due: to predict now.
        kept: done before, with the same weights and options, from the same files.
        beyond: how many more are due, beyond the limit.
    """

    due: Sequence[Item]
    kept: Sequence[Item] = ()
    beyond: int = 0

    @property
    def frames(self) -> int:
        """How many frames to score."""
        return sum(item.frames for item in self.due)


def make_plan(job: Job, items: Sequence[Item], folder: OutputFolder | None) -> Plan:
    """Select this shard's items, without finished ones if the run resumes, and at most ``limit``."""
    due, kept, beyond = Stored[Item](), Stored[Item](), 0
    for item in items:
        if not job.shard.takes(item.key):
            continue
        if job.resume and folder is not None and folder.is_done(item):
            kept.add("", item)
        elif job.limit is None or len(due) < job.limit:
            due.add("", item)
        else:
            beyond += 1
    return Plan(due.in_memory(), kept.in_memory(), beyond)


def make_backend(job: Job, bundle: LoadedBundle, frames: int, *, former: str | None) -> Backend:
    """The backend that scores frames.

    Args:
        former: the backend that scored this job's other frames; ``auto`` keeps it.

    Raises:
        ConfigError: it is not installed, or its classes differ from torch's.
    """
    sliding = bundle.inferer.mode == "sliding" and not bundle.volumes  # the workers cut volumes into windows
    return build_backend(
        former if former and job.backend == "auto" else job.backend,
        network=bundle.network,
        device=bundle.device,
        amp=bundle.inferer.amp,
        input_size=bundle.inferer.roi_size if sliding else bundle.input_shape[1:],
        in_channels=bundle.input_shape[0],
        weights_hash=bundle.algorithm.weights,
        network_threads=network_threads(bundle),
        batch_size=batch_size(job, bundle),
        mode="sliding" if sliding else "whole",
        overlap=bundle.inferer.overlap,
        tta_flips=bundle.inferer.tta_flips,
        images=frames,
    )


def network_threads(bundle: LoadedBundle) -> int:
    """How many threads run the network."""
    return 1 if bundle.device.type != "cpu" else torch.get_num_threads()


def batch_size(job: Job, bundle: LoadedBundle) -> int:
    """The most frames, or windows of volumes, in one pass."""
    on_cpu, on_gpu = CHUNK, GPU_BATCH
    if bundle.volumes:
        on_cpu, on_gpu = min(CHUNK, max(1, CPU_VOXELS // math.prod(bundle.input_shape[1:]))), GPU_WINDOWS
    return job.batch_size or (on_cpu if bundle.device.type == "cpu" else on_gpu)


def outline(discovered: Discovered, plan: Plan) -> str:
    """One line on what the run will do."""
    beyond = f" ({plan.beyond} more beyond the limit)" if plan.beyond else ""
    return (
        f"{count(len(discovered.items), 'item')}: {len(plan.kept)} done before, "
        f"{len(plan.due)} to do{beyond}; {count(len(discovered.left_out), 'file')} left out, "
        f"{len(discovered.failures)} cannot be read"
    )


def check_found(discovered: Discovered) -> None:
    """Refuse a run whose inputs hold nothing that the bundle takes, and nothing that failed.

    Raises:
        NothingFoundError: with the reasons, the most frequent first.
    """
    if discovered.items or discovered.failures:
        return
    reasons = Counter(left.reason for left in discovered.left_out)
    listed = "; ".join(f"{number} x {clean(reason)}" for reason, number in reasons.most_common(EXAMPLES))
    among = f" among {count(reasons.total(), 'file')}: {listed}" if listed else ""
    remedy = "Check the INPUT; a bundle takes what `prediction` in its metadata.json says."
    raise NothingFoundError("something to predict", found=f"nothing{among}", remedy=remedy)


def describe(discovered: Discovered, plan: Plan) -> Iterator[str]:
    """The plan as lines for a terminal: items, files left out by reason, failures.

    Long lists end in a count. Control characters in names are removed.
    """
    items = plan.due
    yield f"{count(len(items), 'item')} to do ({_extent(items)})"
    yield from _cut(f"  {clean(item.file)}{_size(item)}" for item in items)
    if plan.beyond:
        yield f"{plan.beyond} more, beyond the limit"
    if plan.kept:
        yield f"{len(plan.kept)} done before, kept"
    if others := len(discovered.items) - len(items) - plan.beyond - len(plan.kept):
        yield f"{others} of other shards"
    if discovered.left_out:
        yield f"{count(len(discovered.left_out), 'file')} left out"
        yield from _grouped((left.reason, left.file) for left in discovered.left_out)
    if discovered.failures:
        yield f"{count(len(discovered.failures), 'file')} that cannot be done"
        yield from _cut(
            f"  {clean(failure.file)}: {clean(failure.reason)}. {clean(failure.remedy)}"
            for failure in discovered.failures
        )


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The most frequent reason first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for reason, file in pairs:
        groups["a copy of another file" if reason.startswith(COPY_OF) else reason].append(file)
    for reason, files in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        more = ", ..." if len(files) > EXAMPLES else ""
        yield f"  {len(files):6d}  {clean(reason)}: {', '.join(map(clean, files[:EXAMPLES]))}{more}"


def _cut(lines: Iterable[str]) -> Iterator[str]:
    rest = 0
    for number, line in enumerate(lines):
        if number < LISTED:
            yield line
        else:
            rest += 1
    if rest:
        yield f"  ... and {rest} more"


def _extent(items: Sequence[Item]) -> str:
    frames, series = sum(item.frames for item in items), sum(bool(item.paths) for item in items)
    if series:
        return f"{series} series, {count(frames, 'slice')}"
    return f"{count(sum(item.frames > 1 for item in items), 'cine')}, {count(frames, 'frame')}"


def _size(item: Item) -> str:
    return f" ({item.frames} {'slices' if item.paths else 'frames'})" if item.frames > 1 else ""


def count(number: int, noun: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
