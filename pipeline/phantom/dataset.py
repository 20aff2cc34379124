"""Write a phantom data set: DICOM images, labels, the truth, and a datalist with a split by patient."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.datalist import write_datalist
from pyraseg.pipeline.phantom.data_set_records import P, PhantomReport, Phantoms, Plan, Written
from pyraseg.pipeline.phantom.folder import draft_folder, publish
from pyraseg.pipeline.phantom.ultrasound.cases import UltrasoundPhantoms
from pyraseg.pipeline.phantom.volumes.cases import MODALITIES as VOLUMES
from pyraseg.pipeline.phantom.volumes.cases import VolumePhantoms
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import ConfigError

__all__ = ["generate", "split_cases"]

MODALITIES = ("us", *VOLUMES)
TRUTH = "truth.csv"


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

    The same arguments give the same bytes, and a case does not depend on how many there are.

    Args:
        output: a folder that does not exist yet or is empty.
        modality: "us" (ultrasound of a kidney: 0 background, 1 kidney, 2 hydronephrosis), "ct", "mr" or "pet"
            (a series with soft tissue tumours: 0 background, 1 tumour).
        cases: patients, one DICOM object or series each, at least 5.
        seed: of everything random, 0 or more.
        patient_name: one name for all headers (and ultrasound pixels) instead of invented ones; ASCII.
        faults: "KIND" or "KIND:CASE", faults to put into series; not for "us".

    Raises:
        ConfigError: an unknown modality or fault, too few cases, a negative seed or a name that cannot be
            drawn.
        OutputError: the folder is not empty or cannot be written.
    """
    phantoms = _phantoms(modality, faults)
    _check(phantoms.minimum, cases, seed, patient_name)
    return _generate(phantoms, Path(output), phantoms.plan(cases, seed=seed, patient_name=patient_name), seed)


def _generate(phantoms: Phantoms[P], folder: Path, plans: list[P], seed: int) -> PhantomReport:
    with draft_folder(folder, phantoms.folders) as draft:
        written = {plan.name: phantoms.write(plan, draft) for plan in plans}
        split = split_cases(plans, seed)
        splits = {
            name: [dict(item) for p in part for item in written[p.name].items] for name, part in split.items()
        }
        publish(draft, folder)
        _write_truth(folder / TRUTH, list(written.values()))
        datalist = write_datalist(
            folder / "datalist.json",
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


def _phantoms(modality: str, faults: Sequence[str]) -> Phantoms[Any]:
    if modality not in MODALITIES:
        raise ConfigError(
            f"a modality that the phantom has ({', '.join(MODALITIES)})",
            found=f'"{modality}"',
            remedy="Give one of them.",
        )
    if modality != "us":
        return VolumePhantoms(modality, tuple(faults))
    if faults:
        raise ConfigError(
            "faults of a series", found='modality "us"', remedy="Give another modality, or no fault."
        )
    return UltrasoundPhantoms()


def _write_truth(path: Path, written: Sequence[Written]) -> None:
    """A row for each lesion; no file where the modality has no such table."""
    rows: list[Mapping[str, object]] = [row for case in written for row in case.truth]
    if rows:
        with atomic_write(path, "w") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def _check(minimum: int, cases: int, seed: int, patient_name: str | None) -> None:
    if cases < minimum:
        raise ConfigError(
            f"at least {minimum} cases, so that each of three splits shows what there is to see",
            found=f"{cases}",
            remedy=f"Give {minimum} or more.",
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


def split_cases(plans: list[P], seed: int) -> dict[str, list[P]]:
    """About 60/20/20 by patient, each stratum apart: each split shows both where it can."""
    rng = np.random.default_rng([seed, 60, 20, 20])
    split: dict[str, list[P]] = {"training": [], "validation": [], "test": []}
    for stratum in (True, False):
        group = [plan for plan in plans if plan.stratum == stratum]
        group = [group[place] for place in rng.permutation(len(group))]
        held = max(round(0.2 * len(group)), int(stratum))
        split["validation"] += group[:held]
        split["test"] += group[held : 2 * held]
        split["training"] += group[2 * held :]
    return {name: sorted(part, key=_name) for name, part in split.items()}


def _name(plan: Plan) -> str:
    return plan.name
