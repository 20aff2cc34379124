"""One volume: everything random is drawn from the case's own key, then the voxels are rendered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyraseg.pipeline.phantom.identity import Identity
from pyraseg.pipeline.phantom.volumes.acquisition import SAGITTAL, Acquisition, draw_acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import Body, Painted, draw_body, paint
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.pipeline.phantom.volumes.modalities import MODALITIES, Examination

__all__ = ["Volume", "draw_volume"]

# Position in the data set alone decides this, so that small sets show both kinds.
BOTH_SIDES_EVERY, BOTH_SIDES = 3, 1


@dataclass(frozen=True)
class Volume:
    """A case as it is rendered: ``values`` in HU, stored values of MR, or SUV, (x, y, z)."""

    body: Body
    acquisition: Acquisition
    examination: Examination
    painted: Painted
    values: Array


def draw_volume(modality: str, entropy: tuple[int, int], identity: Identity) -> Volume:
    """Draw and render one case.

    Args:
        modality: "ct", "mr" or "pet".
        entropy: the data set's seed, and the case's index.
    """
    kind, (seed, index) = MODALITIES[modality], entropy
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 1)))
    view = kind.views[index % len(kind.views)]
    both_sides = (
        index % BOTH_SIDES_EVERY == BOTH_SIDES and view.axes != SAGITTAL
    )  # sagittal slices show one side
    body = draw_body(rng, index, scale=kind.scale, both_sides=both_sides)
    acquisition = draw_acquisition(rng, view, body, whole_body=kind.whole_body)
    examination = kind.draw(rng, body, index, identity)
    painted = paint(body, acquisition.grid)
    values = examination.scan.render(painted, body, acquisition.grid, rng)
    return Volume(body, acquisition, examination, painted, values)
