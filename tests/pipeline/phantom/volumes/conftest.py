"""One small data set of each modality for all tests of this folder."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pyraseg.pipeline.phantom import PhantomReport, generate
from pyraseg.pipeline.phantom.identity import draw_identity
from pyraseg.pipeline.phantom.volumes.acquisition import PET_VIEWS, Acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import draw_body
from pyraseg.pipeline.phantom.volumes.examination import build_series
from pyraseg.pipeline.phantom.volumes.pet import (
    MIDNIGHT,
    PROTOCOLS,
    PetExamination,
    PetProtocol,
    draw_tracer,
)
from pyraseg.transforms.geometry.grid import VolumeGrid

CASES = 3
AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
GRID = VolumeGrid((9, 8, 40), (-5.0, -4.0, 7.0), *AXES, (5.0, 5.0, 5.0))


@pytest.fixture(scope="session")
def volumes(
    tmp_path_factory: pytest.TempPathFactory, _strict_dicom_writing: None
) -> Callable[[str], PhantomReport]:
    """The data set of a modality, made when it is first asked for."""

    @cache
    def make(modality: str) -> PhantomReport:
        return generate(tmp_path_factory.mktemp("volumes") / modality, modality=modality, cases=CASES, seed=2)

    return make


@pytest.fixture(scope="session")
def truth(volumes: Callable[[str], PhantomReport]) -> Callable[[str], list[dict[str, str]]]:
    """The rows of a modality's table of truths."""

    def read(modality: str) -> list[dict[str, str]]:
        with open(volumes(modality).output / "truth.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def series(volumes: Callable[[str], PhantomReport]) -> Callable[[str], list[Path]]:
    """The folders of a modality's series."""
    return lambda modality: sorted((volumes(modality).output / "images").iterdir())


class BuildPet:
    """Builds a small PET series of random SUV in memory: 40 slices, the first is the uppermost."""

    suv = np.random.default_rng(0).gamma(1.0, 2.0, GRID.shape).astype(np.float32)

    def __call__(self, protocol: PetProtocol = PROTOCOLS[0]) -> list[pydicom.Dataset]:
        rng = np.random.default_rng(4)
        body = draw_body(rng, 0, scale=(0.8, 0.9), both_sides=False)
        identity = draw_identity(rng, 0, seed=0, patient_name=None)
        if protocol.midnight:
            identity = replace(identity, study_time=MIDNIGHT)
        tracer = draw_tracer(rng, protocol, identity, weight_kg=body.weight_kg)
        return build_series(
            replace(PetExamination.draw(rng, body, 0, identity), tracer=tracer),
            self.suv,
            Acquisition(PET_VIEWS[0], GRID),
            root=("test",),
            transfer_syntax=pydicom.uid.ExplicitVRLittleEndian,
        )


@pytest.fixture(scope="session")
def build_pet() -> BuildPet:
    return BuildPet()
