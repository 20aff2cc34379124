"""Load of the machine as metrics ``system/...``, under the names of MLflow's own monitor.

MLflow's ``SystemMetricsMonitor`` stops for good when the server once fails to answer. Here its probes are
read, and the values go through the run's outbox.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

__all__ = ["PREFIX", "SystemSampler"]

PREFIX = "system/"
INTERVAL = 10.0  # seconds, MLflow's default


class SystemSampler:
    """A thread that samples processor, memory, disk, network and GPUs until it is stopped.

    Args:
        log: takes the values and their step.
        first_step: the first step's number; not 0 in a resumed run.
    """

    def __init__(
        self,
        log: Callable[[Mapping[str, float], int], None],
        *,
        first_step: int = 0,
    ) -> None:
        self._log = log
        self._step = first_step
        self._stop = threading.Event()
        self._probes = _probes()
        self._thread = threading.Thread(target=self._run, name="mlflow-system", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        values: dict[str, float] = {}
        for probe in self._probes:
            probe.clear_metrics()
            probe.collect_metrics()
            values |= probe.aggregate_metrics()
        self._log(
            {PREFIX + name: value for name, value in (values | _gpu_memory(values)).items()}, self._step
        )
        self._step += 1


def _probes() -> list[Any]:
    probes = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        probes.append(GPUMonitor())
    except (ImportError, RuntimeError):  # nvidia-ml-py is not installed, or there is no such GPU
        return probes
    return probes


def _gpu_memory(known: Mapping[str, float]) -> dict[str, float]:
    """Memory of the GPUs in use, from torch, where MLflow's probe is missing."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized() or any(name.startswith("gpu_") for name in known):
        return {}
    values: dict[str, float] = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        values[f"gpu_{index}_memory_usage_megabytes"] = round((total - free) / 1e6, 1)
        values[f"gpu_{index}_memory_usage_percentage"] = round(100 * (total - free) / total, 1)
    return values
