"""The convex sector: the beams' geometry in the frame, and the conversion from polar samples to pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

__all__ = ["Sector", "draw_sector"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sector:
    """A convex probe's field of view. Lengths in mm, angles in radians, pixels as (row, column).

    Tissue coordinates are mm, x to the right and y downwards (depth), from the middle of the probe's face.

    Attributes:
        rows, columns: the size of the frame in pixels.
        spacing_mm: (down, right), mm per pixel.
        face_pixel: (row, column) of the middle of the probe's face.
        radius_mm: the probe's radius of curvature; the beams' apex lies this far above the face.
        depth_mm: from the face to the deepest sample.
        half_angle: between the middle beam and either edge.
        beams, samples: the size of the polar grid.
    """

    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    face_pixel: tuple[float, float]
    radius_mm: float
    depth_mm: float
    half_angle: float
    beams: int = 224
    samples: int = 448

    @property
    def sample_mm(self) -> float:
        """Distance between two samples along a beam in mm."""
        return self.depth_mm / (self.samples - 1)

    def pixels(self) -> tuple[Array, Array]:
        """Tissue coordinates x, y in mm of every pixel centre, each (H, W)."""
        x = (np.arange(self.columns) - self.face_pixel[1]) * self.spacing_mm[1]
        y = (np.arange(self.rows) - self.face_pixel[0]) * self.spacing_mm[0]
        grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        return grid[0], grid[1]

    def polar_points(self) -> tuple[Array, Array]:
        """Tissue coordinates x, y in mm of every polar sample, each (samples, beams)."""
        depths = np.linspace(0, self.depth_mm, self.samples, dtype=np.float32)
        angles = np.linspace(-self.half_angle, self.half_angle, self.beams, dtype=np.float32)
        depth, angle = np.meshgrid(depths, angles, indexing="ij")
        reach = depth + np.float32(self.radius_mm)
        return reach * np.sin(angle), reach * np.cos(angle) - np.float32(self.radius_mm)

    def mask(self) -> NDArray[np.bool_]:
        """The pixels inside the sector, (H, W)."""
        return self._inside(*self._to_polar())

    def scan_convert(self, image: Array) -> Array:
        """Interpolate a polar image (samples, beams) at the pixel centres: (H, W), 0 outside the sector."""
        depth, angle = self._to_polar()
        beam = (angle + self.half_angle) * ((self.beams - 1) / (2 * self.half_angle))
        inside = self._inside(depth, angle)
        frame = np.zeros(inside.shape, np.float32)
        positions = np.stack([depth[inside] / self.sample_mm, beam[inside]])
        frame[inside] = map_coordinates(image, positions, order=1, mode="nearest")
        return frame

    def box(self) -> tuple[int, int, int, int]:
        """The bounding box in pixels, ends included: first column, first row, last column, last row."""
        rows, columns = np.nonzero(self.mask())
        return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())

    def _inside(self, depth: Array, angle: Array) -> NDArray[np.bool_]:
        return (depth >= 0) & (depth <= self.depth_mm) & (np.abs(angle) <= self.half_angle)

    def _to_polar(self) -> tuple[Array, Array]:
        x, y = self.pixels()
        y = y + np.float32(self.radius_mm)
        return np.hypot(x, y) - np.float32(self.radius_mm), np.arctan2(x, y)


def draw_sector(rng: np.random.Generator, *, aspect: float = 1.0) -> Sector:
    """Draw a sector for a frame of about 480 x 640 pixels; ``aspect`` is a pixel's height over its width."""
    rows, columns = 2 * int(rng.integers(232, 253)), 2 * int(rng.integers(308, 337))
    depth, radius, half_angle = rng.uniform(95, 165), rng.uniform(38, 60), np.deg2rad(rng.uniform(28, 38))
    sagitta = radius * (1 - np.cos(half_angle))
    top, bottom = rng.uniform(0.08, 0.11) * rows, rng.uniform(0.95, 0.98) * rows
    down = (depth + sagitta) / (bottom - top)
    widest = 2 * (radius + depth) * np.sin(half_angle)
    down = max(down, widest / (0.80 * columns) * aspect)  # leave room for the scale and the text
    face = (top + sagitta / down, columns / 2 + rng.uniform(-0.03, 0.03) * columns)
    spacing = (round(float(down), 4), round(float(down / aspect), 4))
    return Sector(rows, columns, spacing, face, float(radius), float(depth), float(half_angle))
