"""Soft tissue lesions: lobed bodies whose volume is known exactly, at the sites where sarcomas grow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.volumes.body.shapes import Array, Ellipsoid, Points
from pyraseg.transforms.geometry.grid import Vector

__all__ = ["Lesion", "draw_lesions"]

CORE_LEVEL = 0.55  # radius of a necrotic core relative to the lesion's
CORE_EVERY = 0.6  # share of lesions that have one


@dataclass(frozen=True)
class Site:
    """A site on the left side, in mm of the adult body: the range of a lesion's position and size."""

    name: str
    centre: Vector
    spread: Vector
    radius: tuple[float, float]
    length: float


SITES: tuple[Site, ...] = (
    Site("thigh", (94, 40, -170), (5, 3, 50), (14, 23), 1.9),
    Site("retroperitoneum", (66, 12, 120), (6, 6, 14), (16, 28), 1.2),
    Site("gluteal region", (84, 66, 15), (6, 2, 12), (11, 17), 1.6),
    Site("thigh", (98, -34, -140), (5, 3, 40), (13, 20), 1.9),
)


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid whose slices are shifted along waves, which keeps its volume.

    Attributes:
        site: "left thigh" and so on.
        body: the ellipsoid, in mm of the adult body; the third semi-axis is the longest.
        waves: (amplitude mm, wavelength mm, phase) of the shifts along x by y and z, and along y by z.
        core_level: radius of the necrotic core relative to the lesion's; 0 without one.
        scale: the patient's mm per mm of the adult body.
    """

    site: str
    body: Ellipsoid
    waves: tuple[Vector, Vector, Vector]
    core_level: float
    scale: float

    @property
    def volume_ml(self) -> float:
        """The exact volume, core included."""
        return float(4 / 3 * np.pi * np.prod(self.body.semi_axes) * self.scale**3 / 1000)

    @property
    def core_share(self) -> float:
        """The core's part of the volume."""
        return self.core_level**3

    def level(self, points: Points) -> Array:
        """1 on the surface, below 1 inside, at points in mm of the adult body."""
        x, y, z = (p - np.float32(c) for p, c in zip(points, self.body.centre, strict=True))
        first, second, third = self.waves
        y = y + _wave(z, third)
        x = x + _wave(z, second) + _wave(y, first)
        return replace(self.body, centre=(0.0, 0.0, 0.0)).level((x, y, z))

    def mask(self, points: Points, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """The voxels whose centre lies inside, (x, y, z)."""
        return np.broadcast_to(self.level(points) < 1, shape)


def _wave(position: Array, wave: Vector) -> Array:
    amplitude, length, phase = wave
    angle = position * np.float32(2 * np.pi / length) + np.float32(phase)
    shift: Array = np.float32(amplitude) * np.sin(angle)
    return shift - np.float32(amplitude * np.sin(phase))


def draw_lesions(
    rng: np.random.Generator, site: int, *, scale: float, both_sides: bool
) -> tuple[Lesion, ...]:
    """Draw a lesion at one of the sites, left or right, and with ``both_sides`` a smaller one opposite.

    Args:
        site: any number, modulo ``SITES``.
        scale: the patient's mm per mm of the adult body.
    """
    chosen, side = SITES[site % len(SITES)], float(rng.choice([-1, 1]))
    lesions = [_draw(rng, chosen, side, scale, 1.0)]
    if both_sides:
        lesions.append(_draw(rng, chosen, -side, scale, 0.75))
    return tuple(lesions)


def _draw(rng: np.random.Generator, site: Site, side: float, scale: float, shrink: float) -> Lesion:
    x, y, z = np.asarray(site.centre) + rng.uniform(-1, 1, 3) * site.spread
    radius = rng.uniform(*site.radius) * shrink
    axes = radius * rng.uniform(0.82, 1.0, 2)
    length = radius * rng.uniform(1.0, site.length)
    angles = rng.uniform(-12, 12, 3)
    waves = [
        (radius * rng.uniform(0.06, 0.14), radius * rng.uniform(1.1, 1.9), rng.uniform(0, 6.28))
        for _ in range(3)
    ]
    return Lesion(
        site=f"{'left' if side > 0 else 'right'} {site.name}",
        body=Ellipsoid(
            (float(side * x), float(y), float(z)),
            (float(axes[0]), float(axes[1]), float(length)),
            (float(angles[0]), float(angles[1]), float(angles[2])),
        ),
        waves=(waves[0], waves[1], waves[2]),
        core_level=CORE_LEVEL if rng.random() < CORE_EVERY else 0.0,
        scale=scale,
    )
