"""The tissues of the body: their HU in CT, brightness in T1-weighted MR and SUV in FDG-PET."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTRAST_HU", "HU", "SUV", "T1", "Tissue", "draw_values", "fill"]


class Tissue(IntEnum):
    """The value of a voxel in a tissue map."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    CORTEX = 3
    MARROW = 4
    LUNG = 5
    LIVER = 6
    SPLEEN = 7
    KIDNEY = 8
    BLOOD = 9
    MYOCARDIUM = 10
    GREY_MATTER = 11
    WHITE_MATTER = 12
    CSF = 13
    URINE = 14
    BOWEL = 15
    DISC = 16
    GAS = 17


Look = Mapping[Tissue, tuple[float, float]]  # mean and standard deviation over cases
LOOKS: Mapping[Tissue, tuple[tuple[float, float], ...]] = {  # HU, T1 brightness, SUV
    Tissue.AIR: ((-1000, 0), (0, 0), (0, 0)),
    Tissue.FAT: ((-102, 6), (1, 0.04), (0.3, 0.04)),
    Tissue.MUSCLE: ((55, 5), (0.36, 0.02), (0.7, 0.07)),
    Tissue.CORTEX: ((900, 90), (0.04, 0.01), (0.4, 0.05)),
    Tissue.MARROW: ((170, 50), (0.82, 0.07), (1.3, 0.2)),
    Tissue.LUNG: ((-830, 30), (0.05, 0.01), (0.45, 0.05)),
    Tissue.LIVER: ((58, 6), (0.5, 0.03), (2.2, 0.2)),
    Tissue.SPLEEN: ((48, 4), (0.36, 0.03), (1.8, 0.15)),
    Tissue.KIDNEY: ((34, 3), (0.4, 0.03), (2.8, 0.3)),
    Tissue.BLOOD: ((42, 4), (0.14, 0.05), (1.6, 0.12)),
    Tissue.MYOCARDIUM: ((45, 4), (0.38, 0.02), (6.5, 2)),
    Tissue.GREY_MATTER: ((38, 1), (0.38, 0.02), (10, 1.2)),
    Tissue.WHITE_MATTER: ((29, 1), (0.5, 0.02), (3.5, 0.4)),
    Tissue.CSF: ((8, 2), (0.13, 0.02), (0.6, 0.1)),
    Tissue.URINE: ((6, 3), (0.14, 0.02), (22, 5)),
    Tissue.BOWEL: ((30, 12), (0.36, 0.06), (1.4, 0.3)),
    Tissue.DISC: ((85, 10), (0.3, 0.02), (0.7, 0.1)),
    Tissue.GAS: ((-950, 20), (0.01, 0), (0.1, 0)),
}  # fmt: skip
HU: Look = {tissue: look[0] for tissue, look in LOOKS.items()}
T1: Look = {tissue: look[1] for tissue, look in LOOKS.items()}
SUV: Look = {tissue: look[2] for tissue, look in LOOKS.items()}
CONTRAST_HU: Look = {  # differences in the portal venous phase
    Tissue.MUSCLE: (64, 5), Tissue.LIVER: (112, 8), Tissue.SPLEEN: (122, 8), Tissue.KIDNEY: (185, 20),
    Tissue.BLOOD: (155, 15), Tissue.MYOCARDIUM: (110, 10), Tissue.BOWEL: (55, 15),
}  # fmt: skip


def draw_values(rng: np.random.Generator, table: Look) -> NDArray[np.float32]:
    """One case's value of every tissue, (18,), within two standard deviations of the mean."""
    means, spreads = np.array([table[tissue] for tissue in Tissue]).T
    return (means + spreads * np.clip(rng.standard_normal(len(means)), -2, 2)).astype(np.float32)


def fill(tissues: NDArray[np.uint8], tissue: Tissue, where: NDArray[np.bool_]) -> None:
    """Set the chosen voxels of a map, (x, y, z), to this tissue; ``where`` is broadcast."""
    np.copyto(tissues, np.uint8(tissue), where=where)
