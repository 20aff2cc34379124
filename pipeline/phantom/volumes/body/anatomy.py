"""One body: drawn as frozen records, then painted on any grid as a map of tissues and lesions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.volumes.body.lesions import Lesion, draw_lesions
from pyraseg.pipeline.phantom.volumes.body.organs import ORGANS, Organ
from pyraseg.pipeline.phantom.volumes.body.outline import paint_body
from pyraseg.pipeline.phantom.volumes.body.shapes import Array, Points, grid_points
from pyraseg.pipeline.phantom.volumes.body.tissues import Tissue, fill
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["Appearance", "Body", "Painted", "draw_body", "paint"]

DISC_PERIOD_MM, DISC_MM = 33.0, 7.0
ADULT_KG = 64.0


@dataclass(frozen=True)
class Body:
    """One patient, in mm of the adult body.

    Attributes:
        scale: the patient's mm per mm of the adult body.
        fat_mm: thickness of the subcutaneous fat.
        weight_kg: of the patient.
    """

    scale: float
    fat_mm: float
    organs: tuple[Organ, ...]
    lesions: tuple[Lesion, ...]
    weight_kg: float


@dataclass(frozen=True)
class Appearance:
    """The values of all tissues, (18,), lesions and necrotic cores: HU, brightness or SUV."""

    tissues: NDArray[np.float32]
    lesions: tuple[float, ...]
    core: float


@dataclass(frozen=True)
class Painted:
    """A body on a grid.

    Attributes:
        tissue: values of ``Tissue``, (x, y, z) uint8, without lesions.
        lesions: 0, or the lesion's number from 1, (x, y, z) uint8.
        cores: the necrotic cores, (x, y, z) bool.
    """

    tissue: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    cores: NDArray[np.bool_]

    def values(self, appearance: Appearance) -> Array:
        """The values before any blur and noise, (x, y, z)."""
        values = appearance.tissues[self.tissue]
        for number, value in enumerate(appearance.lesions, start=1):
            values[self.lesions == number] = value
        values[self.cores] = appearance.core
        return values


def draw_body(rng: np.random.Generator, site: int, *, scale: tuple[float, float], both_sides: bool) -> Body:
    """Draw one patient.

    Args:
        site: of the lesion; any number, modulo the sites.
        scale: range of the size relative to an adult's.
        both_sides: a second lesion on the other side.
    """
    size, fat = rng.uniform(*scale), rng.uniform(8, 20)
    return Body(
        scale=size,
        fat_mm=fat,
        organs=tuple(_vary(rng, organ) for organ in ORGANS),
        lesions=draw_lesions(rng, site, scale=size, both_sides=both_sides),
        weight_kg=round(float(ADULT_KG * size**3 * (0.85 + fat / 60)), 1),
    )


def _vary(rng: np.random.Generator, organ: Organ) -> Organ:
    """Move the organ a little and, unless it is bone, change its size."""
    shift, factor = rng.uniform(-1.5, 1.5, 3), rng.uniform(0.94, 1.06)
    if organ.tissue == Tissue.CORTEX or organ.core == Tissue.WHITE_MATTER:
        return organ
    return replace(organ, solid=organ.solid.moved(shift.tolist(), factor))


def paint(body: Body, grid: VolumeGrid) -> Painted:
    """Evaluate the body at the voxel centres."""
    x, y, z = (axis / np.float32(body.scale) for axis in grid_points(grid))
    tissue = np.zeros(grid.shape, np.uint8)
    inside = paint_body(tissue, (x, y, z), fat_mm=body.fat_mm)
    for organ in body.organs:
        _paint_organ(tissue, organ, (x, y, z), inside)
    spine = (z > 75) & (z < 585) & (np.hypot(x, y - 47) < 18)
    fill(tissue, Tissue.DISC, (np.mod(z, np.float32(DISC_PERIOD_MM)) < DISC_MM) & spine)
    lesions, cores = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, bool)
    for number, lesion in enumerate(body.lesions, start=1):
        level = lesion.level((x, y, z))
        np.copyto(lesions, number, where=level < 1)
        cores |= level < lesion.core_level
    return Painted(tissue, lesions, cores)


def _paint_organ(tissue: NDArray[np.uint8], organ: Organ, points: Points, inside: NDArray[np.bool_]) -> None:
    level, allowed = organ.solid.level(points), inside
    if organ.above is not None:
        x, y, z = points
        dome = np.float32(organ.above) + 30 * np.exp(-(((np.abs(x) - 75) / 50) ** 2) - (y / 60) ** 2)
        allowed = inside & (z > dome)
    fill(tissue, organ.tissue, (level < 1) & allowed)
    if organ.core is not None:
        fill(tissue, organ.core, (level < organ.core_level) & allowed)
