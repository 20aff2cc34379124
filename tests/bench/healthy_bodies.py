"""``python -m tests.bench.healthy_bodies DIR [CASES]``: write FDG-PET of phantom bodies without a tumour.

NIfTI in SUV from head to thighs, ``healthy_00.nii.gz`` onwards: what ``pyraseg datalist --background DIR``
takes to teach a PET network the organs that are bright in every patient.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from pyraseg.pipeline.phantom.volumes.acquisition import draw_acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import draw_body, paint
from pyraseg.pipeline.phantom.volumes.cases import VolumePhantoms
from pyraseg.pipeline.phantom.volumes.pet import PetExamination

SEED = 7


def write(folder: Path, cases: int = 16) -> None:
    """Write so many bodies; equal arguments give equal volumes."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, plan in enumerate(VolumePhantoms("pet").plan(cases, seed=SEED, patient_name=None)):
        rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(index, 1)))
        body = draw_body(rng, index, scale=PetExamination.scale, both_sides=False)
        view = PetExamination.views[index % len(PetExamination.views)]
        grid = draw_acquisition(rng, view, body, whole_body=True).grid
        body = replace(body, lesions=())
        examination = PetExamination.draw(rng, body, index, plan.identity)
        values = examination.render(paint(body, grid), body, grid, rng).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, grid.affine), folder / f"healthy_{index:02d}.nii.gz")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:]))
