"""The outline of the body, its subcutaneous fat, the wall of the trunk with the ribs, and the thighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.volumes.body.organs import DIAPHRAGM_MM
from pyraseg.pipeline.phantom.volumes.body.shapes import Array, Ellipsoid, Points
from pyraseg.pipeline.phantom.volumes.body.tissues import Tissue, fill

__all__ = ["BOTTOM_MM", "HALF_WIDTH_MM", "TOP_MM", "paint_body"]

TOP_MM, BOTTOM_MM = 805.0, -420.0
HALF_WIDTH_MM = 182.0
# Trunk and neck at some heights: half width and half depth in mm, of a superellipse.
HEIGHTS = (-60, 0, 80, 160, 250, 350, 440, 500, 530, 560, 585, 640)
HALF_WIDTHS = (172, 176, 166, 148, 152, 158, 168, 182, 160, 80, 62, 60)
HALF_DEPTHS = (98, 108, 104, 98, 104, 110, 110, 98, 80, 66, 62, 60)
EXPONENT = 2.4
PERINEUM_MM, NECK_MM = -45.0, 640.0
HEAD = Ellipsoid((0, 2, 697), (76, 96, 106))
WALL_MM = 11.0
RIB_MM, RIB_PERIOD_MM = 7.0, 30.0


def paint_body(tissue: NDArray[np.uint8], points: Points, *, fat_mm: float) -> NDArray[np.bool_]:
    """Paint fat, muscle, ribs and the fat between organs into a tissue map of air.

    Args:
        tissue: (x, y, z), changed in place.
        points: of the voxels, in mm of the adult body.
        fat_mm: thickness of the subcutaneous fat.

    Returns:
        The mask of the inside of the subcutaneous fat, (x, y, z), for the organs.
    """
    trunk, thigh = _trunk_depth(points), _thigh_depth(points)
    head = (1 - HEAD.level(points)) * np.float32(76)
    depth = np.maximum(trunk, np.maximum(thigh, head))
    fill(tissue, Tissue.FAT, depth > 0)
    beneath: NDArray[np.bool_] = (trunk > fat_mm) | (thigh > 0.8 * fat_mm) | (head > 4)
    fill(tissue, Tissue.MUSCLE, beneath)
    # The cavities of abdomen and chest are full of fat; in the pelvis they are narrower than the trunk
    wall = fat_mm + WALL_MM + np.clip((70 - points[2]) * 0.6, 0, 45)
    fill(tissue, Tissue.FAT, (trunk > wall) & (points[2] > -30) & (points[2] < 510))
    _paint_ribs(tissue, trunk, points, fat_mm)
    _paint_septa(tissue, thigh, points, fat_mm)
    _paint_hip(tissue, trunk, points, fat_mm)
    return beneath


def _trunk_depth(points: Points) -> Array:
    """Depth below the surface of trunk and neck in mm, about; negative outside."""
    x, y, z = points
    half_width = np.interp(z, HEIGHTS, HALF_WIDTHS).astype(np.float32)
    half_depth = np.interp(z, HEIGHTS, HALF_DEPTHS).astype(np.float32)
    power = (np.abs(x) / half_width) ** EXPONENT + (np.abs(y) / half_depth) ** EXPONENT
    level = power ** np.float32(1 / EXPONENT)
    depth: Array = np.minimum((1 - level) * half_depth, np.minimum(z - PERINEUM_MM, NECK_MM - z))
    return depth


def _thigh_depth(points: Points) -> Array:
    x, y, z = points
    share = np.clip(-z / np.float32(-BOTTOM_MM), 0, 1)
    radius = np.where(z < 30, 90 - 26 * share, 0).astype(np.float32)
    depth: Array = radius - np.hypot(np.abs(x) - (91 - 13 * share), y - 3)
    return depth


def _paint_ribs(tissue: NDArray[np.uint8], trunk: Array, points: Points, fat_mm: float) -> None:
    """Paint bands of bone in the wall of the chest that fall from back to front."""
    _, y, z = points
    phase = np.mod(z + 0.45 * y, np.float32(RIB_PERIOD_MM))
    middle = np.abs(trunk - np.float32(fat_mm + 0.6 * WALL_MM))
    chest = (z > DIAPHRAGM_MM - 90) & (z < 505)
    fill(tissue, Tissue.CORTEX, chest & (middle < 0.5 * RIB_MM) & (phase < 11))
    fill(tissue, Tissue.MARROW, chest & (middle < 0.2 * RIB_MM) & (phase > 2.5) & (phase < 8.5))


def _paint_septa(tissue: NDArray[np.uint8], thigh: Array, points: Points, fat_mm: float) -> None:
    """Paint sheets of fat between the muscles of the thigh, from the femur outwards."""
    x, y, z = points
    angle = np.arctan2(y - 3, np.abs(x) - 90) + 0.0025 * z
    distance = np.hypot(np.abs(x) - 90, y - 3)
    sheet = np.abs(np.sin(2.5 * angle + 0.25 * np.sin(distance / 11))) * distance
    between = (thigh > 0.8 * fat_mm) & (z < -20) & (distance > 17)
    fill(tissue, Tissue.FAT, between & (sheet < 4.0))


def _paint_hip(tissue: NDArray[np.uint8], trunk: Array, points: Points, fat_mm: float) -> None:
    """Paint sheets of fat between the muscles around the hip joint and the buttock."""
    x, y, z = points
    distance = np.hypot(np.abs(x) - 78, y + 4 + 6 * np.sin(x / 25)) + 0.15 * z
    between = (trunk > fat_mm) & (z > -42) & (z < 110) & (np.abs(x) > 55) & (distance > 38)
    fill(tissue, Tissue.FAT, between & (np.mod(distance, np.float32(23)) < 2.6))
