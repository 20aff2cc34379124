"""What lies around the kidney, drawn at random: layers, liver, vessels, cysts, ribs and gas (lengths in
mm)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Blob", "Shadow", "Surroundings", "draw_surroundings"]


@dataclass(frozen=True)
class Blob:
    """A dark ellipse outside the kidney, a vessel's section or a cyst: never labelled as fluid."""

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float
    wall_db: float


@dataclass(frozen=True)
class Shadow:
    """A strong reflector: centre (x, y) and semi-axes in mm, and the loss in dB behind it (a rib, or gas)."""

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    loss_db: float


@dataclass(frozen=True)
class Surroundings:
    """The tissue outside the kidney.

    Attributes:
        layers: depths in mm at which skin, fat and muscle end.
        wave: (amplitude mm, wavelength mm, phase) of the layers' undulation.
        liver: (slope, offset mm) of the line above which it lies, or None where fat surrounds the kidney.
        fat_rim_mm: thickness of the bright perirenal fat.
        psoas_mm: depth at which the deep muscle begins.
        blobs, shadows: the distractors.
    """

    layers: tuple[float, float, float]
    wave: tuple[float, float, float]
    liver: tuple[float, float] | None
    fat_rim_mm: float
    psoas_mm: float
    blobs: tuple[Blob, ...]
    shadows: tuple[Shadow, ...]


def draw_surroundings(
    rng: np.random.Generator, depth_mm: float, centre: tuple[float, float], semi_axes: tuple[float, float]
) -> Surroundings:
    """Draw the tissue around a kidney at ``centre`` with ``semi_axes`` (mm) in a sector of ``depth_mm``."""
    layers = np.cumsum(
        [rng.uniform(1.2, 2.2), depth_mm * rng.uniform(0.04, 0.09), depth_mm * rng.uniform(0.04, 0.09)]
    )
    clear = float(np.hypot(*semi_axes)) * 0.80
    blobs = [_draw_blob(rng, depth_mm, centre, clear, big=False) for _ in range(int(rng.integers(2, 6)))]
    blobs += [_draw_blob(rng, depth_mm, centre, clear, big=True) for _ in range(int(rng.random() < 0.45))]
    return Surroundings(
        layers=(float(layers[0]), float(layers[1]), float(layers[2])),
        wave=(rng.uniform(0.5, 2.0), rng.uniform(40, 120), rng.uniform(0, 2 * np.pi)),
        liver=(rng.normal(0, 0.35), rng.uniform(-0.1, 0.25) * depth_mm) if rng.random() < 0.7 else None,
        fat_rim_mm=rng.uniform(1.5, 5.0),
        psoas_mm=centre[1] + semi_axes[1] * rng.uniform(1.15, 1.6),
        blobs=tuple(blobs),
        shadows=tuple(_draw_shadow(rng, depth_mm, float(layers[2])) for _ in range(int(rng.integers(0, 3)))),
    )


def _draw_blob(
    rng: np.random.Generator, depth_mm: float, centre: tuple[float, float], clear: float, *, big: bool
) -> Blob:
    """A vessel (small, longish) or a cyst (big), at a distance from the kidney's centre that keeps it
    outside."""
    along = depth_mm * (rng.uniform(0.06, 0.11) if big else rng.uniform(0.012, 0.05))
    across = along * (rng.uniform(0.6, 0.95) if big else rng.uniform(0.25, 0.9))
    angle = rng.uniform(0, 2 * np.pi)
    away = clear + along + rng.uniform(0, 0.2) * depth_mm
    place = (centre[0] + away * np.cos(angle), centre[1] + 0.8 * away * np.sin(angle))
    return Blob((float(place[0]), float(place[1])), (along, across), rng.uniform(-1, 1), rng.uniform(0, 9))


def _draw_shadow(rng: np.random.Generator, depth_mm: float, muscle_mm: float) -> Shadow:
    gas = rng.random() < 0.35
    y = depth_mm * rng.uniform(0.3, 0.8) if gas else muscle_mm
    x = depth_mm * float(rng.choice([-1, 1])) * rng.uniform(0.12, 0.42) * (0.5 + y / depth_mm)
    return Shadow((x, y), (rng.uniform(2.5, 6.0), rng.uniform(0.8, 2.0)), rng.uniform(12, 32))
