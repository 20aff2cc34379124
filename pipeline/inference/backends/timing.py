"""How long an image takes in each of several backends on this machine, measured and kept."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pyraseg.pipeline.inference.backends.agreement import smooth_images
from pyraseg.pipeline.inference.backends.base import Runtime, Setting
from pyraseg.pipeline.inference.backends.export import cache_path, describe, read_facts, write_facts

__all__ = ["Timing", "measure_ms", "processor", "read_timing", "write_timing"]

ROUNDS = 3
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Timing:
    """What was measured: milliseconds an image by backend, and why others were not measured."""

    milliseconds: Mapping[str, float]
    refused: Mapping[str, str]

    @property
    def fastest(self) -> str:
        return min(self.milliseconds, key=lambda name: self.milliseconds[name])


def read_timing(network: nn.Module, runtimes: Sequence[Runtime], setting: Setting) -> Timing | None:
    """What ``write_timing`` wrote for the same network, libraries, setting and processor; None without."""
    facts = read_facts(_path(network, runtimes, setting))
    times, refused = facts.get("milliseconds"), facts.get("refused")
    if not isinstance(times, dict) or not isinstance(refused, dict) or "torch" not in times:
        return None
    if not all(isinstance(value, float) for value in times.values()):
        return None
    if not set(times) <= {"torch", *(runtime.name for runtime in runtimes)}:
        return None
    return Timing(times, refused)


def write_timing(timing: Timing, network: nn.Module, runtimes: Sequence[Runtime], setting: Setting) -> None:
    """Keep it for the next start."""
    write_facts(_path(network, runtimes, setting), asdict(timing))


def _path(network: nn.Module, runtimes: Sequence[Runtime], setting: Setting) -> Path | None:
    facts = {
        **asdict(setting),
        "network": describe(network),
        "versions": {"torch": torch.__version__, **{runtime.name: runtime.version for runtime in runtimes}},
        "processor": processor(),
    }
    path = cache_path(facts, "timings")
    return None if path is None else path.with_suffix(".json")


def measure_ms(
    forwards: Mapping[str, Forward], setting: Setting, *, rounds: int = ROUNDS
) -> dict[str, float]:
    """Median milliseconds an image, after a round of warming up; as many callers at a time as there are
    lanes.

    The backends take turns, so that a busy neighbour slows them all.
    """
    images = smooth_images(setting.shape)
    batch = images.repeat(-(-setting.batch_size // len(images)), *[1] * len(setting.shape))[
        : setting.batch_size
    ]
    seconds: dict[str, list[float]] = {name: [] for name in forwards}
    share = max(1, setting.threads // setting.lanes)
    with ThreadPoolExecutor(setting.lanes, initializer=torch.set_num_threads, initargs=(share,)) as pool:
        for _ in range(rounds + 1):
            for name, forward in forwards.items():
                begin = time.perf_counter()
                list(pool.map(forward, [batch] * setting.lanes))
                seconds[name].append(time.perf_counter() - begin)
    number = setting.batch_size * setting.lanes
    return {name: 1000 * statistics.median(values[1:]) / number for name, values in seconds.items()}


def processor() -> str:
    """The processor's name, for what was measured on it."""
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [row.partition(":")[2].strip() for row in rows if row.startswith(("model name", "flags"))]
    return " ".join(named[:2]) or platform.machine()
