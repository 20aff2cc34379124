"""Segments of a DICOM segmentation as a label map on the grid of their series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.dicom.labels.overlaps import CROP, check_classes, overlap_notes, put
from pyraseg.transforms.dicom.labels.seg import Segmentation, SegmentFrame
from pyraseg.transforms.dicom.pixels.decode import FrameDecoder
from pyraseg.transforms.dicom.series.source_series import ON_SLICE, SourceSeries, check_belongs
from pyraseg.transforms.errors import GeometryError, InputError, LabelError, Option
from pyraseg.transforms.geometry.grid import Turn, VolumeGrid, find_turns, turned

__all__ = ["segmentation_labels"]

SAME_DIRECTION = 1e-3  # of unit vectors; some files cut Image Orientation (Patient) to four digits
SAME_SPACING = 1e-3  # relative: half a pixel over a slice of 512
GRID = "frames on the pixels of the series"

Corner = tuple[int, int, int]  # column and row of a frame's first pixel, and the slice


def segmentation_labels(
    segmentation: Segmentation,
    series: SourceSeries,
    classes: Mapping[int, int] | None = None,
    *,
    crop: bool = False,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The label map of a segmentation on the grid of its series, and notes that identify nobody.

    A frame belongs to the slice whose SOP Instance UID (and frame) it names as its only source, else to the
    slice at its position; if it has both, they must agree. Frames may be turned, such as coronal ones of an
    axial series, and cover a part of the series, on the same voxels: nothing is resampled. What has no frame
    is background. A fractional value counts from one half on. Frames are read one by one.

    Args:
        classes: from a segment's number to its class; other segments are left out, and where segments
            overlap the last one counts. None takes all segments, with their numbers as classes.
        crop: leave out what lies beyond the series.

    Returns:
        (columns, rows, slices) uint8.

    Raises:
        LabelError: a class is outside 1 to 255, or a value has no segment.
        GeometryError: it was drawn on another series, or its frames are not on the pixels of this one.
        InputError: the pixels are cut off or cannot be decoded.
    """
    if classes is None:
        classes = {segment.number: segment.number for segment in segmentation.segments}
    check_classes(classes)
    check_belongs(
        series,
        wanted="a segmentation of this series",
        frame_of_reference_uid=segmentation.frame_of_reference_uid,
        listed=segmentation.series,
        images={uid for frame in segmentation.frames for uid, _ in frame.images if uid},
        path=segmentation.path,
    )
    turns = _turns(segmentation, series.grid)
    corners, notes = _corners(segmentation, series, turns, crop=crop)
    labels = series.grid_array(np.uint8)
    if segmentation.kind == "LABELMAP":
        _put_label_maps(turned(labels, turns), segmentation, corners, classes)
        return labels, notes
    shared = _put_segments(turned(labels, turns), segmentation, corners, classes)
    return labels, (*notes, *overlap_notes(shared))


def _turns(segmentation: Segmentation, grid: VolumeGrid) -> list[Turn]:
    """From the series' axes to those of the frames; as they are where the frames' run between them."""
    orientation = next((frame.orientation for frame in segmentation.frames if frame.orientation), None)
    turns = None
    if orientation is not None:
        along = np.reshape(orientation, (2, 3)).T
        own = np.array([grid.row_direction, grid.column_direction, grid.slice_direction])
        turns = find_turns(own @ np.column_stack([along, np.cross(along[:, 0], along[:, 1])]))
    turns = turns or [(0, 1), (1, 1), (2, 1)]
    return [*turns[:2], (turns[2][0], 1)]  # frames come in any order


def _corners(
    segmentation: Segmentation, series: SourceSeries, turns: Sequence[Turn], *, crop: bool
) -> tuple[dict[int, Corner], tuple[str, ...]]:
    """The corner on the turned grid of each frame, by its index, and notes."""
    corners: dict[int, Corner] = {}
    taken: set[tuple[int, int]] = set()
    beyond = cut = 0
    grid, slices = series.grid.turned(turns), series.slice_indices if turns[2][0] == 2 else {}
    to_index = np.linalg.inv(grid.affine_lps)
    for index, frame in enumerate(segmentation.frames):
        corner = _corner(frame, segmentation, grid, slices, to_index)
        ends = np.add(corner, [segmentation.columns, segmentation.rows, 1])
        if (ends <= 0).any() or np.greater_equal(corner, grid.shape).any():
            beyond += 1
            continue
        cut += bool(min(corner) < 0 or np.greater(ends, grid.shape).any())
        if (frame.segment, corner[2]) in taken:
            raise _refused("one frame for each segment and slice", "two of them", segmentation.path)
        taken.add((frame.segment, corner[2]))
        corners[index] = corner
    steps = np.diff(sorted({at for _, at in taken}))
    if turns[2][0] != 2 and len(steps) > 1 and steps.min() > 1:  # some slices of the series may have no frame
        raise _refused(GRID, "another distance between frames", segmentation.path)
    return corners, tuple(_beyond(beyond, cut, segmentation, grid.shape, crop=crop))


def _beyond(
    beyond: int, cut: int, segmentation: Segmentation, shape: tuple[int, int, int], *, crop: bool
) -> Iterator[str]:
    """Notes on frames that lie or reach beyond the series, or a refusal."""
    option = Option(CROP, "crop", True)
    if beyond and not crop:
        found = f"{beyond} beyond the first or last slice, row or column"
        raise _refused("slices where the frames are", found, segmentation.path, option=option)
    if cut and not crop:
        size = f"{segmentation.columns} x {segmentation.rows}"
        found = f"frames of {size} pixels that reach beyond {shape[0]} x {shape[1]}"
        raise _refused(GRID, found, segmentation.path, option=option)
    if beyond:
        yield f"left out: {beyond} frames beyond the series"
    if cut:
        yield f"cut off: {cut} frames that reach beyond the series"


def _corner(
    frame: SegmentFrame,
    segmentation: Segmentation,
    grid: VolumeGrid,
    slices: Mapping[tuple[str, int], int],
    to_index: np.ndarray,
) -> Corner:
    named = {slices[image] for image in frame.images if image in slices}
    if frame.position is None:
        if len(named) != 1:
            raise _refused("frames with a position, or with one source image", "neither", segmentation.path)
        if (segmentation.columns, segmentation.rows) != grid.shape[:2]:
            found = f"{segmentation.columns} x {segmentation.rows} pixels without a position"
            raise _refused(GRID, found, segmentation.path)
        return 0, 0, named.pop()
    _check_plane(frame, grid, segmentation.path)
    exact = to_index[:3, :3] @ np.array(frame.position) + to_index[:3, 3]
    column, row, at = (round(value) for value in exact)
    if (np.abs(exact - [column, row, at]) > ON_SLICE).any():
        found = "a position between pixels or slices"
        raise _refused(GRID, found, segmentation.path)
    if len(named) == 1 and at not in named:
        found = f"one that lies on slice {at} and names slice {min(named)}, both from 0"
        raise _refused("frames on the slices that they name", found, segmentation.path, "Export it again.")
    return column, row, at


def _check_plane(frame: SegmentFrame, grid: VolumeGrid, path: str) -> None:
    if frame.orientation is not None:
        off = np.abs(np.array(frame.orientation) - [*grid.row_direction, *grid.column_direction]).max()
        if not off <= SAME_DIRECTION:
            raise _refused(GRID, "another orientation", path)
    if frame.spacing is not None:
        off = np.abs(np.array(frame.spacing) / [grid.spacing[1], grid.spacing[0]] - 1).max()
        if not off <= SAME_SPACING:
            raise _refused(GRID, "another pixel spacing", path)


def _refused(
    wanted: str,
    found: str,
    path: str,
    remedy: str = "Give the series that it was drawn on.",
    *,
    option: Option | None = None,
) -> GeometryError:
    return GeometryError(wanted, found=found, remedy=remedy, path=path, option=option)


def _put_segments(
    labels: np.ndarray,
    segmentation: Segmentation,
    corners: Mapping[int, Corner],
    classes: Mapping[int, int],
) -> int:
    """Apply the segments class by class; returns how many voxels were set twice."""
    order = list(classes)
    numbers = [frame.segment for frame in segmentation.frames]
    chosen = [index for index in corners if numbers[index] in classes]
    chosen.sort(key=lambda index: order.index(numbers[index]))
    least = max(segmentation.maximum / 2, 1) if segmentation.kind == "FRACTIONAL" else 1
    shared = 0
    for index, pixels in zip(chosen, _pixels(segmentation, chosen), strict=True):
        window, part = _window(labels, segmentation, corners[index])
        shared += put(window, pixels[part] >= least, classes[numbers[index]])
    return shared


def _put_label_maps(
    labels: np.ndarray,
    segmentation: Segmentation,
    corners: Mapping[int, Corner],
    classes: Mapping[int, int],
) -> None:
    known = {0, segmentation.padding, *(segment.number for segment in segmentation.segments)}
    table = np.array([classes.get(value, 0) for value in range(2**16)], np.uint8)
    undeclared = np.array([value not in known for value in range(2**16)])
    for corner, pixels in zip(corners.values(), _pixels(segmentation, list(corners)), strict=True):
        if (strange := undeclared[pixels]).any():
            found, remedy = f"{pixels[strange].min()}", "Export it again; every value needs a segment."
            raise LabelError("values of segments", found=found, remedy=remedy, path=segmentation.path)
        window, part = _window(labels, segmentation, corner)
        window[...] = table[pixels[part]]


def _window(
    labels: np.ndarray, segmentation: Segmentation, corner: Corner
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The part of a slice that a frame covers, (rows, columns), and the part of the frame that is in it."""
    column, row, at = corner
    left, top = max(column, 0), max(row, 0)
    window = labels[left : column + segmentation.columns, top : row + segmentation.rows, at].T
    rows, columns = window.shape
    return window, (slice(top - row, top - row + rows), slice(left - column, left - column + columns))


def _pixels(segmentation: Segmentation, indices: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames, (rows, columns), one after another."""
    if segmentation.bit_stream:
        return _bits(segmentation, indices, *segmentation.bit_stream)
    return map(FrameDecoder(read_header(segmentation.path)).stored, indices)


def _bits(
    segmentation: Segmentation, indices: Sequence[int], offset: int, length: int
) -> Iterator[np.ndarray]:
    """Frames of bits that need not start on a byte (PS3.5 section 8.1.1); pydicom 3.0 fails on those."""
    size = segmentation.rows * segmentation.columns
    if -(-size * len(segmentation.frames) // 8) > length:
        raise _cut_off(segmentation)
    with open(segmentation.path, "rb") as file:
        for index in indices:
            first, last = index * size // 8, -(-(index + 1) * size // 8)
            file.seek(offset + first)
            data = np.frombuffer(file.read(last - first), np.uint8)
            if len(data) < last - first:
                raise _cut_off(segmentation)
            start = index * size - first * 8
            bits = np.unpackbits(data, bitorder="little")[start : start + size]
            yield bits.reshape(segmentation.rows, segmentation.columns)


def _cut_off(segmentation: Segmentation) -> InputError:
    wanted, found = "pixels for all stated frames", "fewer, or frames of another size"
    return InputError(wanted, found=found, remedy="Export it again.", path=segmentation.path)
