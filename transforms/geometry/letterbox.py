"""Resize to a fixed size, keeping the aspect ratio, with bars at the sides; and the exact inverse."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys, convert_to_tensor, ensure_tuple_rep

from pyraseg.transforms.errors import ConfigError

__all__ = ["GREY", "Letterbox", "Letterboxd", "letterbox_shape", "resample"]

GREY = 128 / 255  # CN113409326A [0135]: bars of grey value 128, here after scaling to [0, 1]


def letterbox_shape(source: Sequence[int], target: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size (h, w) of the resized picture and its offset (top, left) within ``target``, in pixels.

    The shorter side is truncated, as in the patent: 768 x 1024 into 473 x 473 gives 354 x 473, with 59 rows
    of bar above and 60 below. So the scales of the axes differ by up to one pixel.
    """
    (rows, columns), (height, width) = source, target
    if height * columns <= width * rows:
        scaled = height, max(1, columns * height // rows)
    else:
        scaled = max(1, rows * width // columns), width
    return scaled, ((height - scaled[0]) // 2, (width - scaled[1]) // 2)


class Letterbox(InvertibleTransform):
    """Resize (C, H, W) into (C, *size), keeping the aspect ratio, and fill the bars.

    A pixel's centre is at its index (``align_corners=False``), so nothing shifts by half a pixel. Shrinking
    in bilinear mode is antialiased. The affine follows. The inverse cuts the bars off and resamples to the
    source size; use it on class probabilities, before the argmax.

    Args:
        size: (height, width) of the result in pixels.
        mode: "bilinear" for images and probabilities, "nearest" for label maps.
        fill: the value of the bars.

    Raises:
        ConfigError: a size that is not two numbers above 0, or another mode.

    >>> letterbox = Letterbox((64, 64))
    >>> boxed = letterbox(torch.rand(1, 60, 80))
    >>> boxed.shape, letterbox.inverse(boxed).shape
    (torch.Size([1, 64, 64]), torch.Size([1, 60, 80]))
    """

    def __init__(self, size: Sequence[int], *, mode: str = "bilinear", fill: float = GREY) -> None:
        if len(size) != 2 or min(size) < 1:
            remedy = "Correct the input size."
            raise ConfigError("a size (height, width) above 0", found=str(tuple(size)), remedy=remedy)
        self.size = (int(size[0]), int(size[1]))
        self.mode = _checked(mode)
        self.fill = float(fill)

    def __call__(
        self, image: torch.Tensor, *, mode: str | None = None, fill: float | None = None
    ) -> MetaTensor:
        """Letterbox (C, H, W); ``mode`` and ``fill`` replace the constructor's for this call."""
        mode = self.mode if mode is None else _checked(mode)
        source = convert_to_tensor(image, track_meta=True)
        shape = (int(source.shape[1]), int(source.shape[2]))
        scaled, offset = letterbox_shape(shape, self.size)
        boxed = _resize(source.as_tensor(), scaled, mode)
        (height, width), (top, left) = self.size, offset
        bars = (left, width - scaled[1] - left, top, height - scaled[0] - top)
        if any(bars):
            boxed = F.pad(boxed, bars, value=self.fill if fill is None else float(fill))
        result = MetaTensor(boxed, meta=source.meta, applied_operations=source.applied_operations)
        info = {"scaled": list(scaled), "offset": list(offset), "mode": mode}
        index_map = _index_map(shape, scaled, offset)
        return self.push_transform(result, orig_size=shape, affine=index_map, extra_info=info)

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Bring (K, *size) back to the source grid (K, H, W), resampled in the same mode."""
        applied = self.pop_transform(data)
        info = applied[TraceKeys.EXTRA_INFO]
        scaled, offset = ([int(v) for v in info[key]] for key in ("scaled", "offset"))
        shape = [int(v) for v in applied[TraceKeys.ORIG_SIZE]]
        inner = data.as_tensor()[:, offset[0] : offset[0] + scaled[0], offset[1] : offset[1] + scaled[1]]
        finer = info["mode"] == "bilinear" and shape[0] >= scaled[0] and shape[1] >= scaled[1]
        restored = resample(inner, shape) if finer else _resize(inner, shape, info["mode"])
        result = MetaTensor(restored, meta=data.meta, applied_operations=data.applied_operations)
        back = np.linalg.inv(_index_map(shape, scaled, offset))
        full = np.eye(4)  # MetaTensor's affine maps the plane
        full[:2, :2], full[:2, 3] = back[:2, :2], back[:2, 2]
        result.affine = result.affine @ torch.as_tensor(full, dtype=result.affine.dtype)
        return result


class Letterboxd(MapTransform, InvertibleTransform):
    """`Letterbox` on the entries of a dictionary; ``mode`` and ``fill`` may differ by key.

    >>> item = {"image": torch.rand(1, 60, 80), "label": torch.ones(1, 60, 80, dtype=torch.uint8)}
    >>> letterbox = Letterboxd(["image", "label"], (64, 64), mode=["bilinear", "nearest"], fill=[0.5, 0])
    >>> letterbox(item)["label"].unique().tolist()
    [0, 1]
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        *,
        mode: str | Sequence[str] = "bilinear",
        fill: float | Sequence[float] = GREY,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.fill = ensure_tuple_rep(fill, len(self.keys))
        self.letterbox = Letterbox(size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, mode, fill in self.key_iterator(item, self.mode, self.fill):
            item[key] = self.letterbox(item[key], mode=mode, fill=fill)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.letterbox.inverse(item[key])
        return item


def resample(
    values: torch.Tensor, shape: Sequence[int], *, window: tuple[slice, slice] | None = None
) -> torch.Tensor:
    """Interpolate (K, h, w) linearly between pixel centres to a grid of ``shape``, no coarser on any axis.

    Every value is a mean of four neighbours, with the same weights and rounding in all channels. So a channel
    that is highest in all four is highest between them, and a window of the result equals that part of the
    whole bit by bit. Within rounding it is ``torch.nn.functional.interpolate(mode="bilinear")``.

    Args:
        values: floating point or integers; the result is floating point.
        shape: (H, W).
        window: rows and columns of the result to compute, all by default.

    Returns:
        (K, rows, columns) of the window.
    """
    values = values if values.is_floating_point() else values.float()
    rows, columns = (slice(0, size) for size in shape) if window is None else window
    above, below, down = _taps(values.shape[1], shape[0], rows, values)
    left, right, along = _taps(values.shape[2], shape[1], columns, values)
    first, last = int(above[0]), int(below[-1]) + 1
    result = values.new_empty((len(values), len(above), len(left)))
    for channel, plane in zip(result, values[:, first:last], strict=True):  # one by one, within the cache
        wide = _mean(plane.index_select(1, left), plane.index_select(1, right), along)
        upper, lower = wide.index_select(0, above - first), wide.index_select(0, below - first)
        channel.copy_(_mean(upper, lower, down[:, None]))
    return result


def _taps(
    source: int, size: int, part: slice, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two source indices around each of ``size`` pixel centres in ``part``, and the second one's weight.

    Positions are rounded as by torch: a scale in single precision, one rounding at the end.
    """
    scale = float(np.float32(source) / np.float32(size))
    at = np.maximum((scale * (np.arange(part.start, part.stop) + 0.5) - 0.5).astype(np.float32), 0)
    index = np.minimum(at.astype(np.int64), source - 1)
    after = np.minimum(index + 1, source - 1)
    weight = torch.from_numpy(at - index.astype(np.float32)).to(like)
    return torch.from_numpy(index).to(like.device), torch.from_numpy(after).to(like.device), weight


def _mean(one: torch.Tensor, other: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """In place; product and sum are rounded separately: fused operations would round elements differently."""
    return one.mul_(1 - weight).add_(other.mul_(weight))


def _checked(mode: str) -> str:
    if mode not in ("bilinear", "nearest"):
        remedy = "Use bilinear for images and probabilities, nearest for label maps."
        raise ConfigError("a mode of bilinear or nearest", found=repr(mode), remedy=remedy)
    return mode


def _resize(image: torch.Tensor, shape: Sequence[int], mode: str) -> torch.Tensor:
    """(C, H, W) to (C, *shape) by pixel centres; labels keep their dtype, images become floating point."""
    if tuple(image.shape[1:]) == tuple(shape):
        return image
    if mode == "nearest":  # torch's is half a pixel off, and its "nearest-exact" lacks wider integer types
        rows, columns = (  # the source index under each pixel centre
            (torch.arange(size, device=image.device) * 2 + 1) * source // (2 * size)
            for source, size in zip(image.shape[1:], shape, strict=True)
        )
        return image[:, rows[:, None], columns]
    values = (image if image.is_floating_point() else image.float())[None]
    shrinks = shape[0] < image.shape[1] or shape[1] < image.shape[2]
    return F.interpolate(values, list(shape), mode="bilinear", align_corners=False, antialias=shrinks)[0]


def _index_map(source: Sequence[int], scaled: Sequence[int], offset: Sequence[int]) -> np.ndarray:
    """3 x 3: from (row, column) in the letterboxed picture to (row, column) in the source."""
    scale = [source[axis] / scaled[axis] for axis in (0, 1)]
    shift = [scale[axis] * (0.5 - offset[axis]) - 0.5 for axis in (0, 1)]
    return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]], [0, 0, 1]], dtype=np.float64)
