"""From the network's scores to a label map on the source grid: one way for validation, evaluation and inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Activationsd, AsDiscreted, Compose, MapTransform

from pipeline.postprocessing import Postprocessd
from transforms.preprocessing import restoration

__all__ = ["label_map_postprocessing"]


def label_map_postprocessing(
    preprocessing: Compose,
    *,
    label_names: Sequence[str],
    options: Mapping[str, Any] | None = None,
    probabilities: str | None = None,
) -> Compose:
    """Softmax, probabilities back to the source grid, argmax there, then the bundle's clean-up.

    Args:
        preprocessing: the transforms that made the image; what they did to each image is undone on its probabilities.
        label_names: the classes.
        options: the keyword arguments of ``Postprocess`` as the bundle's metadata declares them; None switches it off.
        probabilities: an entry of the item to leave the class probabilities in, (K, H, W) on the source grid, 0 for all
            classes where the network has seen nothing; None keeps none.

    Returns:
        A dictionary transform: ``pred`` (K, h, w) scores in, (1, H, W) label map on the source grid out.
    """
    steps: list[Any] = [
        Activationsd(keys="pred", softmax=True),
        restoration(preprocessing, keys="pred"),
        *([] if probabilities is None else [_Named("pred", probabilities)]),
        AsDiscreted(keys="pred", argmax=True),
    ]
    if options is not None:
        steps.append(Postprocessd(keys="pred", label_names=label_names, **options))
    return Compose(steps)


class _Named(MapTransform):
    """Give an entry a second name, without the copy that MONAI's ``CopyItemsd`` makes of it."""

    def __init__(self, keys: str, name: str) -> None:
        super().__init__(keys)
        self.name = name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, self.name: data[self.first_key(dict(data))]}
