"""Write a phantom data set: DICOM images, labels, the truth, and a datalist with a split by patient."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.datalist import write_datalist
from pyraseg.pipeline.phantom.records import PhantomReport, Written
from pyraseg.pipeline.phantom.ultrasound.cases import UltrasoundPhantoms
from pyraseg.pipeline.phantom.volumes.cases import MODALITIES as VOLUMES
from pyraseg.pipeline.phantom.volumes.cases import VolumePhantoms
from pyraseg.pipeline.utils.files import write_rows
from pyraseg.transforms.errors import ConfigError, OutputError

__all__ = ["generate", "split_cases"]

DATALIST = "datalist.json"  # written last: with it, the data set is complete


def generate(
    output: str | Path,
    *,
    modality: str = "us",
    cases: int = 24,
    seed: int = 0,
    patient_name: str | None = None,
    faults: Sequence[str] = (),
) -> PhantomReport:
    """Write a phantom data set to ``output``.

    The same arguments give the same bytes. A case does not depend on the number of cases.

    Args:
        output: a new or empty folder.
        modality: "us" (ultrasound of a kidney: 0 background, 1 kidney, 2 hydronephrosis), "ct", "mr" or "pet"
            (a series with soft tissue tumours: 0 background, 1 tumour).
        cases: patients, one DICOM object or series each, at least 5.
        seed: of all random draws, 0 or more.
        patient_name: one ASCII name for all headers (and ultrasound pixels) instead of invented ones.
        faults: faults of series, each "KIND" or "KIND:CASE"; not for "us".

    Raises:
        ConfigError: an unknown modality or fault, too few cases, a negative seed or an unusable name.
        OutputError: the folder is not empty or cannot be written.
    """
    if modality not in ("us", *VOLUMES):
        wanted = f"a modality that the phantom has ({', '.join(['us', *VOLUMES])})"
        raise ConfigError(wanted, found=f'"{modality}"', remedy="Give one of them.")
    if modality == "us" and faults:
        remedy = "Give another modality, or no fault."
        raise ConfigError("faults of a series", found='modality "us"', remedy=remedy)
    phantoms = VolumePhantoms(modality, tuple(faults)) if modality != "us" else UltrasoundPhantoms()
    _check(phantoms.minimum, cases, seed, patient_name)
    return _generate(phantoms, Path(output), phantoms.plan(cases, seed=seed, patient_name=patient_name), seed)


def _check(minimum: int, cases: int, seed: int, patient_name: str | None) -> None:
    if cases < minimum:
        wanted = f"at least {minimum} cases, so that each of three splits shows what there is to see"
        raise ConfigError(wanted, found=f"{cases}", remedy=f"Give {minimum} or more.")
    if seed < 0:
        raise ConfigError("a seed of 0 or more", found=f"{seed}", remedy="Give another seed.")
    name = patient_name
    if name is not None and not (name.isascii() and name.isprintable() and name.strip()):
        wanted = "a patient name of ASCII letters, which the burned-in font has"
        found, remedy = "an empty name or one with other characters", "Give a name such as PHANTOM^ALPHA."
        raise ConfigError(wanted, found=found, remedy=remedy)


def _generate(
    phantoms: UltrasoundPhantoms | VolumePhantoms, folder: Path, plans: list[Any], seed: int
) -> PhantomReport:
    with _draft_folder(folder, phantoms.folders) as draft:
        written = {plan.name: phantoms.write(plan, draft) for plan in plans}
        splits = {
            name: [dict(item) for plan in part for item in written[plan.name].items]
            for name, part in split_cases(plans, seed).items()
        }
        for part in sorted(draft.iterdir()):
            part.rename(folder / part.name)
        _write_truth(folder / "truth.csv", list(written.values()))
        datalist = write_datalist(
            folder / DATALIST,
            splits,
            label_names=phantoms.label_names,
            modality=phantoms.modality,
            keep_names=True,
        )
    counts = {name: len(part) for name, part in splits.items()}
    return PhantomReport(
        output=folder,
        datalist=datalist,
        modality=phantoms.modality,
        cases=len(plans),
        images=sum(counts.values()),
        splits=counts,
        encodings=dict(Counter(plan.encoding_name for plan in plans)),
        facts=phantoms.facts(plans, list(written.values())),
    )


@contextmanager
def _draft_folder(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Make the folder and, in it, a draft with a folder for each part; remove the draft at the end.

    Without a datalist, which is written last, the output is removed, too.

    Raises:
        OutputError: the folder is not empty or cannot be written.
    """
    new, draft = not folder.exists(), folder / ".partial"
    if not new and (not folder.is_dir() or any(folder.iterdir())):
        found = "one with files in it" if folder.is_dir() else "a file"
        remedy = "Choose another folder or empty this one."
        raise OutputError("an empty or a new output folder", found=found, remedy=remedy, path=folder)
    try:
        for part in parts:
            (draft / part).mkdir(parents=True)
        yield draft
    except OSError as error:
        wanted, found = "an output folder that can be written", f"a failure to write ({error.strerror})"
        remedy = "Check its permissions and the free space, or choose another folder."
        raise OutputError(wanted, found=found, remedy=remedy, path=folder) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if folder.is_dir() and not (folder / DATALIST).exists():
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            if new:
                folder.rmdir()


def _write_truth(path: Path, written: Sequence[Written]) -> None:
    """Write one row per lesion; no file if the modality has no such table."""
    rows = [row for case in written for row in case.truth]
    if rows:
        write_rows(path, rows[0], (row.values() for row in rows))


def split_cases(plans: list[Any], seed: int) -> dict[str, list[Any]]:
    """Split about 60/20/20 by patient, stratum by stratum, so that each split has both if possible."""
    rng = np.random.default_rng([seed, 60, 20, 20])
    split: dict[str, list[Any]] = {"training": [], "validation": [], "test": []}
    for stratum in (True, False):
        group = [plan for plan in plans if plan.stratum == stratum]
        group = [group[position] for position in rng.permutation(len(group))]
        held = max(round(0.2 * len(group)), int(stratum))
        split["validation"] += group[:held]
        split["test"] += group[held : 2 * held]
        split["training"] += group[2 * held :]
    return {name: sorted(part, key=lambda plan: plan.name) for name, part in split.items()}
