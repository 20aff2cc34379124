"""The process that tracks: the first one of a distributed run."""

from __future__ import annotations

import os
import sys

__all__ = ["is_first_process"]


def is_first_process() -> bool:
    """Whether this is rank 0, or not a distributed run."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"
