"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.inference.backends.base import Runtime, Setting
from pyraseg.transforms.errors import ConfigError

__all__ = ["ONNXRUNTIME"]

ERRORS_ONLY = 3


def load(path: Path, setting: Setting) -> Callable[[np.ndarray], np.ndarray]:
    """Open an ONNX file; always in float32, for ONNX Runtime has no bfloat16 convolution on the CPU.

    Raises:
        ConfigError: ONNX Runtime does not take the file.
    """
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, setting.threads // setting.lanes)
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _errors() as error:
        found = f"an error of ONNX Runtime ({type(error).__name__})"
        raise ConfigError(
            "a network that ONNX Runtime runs", found=found, remedy="Use --backend torch."
        ) from error
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _onnxruntime() -> Any:
    """ONNX Runtime without its telemetry, which since 1.29 is on by default and sends the graph's names and
    hashes.

    Set for this process and those it starts, because the API's own switch comes too late for the first event.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _errors() -> tuple[type[Exception], ...]:
    """Its exceptions share no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
    )


ONNXRUNTIME = Runtime("onnxruntime", "onnxruntime>=1.22", False, load)
