"""The cases in which arms differ most, side by side: over their frames if available, else masks alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from PIL import Image

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.comparison.read.artifacts import damage_of, require_size
from pyraseg.pipeline.comparison.read.runs import Arm, Run
from pyraseg.pipeline.comparison.read.store import Store
from pyraseg.pipeline.comparison.statistics.results import Comparison
from pyraseg.pipeline.writers.pictures.montage import display_spacing, draw_volume, to_display
from pyraseg.pipeline.writers.pictures.overlay import draw_overlay
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.frame.source_view import source_view
from pyraseg.transforms.records import Segment

__all__ = ["Frame", "Frames", "SideBySide", "read_frames", "shown_segments", "side_by_side"]

SIDE = 420  # pixels, the longer side of a picture
GREY = 0.12  # behind masks without a frame
QUALITY = 88
ARCHIVE = "predictions.npz"
# The colours of Okabe and Ito
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0))
Tile = tuple[str, bytes]


@dataclass(frozen=True)
class SideBySide:
    """One case, with a picture of each arm.

    Attributes:
        tiles: the name of each arm, and its JPEG.
        over_frame: whether they show the frame with its reference, or the masks alone.
    """

    title: str
    tiles: tuple[Tile, ...]
    over_frame: bool = False


@dataclass(frozen=True, eq=False)
class Frame:
    """An image (C, H, W), shown by its tissue region alone, or (1, X, Y, Z), with its reference.

    Attributes:
        reference: class values, (H, W) or (X, Y, Z).
        affine: of a volume, (4, 4), from index to RAS+ mm.
    """

    image: np.ndarray
    reference: np.ndarray
    affine: np.ndarray | None = None


@dataclass(frozen=True)
class Frames:
    """The classes of a bundle, and its images by case; ``load`` returns None for an unknown case."""

    segments: Sequence[Segment]
    load: Callable[[str], Frame | None]


def read_frames(
    bundle: str | Path,
    dataset_dir: str | Path,
    *,
    datalist: str | Path | None = None,
    split: str = "test",
    label_names: Sequence[str] = (),
) -> Frames:
    """The cases of a data set's split, shown as the bundle's overlays show them.

    Args:
        label_names: the classes of the runs; the bundle's where empty.

    Raises:
        ConfigError: the folder is no bundle.
        DatalistError: as `load_datalist`.
    """
    folder = Path(bundle).resolve()
    config, metadata = (folder / "configs" / name for name in ("evaluate.yaml", "metadata.json"))
    if not config.is_file():
        wanted, found = "a bundle with configs/evaluate.yaml", "none there"
        remedy = "Name the bundle with --bundle, or leave --dataset_dir out for pictures of the masks alone."
        raise ConfigError(wanted, found=found, remedy=remedy, path=folder)
    parser = ConfigParser()
    parser.read_config(str(config))
    parser.read_meta(str(metadata))
    declared = parser["trained"]
    names = list(label_names) or declared["label_names"]
    given = {"bundle_root": str(folder), "dataset_dir": str(Path(dataset_dir).resolve()), "split": split}
    given |= {"datalist": str(Path(datalist).resolve())} if datalist else {}
    network = {"input_size": declared["input_size"], "in_channels": declared["network"]["in_channels"]}
    parser.update({**given, **network, "label_names": names})
    preprocessing = parser.get_parsed_content("validate::preprocessing")
    items = {item["case"]: item for item in parser.get_parsed_content("data").items(split)}
    view = source_view(preprocessing)

    def load(case: str) -> Frame | None:
        if case not in items:
            return None
        reference = np.asarray(preprocessing(dict(items[case]))["label"])[0]
        image = view({"image": items[case]["image"], "case": case})["image"]
        return Frame(np.asarray(image), reference, np.asarray(image.affine) if reference.ndim == 3 else None)

    return Frames(resolve_segments(names, parser["_meta_::segments"]), load)


def side_by_side(
    comparison: Comparison, store: Store, *, folder: Path, frames: Frames | None = None
) -> Iterator[SideBySide]:
    """The cases that differ most, with the first run of each arm that kept its masks; else nothing."""
    shown = [(arm, next((run for run in arm.runs if run.masks), None)) for arm in comparison.arms]
    if any(run is None for _, run in shown) or not comparison.most_different:
        return
    archives = []
    for arm, run in shown:
        if run is not None:
            path = store.fetch(run.run_id, f"{run.folder}/{ARCHIVE}".lstrip("/"), folder)
            require_size(ARCHIVE, path.stat().st_size, run=run.name)
            with damage_of(ARCHIVE, run.name):
                archives.append((arm, run, np.load(path, allow_pickle=False)))
    segments = shown_segments(comparison, frames)
    for case in comparison.most_different:
        if all(case in masks for _, _, masks in archives):
            yield _case(case, archives, segments, frames)


def shown_segments(comparison: Comparison, frames: Frames | None) -> Sequence[Segment]:
    """The classes with their colours: from the bundle, or from a palette."""
    if frames is not None:
        return frames.segments
    names = comparison.arms[0].runs[0].label_names or ("background", *comparison.labels)
    return [Segment(value, name, PALETTE[(value - 1) % len(PALETTE)]) for value, name in enumerate(names)]


def _case(
    case: str,
    archives: Sequence[tuple[Arm, Run, Any]],
    segments: Sequence[Segment],
    frames: Frames | None,
) -> SideBySide:
    masks: list[np.ndarray] = []
    for _, run, archive in archives:
        with damage_of(ARCHIVE, run.name):
            masks.append(_mask(archive, case, like=masks))
    framed = frames.load(case) if frames else None
    if framed is not None and framed.reference.shape != masks[0].shape:
        framed = None  # a different image with this name
    if framed is None:
        pictures = _alone(masks, segments)
    elif framed.affine is not None:
        pictures = _axial(framed, masks, segments, framed.affine)
    else:
        image, reference = framed.image, framed.reference
        pictures = [draw_overlay(image, mask, segments, reference=reference) for mask in masks]
    tiles = []
    for (arm, run, _), picture in zip(archives, pictures, strict=True):
        rows = [row for row in run.scores if row["case"] == case and row["dice"]]
        dice = ", ".join(f"{row['class'].replace('_', ' ')} {float(row['dice']):.2f}" for row in rows)
        tiles.append((f"{arm.name}: {dice}", _jpeg(picture)))
    group = next(row["group"] for row in archives[0][1].scores if row["case"] == case)
    return SideBySide(f"{case} of {group}", tuple(tiles), over_frame=framed is not None)


def _mask(archive: Any, case: str, *, like: Sequence[np.ndarray]) -> np.ndarray:
    """A label map (H, W) or (H, W, D) of a ``.npz``, whose few bytes may unpack to many."""
    require_size(ARCHIVE, archive.zip.getinfo(f"{case}.npy").file_size, run=case)
    mask = np.asarray(archive[case])
    if mask.dtype.kind not in "iu" or mask.ndim not in (2, 3) or any(mask.shape != one.shape for one in like):
        raise ValueError("not the label map of this case")
    return mask


def _alone(masks: Sequence[np.ndarray], segments: Sequence[Segment]) -> list[np.ndarray]:
    """On plain grey, cropped to the box that holds the masks of all arms; volumes as they are stored."""
    plane = [mask[..., _apart(masks)].T for mask in masks] if masks[0].ndim == 3 else masks
    shown = np.any([mask > 0 for mask in plane], axis=0)
    rows, columns = (np.flatnonzero(shown.any(axis=1 - axis)) for axis in (0, 1))
    box = slice(None), slice(None)
    if len(rows):
        box = slice(max(rows[0] - 8, 0), rows[-1] + 9), slice(max(columns[0] - 8, 0), columns[-1] + 9)
    grey = np.full((1, *plane[0][box].shape), GREY)
    return [draw_overlay(grey, mask[box], segments, alpha=0.8) for mask in plane]


def _axial(
    framed: Frame, masks: Sequence[np.ndarray], segments: Sequence[Segment], affine: np.ndarray
) -> list[np.ndarray]:
    """The slice in which the masks differ most, as radiologists see it, with square pixels."""
    image, reference, *turned = (
        to_display(each, affine) for each in (framed.image[0], framed.reference, *masks)
    )
    at = _apart(turned)
    image, reference, *turned = (each[:, :, at : at + 1] for each in (image, reference, *turned))
    x, y, z = display_spacing(affine)
    lps = np.diag([-x, -y, z, 1])
    return [draw_volume(image, mask, segments, affine=lps, reference=reference) for mask in turned]


def _apart(masks: Sequence[np.ndarray]) -> int:
    """The slice (X, Y, here) in which volumes differ most."""
    return int(np.argmax(np.sum([mask != masks[0] for mask in masks], axis=(0, 1, 2))))


def _jpeg(picture: np.ndarray) -> bytes:
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
