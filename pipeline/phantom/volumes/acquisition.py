"""The acquisition of a series: the voxel grid, the patient's position, the order of the slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pyraseg.pipeline.phantom.volumes.body.anatomy import Body
from pyraseg.pipeline.phantom.volumes.body.outline import BOTTOM_MM, HALF_WIDTH_MM, TOP_MM
from pyraseg.transforms.geometry.grid import Vector, VolumeGrid

__all__ = ["CT_VIEWS", "MR_VIEWS", "PET_VIEWS", "Acquisition", "View", "draw_acquisition"]

AXIAL: tuple[Vector, Vector] = ((1, 0, 0), (0, 1, 0))
PRONE: tuple[Vector, Vector] = ((-1, 0, 0), (0, -1, 0))
CORONAL: tuple[Vector, Vector] = ((1, 0, 0), (0, 0, -1))
SAGITTAL: tuple[Vector, Vector] = ((0, 1, 0), (0, 0, -1))
MULTIPLE = 4  # rows and columns are multiples of it


@dataclass(frozen=True)
class View:
    """The orientation and sampling of slices through a patient.

    Attributes:
        axes: directions of a row and of a column before they are turned, LPS.
        angles: turn of the slices in degrees about x, y and z, for an oblique acquisition.
        position: Patient Position (0018,5100).
        pixel_mm: range of the distance between columns.
        aspect: distance between rows over that between columns.
        slice_mm: distance between slices.
        thickness: of a slice, relative to the distance.
        descending: instance numbers count against the normal of the slices.
        shuffled: file names do not show the order of the slices.
    """

    axes: tuple[Vector, Vector]
    pixel_mm: tuple[float, float]
    slice_mm: float
    position: str = "HFS"
    angles: Vector = (0, 0, 0)
    aspect: float = 1.0
    thickness: float = 1.0
    descending: bool = False
    shuffled: bool = False

    @property
    def oblique(self) -> bool:
        """Whether the slices are turned."""
        return any(self.angles)


CT_VIEWS: tuple[View, ...] = (
    View(AXIAL, (2.6, 3.0), 5.0, descending=True),
    View(AXIAL, (2.4, 2.8), 3.0, position="FFS", shuffled=True),
    View(PRONE, (2.6, 3.0), 4.0, position="HFP", thickness=1.25),
    View(AXIAL, (2.6, 3.0), 3.0, angles=(14, -9, 6)),
    View(AXIAL, (2.4, 2.8), 3.27, descending=True, shuffled=True),
)
MR_VIEWS: tuple[View, ...] = (
    View(AXIAL, (2.2, 2.6), 5.5, thickness=0.9),
    View(CORONAL, (2.4, 2.8), 5.0, thickness=0.8, shuffled=True),
    View(AXIAL, (2.2, 2.6), 4.4, angles=(-18, 7, 11), aspect=1.12, thickness=0.9),
    View(SAGITTAL, (2.2, 2.6), 5.0, thickness=0.9, descending=True),
    View(AXIAL, (2.4, 2.8), 6.0, position="FFS", descending=True, thickness=0.8),
    View(CORONAL, (2.4, 2.8), 4.8, angles=(9, 0, -13), thickness=0.9),
)
PET_VIEWS: tuple[View, ...] = (
    View(AXIAL, (4.6, 4.8), 4.25, descending=True),
    View(AXIAL, (5.3, 5.5), 5.0),
    View(AXIAL, (4.0, 4.2), 5.0, position="FFS", shuffled=True),
    View(PRONE, (5.3, 5.5), 4.0, position="HFP", descending=True),
)


@dataclass(frozen=True)
class Acquisition:
    """One series' geometry."""

    view: View
    grid: VolumeGrid

    @property
    def instances(self) -> tuple[int, ...]:
        """The slices' indices along the normal, in the order of their instance numbers."""
        slices = range(self.grid.shape[2])
        return tuple(reversed(slices)) if self.view.descending else tuple(slices)

    @property
    def thickness_mm(self) -> float:
        """Slice Thickness (0018,0050)."""
        return round(self.grid.spacing[2] * self.view.thickness, 3)


def draw_acquisition(rng: np.random.Generator, view: View, body: Body, *, whole_body: bool) -> Acquisition:
    """Choose a grid over the part of the body with its lesions, or from the head to the thighs."""
    centre, extent = _whole(body) if whole_body else _part(view, body)
    pixel = round(float(rng.uniform(*view.pixel_mm)), 4)
    spacing = (pixel, round(pixel * view.aspect, 4), view.slice_mm)
    counts = np.ceil(np.divide(extent, spacing))
    columns, rows = (int(-(-count // MULTIPLE) * MULTIPLE) for count in counts[:2])
    middle = centre + rng.uniform(-4, 4, 3)
    return Acquisition(view, _grid(view, middle, spacing, (columns, rows, int(counts[2]))))


def _whole(body: Body) -> tuple[np.ndarray, tuple[float, float, float]]:
    bottom, width = min(-150, _reach(body)[0]), 2 * HALF_WIDTH_MM * body.scale
    height = (TOP_MM - max(bottom, BOTTOM_MM)) * body.scale
    centre = np.array([0, 0, (TOP_MM + bottom) / 2 * body.scale])
    return centre, (width + 40, 0.72 * width + 30, height + 20)


def _reach(body: Body) -> tuple[float, float]:
    """The lowest and the highest level of the lesions, with a margin, in mm of the adult body."""
    ends = [(lesion.body.centre[2], max(lesion.body.semi_axes)) for lesion in body.lesions]
    return min(z - half for z, half in ends) - 15, max(z + half for z, half in ends) + 15


def _part(view: View, body: Body) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Centre (LPS mm) and extent (mm along rows, columns and slices) of a field that holds the lesions."""
    low, high = _reach(body)
    height = max(high - low, 100) * body.scale
    width, depth = 2 * HALF_WIDTH_MM * body.scale, 224 * body.scale
    first = body.lesions[0].body.centre
    x = first[0] * body.scale if view.axes == SAGITTAL else 0.0
    centre = np.array([x, 0.0, (low + high) / 2 * body.scale])
    if view.axes == CORONAL:
        return centre, (width + 30, height + 90, depth - 20)
    if view.axes == SAGITTAL:
        return centre, (depth + 40, height + 90, 130.0)
    return centre, (width + 40, depth + 60, height + (60 if view.oblique else 0))


def _grid(view: View, middle: np.ndarray, spacing: Vector, shape: tuple[int, int, int]) -> VolumeGrid:
    """The grid around its middle, in numbers that fit DICOM's decimal strings of 16 characters."""
    turn = Rotation.from_euler("xyz", view.angles, degrees=True).as_matrix()
    row, column = (np.round(turn @ axis, 12) for axis in view.axes)
    axes = (row, column, np.cross(row, column))
    half = sum((count - 1) / 2 * step * axis for count, step, axis in zip(shape, spacing, axes, strict=True))
    vectors = (values + 0.0 for values in (np.round(middle - half, 6), *axes))  # no negative zeros
    origin, rows, columns, normal = ((float(x), float(y), float(z)) for x, y, z in vectors)
    return VolumeGrid(shape, origin, rows, columns, normal, spacing)
