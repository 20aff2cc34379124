"""The state of every random generator of a process, as plain values and tensors that load without pickle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["random_state", "set_random_state"]


def random_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's global generators, those of all GPUs included."""
    version, keys, gauss = random.getstate()
    name, words, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # the global one is what is kept here
    return {
        "python": [version, list(keys), gauss],
        "numpy": [name, [int(word) for word in words], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put every generator back to where ``random_state`` found it; GPUs only where their number is the
    same."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, words, *rest = state["numpy"]
    np.random.set_state((name, np.asarray(words, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
