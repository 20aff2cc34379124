"""The file of probabilities of a volume, written slab after slab and shown whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyraseg.pipeline.utils.files import atomic_write

__all__ = ["probability_file"]


@contextmanager
def probability_file(path: str | Path, size: Sequence[int]) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends the next slices (K, X, Y, z) of a volume (X, Y, Z) to a ``.npy`` file.

    The file is float32 (K, X, Y, Z) in Fortran's order, so a slab is one piece of it. It is written and not
    mapped: a mapped file's pages count as the process's memory, and a full disk kills a process that writes
        to them.

    Raises:
        OutputError: the file cannot be written, or the disk is full.
    """
    with atomic_write(path) as file:

        def append(part: np.ndarray) -> None:
            if file.tell() == 0:
                header = {"descr": "<f4", "fortran_order": True, "shape": (len(part), *size)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part.T, "<f4").data)

        yield append
