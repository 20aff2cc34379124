"""Pictures as PNG that hold pixels and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.files import atomic_write
from transforms.errors import GeometryError

__all__ = ["write_png"]


def write_png(path: str | Path, picture: np.ndarray) -> Path:
    """Write an 8-bit RGB picture (H, W, 3) without any metadata: no text, no time, no software name.

    Raises:
        GeometryError: the picture is not uint8 (H, W, 3).
        OutputError: the file cannot be written.
    """
    from PIL import Image

    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        found = f"{picture.dtype} {picture.shape}"
        raise GeometryError("an RGB picture uint8 (H, W, 3)", found=found, remedy="Draw it with draw_overlay first.")
    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, format="PNG")
    return Path(path)
