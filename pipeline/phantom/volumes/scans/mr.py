"""A T1-weighted MR scan: brightness under a bias field, with the noise of a magnitude image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array, grid_points
from pyraseg.pipeline.phantom.volumes.body.tissues import T1, draw_values
from pyraseg.pipeline.phantom.volumes.scans.blur import blur, smooth_noise
from pyraseg.transforms.geometry.grid import Vector, VolumeGrid

__all__ = ["MrScan", "draw_mr"]

TEXTURE_MM = 7.0


@dataclass(frozen=True)
class MrScan:
    """One examination's settings.

    Attributes:
        appearance: brightness, fat about 1.
        slope, bend: of the bias field's logarithm, per metre and per square metre along x, y and z.
        noise: standard deviation of either part of the complex signal, fat about 1.
        gain: stored value of brightness 1.
    """

    appearance: Appearance
    slope: Vector
    bend: Vector
    noise: float
    gain: float

    def bias(self, grid: VolumeGrid) -> Array:
        """The factor by which the coils' sensitivity changes the brightness, (x, y, z) or broadcastable;
        about 1."""
        middle = grid.affine_lps @ [*((count - 1) / 2 for count in grid.shape), 1]
        total: Array = np.zeros((1, 1, 1), np.float32)
        for points, centre, slope, bend in zip(
            grid_points(grid), middle[:3], self.slope, self.bend, strict=True
        ):
            distance = (points - np.float32(centre)) / np.float32(1000)
            total = total + np.float32(slope) * distance - np.float32(bend) * distance**2
        return np.exp(total)

    def render(self, painted: Painted, _: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """Values as a scanner stores them, without unit, (x, y, z)."""
        values = painted.values(self.appearance)
        values *= 1 + 0.05 * smooth_noise(rng, grid.shape, (TEXTURE_MM,) * 3, grid.spacing)
        pixel = grid.spacing[0]
        values = blur(values, (1.1 * pixel, 1.1 * pixel, 0.8 * grid.spacing[2]), grid.spacing) * self.bias(
            grid
        )
        real, imaginary = np.float32(self.noise) * rng.standard_normal((2, *grid.shape), dtype=np.float32)
        magnitude: Array = np.hypot(values + real, imaginary) * np.float32(self.gain)
        return magnitude


def draw_mr(rng: np.random.Generator, body: Body) -> MrScan:
    """Draw the settings and the brightness of one case."""
    lesions = tuple(round(float(rng.uniform(0.42, 0.6)), 3) for _ in body.lesions)
    slope, bend = rng.uniform(-1.6, 1.6, 3), rng.uniform(2, 9, 3)
    return MrScan(
        appearance=Appearance(draw_values(rng, T1), lesions, round(float(rng.uniform(0.2, 0.28)), 3)),
        slope=(float(slope[0]), float(slope[1]), float(slope[2])),
        bend=(float(bend[0]), float(bend[1]), float(bend[2])),
        noise=float(rng.uniform(0.015, 0.035)),
        gain=float(rng.uniform(500, 1400)),
    )
