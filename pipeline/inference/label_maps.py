"""From the network's scores to a label map on the source grid: one way for validation, evaluation and
inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform
from monai.utils import TraceKeys

from pyraseg.pipeline.inference.argmax import greatest_class
from pyraseg.pipeline.inference.postprocessing import Postprocessd
from pyraseg.pipeline.inference.source_grid import source_labels, source_probabilities
from pyraseg.transforms.frame.preprocessing import restoration
from pyraseg.transforms.frame.tissue import CropToTissue
from pyraseg.transforms.geometry.letterbox import Letterbox, resample

__all__ = ["label_map_postprocessing"]

PRED = "pred"
VOLUME_META = ("original_affine", "spatial_shape", "spacing_mm", "spacing_source", "space", "case")
Window = tuple[slice, slice]


def label_map_postprocessing(
    preprocessing: Compose,
    *,
    label_names: Sequence[str],
    options: Mapping[str, Any] | None = None,
    probabilities: str | None = None,
) -> Compose:
    """Softmax, probabilities back to the source grid, argmax there, then the bundle's clean-up.

    Args:
        preprocessing: the transforms that made the image; what they did to each image is undone on its
            probabilities.
        label_names: the classes.
        options: the keyword arguments of ``Postprocess`` as the bundle's metadata declares them; None
            switches it off.
        probabilities: an entry of the item to leave the class probabilities in, (K, H, W) on the source grid,
            0 for all classes where the network has seen nothing; None keeps none.

    Returns:
        A dictionary transform: ``pred`` (K, h, w) scores in, (1, H, W) uint8 label map on the source grid
        out; of volumes (K, x, y, z) in, (1, X, Y, Z) out.
    """
    steps: list[Any] = [_ToLabelMapd(preprocessing, probabilities)]
    if options is not None:
        steps.append(Postprocessd(keys=PRED, label_names=label_names, **options))
    return Compose(steps)


class _ToLabelMapd(MapTransform):
    """Softmax, restoration and argmax of ``pred`` with the trace of ``image``.

    Where no probabilities are asked for, only the window that can hold foreground is brought back: between
    four pixels of background there is nothing but background. The label map has the same bits either way.
    """

    def __init__(self, preprocessing: Compose, probabilities: str | None) -> None:
        super().__init__(PRED)
        self.restore = restoration(preprocessing, keys=PRED)
        self.probabilities = probabilities

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        soft = torch.softmax(torch.as_tensor(item[PRED]).detach().float(), dim=0)
        if soft.ndim == 4:
            return self._volume(item, soft)
        placed = None if self.probabilities else _placed_letterbox(item["image"])
        if placed is None:
            whole = self._restored(item, soft)
            if self.probabilities:
                item[self.probabilities] = whole
            item[PRED] = _like(whole, greatest_class(whole.as_tensor()))
        else:
            grid = self._restored(item, soft[:0])  # no channel: the shape and the header alone
            item[PRED] = _like(grid, _windowed_argmax(soft, tuple(grid.shape[1:]), *placed))
        return item

    def _volume(self, item: dict[Hashable, Any], soft: torch.Tensor) -> dict[Hashable, Any]:
        """(K, x, y, z) of a volume: its place is in the affines."""
        meta = item["image"].meta
        grid = {
            "source_affine": np.asarray(meta["original_affine"]),
            "source_shape": meta["spatial_shape"].tolist(),
        }
        values, affine = soft.cpu().numpy(), np.asarray(item["image"].affine)
        if self.probabilities:
            whole = np.concatenate(
                [part for _, part in source_probabilities(values, affine, **grid)], axis=-1
            )
            item[self.probabilities] = torch.from_numpy(whole)
        labels = np.concatenate([part for _, part in source_labels(values, affine, **grid)], axis=-1)
        kept = {key: meta[key] for key in VOLUME_META if key in meta}
        item[PRED] = MetaTensor(
            torch.from_numpy(labels)[None], meta=kept | {"affine": meta["original_affine"]}
        )
        return item

    def _restored(self, item: Mapping[Hashable, Any], values: torch.Tensor) -> MetaTensor:
        restored: MetaTensor = self.restore({**item, PRED: MetaTensor(values)})[PRED]
        return restored


def _placed_letterbox(image: Any) -> tuple[tuple[int, int], Mapping[str, Any]] | None:
    """Where the letterbox's picture begins on the source grid, and the letterbox's record.

    None for another chain than a crop, or none, and a letterbox that has not enlarged: its way back filters,
    and a filtered pixel has more than four neighbours.
    """
    *crops, boxed = getattr(image, "applied_operations", None) or [{}]
    if boxed.get(TraceKeys.CLASS_NAME) != Letterbox.__name__ or len(crops) > 1:
        return None
    top, left = 0, 0
    if crops:
        if crops[0][TraceKeys.CLASS_NAME] != CropToTissue.__name__:
            return None
        top, _, left, _ = (int(side) for side in crops[0][TraceKeys.EXTRA_INFO]["cropped"])
    sizes = zip(boxed[TraceKeys.ORIG_SIZE], boxed[TraceKeys.EXTRA_INFO]["scaled"], strict=True)
    return None if any(int(source) < int(scaled) for source, scaled in sizes) else ((top, left), boxed)


def _windowed_argmax(
    soft: torch.Tensor, shape: tuple[int, ...], corner: tuple[int, int], boxed: Mapping[str, Any]
) -> torch.Tensor:
    """The label map (H, W) on the source grid of probabilities (K, h, w) on the network's."""
    picture = [int(side) for side in boxed[TraceKeys.ORIG_SIZE]]
    info = boxed[TraceKeys.EXTRA_INFO]
    (high, wide), (top, left) = ([int(v) for v in info[key]] for key in ("scaled", "offset"))
    inner = soft[:, top : top + high, left : left + wide]
    labels = torch.zeros(shape, dtype=torch.uint8, device=soft.device)
    window = _reach(greatest_class(inner) > 0, picture)
    if window is not None:
        rows, columns = (
            slice(side.start + at, side.stop + at) for side, at in zip(window, corner, strict=True)
        )
        labels[rows, columns] = greatest_class(resample(inner, picture, window=window))
    return labels


def _reach(found: torch.Tensor, shape: Sequence[int]) -> Window | None:
    """The rows and columns of a grid of ``shape`` that have a pixel of ``found`` (h, w) among their
    neighbours."""
    sides = []
    for axis in (0, 1):
        (at,) = torch.nonzero(found.any(dim=1 - axis), as_tuple=True)
        if not len(at):
            return None
        scale = (
            shape[axis] / found.shape[axis]
        )  # a pixel is at less than one pixel's distance of what it reaches
        first, last = int((int(at[0]) - 0.5) * scale) - 1, int((int(at[-1]) + 1.5) * scale) + 2
        sides.append(slice(max(0, first), min(shape[axis], last)))
    return sides[0], sides[1]


def _like(restored: MetaTensor, labels: torch.Tensor) -> MetaTensor:
    return MetaTensor(labels[None], meta=restored.meta, applied_operations=restored.applied_operations)
