"""Aspect-preserving resize into a fixed frame with bars, and its exact inverse."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys, convert_to_tensor, ensure_tuple_rep

from transforms.errors import ConfigError

__all__ = ["Letterbox", "LetterboxGeometry", "Letterboxd", "letterbox_geometry"]

MODES = ("bilinear", "nearest")


@dataclass(frozen=True)
class LetterboxGeometry:
    """Where a frame lies in its letterbox; all in pixels, (rows, columns).

    Attributes:
        source: the frame's size.
        size: the letterbox's size.
        inner: the frame's size in the letterbox.
        offset: the bars above and to the left of it.
    """

    source: tuple[int, int]
    size: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]

    @property
    def affine(self) -> np.ndarray:
        """(3, 3) matrix from letterbox pixels to source pixels, pixel centres at integers (align_corners=False)."""
        matrix = np.eye(3)
        for axis in range(2):
            scale = self.source[axis] / self.inner[axis]
            matrix[axis, axis] = scale
            matrix[axis, 2] = (0.5 - self.offset[axis]) * scale - 0.5
        return matrix

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """The frame's place in a (C, H, W) letterbox."""
        (top, left), (height, width) = self.offset, self.inner
        return slice(None), slice(top, top + height), slice(left, left + width)


def letterbox_geometry(source: tuple[int, int], size: tuple[int, int]) -> LetterboxGeometry:
    """Fit ``source`` into ``size`` with the aspect ratio kept.

    The fitted size is truncated to whole pixels and an odd bar's extra row lies below (right): 768 x 1024 becomes
    354 x 473 with 59 rows above and 60 below in 473 x 473 (CN113409326A [0135]).
    """
    # In integers: 473 * (1024 / 1024) must not be truncated to 472.
    tall = source[0] * size[1] > source[1] * size[0]
    if tall:
        inner = (size[0], max(1, source[1] * size[0] // source[0]))
    else:
        inner = (max(1, source[0] * size[1] // source[1]), size[1])
    offset = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    return LetterboxGeometry(source, size, inner, offset)


class Letterbox(InvertibleTransform):
    """Resize a frame (C, H, W) into (C, *size), aspect ratio kept, the rest filled with bars.

    A frame that fits already passes unchanged. Shrinking filters first, or speckle would alias. The inverse crops the
    bars and resamples to the source size exactly: give it probabilities, not a label map.

    Args:
        size: (rows, columns) of the result in pixels, or one number for both.
        mode: "bilinear" for images and probabilities, which become float32; "nearest" for label maps, which keep
            their dtype.
        fill: value of the bars, in the image's own units.

    Raises:
        ConfigError: an unknown mode or a size below 1.
    """

    def __init__(self, size: Sequence[int] | int, *, mode: str = "bilinear", fill: float = 0.0) -> None:
        self.size = _pair(ensure_tuple_rep(size, 2))
        if mode not in MODES:
            raise ConfigError(f"one of the modes {', '.join(MODES)}", found=f"{mode!r}", remedy="Choose one of them.")
        if min(self.size) < 1:
            found = f"{self.size[0]} x {self.size[1]}"
            raise ConfigError("a letterbox of at least 1 x 1 pixel", found=found, remedy="Give a larger size.")
        self.mode = mode
        self.fill = float(fill)

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """Letterbox ``img`` (C, H, W); a `MetaTensor`'s affine follows, and the step is traced for `inverse`."""
        image = convert_to_tensor(img, track_meta=get_track_meta())
        geometry = letterbox_geometry((int(image.shape[-2]), int(image.shape[-1])), self.size)
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        resized = _resample(plain, geometry.inner, self.mode)
        out = resized.new_full((resized.shape[0], *self.size), self.fill)
        out[geometry.window] = resized
        if not isinstance(image, MetaTensor):
            return out
        boxed = MetaTensor(out).copy_meta_from(image)
        extra = {"mode": self.mode, "inner": geometry.inner, "offset": geometry.offset}
        return self.push_transform(boxed, affine=geometry.affine, extra_info=extra, orig_size=geometry.source)

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """(K, *size) back on the source grid (K, H, W): bars cropped, then resampled in the traced mode."""
        traced = self.pop_transform(data)
        extra = traced[TraceKeys.EXTRA_INFO]
        source, inner, offset = (_pair(v) for v in (traced[TraceKeys.ORIG_SIZE], extra["inner"], extra["offset"]))
        geometry = LetterboxGeometry(source, self.size, inner, offset)
        restored = _resample(data.as_tensor()[geometry.window], geometry.source, extra["mode"])
        out = MetaTensor(restored).copy_meta_from(data)
        out.affine = _compose(out.affine, np.linalg.inv(geometry.affine))
        return out


class Letterboxd(MapTransform, InvertibleTransform):
    """`Letterbox` on the entries of a dictionary; ``mode`` and ``fill`` may be given per key."""

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int] | int,
        *,
        mode: Sequence[str] | str = "bilinear",
        fill: Sequence[float] | float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        modes, fills = ensure_tuple_rep(mode, len(self.keys)), ensure_tuple_rep(fill, len(self.keys))
        self.letterboxes = tuple(Letterbox(size, mode=m, fill=f) for m, f in zip(modes, fills, strict=True))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, letterbox in self.key_iterator(item, self.letterboxes):
            item[key] = letterbox(item[key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, letterbox in self.key_iterator(item, self.letterboxes):
            item[key] = letterbox.inverse(item[key])
        return item


def _resample(image: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    """(C, H, W) to (C, *size), pixel centres as in interpolate's align_corners=False for both modes."""
    source = (int(image.shape[-2]), int(image.shape[-1]))
    if mode == "nearest":
        # torch's "nearest" is half a pixel off and "nearest-exact" lacks the integer types of label maps.
        rows, columns = (_nearest(n, m, image.device) for n, m in zip(source, size, strict=True))
        return image if source == size else image[:, rows][:, :, columns]
    image = image.to(torch.float32)
    if source == size:
        return image
    return torch.nn.functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]


def _nearest(source: int, size: int, device: torch.device) -> torch.Tensor:
    return (torch.arange(size, device=device) * 2 + 1) * source // (2 * size)


def _pair(values: Any) -> tuple[int, int]:
    """Collation may have turned the traced numbers into tensors."""
    return int(values[0]), int(values[1])


def _compose(affine: torch.Tensor, pixels: np.ndarray) -> torch.Tensor:
    step = torch.eye(affine.shape[-1], dtype=torch.float64)
    step[:2, :2], step[:2, -1] = torch.as_tensor(pixels[:2, :2]), torch.as_tensor(pixels[:2, 2])
    return affine.to(torch.float64) @ step
