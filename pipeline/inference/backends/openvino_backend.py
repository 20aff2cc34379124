"""OpenVINO on the CPU."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.inference.backends.base import Runtime, Setting
from pyraseg.transforms.errors import ConfigError

__all__ = ["OPENVINO"]


def load(path: Path, setting: Setting) -> Callable[[np.ndarray], np.ndarray]:
    """Compile an ONNX file.

    One stream a lane: with a single caller that is the LATENCY hint, whose threads share each image. The
    THROUGHPUT hint and requests beside one another were no faster on two cores. Threads are not pinned to
    cores: two runs on one machine would pin theirs to the same, and the processes that decode need cores,
        too.

    Raises:
        ConfigError: OpenVINO does not take the file.
    """
    openvino = _openvino()
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": str(setting.lanes),
        "INFERENCE_NUM_THREADS": str(setting.threads),
        "INFERENCE_PRECISION_HINT": "f32" if setting.dtype is None else "bf16",
        "ENABLE_CPU_PINNING": "NO",
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU", properties)
    except RuntimeError as error:
        found = f"an error of OpenVINO ({type(error).__name__})"
        raise ConfigError(
            "a network that OpenVINO runs", found=found, remedy="Use --backend torch."
        ) from error
    requests = threading.local()  # a request is busy while it runs, so each thread has its own

    def run(images: np.ndarray) -> np.ndarray:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        return requests.own.infer([images], share_inputs=True, share_outputs=False)[0]

    return run


def _openvino() -> Any:
    """OpenVINO without its telemetry, which otherwise reports each import and writes an ID into the home
    folder.

    Its Python code falls back on a stub where the package ``openvino_telemetry`` cannot be imported.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's way to say "not there"
    import openvino

    return openvino


OPENVINO = Runtime("openvino", "openvino>=2025", True, load)
