"""The tissue on the polar grid: scattering, reflection and loss at each point, in dB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.ultrasound.anatomy import Anatomy, Kidney, Surroundings
from pyraseg.pipeline.phantom.ultrasound.shapes import (
    PARENCHYMA_LEVEL,
    blob_level,
    fluid_distance,
    kidney_coordinates,
    kidney_level,
    sinus_level,
    wrap_angle,
)

__all__ = ["Palette", "Tissue", "draw_palette", "paint_tissue"]

Array = NDArray[np.float32]
ANECHOIC_DB = -55.0
FLUID_DB_MM = -0.16  # the depth gain expects tissue: regions behind fluid look brighter


@dataclass(frozen=True)
class Waves:
    """A smooth random field of plane waves, standard deviation about 1, which moves with the tissue."""

    vectors: tuple[tuple[float, float, float], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength_mm: tuple[float, float], *, count: int = 7) -> Waves:
        """Draw wavelengths along x and y around those given in mm, varied by a half."""
        lengths = np.asarray(wavelength_mm) * rng.uniform(0.6, 1.6, (count, 2))
        vectors = 2 * np.pi / lengths * rng.choice([-1, 1], (count, 2))
        phases = rng.uniform(0, 2 * np.pi, count)
        waves = np.column_stack([vectors, phases]).tolist()
        return cls(tuple((a, b, phase) for a, b, phase in waves))

    def __call__(self, x: Array, y: Array) -> Array:
        total = np.zeros_like(x)
        for a, b, phase in self.vectors:
            total += np.cos(np.float32(a) * x + np.float32(b) * y + np.float32(phase))
        return total * np.float32(np.sqrt(2 / len(self.vectors)))


@dataclass(frozen=True)
class Palette:
    """Echogenicity of every tissue in dB against liver, and the textures."""

    fat: float
    muscle: float
    retroperitoneum: float
    rim: float
    cortex: float
    medulla: float
    sinus: float
    capsule: float
    patchy: Waves
    streaks: Waves
    strands: Waves


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw the echogenicities and textures of one case."""
    return Palette(
        fat=rng.uniform(-3, 3),
        muscle=rng.uniform(-9, -4),
        retroperitoneum=rng.uniform(-3, 5),
        rim=rng.uniform(3, 9),
        cortex=rng.uniform(-7, -2),
        medulla=rng.uniform(-12, -5),
        sinus=rng.uniform(6, 11),
        capsule=rng.uniform(5, 11),
        patchy=Waves.draw(rng, (22, 16)),
        streaks=Waves.draw(rng, (45, 3.2), count=9),
        strands=Waves.draw(rng, (9, 5), count=9),
    )


@dataclass(frozen=True)
class Tissue:
    """Fields on the polar grid, each (samples, beams).

    Attributes:
        echo_db: scattering against liver.
        mirror_db: specular reflection at interfaces, such as the smooth surface of an organ.
        loss_db_mm: attenuation that the depth gain does not compensate.
    """

    echo_db: Array
    mirror_db: Array
    loss_db_mm: Array


def paint_tissue(
    anatomy: Anatomy, palette: Palette, points: tuple[Array, Array], shift_mm: tuple[float, float]
) -> Tissue:
    """Evaluate the anatomy at tissue coordinates (mm); ``shift_mm`` moves the organs, not the body wall."""
    x, y = points
    moved = x - np.float32(shift_mm[0]), y - np.float32(shift_mm[1])
    tissue = Tissue(np.zeros_like(x), np.full_like(x, -60), np.zeros_like(x))
    _paint_depth(tissue, anatomy.surroundings, palette, moved)
    outside = _paint_kidney(tissue, anatomy, palette, moved)
    _paint_blobs(tissue, anatomy.surroundings, moved, outside)
    # the rows of the polar grid that reach into the body wall, under the probe's middle or edge
    wall = slice(0, int(np.count_nonzero(points[1].min(axis=1) < anatomy.surroundings.layers[2] + 6)))
    shallow = Tissue(tissue.echo_db[wall], tissue.mirror_db[wall], tissue.loss_db_mm[wall])
    _paint_wall(shallow, anatomy.surroundings, palette, (points[0][wall], points[1][wall]))
    _paint_shadows(tissue, anatomy.surroundings, points, moved)
    return tissue


def _paint_depth(tissue: Tissue, around: Surroundings, palette: Palette, points: tuple[Array, Array]) -> None:
    """Liver or retroperitoneal fat, and the psoas below."""
    x, y = points
    texture = palette.patchy(x, y)
    fat = palette.retroperitoneum + 2.0 * texture + 2.5 * palette.streaks(x, y)
    liver = 0.8 * texture
    if around.liver is None:
        tissue.echo_db[:] = fat
    else:
        slope, offset = around.liver
        edge = y - np.float32(offset) - np.float32(slope) * x
        edge = edge - np.float32(around.psoas_mm * 0.5) + 2 * texture
        tissue.echo_db[:] = np.where(edge < 0, liver, fat)
        _reflect(tissue, edge, 0.0, 3.0)
    deep = y - np.float32(around.psoas_mm) - 4 * np.sin(x / 30 + around.wave[2]) + 1.5 * texture
    muscle = 0.6 * palette.muscle + 2 * palette.streaks(x, y) + texture
    tissue.echo_db[:] = np.where(deep > 0, muscle, tissue.echo_db)
    _reflect(tissue, deep, 0.0, 6.0)


def _paint_kidney(tissue: Tissue, anatomy: Anatomy, palette: Palette, points: tuple[Array, Array]) -> Array:
    """Perirenal fat, cortex, pyramids, sinus, fluid, stone; returns the kidney's level."""
    kidney = anatomy.kidney
    u, v = kidney_coordinates(kidney, *points)
    level = kidney_level(kidney, u, v)
    across = np.float32(kidney.semi_axes[1])
    strands = palette.strands(u, v)
    rim = (level - 1) * across < anatomy.surroundings.fat_rim_mm * (1 + 0.5 * palette.patchy(u, v))
    echo = np.where(rim, palette.rim + 2 * strands, tissue.echo_db)
    echo = np.where(level < 1, palette.cortex + 0.7 * palette.patchy(u, v), echo)
    echo = echo + palette.medulla * _pyramids(kidney, u, v, level)
    fluid = np.full_like(u, 99)
    inner = level < 1
    fluid[inner] = fluid_distance(kidney, u[inner], v[inner])
    sinus = np.maximum((1.08 - sinus_level(kidney, u, v) + 0.06 * strands) * 6, 1.6 - fluid / 1.2)
    sinus = np.clip(sinus, 0, 1) * (level < 0.93)
    bright = palette.sinus - palette.cortex + 2.2 * strands + 1.5 * palette.streaks(v, u)
    echo = echo + sinus * (bright - echo + palette.cortex)
    wet = (fluid < 0) & (level < PARENCHYMA_LEVEL)
    tissue.echo_db[:] = np.where(wet, ANECHOIC_DB, echo)
    tissue.loss_db_mm[wet] = FLUID_DB_MM
    _reflect(tissue, (level - 1) * across, palette.capsule + 1.5 * strands, 1.0)
    _reflect(tissue, fluid, palette.capsule - 3 + 1.5 * strands, 0.8)
    if kidney.stone is not None:
        stone = np.hypot(u - np.float32(kidney.stone[0]), v - np.float32(kidney.stone[1])) < kidney.stone[2]
        tissue.echo_db[stone] = 18
        tissue.loss_db_mm[stone] = 3.5
    return level


def _pyramids(kidney: Kidney, u: Array, v: Array, level: Array) -> Array:
    """Membership (0 to 1) of the medullary pyramids: wedges between cortex and sinus, tips to the sinus."""
    phi = np.arctan2(v / np.float32(kidney.semi_axes[1]), u / np.float32(kidney.semi_axes[0]))
    turn = np.full_like(u, np.pi)
    for direction in kidney.pyramids:
        np.minimum(turn, np.abs(wrap_angle(phi - np.float32(direction))), out=turn)
    width = 0.75 * np.pi / len(kidney.pyramids) * np.clip((level - 0.35) * 2.2, 0.05, 1)
    member = np.exp(-((turn / width) ** 4))
    return member * np.clip((level - 0.45) * 12, 0, 1) * np.clip((0.80 - level) * 14, 0, 1)


def _paint_blobs(tissue: Tissue, around: Surroundings, points: tuple[Array, Array], outside: Array) -> None:
    for blob in around.blobs:
        level = blob_level(blob, *points)
        clear = outside > 1.08
        inside = (level < 1) & clear
        tissue.echo_db[inside] = ANECHOIC_DB
        tissue.loss_db_mm[inside] = FLUID_DB_MM
        _reflect(tissue, np.where(clear, (level - 1) * np.float32(blob.semi_axes[1]), 9), blob.wall_db, 0.8)


def _paint_wall(tissue: Tissue, around: Surroundings, palette: Palette, points: tuple[Array, Array]) -> None:
    """Skin, subcutaneous fat and muscle, parallel to the probe's face."""
    x, y = points
    amplitude, wavelength, phase = around.wave
    bend = amplitude * np.sin(2 * np.pi * x / np.float32(wavelength) + np.float32(phase))
    face = y + x**2 / np.float32(2 * 55)  # the wall follows the curved face
    skin, fat, muscle = around.layers
    texture = palette.patchy(x, y)
    deep = face + bend + 0.4 * texture
    muscle_db = palette.muscle + 4.5 * palette.streaks(x, face + bend)
    fat_db = palette.fat + 3.5 * palette.streaks(x, 1.3 * deep)
    for inside, echo_db in ((deep < muscle, muscle_db), (deep < fat, fat_db), (face < skin, 8)):
        tissue.echo_db[:] = np.where(inside, echo_db, tissue.echo_db)
    for depth, gain in ((fat, 3.0), (muscle, 5.0)):
        _reflect(tissue, deep - np.float32(depth), gain + 3 * texture, 0.8)


def _paint_shadows(
    tissue: Tissue, around: Surroundings, points: tuple[Array, Array], moved: tuple[Array, Array]
) -> None:
    muscle = around.layers[2]
    for shadow in around.shadows:
        # a rib stays with the wall, gas moves with the organs
        x, y = points if shadow.centre[1] <= muscle else moved
        level = np.hypot(
            (x - np.float32(shadow.centre[0])) / shadow.semi_axes[0],
            (y - np.float32(shadow.centre[1])) / shadow.semi_axes[1],
        )
        inside = level < 1
        tissue.echo_db[inside] = 14
        tissue.loss_db_mm[inside] = shadow.loss_db / (2 * shadow.semi_axes[1])


def _reflect(tissue: Tissue, distance: Array, gain_db: float | Array, width_mm: float) -> None:
    """A thin interface where ``distance`` (mm) is 0: bright for perpendicular beams, else faint."""
    along, across = np.gradient(distance)
    square = along**2 / (along**2 + (across * 2) ** 2 + 1e-9)
    level = gain_db - 18 * (1 - square) - 4 * (distance / np.float32(0.6 * width_mm)) ** 2
    np.maximum(tissue.mirror_db, level, out=tissue.mirror_db)
