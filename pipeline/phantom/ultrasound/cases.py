"""One ultrasound case: planned from its seed, drawn, rendered, and written as DICOM with its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyraseg.pipeline.phantom.identity import draw_identity
from pyraseg.pipeline.phantom.records import Written
from pyraseg.pipeline.phantom.ultrasound.acoustics import (
    Acoustics,
    draw_acoustics,
    draw_scatterers,
    echo_image,
)
from pyraseg.pipeline.phantom.ultrasound.anatomy import Anatomy, draw_anatomy
from pyraseg.pipeline.phantom.ultrasound.annotations import Header, annotation_layer
from pyraseg.pipeline.phantom.ultrasound.dicom import ENCODINGS, Encoding, Frames, build_dataset
from pyraseg.pipeline.phantom.ultrasound.sector import Sector, draw_sector
from pyraseg.pipeline.phantom.ultrasound.shapes import label_map
from pyraseg.pipeline.phantom.ultrasound.tissue import Palette, draw_palette, paint_tissue

__all__ = [
    "CasePlan",
    "UltrasoundCase",
    "UltrasoundPhantoms",
    "draw_case",
    "draw_planned_case",
    "plan_cases",
    "render_frame",
    "write_case",
]

# The index in the data set alone decides these, so that small sets show every kind, too.
DRY_EVERY = 5  # the last of five cases has no fluid
UNCALIBRATED_EVERY, UNCALIBRATED = 12, 3
CINE_EVERY = 3
OBLONG_EVERY, OBLONG, OBLONG_ASPECT = 7, 4, 1.08  # pixels higher than wide: the two deltas differ
TINTS = ((1.0, 1.0, 1.0), (1.0, 0.94, 0.84), (0.88, 0.95, 1.0))
GRADES, GRADE_SHARES = (1, 2, 3, 4), (0.15, 0.3, 0.3, 0.25)


@dataclass(frozen=True)
class CasePlan:
    """One case before it is rendered.

    Attributes:
        name: "case_0001" onwards; the patient in the datalist.
        entropy: for the case's generator, with its index in the data set at the end.
        grade: of the fluid collection, 0 (none) to 4.
        frames: 1, or more for a cine.
        encoding: how the object stores pixels.
        calibrated: whether it has a region with physical deltas.
        aspect: a pixel's height over its width.
        calipers: whether caliper marks are burned in.
        tint: RGB factors of the tissue's colour map.
    """

    name: str
    entropy: tuple[int, int]
    grade: int
    frames: int
    encoding: Encoding
    calibrated: bool
    aspect: float
    calipers: bool
    tint: tuple[float, float, float]
    header: Header

    @property
    def encoding_name(self) -> str:
        """Photometric interpretation and transfer syntax."""
        return f"{self.encoding.photometric}, {self.encoding.transfer_syntax.name}"

    @property
    def stratum(self) -> bool:
        """Cases with and without fluid are split separately."""
        return self.grade > 0


class UltrasoundPhantoms:
    """Ultrasound of a kidney, single frames and cines."""

    modality = "us"
    label_names: tuple[str, ...] = ("background", "kidney", "hydronephrosis")
    folders: tuple[str, ...] = ("images", "labels")
    minimum = 5  # for a case with fluid in each of three splits

    def plan(self, cases: int, *, seed: int, patient_name: str | None) -> list[CasePlan]:
        return plan_cases(cases, seed=seed, patient_name=patient_name)

    def write(self, plan: CasePlan, folder: Path) -> Written:
        """Write ``images/NAME.dcm`` and one mask per frame."""
        return Written(tuple(write_case(plan, folder)))

    def facts(self, plans: Sequence[CasePlan], _: Sequence[Written]) -> tuple[str, ...]:
        """Numbers of cases, cines and frames, of cases with fluid and of those without calibration."""
        cines, frames = sum(plan.frames > 1 for plan in plans), sum(plan.frames for plan in plans)
        wet, bare = sum(plan.stratum for plan in plans), sum(not plan.calibrated for plan in plans)
        return (
            f"{len(plans)} cases ({cines} cines), {frames} frames",
            f"{wet} cases with fluid, {bare} without calibration",
        )


def plan_cases(cases: int, *, seed: int, patient_name: str | None) -> list[CasePlan]:
    """Plan ``cases`` cases; each plan is independent of their number."""
    children = np.random.SeedSequence(seed).spawn(cases)
    return [
        _plan(index, seed, np.random.default_rng(child), patient_name) for index, child in enumerate(children)
    ]


def _plan(index: int, seed: int, rng: np.random.Generator, patient_name: str | None) -> CasePlan:
    grade = int(rng.choice(GRADES, p=GRADE_SHARES))
    frames = int(rng.integers(6, 9))
    identity = draw_identity(rng, index, seed=seed, patient_name=patient_name)
    probe, side = str(rng.choice(["C5-1", "C1-6", "3.5C"])), str(rng.choice(["L", "R"]))
    header = Header(**asdict(identity), probe=probe, side=side)
    return CasePlan(
        name=f"case_{index + 1:04d}",
        entropy=(seed, index),
        grade=0 if index % DRY_EVERY == DRY_EVERY - 1 else grade,
        frames=frames if index % CINE_EVERY == 1 else 1,
        encoding=ENCODINGS[index % len(ENCODINGS)],
        calibrated=index % UNCALIBRATED_EVERY != UNCALIBRATED,
        aspect=OBLONG_ASPECT if index % OBLONG_EVERY == OBLONG else 1.0,
        calipers=bool(rng.random() < 0.6),
        tint=TINTS[int(rng.integers(len(TINTS)))],
        header=header,
    )


@dataclass(frozen=True)
class UltrasoundCase:
    """All parts of one case.

    Attributes:
        shifts_mm: of the organs in each frame, (right, down) in mm.
        noise_seed: of the electronic noise, which differs from frame to frame.
    """

    sector: Sector
    anatomy: Anatomy
    palette: Palette
    acoustics: Acoustics
    scatterers: NDArray[np.complex64]
    shifts_mm: tuple[tuple[float, float], ...]
    noise_seed: int


def draw_case(rng: np.random.Generator, *, grade: int, frames: int, aspect: float = 1.0) -> UltrasoundCase:
    """Draw one case; the fluid's grade is 0 to 4, the aspect a pixel's height over its width."""
    sector = draw_sector(rng, aspect=aspect)
    anatomy = draw_anatomy(rng, sector.depth_mm, grade=grade)
    palette, acoustics = draw_palette(rng), draw_acoustics(rng)
    scatterers = draw_scatterers(rng, sector, acoustics.looks)
    reach, phase = rng.uniform(1.0, 3.0, 2), rng.uniform(0, 2 * np.pi, 2)
    sway = np.sin(np.arange(frames)[:, None] * 2 * np.pi / 9 + phase) * reach
    shifts = tuple((float(right), float(down)) for right, down in (sway if frames > 1 else np.zeros((1, 2))))
    return UltrasoundCase(sector, anatomy, palette, acoustics, scatterers, shifts, int(rng.integers(2**63)))


def render_frame(case: UltrasoundCase, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey levels and labels (0 background, 1 kidney, 2 hydronephrosis) of one frame, both (H, W) uint8."""
    sector, shift = case.sector, case.shifts_mm[index]
    tissue = paint_tissue(case.anatomy, case.palette, sector.polar_points(), shift)
    rng = np.random.default_rng([case.noise_seed, index])
    # the distance between two beams at the kidney's depth
    reach_mm = sector.radius_mm + case.anatomy.kidney.centre[1]
    beam_mm = reach_mm * 2 * sector.half_angle / (sector.beams - 1)
    offset = (round(shift[1] / sector.sample_mm), round(shift[0] / beam_mm))
    echoes = echo_image(tissue, case.scatterers, case.acoustics, sector=sector, offset=offset, rng=rng)
    grey = np.rint(sector.scan_convert(echoes)).astype(np.uint8)
    x, y = sector.pixels()
    labels = label_map(case.anatomy.kidney, x - np.float32(shift[0]), y - np.float32(shift[1]))
    return grey, np.where(sector.mask(), labels, 0).astype(np.uint8)


def draw_planned_case(plan: CasePlan) -> UltrasoundCase:
    """Draw the case's anatomy and settings, with a seed different from the plan's."""
    rng = np.random.default_rng(np.random.SeedSequence(plan.entropy[0], spawn_key=(plan.entropy[1], 1)))
    return draw_case(rng, grade=plan.grade, frames=plan.frames, aspect=plan.aspect)


def write_case(plan: CasePlan, folder: Path) -> list[dict[str, str]]:
    """Render the case, write ``images/NAME.dcm`` and one mask per frame, and return its datalist items."""
    case = draw_planned_case(plan)
    layer = annotation_layer(case.sector, plan.header, calipers=plan.calipers)
    grey, labels = zip(*(render_frame(case, index) for index in range(plan.frames)), strict=True)
    frames = Frames(np.stack(grey), layer, plan.tint, case.sector, plan.calibrated)
    identity = ("pyraseg", "us", *plan.entropy)
    dataset = build_dataset(frames, plan.header, encoding=plan.encoding, identity=identity)
    dataset.save_as(folder / "images" / f"{plan.name}.dcm", enforce_file_format=True)
    for index, label in enumerate(labels):
        Image.fromarray(label).save(folder / "labels" / f"{plan.name}_f{index:03d}.png")
    return [
        {
            "image": f"images/{plan.name}.dcm" + (f"#frame_index={index}" if plan.frames > 1 else ""),
            "label": f"labels/{plan.name}_f{index:03d}.png",
            "case": f"{plan.name}_f{index:03d}",
            "group": plan.name,
        }
        for index in range(plan.frames)
    ]
