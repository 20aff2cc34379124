"""The frames of one item: as the network takes them, and as a picture of them may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, InvertibleTransform

from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.transforms.frame.display import ScaleDisplayd
from pyraseg.transforms.io.paths import frame_paths

__all__ = ["Frame", "FrameReading"]


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: (C, h, w) for the network, with what was done to it.
        view: (C, H, W) uint8 on the source grid, black outside the tissue, and all black where the tissue
            could not be told from text beside it; None where it was not asked for.
    """

    image: MetaTensor
    view: np.ndarray | None


class FrameReading:
    """Reads frames by a bundle's preprocessing, each once for the network and for pictures.

    Args:
        preprocessing: from a path to the network's input. What comes before its ``ScaleDisplayd`` loads,
            crops and blanks; that is what pictures show.
    """

    def __init__(self, preprocessing: Compose) -> None:
        self.preprocessing = preprocessing
        kinds = [type(step) for step in preprocessing.transforms]
        self._end = kinds.index(ScaleDisplayd) if ScaleDisplayd in kinds else None

    def read(self, item: Item, index: int, *, view: bool) -> Frame:
        """Frame ``index``, from 0.

        Raises:
            InputError: it cannot be read right.
        """
        data: Any = {"image": frame_paths(item.source)[index], "case": item.case}
        if not view or self._end is None:
            return Frame(self.preprocessing(data)["image"], None)
        data = self.preprocessing(data, end=self._end)
        shown = self._view(data["image"])
        return Frame(self.preprocessing(data, start=self._end)["image"], shown)

    def view(self, item: Item, index: int) -> np.ndarray | None:
        """The picture of a frame alone."""
        if self._end is None:
            return None
        data: Any = {"image": frame_paths(item.source)[index], "case": item.case}
        return self._view(self.preprocessing(data, end=self._end)["image"])

    def _view(self, image: MetaTensor) -> np.ndarray:
        plain, white = image.as_tensor(), float(image.meta["display_max"])
        if not image.meta.get("tissue_clear", True):
            plain = torch.zeros_like(plain)
        if plain.dtype != torch.uint8 or white != 255:
            plain = (plain.float() * (255 / white)).round_().clamp_(0, 255).to(torch.uint8)
        shown = MetaTensor(plain, meta=dict(image.meta), applied_operations=list(image.applied_operations))
        data: Any = {"image": shown}
        for step in reversed(self.preprocessing.transforms[: self._end]):
            if isinstance(step, InvertibleTransform):
                data = step.inverse(data)
        return np.asarray(data["image"].as_tensor().numpy())
