"""One ultrasound case: everything random is drawn first, then each frame is rendered from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.phantom.ultrasound.acoustics import (
    Acoustics,
    Scatterers,
    draw_acoustics,
    draw_scatterers,
    echo_image,
)
from pyraseg.pipeline.phantom.ultrasound.anatomy import Anatomy, draw_anatomy
from pyraseg.pipeline.phantom.ultrasound.palette import Palette, draw_palette
from pyraseg.pipeline.phantom.ultrasound.sector import Sector, draw_sector
from pyraseg.pipeline.phantom.ultrasound.shapes import label_map
from pyraseg.pipeline.phantom.ultrasound.tissue import paint_tissue

__all__ = ["UltrasoundCase", "draw_case", "render_frame"]


@dataclass(frozen=True)
class UltrasoundCase:
    """All that one case is made of.

    Attributes:
        shifts_mm: how far the organs lie off their place in each frame, (right, down) in mm.
        noise_seed: of the electronic noise, which differs from frame to frame.
    """

    sector: Sector
    anatomy: Anatomy
    palette: Palette
    acoustics: Acoustics
    scatterers: Scatterers
    shifts_mm: tuple[tuple[float, float], ...]
    noise_seed: int


def draw_case(rng: np.random.Generator, *, grade: int, frames: int, aspect: float = 1.0) -> UltrasoundCase:
    """Draw one case: its number of frames, its fluid's grade 0 to 4, its pixels' aspect (height over
    width)."""
    sector = draw_sector(rng, aspect=aspect)
    anatomy, palette, acoustics = (
        draw_anatomy(rng, sector.depth_mm, grade=grade),
        draw_palette(rng),
        draw_acoustics(rng),
    )
    scatterers = draw_scatterers(rng, sector, acoustics.looks)
    reach, phase = rng.uniform(1.0, 3.0, 2), rng.uniform(0, 2 * np.pi, 2)
    sway = (
        np.sin(np.arange(frames)[:, None] * 2 * np.pi / 9 + phase) * reach if frames > 1 else np.zeros((1, 2))
    )
    shifts = tuple((float(right), float(down)) for right, down in sway)
    return UltrasoundCase(sector, anatomy, palette, acoustics, scatterers, shifts, int(rng.integers(2**63)))


def render_frame(case: UltrasoundCase, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey levels and labels (0 background, 1 kidney, 2 hydronephrosis) of one frame, both (H, W) uint8."""
    sector, shift = case.sector, case.shifts_mm[index]
    tissue = paint_tissue(case.anatomy, case.palette, sector.polar_points(), shift)
    rng = np.random.default_rng([case.noise_seed, index])
    offset = (round(shift[1] / sector.sample_mm), round(shift[0] / _beam_mm(case)))
    echoes = echo_image(tissue, case.scatterers, case.acoustics, sector=sector, offset=offset, rng=rng)
    grey = np.rint(sector.scan_convert(echoes)).astype(np.uint8)
    x, y = sector.pixels()
    labels = label_map(case.anatomy.kidney, x - np.float32(shift[0]), y - np.float32(shift[1]))
    return grey, np.where(sector.mask(), labels, 0).astype(np.uint8)


def _beam_mm(case: UltrasoundCase) -> float:
    """Distance between two beams at the kidney's depth in mm."""
    reach = case.sector.radius_mm + case.anatomy.kidney.centre[1]
    return reach * 2 * case.sector.half_angle / (case.sector.beams - 1)
