"""An FDG-PET scan: uptake as SUV, blurred by the scanner, with noise that grows with the uptake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.body.tissues import SUV, draw_values
from pyraseg.pipeline.phantom.volumes.scans.blur import blur, smooth_noise
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["PetScan", "draw_pet"]


@dataclass(frozen=True)
class PetScan:
    """One examination's settings.

    Attributes:
        appearance: in SUV by body weight, g/ml.
        fwhm_mm: the scanner's resolution.
        noise: standard deviation of SUV 1.
    """

    appearance: Appearance
    fwhm_mm: float
    noise: float

    def render(self, painted: Painted, _: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """SUV, (x, y, z), never negative."""
        width = (self.fwhm_mm,) * 3
        values = blur(painted.values(self.appearance), width, grid.spacing)
        grain = smooth_noise(rng, grid.shape, (0.8 * self.fwhm_mm,) * 3, grid.spacing)
        return np.maximum(values + np.float32(self.noise) * np.sqrt(values + 0.02) * grain, 0)


def draw_pet(rng: np.random.Generator, body: Body) -> PetScan:
    """Draw the settings and the uptake of one case."""
    lesions = tuple(round(float(rng.uniform(4, 14)), 2) for _ in body.lesions)
    return PetScan(
        appearance=Appearance(draw_values(rng, SUV), lesions, round(float(rng.uniform(0.8, 1.8)), 2)),
        fwhm_mm=float(rng.uniform(5, 7.5)),
        noise=float(rng.uniform(0.08, 0.15)),
    )
