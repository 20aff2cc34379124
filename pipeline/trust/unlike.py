"""How unlike the training data an image is, by a distance of its features from those of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyraseg.pipeline.trust.intervals import quantile_over_groups

__all__ = ["FLAG", "FLAGGED", "Unlike", "spread"]

FLAG = "unlike the training data"
FLAGGED = 0.05  # the share of the validation's images that are flagged
DIMENSIONS = 32
KEPT = 0.9  # of the variance, in no more dimensions than these
LEAST = 8  # training images
MOST = {2: 512, 3: 64}  # frames, or volumes, whose features are taken
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Unlike:
    """The training images' features as a Gaussian: its main directions, and one variance for all others.

    The distance is Mahalanobis' (Lee et al., A simple unified framework for detecting out-of-distribution
    samples, NeurIPS 2018) by the covariance of a probabilistic PCA (Tipping and Bishop, J. R. Stat. Soc. B
    61:611, 1999): what the training images never varied in counts most, so an image that differs in just that
    is far. No image's features are kept, only means and directions of all.

    Attributes:
        mean, scale: (C,) of each feature.
        components: (C, d), orthonormal directions of the scaled features.
        variances: (d,) along them; ``rest``: in every other direction.
        threshold: the distance beyond which an image is flagged.
    """

    mean: Array
    scale: Array
    components: Array
    variances: Array
    rest: float
    threshold: float = 1.0

    @classmethod
    def fit(cls, features: Array) -> Unlike:
        """Of the features (N, C) of training images.

        >>> rng = np.random.default_rng(0)
        >>> unlike = Unlike.fit(rng.normal(size=(200, 5)))
        >>> far, near = unlike.distances(np.array([[9.0] * 5, [0.0] * 5]))
        >>> bool(far > 5 * near)
        True
        """
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.maximum(scale, 1e-3 * max(float(scale.max()), 1e-12))  # a feature that never changed
        scaled = (features - mean) / scale
        _, singular, directions = np.linalg.svd(scaled, full_matrices=False)
        variances = singular**2 / max(len(features) - 1, 1)
        shares = np.cumsum(variances) / max(float(variances.sum()), 1e-12)
        number = min(DIMENSIONS, int(np.searchsorted(shares, KEPT)) + 1, max(len(features) // 4, 1))
        others = max(scaled.shape[1] - number, 1)
        rest = max(float(variances[number:].sum()) / others, 1e-6)
        kept = np.maximum(variances[:number], rest)
        return cls(mean, scale, directions[:number].T, kept, rest)

    def distances(self, features: Array) -> Array:
        """The distances (N,) of features (N, C): a root mean square over the features, near 1 in training."""
        scaled = (features - self.mean) / self.scale
        along = scaled @ self.components
        outside = np.maximum((scaled**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squared = (along**2 / self.variances).sum(axis=1) + outside / self.rest
        return np.asarray(np.sqrt(squared / scaled.shape[1]))

    def ratios(self, features: Array) -> Array:
        """The distances divided by the threshold: above 1 an image is unlike the training data."""
        return self.distances(features) / self.threshold

    def with_threshold(self, features: Array, groups: Sequence[str]) -> Unlike:
        """With the threshold that flags 5 % of the validation's images, all groups weighing the same."""
        distances = self.distances(features)
        # with too few groups for a share, the farthest
        threshold = min(quantile_over_groups(distances, groups, 1 - FLAGGED), distances.max())
        return Unlike(self.mean, self.scale, self.components, self.variances, self.rest, float(threshold))

    def facts(self) -> dict[str, Any]:
        """For a checkpoint, in half precision: some ten kilobytes."""
        arrays = {name: getattr(self, name) for name in ("mean", "scale", "components", "variances")}
        halves = {name: torch.tensor(array, dtype=torch.float32) for name, array in arrays.items()}
        halves["components"] = halves["components"].half()
        return {**halves, "rest": self.rest, "threshold": self.threshold}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Unlike:
        """Undo `facts`."""
        names = ("mean", "scale", "components", "variances")
        arrays = {name: np.asarray(facts[name].float(), np.float64) for name in names}
        return cls(**arrays, rest=float(facts["rest"]), threshold=float(facts["threshold"]))


def spread(
    items: Sequence[Mapping[str, Any]], spatial_dims: int = 2, *, most: int | None = None
) -> list[Mapping[str, Any]]:
    """At most 512 frames or 64 volumes, spread over groups: of every group one, then of every group a second.

    The items of a group are taken from its whole length, since neighbouring frames are alike.

    Args:
        most: another number.

    >>> [item["group"] for item in spread([{"group": g} for g in "aaaab"], most=3)]
    ['a', 'b', 'a']
    """
    number = MOST[spatial_dims] if most is None else most
    members: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        members.setdefault(str(item["group"]), []).append(item)
    turns = [(turn, list(_far_apart(items))) for turn, items in enumerate(members.values())]
    ranked = sorted(((place, turn) for turn, own in turns for place in range(len(own))))
    return [turns[turn][1][place] for place, turn in ranked[:number]]


def _far_apart(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """In an order whose every beginning covers the whole length: first, middle, quarters."""
    order = sorted(range(len(items)), key=lambda index: int(f"{index:032b}"[::-1], 2))
    return [items[index] for index in order]
