"""From the network's scores to a label map on the source grid: one way for validation, evaluation and inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Activationsd, AsDiscreted, Compose

from pipeline.postprocessing import Postprocessd
from transforms.preprocessing import restoration

__all__ = ["label_map_postprocessing"]


def label_map_postprocessing(
    preprocessing: Compose, *, label_names: Sequence[str], options: Mapping[str, Any] | None = None
) -> Compose:
    """Softmax, probabilities back to the source grid, argmax there, then the bundle's clean-up.

    Args:
        preprocessing: the transforms that made the image; what they did to each image is undone on its probabilities.
        label_names: the classes.
        options: the keyword arguments of ``Postprocess`` as the bundle's metadata declares them; None switches it off.

    Returns:
        A dictionary transform: ``pred`` (K, h, w) scores in, (1, H, W) label map on the source grid out.
    """
    steps: list[Any] = [
        Activationsd(keys="pred", softmax=True),
        restoration(preprocessing, keys="pred"),
        AsDiscreted(keys="pred", argmax=True),
    ]
    if options is not None:
        steps.append(Postprocessd(keys="pred", label_names=label_names, **options))
    return Compose(steps)
