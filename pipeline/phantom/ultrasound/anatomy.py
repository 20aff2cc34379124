"""Random anatomy as frozen records, without a grid: the kidney, its fluid, its surroundings.

Lengths are mm in tissue coordinates (x right, y down from the probe's face) or in the kidney's (u along its
long axis, v across).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Anatomy", "Blob", "Branch", "Kidney", "Surroundings", "draw_anatomy"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Branch:
    """A tapered tube with round ends in the kidney's coordinates (mm): part of the pelvis or of a calyx."""

    start: Point
    end: Point
    start_radius: float
    end_radius: float


@dataclass(frozen=True)
class Kidney:
    """One kidney and its collecting system.

    Attributes:
        centre: (x, y) in mm.
        semi_axes: along and across, mm.
        angle: of the long axis against x, radians.
        outline: (order, amplitude, phase) of the outline's harmonics, relative to the ellipse.
        hilum: the outline's dent: its direction (radians), relative depth, and width (radians).
        sinus: relative size of the echogenic sinus, and its shift towards the hilum.
        pyramids: directions of the medullary pyramids, radians.
        fluid: the branches of the fluid collection; empty without hydronephrosis.
        stone: (u, v, radius) in mm of a stone, or None.
    """

    centre: Point
    semi_axes: Point
    angle: float
    outline: tuple[tuple[int, float, float], ...]
    hilum: tuple[float, float, float]
    sinus: Point
    pyramids: tuple[float, ...]
    fluid: tuple[Branch, ...]
    stone: tuple[float, float, float] | None


@dataclass(frozen=True)
class Blob:
    """A dark ellipse outside the kidney, a vessel or a cyst, never labelled as fluid."""

    centre: Point
    semi_axes: Point
    angle: float
    wall_db: float


@dataclass(frozen=True)
class Shadow:
    """A strong reflector: centre (x, y) and semi-axes in mm, and the loss in dB behind it (a rib, or gas)."""

    centre: Point
    semi_axes: Point
    loss_db: float


@dataclass(frozen=True)
class Surroundings:
    """The tissue outside the kidney.

    Attributes:
        layers: depths in mm at which skin, fat and muscle end.
        wave: (amplitude mm, wavelength mm, phase) of the layers' undulation.
        liver: (slope, offset mm) of its lower border, or None if fat surrounds the kidney.
        fat_rim_mm: thickness of the bright perirenal fat.
        psoas_mm: depth at which the deep muscle begins.
        blobs, shadows: the distractors.
    """

    layers: tuple[float, float, float]
    wave: tuple[float, float, float]
    liver: Point | None
    fat_rim_mm: float
    psoas_mm: float
    blobs: tuple[Blob, ...]
    shadows: tuple[Shadow, ...]


@dataclass(frozen=True)
class Anatomy:
    """The anatomy of one case; every frame of a cine shows it displaced."""

    kidney: Kidney
    surroundings: Surroundings


def draw_anatomy(rng: np.random.Generator, depth_mm: float, *, grade: int) -> Anatomy:
    """Draw one case.

    Args:
        rng: random numbers.
        depth_mm: the sector's depth, which decides about the kidney's size and position.
        grade: of the fluid collection, 0 (none) to 4 (severe, thin parenchyma).
    """
    kidney = _draw_kidney(rng, depth_mm, grade)
    return Anatomy(kidney, _draw_surroundings(rng, depth_mm, kidney.centre, kidney.semi_axes))


def _draw_kidney(rng: np.random.Generator, depth_mm: float, grade: int) -> Kidney:
    transverse = rng.random() < 0.2
    along = depth_mm * (rng.uniform(0.21, 0.26) if transverse else rng.uniform(0.28, 0.36))
    across = along * (rng.uniform(0.78, 0.95) if transverse else rng.uniform(0.46, 0.58) + 0.02 * grade)
    hilum = (
        float(rng.choice([-0.5, 0.5]) * np.pi + rng.normal(0, 0.25)),
        rng.uniform(0.03, 0.14),
        rng.uniform(0.25, 0.5),
    )
    orders = range(2, 7)
    count = int(rng.integers(6, 10))
    return Kidney(
        centre=(depth_mm * rng.uniform(-0.13, 0.13), depth_mm * rng.uniform(0.42, 0.56)),
        semi_axes=(along, across),
        angle=float(np.deg2rad(rng.uniform(-38, 38))),
        outline=tuple(
            (k, float(rng.uniform(0.2, 1) * 0.09 / k), float(rng.uniform(0, 2 * np.pi))) for k in orders
        ),
        hilum=hilum,
        sinus=(rng.uniform(0.38, 0.52), rng.uniform(0.05, 0.2)),
        pyramids=tuple(((np.arange(count) + rng.uniform(-0.25, 0.25, count)) * 2 * np.pi / count).tolist()),
        fluid=_draw_fluid(rng, along, across, hilum[0], grade),
        stone=(along * rng.uniform(-0.3, 0.3), across * rng.uniform(-0.2, 0.2), rng.uniform(1.2, 2.5))
        if rng.random() < 0.15
        else None,
    )


def _draw_fluid(
    rng: np.random.Generator, along: float, across: float, hilum: float, grade: int
) -> tuple[Branch, ...]:
    """The pelvis, then its calyces: more, longer and wider with the grade."""
    if grade == 0:
        return ()
    radius = across * (0.17 + 0.06 * grade) * rng.uniform(0.85, 1.15)
    reach = along * rng.uniform(0.16, 0.30)
    side = across * rng.uniform(0.0, 0.15) * np.sin(hilum)
    tilt = across * rng.normal(0, 0.06)
    pelvis = Branch(
        (-reach, side - tilt),
        (reach, side + tilt),
        radius * rng.uniform(0.6, 1),
        radius * rng.uniform(0.6, 1),
    )
    count = int(np.clip(rng.poisson(1.5 * grade), grade - 1, 8))
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count) + rng.random()) * 2 * np.pi / max(count, 1)
    return (pelvis, *(_draw_calyx(rng, pelvis, (along, across), float(a), grade) for a in angles))


def _draw_calyx(rng: np.random.Generator, pelvis: Branch, axes: Point, angle: float, grade: int) -> Branch:
    share = np.clip(0.5 + 0.6 * np.cos(angle), 0, 1)  # a calyx leaves the pelvis at the near end
    start = tuple(float((1 - share) * p + share * q) for p, q in zip(pelvis.start, pelvis.end, strict=True))
    length = rng.uniform(0.42, 0.52) + 0.035 * grade
    end = (axes[0] * length * np.cos(angle), axes[1] * length * np.sin(angle))
    neck = axes[1] * rng.uniform(0.05, 0.07) * (1 + 0.25 * grade)
    return Branch(
        (start[0], start[1]),
        (float(end[0]), float(end[1])),
        neck,
        axes[1] * (0.09 + 0.045 * grade) * rng.uniform(0.8, 1.25),
    )


def _draw_surroundings(
    rng: np.random.Generator, depth_mm: float, centre: Point, semi_axes: Point
) -> Surroundings:
    skin, fat, muscle = rng.uniform(1.2, 2.2), *(depth_mm * rng.uniform(0.04, 0.09) for _ in range(2))
    layers = np.cumsum([skin, fat, muscle])
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


def _draw_blob(rng: np.random.Generator, depth_mm: float, centre: Point, clear: float, *, big: bool) -> Blob:
    """A vessel (small, longish) or a cyst (big), far enough from the kidney's centre to lie outside."""
    along = depth_mm * (rng.uniform(0.06, 0.11) if big else rng.uniform(0.012, 0.05))
    across = along * (rng.uniform(0.6, 0.95) if big else rng.uniform(0.25, 0.9))
    angle = rng.uniform(0, 2 * np.pi)
    away = clear + along + rng.uniform(0, 0.2) * depth_mm
    at = float(centre[0] + away * np.cos(angle)), float(centre[1] + 0.8 * away * np.sin(angle))
    return Blob(at, (along, across), rng.uniform(-1, 1), rng.uniform(0, 9))


def _draw_shadow(rng: np.random.Generator, depth_mm: float, muscle_mm: float) -> Shadow:
    gas = rng.random() < 0.35
    y = depth_mm * rng.uniform(0.3, 0.8) if gas else muscle_mm
    x = depth_mm * float(rng.choice([-1, 1])) * rng.uniform(0.12, 0.42) * (0.5 + y / depth_mm)
    return Shadow((x, y), (rng.uniform(2.5, 6.0), rng.uniform(0.8, 2.0)), rng.uniform(12, 32))
