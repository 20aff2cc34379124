"""A CT scan: HU with the grain of filtered back projection, on a couch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array, grid_points
from pyraseg.pipeline.phantom.volumes.body.tissues import CONTRAST_HU, HU, draw_values
from pyraseg.pipeline.phantom.volumes.scans.blur import blur
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["CtScan", "draw_ct"]

LOWEST_HU, HIGHEST_HU = -1024, 3071
SHARP_MM, SOFT_MM = 1.8, 6.0  # the noise lies between these two scales: reconstruction leaves no slow noise
COUCH_MM = 7.0


@dataclass(frozen=True)
class CtScan:
    """One examination's settings.

    Attributes:
        appearance: in HU.
        contrast: whether iodine was given.
        noise_hu: standard deviation in soft tissue.
        tube_kv: peak voltage.
    """

    appearance: Appearance
    contrast: bool
    noise_hu: float
    tube_kv: int

    def render(self, painted: Painted, body: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """HU, (x, y, z)."""
        values = painted.values(self.appearance)
        values[(painted.tissue == 0) & _couch(body, grid)] = -30
        in_plane = 1.1 * grid.spacing[0]
        values = blur(values, (in_plane, in_plane, 0.7 * grid.spacing[2]), grid.spacing)
        white = rng.standard_normal(grid.shape, dtype=np.float32)
        fine, coarse = (blur(white, (w, w, 0.0), grid.spacing) for w in (SHARP_MM, SOFT_MM))
        noise = fine - coarse
        level = np.float32(self.noise_hu) * np.clip(1 + values / 2500, 0.55, 1.5)
        return np.clip(values + level * noise / noise.std(), LOWEST_HU, HIGHEST_HU)


def draw_ct(rng: np.random.Generator, body: Body) -> CtScan:
    """Draw the settings and the HU of one case."""
    contrast = bool(rng.random() < 0.6)
    tissues = draw_values(rng, {**HU, **CONTRAST_HU} if contrast else HU)
    ranges = ((15, 38), (88, 125)) if contrast else ((8, 30), (8, 34))
    lesions = tuple(round(float(rng.uniform(*ranges[int(rng.integers(2))])), 1) for _ in body.lesions)
    return CtScan(
        appearance=Appearance(tissues, lesions, round(float(rng.uniform(2, 12)), 1)),
        contrast=contrast,
        noise_hu=float(rng.uniform(7, 16)),
        tube_kv=int(rng.choice([100, 120, 140])),
    )


def _couch(body: Body, grid: VolumeGrid) -> NDArray[np.bool_]:
    """A shallow trough beneath the back."""
    x, y, _ = grid_points(grid)
    surface = 118 * body.scale - (x / 260) ** 2 * 70
    trough = (np.abs(y - surface - COUCH_MM / 2) < COUCH_MM / 2) & (np.abs(x) < 205)
    return np.broadcast_to(trough, grid.shape)
