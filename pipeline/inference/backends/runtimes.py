"""Libraries that run an exported network on the CPU: OpenVINO and ONNX Runtime, without telemetry."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.inference.backends.base import Run, Runtime, Setting
from pyraseg.transforms.errors import ConfigError

__all__ = ["ONNXRUNTIME", "OPENVINO", "import_openvino"]

ERRORS_ONLY = 3  # ONNX Runtime's log level


def _load_openvino(path: Path, setting: Setting) -> Run:
    """Compile an ONNX file.

    One stream per caller: for one caller that is the LATENCY hint, whose threads share each image. The
    THROUGHPUT hint and concurrent requests were no faster on two cores. Threads are not pinned to cores: two
    runs on one machine would use the same ones, and decoding processes need cores, too.

    Raises:
        ConfigError: OpenVINO does not take the file.
    """
    openvino = import_openvino()
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": str(setting.network_threads),
        "INFERENCE_NUM_THREADS": str(setting.threads),
        "INFERENCE_PRECISION_HINT": "f32" if setting.dtype is None else "bf16",
        "ENABLE_CPU_PINNING": "NO",
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU", properties)
    except RuntimeError as error:
        raise _refused("OpenVINO", error) from error
    requests = threading.local()  # a request is busy while it runs, so each thread has one

    def run(images: np.ndarray) -> Sequence[np.ndarray]:
        if not hasattr(requests, "request"):
            requests.request = compiled.create_infer_request()
        outputs = requests.request.infer([images], share_inputs=True, share_outputs=False)
        return [outputs[number] for number in range(len(compiled.outputs))]

    return run


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports each import and writes an ID into the home folder.

    Its Python code falls back on a stub if the package ``openvino_telemetry`` cannot be imported.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's mark for "not importable"
    import openvino  # an optional library

    return openvino


def _load_onnxruntime(path: Path, setting: Setting) -> Run:
    """Open an ONNX file; always in float32, because ONNX Runtime has no bfloat16 convolution on the CPU.

    Raises:
        ConfigError: ONNX Runtime does not take the file.
    """
    import onnxruntime  # an optional library; `pyraseg.pipeline` has switched its telemetry off

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, setting.threads // setting.network_threads)
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _onnxruntime_errors() as error:
        raise _refused("ONNX Runtime", error) from error
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    """Convert its exceptions, which share no base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # an optional library

    return tuple(
        kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
    )


def _refused(library: str, error: Exception) -> ConfigError:
    found = f"an error of {library} ({type(error).__name__})"
    return ConfigError(f"a network that {library} runs", found=found, remedy="Use --backend torch.")


OPENVINO = Runtime("openvino", "openvino>=2025", True, _load_openvino)
ONNXRUNTIME = Runtime("onnxruntime", "onnxruntime>=1.22", False, _load_onnxruntime)
