"""The organs of an adult as simple solids, in mm left, posterior and superior of the hips' middle."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyraseg.pipeline.phantom.volumes.body.shapes import Capsule, Ellipsoid, Solid
from pyraseg.pipeline.phantom.volumes.body.tissues import Tissue

__all__ = ["DIAPHRAGM_MM", "ORGANS", "Organ"]

DIAPHRAGM_MM = 315.0


@dataclass(frozen=True)
class Organ:
    """A solid of one tissue.

    Attributes:
        core: the tissue inside ``core_level``, such as marrow in bone; None without one.
        core_level: level of the surface between the two.
        above: height (mm) at which the organ is cut off, as lungs are by the diaphragm; None for no cut.
    """

    solid: Solid
    tissue: Tissue
    core: Tissue | None = None
    core_level: float = 0.0
    above: float | None = None


def _pair(organ: Organ) -> tuple[Organ, Organ]:
    """The organ and its mirror image on the other side."""
    return organ, replace(organ, solid=organ.solid.mirrored())


T = Tissue
# Later ones are painted over earlier ones.
ORGANS: tuple[Organ, ...] = (
    # muscles of the back, the hip and the abdomen
    *_pair(Organ(Capsule((34, 76, 60), (30, 74, 500), 25), T.MUSCLE)),
    *_pair(Organ(Capsule((42, 40, 60), (34, 44, 240), 19), T.MUSCLE)),
    *_pair(Organ(Ellipsoid((88, 66, 25), (66, 32, 95), (0, 0, -25)), T.MUSCLE)),
    *_pair(Organ(Ellipsoid((92, 5, 5), (58, 66, 60)), T.MUSCLE)),
    # chest
    *_pair(Organ(Ellipsoid((82, 4, 405), (56, 80, 135)), T.LUNG, above=DIAPHRAGM_MM)),
    Organ(Ellipsoid((2, -5, 440), (34, 52, 85)), T.FAT),
    Organ(Ellipsoid((18, -32, 385), (58, 46, 52), (0, 0, 35)), T.BLOOD),
    Organ(Ellipsoid((38, -34, 380), (46, 34, 38), (0, 20, 40)), T.MYOCARDIUM, T.BLOOD, 0.62),
    Organ(Capsule((14, 20, 120), (16, 22, 450), 11), T.BLOOD),
    Organ(Capsule((-20, 18, 110), (-20, 10, 350), 11), T.BLOOD),
    Organ(Capsule((0, 0, 470), (0, -12, 620), 8), T.GAS),
    # abdomen
    Organ(Ellipsoid((-62, -4, 285), (84, 84, 78)), T.LIVER),
    Organ(Ellipsoid((12, -50, 292), (66, 36, 40)), T.LIVER),
    Organ(Ellipsoid((96, 36, 290), (28, 44, 50)), T.SPLEEN),
    Organ(Ellipsoid((62, -38, 272), (44, 34, 46)), T.BOWEL),
    Organ(Ellipsoid((62, -56, 278), (30, 13, 30)), T.GAS),
    *_pair(Organ(Ellipsoid((64, 44, 215), (26, 27, 54), (0, 12, 0)), T.KIDNEY)),
    *_pair(Organ(Ellipsoid((56, 40, 213), (9, 9, 18)), T.URINE)),
    *_pair(Organ(Capsule((104, -5, 95), (106, 5, 215), 20), T.BOWEL, T.GAS, 0.5)),
    Organ(Capsule((-98, -52, 212), (98, -56, 222), 18), T.BOWEL, T.GAS, 0.55),
    *_pair(Organ(Ellipsoid((40, -46, 160), (34, 20, 17), (0, 25, 10)), T.BOWEL)),
    *_pair(Organ(Ellipsoid((58, -28, 122), (30, 20, 18), (0, -20, 0)), T.BOWEL)),
    Organ(Ellipsoid((4, -30, 118), (24, 22, 20)), T.BOWEL),
    Organ(Ellipsoid((6, -52, 132), (14, 8, 12)), T.GAS),
    Organ(Ellipsoid((0, -34, 28), (42, 32, 32)), T.URINE),
    Organ(Capsule((4, 46, -20), (0, 44, 60), 15), T.BOWEL, T.GAS, 0.5),
    # bones
    Organ(Capsule((0, 46, 75), (0, 48, 570), 19), T.CORTEX, T.MARROW, 0.88),
    Organ(Capsule((0, 82, 90), (0, 78, 570), 11), T.CORTEX, T.MARROW, 0.7),
    Organ(Capsule((0, 70, 70), (0, 70, 590), 8), T.CSF),
    Organ(Ellipsoid((0, 66, 45), (44, 17, 52), (15, 0, 0)), T.CORTEX, T.MARROW, 0.88),
    *_pair(Organ(Ellipsoid((88, 40, 75), (50, 11, 62), (0, 0, -50)), T.CORTEX, T.MARROW, 0.72)),
    *_pair(Organ(Ellipsoid((78, 8, 8), (16, 30, 36)), T.CORTEX, T.MARROW, 0.86)),
    *_pair(Organ(Capsule((74, -20, 0), (8, -62, -22), 10), T.CORTEX, T.MARROW, 0.72)),
    *_pair(Organ(Capsule((62, 34, -45), (70, 20, -10), 13), T.CORTEX, T.MARROW, 0.78)),
    *_pair(Organ(Ellipsoid((92, 4, 0), (24, 24, 24)), T.CORTEX, T.MARROW, 0.9)),
    *_pair(Organ(Capsule((92, 4, 0), (122, 12, -30), 15), T.CORTEX, T.MARROW, 0.82)),
    *_pair(Organ(Capsule((120, 12, -32), (80, 2, -470), 14), T.CORTEX, T.MARROW, 0.6)),
    Organ(Ellipsoid((0, -86, 420), (17, 6, 75), (8, 0, 0)), T.CORTEX, T.MARROW, 0.75),
    *_pair(Organ(Ellipsoid((92, 72, 470), (40, 6, 52), (8, 0, -22)), T.CORTEX, T.MARROW, 0.6)),
    *_pair(Organ(Capsule((15, -66, 505), (120, -8, 522), 7), T.CORTEX, T.MARROW, 0.7)),
    *_pair(Organ(Ellipsoid((150, 8, 505), (22, 22, 24)), T.CORTEX, T.MARROW, 0.88)),
    # head
    Organ(Ellipsoid((0, 6, 712), (68, 87, 70)), T.CORTEX),
    Organ(Ellipsoid((0, 6, 712), (62, 81, 64)), T.CSF),
    Organ(Ellipsoid((0, 6, 713), (60, 78, 61)), T.GREY_MATTER, T.WHITE_MATTER, 0.8),
    *_pair(Organ(Ellipsoid((21, 0, 710), (11, 22, 16)), T.GREY_MATTER)),
    *_pair(Organ(Ellipsoid((10, 4, 722), (5, 30, 9), (0, 0, 10)), T.CSF)),
    *_pair(Organ(Ellipsoid((26, 48, 664), (24, 24, 16)), T.GREY_MATTER)),
    *_pair(Organ(Ellipsoid((32, -66, 668), (13, 13, 12)), T.CSF)),
    Organ(Ellipsoid((0, -62, 650), (14, 24, 16)), T.GAS),
    Organ(Ellipsoid((0, -60, 612), (40, 26, 9)), T.CORTEX, T.MUSCLE, 0.8),
)  # fmt: skip
