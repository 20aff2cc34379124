"""Backends of the forward pass: torch, OpenVINO or ONNX Runtime, with one interface."""

from __future__ import annotations

from pyraseg.pipeline.inference.backends.base import BACKENDS, Backend
from pyraseg.pipeline.inference.backends.choose import build_backend
