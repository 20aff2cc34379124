"""Write a phantom data set: DICOM images, label masks and a datalist with a split by patient."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.datalist import write_datalist
from pipeline.phantom.cases import CasePlan, plan_cases, write_case
from transforms.errors import ConfigError, OutputError

__all__ = ["LABEL_NAMES", "PhantomReport", "generate", "split_cases"]

LABEL_NAMES = ("background", "kidney", "hydronephrosis")
MODALITIES = ("us",)
MINIMUM_CASES = 5  # fewer cannot put a case with fluid into each of three splits


@dataclass(frozen=True)
class PhantomReport:
    """What ``generate`` has written.

    Attributes:
        output, datalist: the folder and its datalist.
        modality: "us".
        cases, frames, cines: counts; a single frame counts as one frame and no cine.
        cases_with_fluid, cases_without_calibration: counts.
        splits: frames by split.
        encodings: cases by photometric interpretation and transfer syntax.
    """

    output: Path
    datalist: Path
    modality: str
    cases: int
    frames: int
    cines: int
    cases_with_fluid: int
    cases_without_calibration: int
    splits: Mapping[str, int]
    encodings: Mapping[str, int]

    def lines(self) -> list[str]:
        """The report as text for a command line; it names no case."""
        parts = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        return [
            f"{self.cases} cases ({self.cines} cines), {self.frames} frames: {parts}",
            f"{self.cases_with_fluid} cases with fluid, {self.cases_without_calibration} without calibration",
            *(f"{count:4d} x {encoding}" for encoding, count in self.encodings.items()),
            f"Datalist: {self.datalist}",
        ]


def generate(
    output: str | Path, *, modality: str = "us", cases: int = 24, seed: int = 0, patient_name: str | None = None
) -> PhantomReport:
    """Write a phantom data set to ``output``.

    The same arguments give the same bytes, and a case does not depend on how many there are.

    Args:
        output: a folder that does not exist yet or is empty.
        modality: "us" (ultrasound of a kidney: 0 background, 1 kidney, 2 hydronephrosis).
        cases: patients, one DICOM object each, at least 5.
        seed: of everything random, 0 or more.
        patient_name: one name for all headers and pixels instead of invented ones; ASCII.

    Raises:
        ConfigError: an unknown modality, too few cases, a negative seed or a name that cannot be drawn.
        OutputError: the folder is not empty or cannot be written.
    """
    _check(modality, cases, seed, patient_name)
    folder = Path(output)
    made = not folder.exists()
    draft = _open_folder(folder)
    try:
        plans = plan_cases(cases, seed=seed, patient_name=patient_name)
        items = {plan.name: write_case(plan, draft) for plan in plans}
        split = split_cases(plans, seed)
        splits = {name: [item for plan in part for item in items[plan.name]] for name, part in split.items()}
        for name in ("images", "labels"):
            (draft / name).rename(folder / name)
        datalist = write_datalist(
            folder / "datalist.json", splits, label_names=LABEL_NAMES, modality=modality, keep_names=True
        )
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        _tidy(folder, draft, made=made)
    return _report(folder, datalist, modality, plans, {name: len(part) for name, part in splits.items()})


def _check(modality: str, cases: int, seed: int, patient_name: str | None) -> None:
    if modality not in MODALITIES:
        raise ConfigError(
            "a modality that the phantom has (us)", found=f'"{modality}"', remedy='Give "us"; others are not there yet.'
        )
    if cases < MINIMUM_CASES:
        raise ConfigError(
            f"at least {MINIMUM_CASES} cases, for three splits with fluid in each",
            found=f"{cases}",
            remedy=f"Give {MINIMUM_CASES} or more.",
        )
    if seed < 0:
        raise ConfigError("a seed of 0 or more", found=f"{seed}", remedy="Give another seed.")
    if patient_name is not None and not (
        patient_name.isascii() and patient_name.isprintable() and patient_name.strip()
    ):
        raise ConfigError(
            "a patient name of ASCII letters, which the burned-in font has",
            found="an empty name or one with other characters",
            remedy="Give a name such as PHANTOM^ALPHA.",
        )


def _open_folder(folder: Path) -> Path:
    """Make the folder and, in it, the draft's: nothing half-written bears a final name."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(
                "an empty or a new output folder",
                found="one with files in it" if folder.is_dir() else "a file",
                remedy="Choose another folder or empty this one.",
                path=folder,
            )
        draft = folder / ".partial"
        for name in ("images", "labels"):
            (draft / name).mkdir(parents=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return draft


def _tidy(folder: Path, draft: Path, *, made: bool) -> None:
    """Remove the draft; without a datalist, which comes last, remove all that was written."""
    shutil.rmtree(draft, ignore_errors=True)
    if not (folder / "datalist.json").exists():
        for name in ("images", "labels"):
            shutil.rmtree(folder / name, ignore_errors=True)
        if made:
            folder.rmdir()


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        "an output folder that can be written",
        found=f"a failure to write ({error.strerror})",
        remedy="Check its permissions and the free space, or choose another folder.",
        path=folder,
    )


def split_cases(plans: list[CasePlan], seed: int) -> dict[str, list[CasePlan]]:
    """About 60/20/20 by patient, with and without fluid apart: each split shows both where it can."""
    rng = np.random.default_rng([seed, 60, 20, 20])
    split: dict[str, list[CasePlan]] = {"training": [], "validation": [], "test": []}
    for wet in (True, False):
        group = [plan for plan in plans if (plan.grade > 0) == wet]
        group = [group[place] for place in rng.permutation(len(group))]
        held = max(round(0.2 * len(group)), int(wet))
        split["validation"] += group[:held]
        split["test"] += group[held : 2 * held]
        split["training"] += group[2 * held :]
    return {name: sorted(part, key=lambda plan: plan.name) for name, part in split.items()}


def _report(
    folder: Path, datalist: Path, modality: str, plans: list[CasePlan], splits: dict[str, int]
) -> PhantomReport:
    encodings = Counter(f"{plan.encoding.photometric}, {plan.encoding.transfer_syntax.name}" for plan in plans)
    return PhantomReport(
        output=folder,
        datalist=datalist,
        modality=modality,
        cases=len(plans),
        frames=sum(plan.frames for plan in plans),
        cines=sum(plan.frames > 1 for plan in plans),
        cases_with_fluid=sum(plan.grade > 0 for plan in plans),
        cases_without_calibration=sum(not plan.calibrated for plan in plans),
        splits=splits,
        encodings=dict(encodings),
    )
