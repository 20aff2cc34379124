"""A cine with its masks drawn over it: an animation, and a contact sheet of some frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pyraseg.pipeline.utils.files import atomic_path
from pyraseg.pipeline.writers.pictures.contact_sheet import draw_grid
from pyraseg.pipeline.writers.pictures.drawing import (
    checked_image,
    checked_labels,
    paint,
    tissue_box,
    to_bytes,
    to_picture,
)
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.transforms.errors import ConfigError, GeometryError
from pyraseg.transforms.records import Segment

__all__ = ["write_cine", "write_contact_sheet"]

Frames = Callable[[int], ArrayLike]

MOST, SHEET = 100, 12  # frames of an animation, and of a contact sheet
LONGEST, LEGIBLE = 640, 320  # pixels of the longer side: more is shrunk, less enlarged
TILE = 320  # pixels of a frame's longer side on the sheet
UNKNOWN_MS = 100.0  # between frames where the cine does not say
QUALITY = 75
EDGE, KEY = 3, (255, 255, 255)  # pixels and colour of the line around the key frame


def write_cine(
    path: str | Path,
    frames: Frames,
    labels: np.ndarray,
    segments: Sequence[Segment],
    *,
    frame_time_ms: float | None = None,
) -> Path:
    """Write an endless animated WebP of the frames with their masks, at the cine's speed.

    Of more than 100 frames 100 are shown, evenly spaced and longer. All are cropped to the tissue of all
    frames, so nothing jumps. The reduced frames take at most 160 MB of memory. Every browser shows WebP, at a
    seventh of the size of a GIF or animated PNG.

    Args:
        frames: returns a frame by its index from 0 as (C, H, W), grey or RGB, bytes or values from 0 to 1;
            all of one size. Only shown frames are requested.
        labels: (F, H, W), class values on the frames' grid; it may be a memory map.
        segments: the classes; the one with value 0 is not drawn.
        frame_time_ms: between frames; None (unknown) means 100 ms.

    Raises:
        ConfigError: a time that is not above 0.
        GeometryError: labels that are not (F, H, W), or a frame of another size.
        LabelError: a mask holds a value that no segment has.
        OutputError: the file cannot be written.
    """
    pace = UNKNOWN_MS if frame_time_ms is None else float(frame_time_ms)
    if not 0 < pace < np.inf:
        remedy = "Leave it out."
        raise ConfigError("a time above 0 from frame to frame", found=f"{frame_time_ms}", remedy=remedy)
    chosen = _evenly(labels, MOST)
    pictures = [Image.fromarray(each) for each in _drawn(frames, labels, segments, chosen, LONGEST)]
    with atomic_path(path) as draft:
        pictures[0].save(
            draft,
            format="WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=max(1, round(pace * len(labels) / len(chosen))),
            loop=0,
            quality=QUALITY,
            method=0,
        )
    return Path(path)


def write_contact_sheet(
    path: str | Path, frames: Frames, labels: np.ndarray, segments: Sequence[Segment], *, key_frame: int
) -> Path:
    """Write a PNG of up to 12 evenly spaced frames, with the key frame among them and framed in white.

    Args:
        frames, labels, segments: as `write_cine`.
        key_frame: counted from 0, as in the titles.

    Raises:
        ConfigError: the cine has no such key frame.
        GeometryError, LabelError, OutputError: as `write_cine`.
    """
    chosen, count = _evenly(labels, SHEET), len(labels)
    if not 0 <= key_frame < count:
        remedy = "Count frames from 0."
        raise ConfigError(f"a key frame from 0 to {count - 1}", found=f"{key_frame}", remedy=remedy)
    if key_frame not in chosen:
        nearest = min(chosen, key=lambda index: abs(index - key_frame))
        chosen[chosen.index(nearest)] = key_frame
    tiles = _drawn(frames, labels, segments, chosen, TILE)
    for index, tile in zip(chosen, tiles, strict=True):
        if index == key_frame:
            tile[:EDGE], tile[-EDGE:], tile[:, :EDGE], tile[:, -EDGE:] = KEY, KEY, KEY, KEY
    titles = [f"frame {index}, key frame" if index == key_frame else f"frame {index}" for index in chosen]
    note = f"{len(chosen)} of {count} frames, counted from 0"
    sheet = draw_grid(tiles, columns=4, titles=titles, segments=segments, note=note, cell=TILE)
    return write_png(path, sheet)


def _drawn(
    frames: Frames,
    labels: np.ndarray,
    segments: Sequence[Segment],
    chosen: Sequence[int],
    longest: int,
) -> list[np.ndarray]:
    """The chosen frames, reduced, with their masks, cropped to the tissue of all of them: RGB uint8."""
    pairs = [_reduced(frames(index), labels[index], segments, longest) for index in chosen]
    if len({mask.shape for _, mask in pairs}) > 1:
        remedy = "Give the frames of one cine."
        raise GeometryError("frames of one size", found="several sizes", remedy=remedy)
    boxes = [tissue_box(image, [mask]) for image, mask in pairs]
    rows, columns = (
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in (0, 1)
    )
    pictures = []
    for image, mask in pairs:
        picture = to_picture(image)
        paint(picture, mask, segments, alpha=0.35)
        pictures.append(picture[rows, columns])
    return pictures


def _reduced(
    image: ArrayLike, mask: np.ndarray, segments: Sequence[Segment], longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """(C, h, w) bytes and the mask (h, w), reduced."""
    source = checked_image(image)
    labels = checked_labels(mask, source.shape[1:], segments)
    height, width = labels.shape
    scale = min(longest, max(LEGIBLE, *labels.shape)) / max(labels.shape)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    planes = [Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR) for plane in to_bytes(source)]
    return np.stack([np.asarray(plane) for plane in planes]), np.array(
        Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    )


def _evenly(labels: np.ndarray, most: int) -> list[int]:
    """The indices of at most so many frames, evenly spaced."""
    if labels.ndim != 3 or not labels.size:
        remedy = "Give the label maps of all frames."
        raise GeometryError("label maps (F, H, W)", found=f"{labels.shape}", remedy=remedy)
    return np.linspace(0, len(labels) - 1, min(len(labels), most)).round().astype(int).tolist()
