"""Implicit functions of the anatomy at any tissue coordinates (mm), and the labels from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.ultrasound.anatomy import Blob, Branch, Kidney

__all__ = [
    "blob_level",
    "fluid_distance",
    "kidney_coordinates",
    "kidney_level",
    "label_map",
    "sinus_level",
    "wrap_angle",
]

Array = NDArray[np.float32]
REACH = 1.3  # every outline lies within the ellipse times this factor
PARENCHYMA_LEVEL = 0.90  # fluid stays below this level: some parenchyma is always left


def kidney_coordinates(kidney: Kidney, x: Array, y: Array) -> tuple[Array, Array]:
    """Tissue coordinates (mm) to the kidney's: u along its long axis, v across, both in mm."""
    cosine, sine = np.float32(np.cos(kidney.angle)), np.float32(np.sin(kidney.angle))
    dx, dy = x - np.float32(kidney.centre[0]), y - np.float32(kidney.centre[1])
    return cosine * dx + sine * dy, cosine * dy - sine * dx


def wrap_angle(angle: Array) -> Array:
    """The same angles between -pi and pi."""
    return np.remainder(angle + np.float32(np.pi), np.float32(2 * np.pi)) - np.float32(np.pi)


def kidney_level(kidney: Kidney, u: Array, v: Array) -> Array:
    """Relative distance from the centre: 1 on the irregular outline, below 1 inside."""
    p, q = u / np.float32(kidney.semi_axes[0]), v / np.float32(kidney.semi_axes[1])
    phi = np.arctan2(q, p)
    outline = np.ones_like(u)
    for order, amplitude, phase in kidney.outline:
        outline += np.float32(amplitude) * np.cos(order * phi + np.float32(phase))
    direction, dent, width = kidney.hilum
    turn = wrap_angle(phi - np.float32(direction))
    outline -= np.float32(dent) * np.exp(-((turn / np.float32(width)) ** 2))
    return np.hypot(p, q) / outline


def sinus_level(kidney: Kidney, u: Array, v: Array) -> Array:
    """1 on the outline of the echogenic sinus, below 1 inside."""
    size, shift = kidney.sinus
    direction = kidney.hilum[0]
    p = u / np.float32(kidney.semi_axes[0] * size * 1.15) - np.float32(shift * np.cos(direction))
    q = v / np.float32(kidney.semi_axes[1] * size) - np.float32(shift * np.sin(direction))
    phi = np.arctan2(q, p)
    bulges = np.float32(0.13) * np.cos(5 * phi + np.float32(direction))
    return np.hypot(p, q) / (1 + bulges + np.float32(0.07) * np.cos(9 * phi))


def fluid_distance(kidney: Kidney, u: Array, v: Array) -> Array:
    """Signed distance (about mm) to the wall of the fluid, negative inside; large if there is none."""
    if not kidney.fluid:
        return np.full_like(u, 1e3)
    scale = np.float32(0.05 * kidney.semi_axes[1])  # branches blend over this length
    wu = u + scale * np.sin(v / (3 * scale) + np.float32(kidney.angle))
    wv = v + scale * np.sin(u / (4 * scale) - np.float32(kidney.angle))
    total = np.zeros_like(u)
    for branch in kidney.fluid:
        total += np.exp(np.minimum(-_branch_distance(branch, wu, wv) / scale, 60))
    distance: Array = -scale * np.log(np.maximum(total, np.float32(1e-30)))
    return distance


def _branch_distance(branch: Branch, u: Array, v: Array) -> Array:
    du, dv = branch.end[0] - branch.start[0], branch.end[1] - branch.start[1]
    pu, pv = u - np.float32(branch.start[0]), v - np.float32(branch.start[1])
    length2 = np.float32(du * du + dv * dv + 1e-6)
    share: Array = np.clip((pu * np.float32(du) + pv * np.float32(dv)) / length2, 0, 1)
    # the radius grows towards the end only: a narrow neck and a wide calyx
    growth = np.float32(branch.end_radius - branch.start_radius)
    radius: Array = np.float32(branch.start_radius) + growth * share**2
    distance: Array = np.hypot(pu - share * np.float32(du), pv - share * np.float32(dv)) - radius
    return distance


def blob_level(blob: Blob, x: Array, y: Array) -> Array:
    """1 on the ellipse, below 1 inside."""
    cosine, sine = np.float32(np.cos(blob.angle)), np.float32(np.sin(blob.angle))
    dx, dy = x - np.float32(blob.centre[0]), y - np.float32(blob.centre[1])
    return np.hypot(
        (cosine * dx + sine * dy) / np.float32(blob.semi_axes[0]),
        (cosine * dy - sine * dx) / np.float32(blob.semi_axes[1]),
    )


def label_map(kidney: Kidney, x: Array, y: Array) -> NDArray[np.uint8]:
    """0 background, 1 kidney, 2 hydronephrosis at tissue coordinates x, y (mm), in their shape."""
    u, v = kidney_coordinates(kidney, x, y)
    near = np.hypot(u / np.float32(kidney.semi_axes[0]), v / np.float32(kidney.semi_axes[1])) < REACH
    level = kidney_level(kidney, u[near], v[near])
    fluid = (fluid_distance(kidney, u[near], v[near]) < 0) & (level < PARENCHYMA_LEVEL)
    labels = np.zeros(x.shape, np.uint8)
    labels[near] = np.where(fluid, 2, level < 1)
    return labels
