"""One case of a volume phantom: planned by its place in the data set, then written as a series with its
labels."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from pyraseg.pipeline.phantom.data_set_records import Written
from pyraseg.pipeline.phantom.identity import Identity, draw_identity
from pyraseg.pipeline.phantom.volumes.dicom.rtstruct import build_rtstruct
from pyraseg.pipeline.phantom.volumes.dicom.seg import build_seg
from pyraseg.pipeline.phantom.volumes.dicom.series import TRANSFER_SYNTAXES, build_series
from pyraseg.pipeline.phantom.volumes.faults import apply_fault, assign_faults
from pyraseg.pipeline.phantom.volumes.modalities import MODALITIES
from pyraseg.pipeline.phantom.volumes.scans.tracer import MIDNIGHT, PROTOCOLS
from pyraseg.pipeline.phantom.volumes.truth import truth_rows
from pyraseg.pipeline.phantom.volumes.volume import draw_volume
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["VOLUME_MODALITIES", "VolumePhantoms", "VolumePlan"]

VOLUME_MODALITIES = tuple(MODALITIES)
IMAGES, LABELS, SEGMENTATIONS, STRUCTURES = "images", "labels", "segmentations", "structures"


@dataclass(frozen=True)
class VolumePlan:
    """One case before it is rendered.

    Attributes:
        name: "case_0001" onwards; it is the patient in the datalist.
        modality: "ct", "mr" or "pet".
        entropy: of the case's own generator, its place in the data set last.
        fault: of the series, or empty.
    """

    name: str
    modality: str
    entropy: tuple[int, int]
    identity: Identity
    transfer_syntax: UID
    fault: str

    stratum = True  # every case shows a lesion

    @property
    def root(self) -> tuple[object, ...]:
        """What the case's UIDs are derived from."""
        return ("pyraseg", self.modality, *self.entropy)

    @property
    def encoding_name(self) -> str:
        """The transfer syntax."""
        return self.transfer_syntax.name


class VolumePhantoms:
    """CT, MR or PET of a body with soft tissue tumours."""

    label_names: tuple[str, ...] = ("background", "tumour")
    folders: tuple[str, ...] = (IMAGES, LABELS, SEGMENTATIONS, STRUCTURES)
    minimum = 3

    def __init__(self, modality: str, faults: tuple[str, ...] = ()) -> None:
        self.modality = modality
        self.faults = faults

    def plan(self, cases: int, *, seed: int, patient_name: str | None) -> list[VolumePlan]:
        """Plan the cases.

        Raises:
            ConfigError: a fault that there is not, or for a case that there is not.
        """
        faults = assign_faults(self.faults, self.modality, cases)
        children = np.random.SeedSequence(seed).spawn(cases)
        return [
            self._plan(index, seed, np.random.default_rng(child), patient_name, faults.get(index, ""))
            for index, child in enumerate(children)
        ]

    def _plan(
        self, index: int, seed: int, rng: np.random.Generator, patient_name: str | None, fault: str
    ) -> VolumePlan:
        identity = draw_identity(rng, index, seed=seed, patient_name=patient_name)
        if self.modality == "pet" and PROTOCOLS[index % len(PROTOCOLS)].midnight:
            identity = replace(identity, study_time=MIDNIGHT)
        return VolumePlan(
            name=f"case_{index + 1:04d}",
            modality=self.modality,
            entropy=(seed, index),
            identity=identity,
            transfer_syntax=TRANSFER_SYNTAXES[index % len(TRANSFER_SYNTAXES)],
            fault=fault,
        )

    def write(self, plan: VolumePlan, folder: Path) -> Written:
        """Write ``images/NAME/``, and the labels three times: ``labels/NAME.nii.gz``,
        ``segmentations/NAME.dcm`` and ``structures/NAME.dcm``."""
        volume = draw_volume(plan.modality, plan.entropy, plan.identity)
        slices = build_series(
            volume.examination.series,
            volume.values,
            volume.acquisition,
            identity=plan.identity,
            root=plan.root,
            transfer_syntax=plan.transfer_syntax,
        )
        mask = volume.painted.lesions > 0
        _write_nifti(folder / LABELS / f"{plan.name}.nii.gz", mask, volume.acquisition.grid)
        in_order = np.stack([mask[:, :, index].T for index in volume.acquisition.instances])
        _save(build_seg(slices, in_order, root=plan.root), folder / SEGMENTATIONS / f"{plan.name}.dcm")
        structures = build_rtstruct(slices, mask, volume.acquisition, root=plan.root)
        _save(structures, folder / STRUCTURES / f"{plan.name}.dcm")
        slices = apply_fault(plan.fault, slices) if plan.fault else slices
        _write_slices(folder / IMAGES / plan.name, slices, shuffled=volume.acquisition.view.shuffled)
        unit = MODALITIES[plan.modality].unit
        return Written((_item(plan),), truth_rows(plan.name, plan.modality, unit, plan.fault, volume))

    def facts(self, plans: Sequence[VolumePlan], written: Sequence[Written]) -> tuple[str, ...]:
        """Cases, lesions, faults."""
        lesions = sum(len(case.truth) for case in written)
        faults = [f"{plan.name}: {plan.fault}" for plan in plans if plan.fault]
        head = f"{len(plans)} {self.modality.upper()} series, {lesions} tumours; their volumes and values: truth.csv"
        return (head, *([f"Faults: {', '.join(faults)}"] if faults else []))


def _item(plan: VolumePlan) -> dict[str, str]:
    image, label = f"{IMAGES}/{plan.name}", f"{LABELS}/{plan.name}.nii.gz"
    return {"image": image, "label": label, "case": plan.name, "group": plan.name}


def _write_slices(folder: Path, slices: Sequence[Dataset], *, shuffled: bool) -> None:
    """One file a slice, in the order of the instance numbers or in none."""
    folder.mkdir()
    for number, dataset in enumerate(slices, start=1):
        name = f"{dataset.SOPInstanceUID[-12:]}_{number}" if shuffled else f"{number:04d}"
        _save(dataset, folder / f"{name}.dcm")


def _save(dataset: Dataset, path: Path) -> None:
    dataset.save_as(path, enforce_file_format=True)


def _write_nifti(path: Path, mask: NDArray[np.bool_], grid: VolumeGrid) -> None:
    """The label as NIfTI (x, y, z) with the grid's RAS affine; gzip without a time, so that bytes repeat."""
    import nibabel

    image = nibabel.Nifti1Image(mask.astype(np.uint8), grid.affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
