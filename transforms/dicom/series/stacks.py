"""The stacks of planes within a series, their order and their grid in the patient; ambiguity is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pyraseg.transforms.dicom.series.planes import PlaneHeader
from pyraseg.transforms.dicom.series.telling import told_apart
from pyraseg.transforms.errors import GeometryError, Option
from pyraseg.transforms.geometry.grid import Vector, VolumeGrid
from pyraseg.transforms.io.limits import SPACING_MM, WHERE_MM, spacing_fault

__all__ = ["Stack", "arrange", "copies", "described", "normal_of", "split_stacks"]

SAME_POSITION = 0.01  # mm: planes nearer than this have one position
ROUNDING = 0.06  # mm: positions are often written in tenths
UNEVEN = 0.05  # of the spacing
DRIFT = 0.1  # of a pixel, between the planes' first pixels
ANGLE = 1e-3  # of direction cosines: a quarter of a millimetre at the edge of the largest field of view
LEFT_OUT = "Leave this file out, or export the series again."
NAMED = 6  # candidates in a message
PLANES = ("sagittal", "coronal", "axial")  # by the patient axis that their normal follows


@dataclass(frozen=True)
class Stack:
    """Planes of one size, spacing and orientation, and how they differ from others in words."""

    planes: tuple[PlaneHeader, ...]
    label: str = ""

    def __str__(self) -> str:
        first = self.planes[0]
        counted = f"{len(self.planes)} slice{'s' if len(self.planes) > 1 else ''}"
        size = f"{counted} of {first.image.rows} x {first.image.columns}"
        normal = np.abs(normal_of(first)) if first.orientation else np.zeros(3)
        facing = PLANES[int(normal.argmax())] if normal.max() > 0.9 else "oblique"
        return ", ".join(part for part in (size, facing if first.orientation else "", self.label) if part)


def described(candidates: Sequence[object]) -> str:
    """Candidates with their numbers from 1, for a message."""
    named = [f"({number}) {candidate}" for number, candidate in enumerate(candidates[:NAMED], start=1)]
    more = [f"and {len(candidates) - NAMED} more"] if len(candidates) > NAMED else []
    return "; ".join(named + more)


def split_stacks(planes: Iterable[PlaneHeader]) -> list[Stack]:
    """The stacks of a series, largest first.

    Planes belong together if size, pixel spacing and orientation agree. Where several share a position, they
    are separated by time point, echo, b-value or what else their headers say (`told_apart`).

    Raises:
        GeometryError: a plane has no valid position, orientation or pixel spacing.
    """
    alike: list[list[PlaneHeader]] = []
    for plane in planes:
        _check_plane(plane)
        group = next((group for group in alike if _agree(group[0], plane)), None)
        if group is None:
            alike.append([plane])
        else:
            group.append(plane)
    stacks = [Stack(tuple(part), label) for group in alike for part, label in told_apart(group, copies)]
    return sorted(stacks, key=lambda stack: -len(stack.planes))


def normal_of(plane: PlaneHeader) -> np.ndarray:
    """(3,), the unit vector row x column."""
    row, column = _axes(plane)
    return np.cross(row, column)


def arrange(stack: Stack, *, repair: Collection[str] = ()) -> tuple[tuple[PlaneHeader, ...], VolumeGrid]:
    """The planes of a stack by position along the normal, and the grid of their voxels.

    Args:
        repair: "longest_run" keeps the longest run of evenly spaced slices where some are missing;
            "single_slice" takes the thickness of a single slice for its spacing.

    Raises:
        GeometryError: a single slice, several at one position, missing slices, uneven spacing, gantry tilt.
    """
    planes = _ordered(stack.planes)
    if "longest_run" in repair:
        planes = _longest_run(planes)
    if len(planes) == 1:
        step = _thickness(planes[0], repair)
    else:
        step = _even_step(planes)
        _check_upright(planes, step)
    _check_size([step], "spacing of slices", planes[0])
    return tuple(planes), _grid(planes, step)


def copies(planes: Iterable[PlaneHeader]) -> list[list[PlaneHeader]]:
    """Planes grouped by position, in order: those within `SAME_POSITION` of each other."""
    ordered = _ordered(planes)
    groups = [[ordered[0]]]
    for plane, step in zip(ordered[1:], np.diff(_offsets(ordered)), strict=True):
        if step < SAME_POSITION:
            groups[-1].append(plane)
        else:
            groups.append([plane])
    return groups


def _check_plane(plane: PlaneHeader) -> None:
    stated = {
        "Image Position (Patient) (0020,0032)": plane.position,
        "Image Orientation (Patient) (0020,0037)": plane.orientation,
        "Pixel Spacing (0028,0030)": plane.pixel_spacing,
    }
    wanted = "slices whose place in the patient is known"
    for name, value in stated.items():
        if value is None:
            raise _refusal(wanted, f"one without {name}", LEFT_OUT, plane)
        if not np.isfinite(value).all():
            raise _refusal(wanted, f"one whose {name} is no number", LEFT_OUT, plane)
    if np.abs(np.asarray(plane.position)).max() > WHERE_MM:
        raise _refusal(wanted, "one more than 100 m away by its Image Position", LEFT_OUT, plane)
    _check_size(_spacing(plane), "Pixel Spacing (0028,0030)", plane)
    row, column = _cosines(plane)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if np.abs(np.array(lengths) - 1).max() > 0.01 or abs(row @ column) > ANGLE:
        found = "an Image Orientation (Patient) (0020,0037) that is not"
        raise _refusal("two perpendicular unit vectors as orientation", found, LEFT_OUT, plane)


def _check_size(spacing_mm: Iterable[float], name: str, plane: PlaneHeader) -> None:
    if fault := spacing_fault(spacing_mm):
        low, high = SPACING_MM
        raise _refusal(f"a {name} from {low:g} to {high:g} mm", fault, LEFT_OUT, plane)


def _agree(a: PlaneHeader, b: PlaneHeader) -> bool:
    return (
        (a.image.rows, a.image.columns) == (b.image.rows, b.image.columns)
        and np.allclose(_spacing(a), _spacing(b), rtol=1e-3)
        and np.allclose(_cosines(a), _cosines(b), atol=ANGLE)
    )


def _cosines(plane: PlaneHeader) -> np.ndarray:
    """(2, 3), the directions of increasing column and row index."""
    return np.asarray(plane.orientation, dtype=float).reshape(2, 3)


def _spacing(plane: PlaneHeader) -> np.ndarray:
    """(2,), mm between rows and between columns."""
    return np.asarray(plane.pixel_spacing, dtype=float)


def _axes(plane: PlaneHeader) -> tuple[np.ndarray, np.ndarray]:
    """Perpendicular unit vectors along increasing column and row index."""
    row, column = _cosines(plane)
    row = row / np.linalg.norm(row)
    column = column - (row @ column) * row
    return row, column / np.linalg.norm(column)


def _offsets(planes: Sequence[PlaneHeader]) -> np.ndarray:
    """The positions of planes along the normal, mm."""
    return np.array([plane.position for plane in planes]) @ normal_of(planes[0])


def _ordered(planes: Iterable[PlaneHeader]) -> list[PlaneHeader]:
    listed = list(planes)
    return [listed[index] for index in np.argsort(_offsets(listed), kind="stable")]


def _even_step(planes: Sequence[PlaneHeader]) -> float:
    """The spacing between slices, mm."""
    offsets = _offsets(planes)
    steps = np.diff(offsets)
    if doubles := int((steps < SAME_POSITION).sum()):
        found = f"{doubles} of {len(planes)} at the place of another"
        option = Option("drop those that are equal", "repair", ["copies"])
        raise _refusal("one slice at each place", found, "Remove the copies.", option=option)
    step, allowed = _usual(steps)
    odd = np.abs(steps - step) > allowed
    multiples = np.rint(steps / step)
    option = Option("keep the longest run without a gap", "repair", ["longest_run"])
    if odd.any() and (np.abs(steps - multiples * step) <= np.maximum(multiples, 1) * allowed).all():
        missing, first = int((multiples - 1).sum()), int(odd.argmax()) + 1
        found = f"{missing} missing, the first behind slice {first} of {len(planes)}"
        raise _refusal("slices without a gap", found, "Export the whole series.", option=option)
    even = np.linspace(offsets[0], offsets[-1], len(offsets))
    if odd.any() or np.abs(offsets - even).max() > 2 * allowed:
        found = f"steps from {steps.min():.3f} to {steps.max():.3f} mm"
        raise _refusal("evenly spaced slices", found, "Reconstruct the series evenly.", option=option)
    return float(steps.mean())


def _usual(steps: np.ndarray) -> tuple[float, float]:
    """The usual step, mm, and the tolerance for others."""
    step = float(np.median(steps))
    return step, max(UNEVEN * step, ROUNDING)


def _longest_run(planes: list[PlaneHeader]) -> list[PlaneHeader]:
    steps = np.diff(_offsets(planes))
    if len(steps) < 2:
        return planes
    step, allowed = _usual(steps)
    best = start = 0
    first = 0
    for index, fits in enumerate([*(np.abs(steps - step) <= allowed), False]):
        if not fits:
            if index - start > best:
                best, first = index - start, start
            start = index + 1
    return planes[first : first + best + 1]


def _check_upright(planes: Sequence[PlaneHeader], step: float) -> None:
    """Refuse planes whose first pixels are not in line with the normal."""
    from_first = np.array([plane.position for plane in planes]) - np.asarray(planes[0].position)
    normal, allowed = normal_of(planes[0]), DRIFT * _spacing(planes[0]).min()
    drift = from_first - np.outer(from_first @ normal, normal)
    largest = float(np.linalg.norm(drift, axis=1).max())
    if largest <= allowed:
        return
    lean = drift[-1] / (len(planes) - 1)
    if np.linalg.norm(drift - np.outer(np.arange(len(planes)), lean), axis=1).max() > allowed:
        found = f"ones that are up to {largest:.2f} mm beside the first"
        raise _refusal("slices straight above each other", found, "Export the stacks of the series apart.")
    angle = np.degrees(np.arctan2(np.linalg.norm(lean), step))
    found = f"a stack that leans by {angle:.2f} degrees, as by gantry tilt"
    remedy = "Resample it to an upright grid first, for example with dcm2niix."
    raise _refusal("slices straight above each other", found, remedy)


def _thickness(plane: PlaneHeader, repair: Collection[str]) -> float:
    if "single_slice" in repair and plane.thickness:
        return plane.thickness
    option = Option("take its Slice Thickness for the spacing", "repair", ["single_slice"])
    remedy = "Give the whole series" + ("." if plane.thickness else ": its slice has no Slice Thickness.")
    raise _refusal("two slices or more", "one", remedy, option=option if plane.thickness else None)


def _vector(values: np.ndarray) -> Vector:
    x, y, z = map(float, values)
    return x, y, z


def _grid(planes: Sequence[PlaneHeader], step: float) -> VolumeGrid:
    first = planes[0]
    row, column = _axes(first)
    between_rows, between_columns = map(float, _spacing(first))
    return VolumeGrid(
        shape=(first.image.columns, first.image.rows, len(planes)),
        origin=_vector(np.asarray(first.position)),
        row_direction=_vector(row),
        column_direction=_vector(column),
        slice_direction=_vector(np.cross(row, column)),
        spacing=(between_columns, between_rows, step),
    )


def _refusal(
    wanted: str, found: str, remedy: str, plane: PlaneHeader | None = None, *, option: Option | None = None
) -> GeometryError:
    path = plane.image.path if plane else None
    return GeometryError(wanted, found=found, remedy=remedy, path=path, option=option)
