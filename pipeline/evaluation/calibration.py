"""Calibration of a network: counts by confidence, and the expected calibration error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor

__all__ = ["BINS", "TOP", "CaseConfidence", "Reliability", "count_confidence", "pool"]

BINS = 15
PIECE = 1 << 22  # pixels counted at once: more than a frame has, far fewer than a volume
TOP = "top_label"


@dataclass(frozen=True, eq=False)
class CaseConfidence:
    """Counts of one case by curve (each class, then the top label) and bin, arrays (K + 1, bins).

    Attributes:
        names: of the curves: the classes and ``TOP``.
        pixels: number of pixels whose confidence is in the bin.
        confidence: its sum over them.
        correct: number of correct ones.
    """

    case: str
    group: str
    names: tuple[str, ...]
    pixels: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray


@dataclass(frozen=True, eq=False)
class Reliability:
    """The curve of one class, or of the top label, over many cases, (bins,); NaN where a bin is empty."""

    name: str
    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of accuracy and confidence, weighted by pixels."""
        filled = self.share > 0
        return float((self.share * np.abs(self.accuracy - self.confidence))[filled].sum())


def count_confidence(
    probabilities: torch.Tensor,
    reference: torch.Tensor,
    *,
    label_names: Sequence[str],
    case: str,
    group: str,
    bins: int = BINS,
) -> CaseConfidence:
    """Count one case's pixels by confidence, in bins of equal width, the last one with 1.

    For a class, confidence is its probability, and a pixel is correct where the reference shows the class
    (one class against the others). For the top label, confidence is the highest probability, and a pixel is
    correct where that class is the reference's. Both describe the network, before any clean-up.

    Args:
        probabilities: (K, H, W) or (K, H, W, D), on the grid of ``reference``. Pixels with the sum 0, outside
            the network's image, are not counted.
        reference: (1, H, W) or (1, H, W, D), class indices.

    Source:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 3; class by class as in Kull
        et al., Beyond temperature scaling, NeurIPS 2019.

    >>> probabilities, reference = torch.full((2, 4, 4), 0.5), torch.zeros(1, 4, 4)
    >>> names = {"label_names": ["background", "kidney"], "case": "c", "group": "g"}
    >>> counted = count_confidence(probabilities, reference, **names)
    >>> [(curve.name, curve.error) for curve in pool([counted])][-1]
    ('top_label', 0.5)
    """
    # without metadata, which slow every operation down
    flat, truth = (
        (x.as_tensor() if isinstance(x, MetaTensor) else torch.as_tensor(x)).detach().cpu()
        for x in (probabilities, reference)
    )
    flat, truth = flat.flatten(1), truth.flatten()
    pieces = zip(flat.split(PIECE, dim=1), truth.split(PIECE), strict=True)
    pixels, confidence, correct = np.sum([_counts(*piece, bins) for piece in pieces], axis=0)
    names = (*label_names, TOP)
    return CaseConfidence(case, group, names, pixels.astype(np.int64), confidence, correct.astype(np.int64))


def _counts(flat: torch.Tensor, truth: torch.Tensor, bins: int) -> np.ndarray:
    """The three counts, (3, K + 1, bins), of probabilities (K, N) and classes (N)."""
    seen = flat.sum(dim=0) > 0
    if not bool(seen.all()):
        flat, truth = flat[:, seen], truth[seen]
    flat = flat.float()
    highest, top = flat.max(dim=0)
    curves = [(flat[k], truth == k) for k in range(len(flat))] + [(highest, truth == top)]
    counts = []
    for confidence, right in curves:
        values = confidence.numpy()
        index = (values * bins).astype(np.intp)
        np.minimum(index, bins - 1, out=index)
        index += np.multiply(right.numpy(), bins, dtype=np.intp)  # correct ones have separate bins
        pixels = np.bincount(index, minlength=2 * bins).reshape(2, bins)
        total = np.bincount(index, values, minlength=2 * bins).reshape(2, bins)
        counts.append((pixels.sum(axis=0), total.sum(axis=0), pixels[1]))
    return np.stack(counts, axis=1)


def pool(cases: Sequence[CaseConfidence], *, by_group: bool = True) -> tuple[Reliability, ...]:
    """One curve for each class and the top label.

    Args:
        by_group: a case's counts become shares of its pixels, and their means over each group are averaged
            over the groups, as for the other scores; otherwise all pixels weigh the same.
    """
    cases = [case for case in cases if case.pixels[-1].any()]
    if not cases:
        return ()
    stacks = [np.stack([case.pixels, case.confidence, case.correct]).astype(float) for case in cases]
    if by_group:
        groups: dict[str, list[np.ndarray]] = defaultdict(list)
        for case, stack in zip(cases, stacks, strict=True):
            groups[case.group].append(stack / stack[0, -1].sum())
        stacks = [np.mean(members, axis=0) for members in groups.values()]
    pixels, confidence, correct = np.sum(stacks, axis=0)
    with np.errstate(invalid="ignore"):
        mean, accuracy = confidence / pixels, correct / pixels
    share = pixels / pixels.sum(axis=1, keepdims=True)
    return tuple(Reliability(n, share[k], mean[k], accuracy[k]) for k, n in enumerate(cases[0].names))
