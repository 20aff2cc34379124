"""From tissue to echoes: point spread function, speckle, attenuation, gain, haze, log compression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from pyraseg.pipeline.phantom.ultrasound.sector import Sector
from pyraseg.pipeline.phantom.ultrasound.tissue import Tissue

__all__ = ["Acoustics", "draw_acoustics", "draw_scatterers", "echo_image"]

Array = NDArray[np.float32]
MARGIN = 48  # samples and beams around the grid for a moving probe


@dataclass(frozen=True)
class Acoustics:
    """One examination's settings.

    Attributes:
        axial_mm: standard deviation of the pulse along the beam.
        lateral: standard deviation across the beams at the focus, in beams.
        focus: depth of the focus over the sector's depth.
        looks: independent speckle patterns that compounding averages.
        gain_db, range_db: of the log compression.
        tgc_db: depth gain at equally spaced depths.
        edge_db: loss at the sector's edges.
        loss_db_mm: attenuation that the depth gain does not compensate.
        haze_db: reverberation and side lobes relative to their echoes.
        near_db: haze below the face.
        noise_db: electronic noise, growing with depth.
    """

    axial_mm: float
    lateral: float
    focus: float
    looks: int
    gain_db: float
    range_db: float
    tgc_db: tuple[float, ...]
    edge_db: float
    loss_db_mm: float
    haze_db: float
    near_db: float
    noise_db: float


def draw_acoustics(rng: np.random.Generator) -> Acoustics:
    """Draw the settings of one case."""
    return Acoustics(
        axial_mm=rng.uniform(0.28, 0.42),
        lateral=rng.uniform(0.9, 1.5),
        focus=rng.uniform(0.3, 0.7),
        looks=int(rng.integers(1, 4)),
        gain_db=rng.uniform(-5, 4),
        range_db=rng.uniform(52, 66),
        tgc_db=tuple(float(v) for v in rng.normal(0, 2.0, 6)),
        edge_db=rng.uniform(0, 14),
        loss_db_mm=rng.uniform(0.0, 0.11),
        haze_db=rng.uniform(-26, -17),
        near_db=rng.uniform(-14, -4),
        noise_db=rng.uniform(-42, -32),
    )


def draw_scatterers(rng: np.random.Generator, sector: Sector, looks: int) -> NDArray[np.complex64]:
    """White complex noise, (looks, samples + margin, beams + margin), which moves with the tissue."""
    shape = (looks, sector.samples + 2 * MARGIN, sector.beams + 2 * MARGIN)
    parts = rng.standard_normal((2, *shape), dtype=np.float32)
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def echo_image(
    tissue: Tissue,
    scatterers: NDArray[np.complex64],
    settings: Acoustics,
    *,
    sector: Sector,
    offset: tuple[int, int],
    rng: np.random.Generator,
) -> Array:
    """Grey levels 0 to 255 on the polar grid, (samples, beams); ``offset`` moves the scatterers."""
    gain_db = _beam_gain(tissue, settings, sector)
    amplitude = _amplitude(tissue.echo_db + gain_db)
    mirror = gaussian_filter(_amplitude(tissue.mirror_db + gain_db), (0.8, 1.0))
    top, left = MARGIN - offset[0], MARGIN - offset[1]
    window = scatterers[:, top : top + sector.samples, left : left + sector.beams]
    power = np.zeros_like(amplitude)
    for look in window:
        # interfaces scatter less randomly than tissue: a constant part keeps their lines whole
        field = amplitude * look + mirror * (np.complex64(0.8) + np.complex64(0.5) * look)
        power += np.abs(_focused(field, settings, sector)) ** 2 / len(window)
    power += _haze(power, settings, sector) + _noise(settings, sector, rng)
    level_db = 10 * np.log10(np.maximum(power, 1e-9)) + settings.gain_db
    # log compression with a soft shoulder: liver (0 dB) is at about 40 % grey
    share = np.clip((level_db + 0.62 * settings.range_db) / settings.range_db, 0, 1.15)
    return (255 * np.clip(share**1.5 * 0.95, 0, 1)).astype(np.float32)


def _amplitude(level_db: Array) -> Array:
    return np.power(np.float32(10), level_db.astype(np.float32) / np.float32(20))


def _beam_gain(tissue: Tissue, settings: Acoustics, sector: Sector) -> Array:
    """The change of amplitude by attenuation, shadows, enhancement, depth gain and edges, in dB."""
    depth = np.linspace(0, 1, sector.samples)
    tgc = np.interp(depth, np.linspace(0, 1, len(settings.tgc_db)), settings.tgc_db)
    tgc = gaussian_filter1d(tgc, 30) - settings.loss_db_mm * sector.depth_mm * depth
    edge = -settings.edge_db * np.linspace(-1, 1, sector.beams) ** 4
    local = np.cumsum(tissue.loss_db_mm, axis=0, dtype=np.float32) * np.float32(sector.sample_mm)
    # The aperture sees around small objects: losses blur across the beams.
    local = gaussian_filter1d(local, 2.5, axis=1)
    return (tgc[:, None] + edge[None, :]).astype(np.float32) - local


def _focused(field: NDArray[np.complex64], settings: Acoustics, sector: Sector) -> NDArray[np.complex64]:
    """Convolve with the point spread function: narrow along the beam, wider across it away from the focus."""
    axial = settings.axial_mm / sector.sample_mm
    field = gaussian_filter1d(field, axial, axis=0) * np.float32(np.sqrt(2 * np.sqrt(np.pi) * axial))
    depth = np.linspace(0, 1, sector.samples, dtype=np.float32)[:, None]
    weight = np.clip(((depth - settings.focus) / 0.6) ** 2, 0, 1)
    sharp, wide = (
        gaussian_filter1d(field, sigma, axis=1) * np.float32(np.sqrt(2 * np.sqrt(np.pi) * sigma))
        for sigma in (settings.lateral, 2.6 * settings.lateral)
    )
    return np.sqrt(1 - weight) * sharp + np.sqrt(weight) * wide


def _haze(power: Array, settings: Acoustics, sector: Sector) -> Array:
    """Side lobes and reverberation in dark regions, and the haze below the probe's face."""
    scale = np.float32(10 ** (settings.haze_db / 10))
    lobes = gaussian_filter(power, (3.0, 14.0), truncate=2.5)
    delay = round(5.0 / sector.sample_mm)
    echoes = np.zeros_like(power)
    for order in (1, 2, 3):
        echoes[order * delay :] += power[: -order * delay] * np.float32(0.5**order)
    depth = np.linspace(0, sector.depth_mm, sector.samples, dtype=np.float32)[:, None]
    near = np.float32(10 ** (settings.near_db / 10)) * np.exp(-depth / 9)
    return scale * (0.5 * lobes + gaussian_filter(echoes, (3.5, 5.0), truncate=2.0)) + near


def _noise(settings: Acoustics, sector: Sector, rng: np.random.Generator) -> Array:
    depth = np.linspace(-8, 4, sector.samples, dtype=np.float32)[:, None]
    white = rng.standard_normal((sector.samples, sector.beams), dtype=np.float32)
    level = np.float32(2) * np.power(np.float32(10), (settings.noise_db + depth) / 10)
    return level * gaussian_filter(white, 0.7) ** 2 * 4
