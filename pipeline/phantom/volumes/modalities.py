"""The three modalities side by side: how each draws a scan of a body, and the DICOM series of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import CT_VIEWS, MR_VIEWS, PET_VIEWS, View
from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.dicom.ct_series import CT_STORAGES, CtSeries
from pyraseg.pipeline.phantom.volumes.dicom.mr_series import MrSeries
from pyraseg.pipeline.phantom.volumes.dicom.pet_series import PetSeries
from pyraseg.pipeline.phantom.volumes.dicom.series import ModalitySeries
from pyraseg.pipeline.phantom.volumes.scans.ct import draw_ct
from pyraseg.pipeline.phantom.volumes.scans.mr import draw_mr
from pyraseg.pipeline.phantom.volumes.scans.pet import draw_pet
from pyraseg.pipeline.phantom.volumes.scans.tracer import PROTOCOLS, draw_tracer
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["MODALITIES", "Examination", "Modality", "Scan"]

MR_STORAGES = ((12, False), (16, True), (16, False))  # bits stored, signed
MAPPED_EVERY, MAPPED = 4, 2


class Scan(Protocol):
    """The settings of an examination."""

    @property
    def appearance(self) -> Appearance:
        """The values before blur, noise and bias."""

    def render(self, painted: Painted, body: Body, grid: VolumeGrid, rng: np.random.Generator, /) -> Array:
        """The values of the voxels, (x, y, z)."""


@dataclass(frozen=True)
class Examination:
    """A scan and its series.

    Attributes:
        planned, rendered: factors from the appearance, and from the rendered values, to what a reader finds.
    """

    scan: Scan
    series: ModalitySeries
    planned: float = 1.0
    rendered: float = 1.0


Draw = Callable[[np.random.Generator, Body, int, Identity], Examination]


@dataclass(frozen=True)
class Modality:
    """One modality.

    Attributes:
        views: of the cases in turn.
        scale: range of the patients' size against an adult's.
        whole_body: from the head to the thighs, or the part around the lesions.
        unit: UCUM, of what a reader finds.
        draw: from chance, the body, the case's index and its identity.
    """

    views: tuple[View, ...]
    scale: tuple[float, float]
    whole_body: bool
    unit: str
    draw: Draw


def _draw_ct(rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Examination:
    scan, oblique = draw_ct(rng, body), CT_VIEWS[index % len(CT_VIEWS)].oblique
    return Examination(scan, CtSeries(scan, CT_STORAGES[index % len(CT_STORAGES)], identity, oblique))


def _draw_mr(rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Examination:
    scan, (bits, signed) = draw_mr(rng, body), MR_STORAGES[index % len(MR_STORAGES)]
    mapped = index % MAPPED_EVERY == MAPPED
    series = MrSeries(scan, identity, bits, signed, mapped)
    return Examination(scan, series, 1.0 if mapped else scan.gain, 1 / scan.gain if mapped else 1.0)


def _draw_pet(rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Examination:
    scan, protocol = draw_pet(rng, body), PROTOCOLS[index % len(PROTOCOLS)]
    date, time = identity.study_date, identity.study_time
    tracer = draw_tracer(rng, protocol, date=date, time=time, weight_kg=body.weight_kg)
    return Examination(scan, PetSeries(scan, tracer))


MODALITIES: Mapping[str, Modality] = {
    "ct": Modality(CT_VIEWS, (0.85, 1.05), False, "[hnsf'U]", _draw_ct),
    "mr": Modality(MR_VIEWS, (0.85, 1.05), False, "1", _draw_mr),
    "pet": Modality(PET_VIEWS, (0.8, 0.92), True, "g/ml{SUVbw}", _draw_pet),
}
