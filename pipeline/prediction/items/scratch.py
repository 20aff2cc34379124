"""Arrays of a whole cine that would not fit into memory: on disk, in the draft, until the results are
written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.utils.files import output_error

__all__ = ["IN_MEMORY", "scratch_array"]

IN_MEMORY = 2**26  # bytes up to which an array is kept in memory


def scratch_array(path: Path, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array of zeros, in memory or, where it is large, in a file that has no name any more.

    Raises:
        OutputError: there is no room for the file. Without reserving it first, a full disk would end the
            process.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    try:
        with path.open("w+b") as file:
            path.unlink()
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=tuple(shape))
    except OSError as error:
        raise output_error(error, path) from error
