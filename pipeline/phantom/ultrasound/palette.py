"""The brightness and the texture of every tissue of one case, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Palette", "Waves", "draw_palette"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Waves:
    """A smooth random field, standard deviation about 1: plane waves, so that texture moves with the
    tissue."""

    vectors: tuple[tuple[float, float, float], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength_mm: tuple[float, float], *, count: int = 7) -> Waves:
        """Wavelengths along x and y in mm, varied by a half."""
        k = (
            2
            * np.pi
            / (np.asarray(wavelength_mm) * rng.uniform(0.6, 1.6, (count, 2)))
            * rng.choice([-1, 1], (count, 2))
        )
        return cls(
            tuple(
                (float(a), float(b), float(p))
                for (a, b), p in zip(k, rng.uniform(0, 2 * np.pi, count), strict=True)
            )
        )

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
