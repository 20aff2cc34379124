"""Random placement of an ultrasound frame: small rotation, scale, translation and left-right mirroring, in one pass."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import MapTransform, RandomizableTransform, TraceableTransform
from monai.utils import convert_to_tensor, ensure_tuple_rep

__all__ = ["Placement", "RandPlacement", "RandPlacementd"]


@dataclass(frozen=True)
class Placement:
    """A similarity about the frame's centre, then a shift.

    Attributes:
        degrees: rotation.
        scale: magnification.
        shift: rows and columns, relative to the frame's size.
        mirrored: left and right exchanged before all else.
    """

    degrees: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False

    def source_of(self, size: tuple[int, int]) -> np.ndarray:
        """(3, 3) matrix from pixels (row, column) of the result to those of the source."""
        angle = np.deg2rad(self.degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / self.scale
        mirror = np.diag([1.0, -1.0 if self.mirrored else 1.0])
        centre = (np.array(size) - 1) / 2
        matrix = np.eye(3)
        matrix[:2, :2] = mirror @ turn
        matrix[:2, 2] = centre - matrix[:2, :2] @ (centre + np.array(self.shift) * np.array(size))
        return matrix


class RandPlacement(RandomizableTransform, TraceableTransform):
    """Move a frame (C, H, W) a little; what comes in from outside is 0. Never upside down: depth has a direction.

    Args:
        prob: probability of rotation, scale and shift together.
        rotation: largest rotation in degrees.
        scale: range of the magnification.
        shift: largest shift, relative to the frame's size.
        mirror_prob: probability of exchanging left and right.
        mode: "bilinear" for images, "nearest" for label maps.
    """

    def __init__(
        self,
        prob: float = 0.5,
        *,
        rotation: float = 15.0,
        scale: tuple[float, float] = (0.85, 1.15),
        shift: float = 0.06,
        mirror_prob: float = 0.5,
        mode: str = "bilinear",
    ) -> None:
        super().__init__(prob)
        self.rotation, self.scale, self.shift, self.mirror_prob, self.mode = rotation, scale, shift, mirror_prob, mode
        self.drawn = Placement()

    def randomize(self, data: Any = None) -> None:
        super().randomize(None)
        mirrored = bool(self.R.rand() < self.mirror_prob)
        moved = (self.R.uniform(-self.rotation, self.rotation), self.R.uniform(*self.scale))
        shift = tuple(float(value) for value in self.R.uniform(-self.shift, self.shift, size=2))
        if self._do_transform:
            self.drawn = Placement(*moved, shift=(shift[0], shift[1]), mirrored=mirrored)
        else:
            self.drawn = Placement(mirrored=mirrored)

    def __call__(self, img: torch.Tensor, randomize: bool = True, mode: str | None = None) -> torch.Tensor:
        """The placed frame in its own dtype; a `MetaTensor`'s affine follows."""
        if randomize:
            self.randomize()
        image = convert_to_tensor(img, track_meta=get_track_meta())
        if self.drawn == Placement():
            return image
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        size = (int(plain.shape[-2]), int(plain.shape[-1]))
        matrix = self.drawn.source_of(size)
        only_mirrored = self.drawn == Placement(mirrored=True)
        out = plain.flip(-1) if only_mirrored else _sample(plain, matrix, mode or self.mode)
        if not isinstance(image, MetaTensor):
            return out
        return self.push_transform(MetaTensor(out).copy_meta_from(image), affine=matrix, orig_size=size)


class RandPlacementd(MapTransform, RandomizableTransform):
    """`RandPlacement` on the entries of a dictionary: one draw for all keys, ``mode`` may be given per key."""

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        *,
        mode: Sequence[str] | str = ("bilinear", "nearest"),
        allow_missing_keys: bool = False,
        **options: Any,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.transform = RandPlacement(prob, **options)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandPlacementd:
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.transform.randomize()
        for key, mode in self.key_iterator(item, self.mode):
            item[key] = self.transform(item[key], randomize=False, mode=mode)
        return item


def _sample(image: torch.Tensor, matrix: np.ndarray, mode: str) -> torch.Tensor:
    """Sample (C, H, W) at ``matrix`` applied to every pixel (row, column)."""
    height, width = image.shape[-2:]
    # grid_sample counts (x, y) from -1 to 1 between the outer edges of the first and the last pixel.
    to_unit = np.array([[0, 2 / width, 1 / width - 1], [2 / height, 0, 1 / height - 1], [0, 0, 1]])
    theta = (to_unit @ matrix @ np.linalg.inv(to_unit))[:2]
    grid = torch.nn.functional.affine_grid(
        torch.as_tensor(theta, dtype=torch.float32, device=image.device)[None],
        [1, 1, height, width],
        align_corners=False,
    )
    sampled = torch.nn.functional.grid_sample(image.to(torch.float32)[None], grid, mode=mode, align_corners=False)[0]
    return sampled.to(image.dtype)
