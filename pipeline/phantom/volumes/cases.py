"""One case of a volume phantom: planned, drawn, and written as a series with labels and the truth."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from pyraseg.pipeline.phantom.identity import Identity, draw_identity
from pyraseg.pipeline.phantom.records import Written
from pyraseg.pipeline.phantom.volumes.acquisition import SAGITTAL, Acquisition, draw_acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import Body, Painted, draw_body, paint
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.ct import CtExamination
from pyraseg.pipeline.phantom.volumes.examination import TRANSFER_SYNTAXES, Examination, build_series
from pyraseg.pipeline.phantom.volumes.faults import FAULTS, assign_faults
from pyraseg.pipeline.phantom.volumes.label_objects import build_rtstruct, build_seg
from pyraseg.pipeline.phantom.volumes.mr import MrExamination
from pyraseg.pipeline.phantom.volumes.pet import MIDNIGHT, PROTOCOLS, PetExamination
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["MODALITIES", "VolumePhantoms", "VolumePlan"]

MODALITIES: Mapping[str, type[Examination]] = {
    "ct": CtExamination,
    "mr": MrExamination,
    "pet": PetExamination,
}
IMAGES, LABELS, SEGMENTATIONS, STRUCTURES = "images", "labels", "segmentations", "structures"
# The index in the data set alone decides this, so that small sets show both kinds.
BOTH_SIDES_EVERY, BOTH_SIDES = 3, 1
DIGITS = 6  # significant, of the truth


@dataclass(frozen=True)
class VolumePlan:
    """One case before it is rendered.

    Attributes:
        name: "case_0001" onwards; the patient in the datalist.
        modality: "ct", "mr" or "pet".
        entropy: for the case's generator, with its index in the data set at the end.
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
        """The seed of the case's UIDs."""
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
            ConfigError: an unknown fault, or a fault for an unknown case.
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
        """Write ``images/NAME/``, and the labels as NIfTI, DICOM SEG and RTSTRUCT."""
        case = draw_volume(plan)
        acquisition, mask = case.acquisition, case.painted.lesions > 0
        slices = build_series(
            case.examination, case.values, acquisition, root=plan.root, transfer_syntax=plan.transfer_syntax
        )
        _write_nifti(folder / LABELS / f"{plan.name}.nii.gz", mask, acquisition.grid)
        in_order = np.stack([mask[:, :, index].T for index in acquisition.instances])
        segmentation = build_seg(slices, in_order, root=plan.root)
        structures = build_rtstruct(slices, mask, acquisition, root=plan.root)
        for part, labels in ((SEGMENTATIONS, segmentation), (STRUCTURES, structures)):
            labels.save_as(folder / part / f"{plan.name}.dcm", enforce_file_format=True)
        slices = FAULTS[plan.fault](slices) if plan.fault else slices
        images = folder / IMAGES / plan.name
        images.mkdir()
        for number, dataset in enumerate(slices, start=1):
            shuffled = f"{dataset.SOPInstanceUID[-12:]}_{number}"  # does not show the order
            name = shuffled if acquisition.view.shuffled else f"{number:04d}"
            dataset.save_as(images / f"{name}.dcm", enforce_file_format=True)
        label = f"{LABELS}/{plan.name}.nii.gz"
        item = {"image": f"{IMAGES}/{plan.name}", "label": label, "case": plan.name, "group": plan.name}
        return Written((item,), _truth(plan, case))

    def facts(self, plans: Sequence[VolumePlan], written: Sequence[Written]) -> tuple[str, ...]:
        """Cases, lesions, faults."""
        lesions = sum(len(case.truth) for case in written)
        faults = [f"{plan.name}: {plan.fault}" for plan in plans if plan.fault]
        series = f"{len(plans)} {self.modality.upper()} series, {lesions} tumours"
        head = f"{series}; their volumes and values: truth.csv"
        return (head, *([f"Faults: {', '.join(faults)}"] if faults else []))


@dataclass(frozen=True)
class Volume:
    """A rendered case: ``values`` in HU, stored values of MR, or SUV, (x, y, z)."""

    body: Body
    acquisition: Acquisition
    examination: Examination
    painted: Painted
    values: Array


def draw_volume(plan: VolumePlan) -> Volume:
    """Draw and render one case."""
    kind, (seed, index) = MODALITIES[plan.modality], plan.entropy
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 1)))
    view = kind.views[index % len(kind.views)]
    # sagittal slices show one side
    both_sides = index % BOTH_SIDES_EVERY == BOTH_SIDES and view.axes != SAGITTAL
    body = draw_body(rng, index, scale=kind.scale, both_sides=both_sides)
    acquisition = draw_acquisition(rng, view, body, whole_body=kind.whole_body)
    examination = kind.draw(rng, body, index, plan.identity)
    painted = paint(body, acquisition.grid)
    values = examination.render(painted, body, acquisition.grid, rng)
    return Volume(body, acquisition, examination, painted, values)


def _truth(plan: VolumePlan, case: Volume) -> tuple[Mapping[str, object], ...]:
    """One row per lesion.

    ``volume_ml``, ``value``, ``core_value`` and ``core_share`` (of the volume) are exact, before blur, noise
    and, in MR, the bias field. ``label_ml``, ``mean``, ``sd`` and ``maximum`` are those of the label's
    voxels, in the unit that a reader of the series gets.
    """
    appearance, (planned, rendered) = case.examination.appearance, case.examination.factors
    rows: list[Mapping[str, object]] = []
    for number, lesion in enumerate(case.body.lesions, start=1):
        inside = case.painted.lesions == number
        values = case.values[inside].astype(np.float64) * rendered
        numbers = {
            "volume_ml": lesion.volume_ml,
            "value": appearance.lesions[number - 1] * planned,
            "core_value": appearance.core * planned if lesion.core_level else None,
            "core_share": lesion.core_share,
            "label_ml": np.count_nonzero(inside) * case.acquisition.grid.voxel_ml,
            "mean": values.mean(),
            "sd": values.std(),
            "maximum": values.max(),
        }
        texts = {key: "" if value is None else f"{value:.{DIGITS}g}" for key, value in numbers.items()}
        head = {"case": plan.name, "modality": plan.modality, "lesion": number, "place": lesion.site}
        rows.append(head | {"unit": case.examination.unit, **texts, "fault": plan.fault})
    return tuple(rows)


def _write_nifti(path: Path, mask: NDArray[np.bool_], grid: VolumeGrid) -> None:
    """Write the label as NIfTI (x, y, z) with the RAS affine; gzip without a time gives the same bytes."""
    image = nibabel.Nifti1Image(mask.astype(np.uint8), grid.affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
