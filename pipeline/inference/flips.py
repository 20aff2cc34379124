"""Test-time flips: the mean of the probabilities of an image and of its mirror images, each turned back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from monai.inferers import Inferer
from torch import Tensor

from pyraseg.pipeline.inference.ensemble import log_mean_probability
from pyraseg.transforms.errors import ConfigError

__all__ = ["AXES", "FlipInferer"]

AXES = ("h", "w", "d")  # the array's spatial axes (C, H, W[, D]): rows, columns, slices


class FlipInferer(Inferer):
    """Run another inferer on every combination of flips, 2 to the power of the axes, and average the
    probabilities.

    Args:
        inferer: what runs the network on each.
        flips: axes among "h" (the order of rows turned round, upside down), "w" (columns, left and right) and
            "d" (slices of a volume).

    Raises:
        ConfigError: another axis, or one twice; when called, an axis that the image does not have.
    """

    def __init__(self, inferer: Inferer, flips: Sequence[str]) -> None:
        super().__init__()
        names = [flips] if isinstance(flips, str) else list(flips)
        if not set(names) <= set(AXES) or len(set(names)) != len(names):
            raise ConfigError(
                f"flips among {', '.join(AXES)}, each once",
                found=", ".join(map(str, names)),
                remedy="Write --tta_flips [w], or [h,w]; null for none.",
            )
        self.inferer = inferer
        axes = sorted(2 + AXES.index(name) for name in names)  # behind batch and channel
        self.subsets = [subset for size in range(len(axes) + 1) for subset in combinations(axes, size)]

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, C, H, W[, D]) -> the logarithm of the mean probability, (B, K, H, W[, D])."""
        if max(self.subsets[-1], default=0) >= inputs.ndim:
            found = f"an image with {inputs.ndim - 2}"
            remedy = f"Leave {AXES[inputs.ndim - 2]} out of --tta_flips."
            raise ConfigError("an image with three spatial axes to flip along d", found=found, remedy=remedy)
        return log_mean_probability(self._scores(inputs, network, *args, **kwargs))

    def _scores(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Iterator[Tensor]:
        for axes in self.subsets:
            yield self.inferer(inputs.flip(axes), network, *args, **kwargs).flip(axes)
