"""What is missed and what is false over probability threshold and smallest size, by case and by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from pyraseg.pipeline.evaluation.bootstrap import estimate
from pyraseg.pipeline.evaluation.lesions import OVERLAP
from pyraseg.pipeline.evaluation.scores import as_labels
from pyraseg.pipeline.inference.clean_up import ROUNDING, CleanUpLabels
from pyraseg.pipeline.inference.decision import Decision, OperatingPoint
from pyraseg.pipeline.inference.source_grid import decided, labels_of
from pyraseg.transforms.geometry.components import foreground_box

__all__ = ["RATES", "SIZES", "THRESHOLDS", "CaseTrace", "Curve", "trace_case", "trace_used"]

# denser where the peaks of false structures lie
THRESHOLDS = (0.05, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
SIZES = {
    "frame": (0.0, 0.0005, 0.001, 0.002, 0.003, 0.004, 0.006, 0.01, 0.015, 0.02, 0.03),
    "ml": (0.0, 0.5, 1.0, 2.0, 5.0, 10.0),
}
RATES = ("missed", "false_alarms", "false_lesions", "dice")
NAN = float("nan")


@dataclass(frozen=True)
class CaseTrace:
    """One class in one case: for each of `THRESHOLDS` and each of the unit's `SIZES` what would be predicted.

    Attributes:
        unit: of the sizes: "frame", a fraction of it, or "ml".
        present: cases or, in volumes, lesions of the reference that can be missed.
        values: by the name of the rate, (thresholds, sizes): the number of missed ones, whether there is a
            false alarm, the number of false lesions, the Dice; NaN where the case cannot tell.
    """

    group: str
    label: str
    unit: str
    present: int
    values: Mapping[str, np.ndarray]


def trace_case(
    item: Mapping[str, Any],
    label: str,
    *,
    label_names: Sequence[str],
    clean_up: CleanUpLabels | None,
    spacing_mm: Sequence[float] | None,
) -> CaseTrace:
    """Decide a case at each threshold, clean it up as ever, and look at the components of one class.

    Only a box that holds all that may be foreground at the lowest threshold is decided. Above 0.5 only whole
    components go, so most thresholds change no pixel, and such a one is neither cleaned up nor compared.

    Args:
        item: ``probabilities`` (K, H, W[, D]) and ``label`` (1, H, W[, D]) on the source grid, and ``group``.
        label: the class; the others are decided by the argmax.
        spacing_mm: of a volume.
    """
    truth, value, unit = _truth(item, label, label_names, spacing_mm)
    reference = as_labels(item["label"])
    soft = torch.as_tensor(item["probabilities"]).detach().cpu().float()
    decisions = [Decision(tuple(label_names), {label: OperatingPoint(each)}) for each in THRESHOLDS]
    box = _box(soft, decisions[0].weights)
    soft, truth.numbers = soft[(slice(None), *box)], truth.numbers[box]
    columns = list[dict[str, list[float]]]()
    numbers, inside = np.zeros(0, np.intp), soft.new_zeros(len(soft), 0)
    for decision in decisions:
        if decision.seeds is not None:  # the components are those of the threshold before, or fewer
            reached = numbers[decided(inside, decision.seeds).numpy() == value]
            if len(np.unique(reached)) == numbers.max(initial=0):
                columns.append(columns[-1])
                continue
        labels = labels_of(soft, decision).numpy()
        mask = labels == value
        numbers, inside = (
            ndimage.label(mask, np.ones((3,) * mask.ndim))[0][mask],
            soft[:, torch.as_tensor(mask)],
        )
        if clean_up is not None:
            labels = np.asarray(clean_up(labels[None], spacing_mm=spacing_mm, whole=reference.size))[0]
        columns.append(truth.compare(labels == value, SIZES[unit]))
    values = {name: np.array([column[name] for column in columns]) for name in RATES}
    return CaseTrace(str(item["group"]), label, unit, truth.present, values)


def trace_used(
    item: Mapping[str, Any], label: str, *, label_names: Sequence[str], spacing_mm: Sequence[float] | None
) -> CaseTrace:
    """The same of the label map ``pred`` as it is delivered, at one threshold and one size."""
    truth, value, unit = _truth(item, label, label_names, spacing_mm)
    rates = truth.compare(as_labels(item["pred"]) == value, (0.0,))
    values = {name: np.array([rates[name]]) for name in RATES}
    return CaseTrace(str(item["group"]), label, unit, truth.present, values)


def _truth(
    item: Mapping[str, Any], label: str, label_names: Sequence[str], spacing_mm: Sequence[float] | None
) -> tuple[_Truth, int, str]:
    """The reference of a class, the class's value, and the unit of sizes."""
    value, reference = list(label_names).index(label), as_labels(item["label"])
    if reference.ndim == 2:
        return _Truth(reference == value, 1 / reference.size), value, "frame"
    one = float(np.prod(spacing_mm)) / 1000 if spacing_mm else NAN
    return _Truth(reference == value, one), value, "ml"


class _Truth:
    """A class in the reference, and what any prediction of it misses and invents."""

    def __init__(self, mask: np.ndarray, one: float) -> None:
        self.one = one  # the size of a pixel
        self.pixels = int(np.count_nonzero(mask))
        self.numbers, number = ndimage.label(mask, np.ones((3,) * mask.ndim))
        self.lesions = np.bincount(self.numbers[mask], minlength=number + 1)[1:]
        self.volume = mask.ndim == 3

    @property
    def present(self) -> int:
        return len(self.lesions) if self.volume else int(self.pixels > 0)

    def compare(self, predicted: np.ndarray, sizes: Sequence[float]) -> dict[str, list[float]]:
        """The rates at each smallest size."""
        numbers, number = ndimage.label(predicted, np.ones((3,) * predicted.ndim))
        # pixels that a lesion (row, 0: none) and a component (column) share
        pairs = self.numbers[predicted] * (number + 1) + numbers[predicted]
        shared = np.bincount(pairs, minlength=(len(self.lesions) + 1) * (number + 1))
        shared = shared.reshape(-1, number + 1)[:, 1:]
        rows = [self._rates(shared[:, self._large(shared, size)]) for size in sizes]
        return {name: [row[name] for row in rows] for name in RATES}

    def _large(self, shared: np.ndarray, size: float) -> np.ndarray:
        return np.asarray(shared.sum(axis=0) * self.one >= size * (1 - ROUNDING))

    def _rates(self, shared: np.ndarray) -> dict[str, float]:
        predicted, common = int(shared.sum()), int(shared[1:].sum())
        missed = float(predicted == 0)
        if self.volume:
            missed = float(np.count_nonzero(shared[1:].sum(axis=1) < OVERLAP * self.lesions))
        return {
            "missed": missed if self.pixels else NAN,
            "false_alarms": NAN if self.pixels else float(predicted > 0),
            "false_lesions": float(np.count_nonzero(shared[1:].sum(axis=0) == 0)) if self.volume else NAN,
            "dice": 2 * common / (predicted + self.pixels) if self.pixels else NAN,
        }


def _box(soft: torch.Tensor, weights: torch.Tensor | None) -> tuple[slice, ...]:
    """The box of all that is foreground at the lowest threshold of a class, at which it is largest."""
    box = foreground_box(decided(soft, weights).numpy()) or (slice(1, 1),) * (soft.ndim - 1)
    return tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)  # as the clean-up sees it


@dataclass(frozen=True)
class Curve:
    """The rates of one class at each threshold and smallest size, by group.

    Attributes:
        totals: by the name of the rate, (groups, thresholds, sizes): the sums over the cases of a group.
        counts: by the name of the rate, (groups,): what they are shares of: cases, or lesions in volumes.
        groups: their hashes.
    """

    label: str
    unit: str
    groups: tuple[str, ...]
    totals: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, traces: Iterable[CaseTrace]) -> Curve:
        """The curve of one class from its traces."""
        by_group: dict[str, list[CaseTrace]] = defaultdict(list)
        for trace in traces:
            by_group[trace.group].append(trace)
        first = next(iter(by_group.values()))[0]
        totals = {
            rate: np.stack(
                [np.nansum([c.values[rate] for c in cases], axis=0) for cases in by_group.values()]
            )
            for rate in RATES
        }
        counts = {r: np.array([_count(r, cases) for cases in by_group.values()]) for r in RATES}
        return cls(first.label, first.unit, tuple(by_group), totals, counts)

    @classmethod
    def join(cls, curves: Sequence[Curve]) -> Curve:
        """One curve of the groups of several: of the folds of a cross-validation, each group once."""
        first = curves[0]
        groups = tuple(group for curve in curves for group in curve.groups)
        totals = {rate: np.concatenate([curve.totals[rate] for curve in curves]) for rate in RATES}
        counts = {rate: np.concatenate([curve.counts[rate] for curve in curves]) for rate in RATES}
        return cls(first.label, first.unit, groups, totals, counts)

    def over_cases(self, rate: str) -> np.ndarray:
        """The mean over the cases (of `missed` in volumes over lesions), (thresholds, sizes); NaN of none."""
        return np.asarray(self.totals[rate].sum(axis=0) / (self.counts[rate].sum() or NAN))

    def over_groups(self, rate: str) -> np.ndarray:
        """The mean of the groups' means, (thresholds, sizes); NaN where no case can tell."""
        told = self.counts[rate] > 0
        if not told.any():
            return np.full(self.totals[rate].shape[1:], NAN)
        return np.asarray((self.totals[rate][told] / self.counts[rate][told, None, None]).mean(axis=0))

    def rates(self, at: tuple[int, int], *, resamples: int, seed: int = 0) -> dict[str, dict[str, Any]]:
        """Each rate that the cases tell at one point.

        Returns:
            By rate ``mean`` over the cases with ``low`` and ``high``, an interval that resamples groups; the
            mean ``over_groups``; the number of ``cases`` and ``groups``.
        """
        found = {}
        for rate in RATES:
            told = self.counts[rate] > 0
            totals, counts = self.totals[rate][told][:, at[0], at[1]], self.counts[rate][told]
            if len(counts):
                names = [g for g, here in zip(self.groups, told, strict=True) if here]
                means, owners = (np.repeat(each, counts) for each in (totals / counts, names))
                over = estimate(list(means), list(owners), resamples=resamples, seed=seed)
                mean, low, high = (_rounded(v) for v in (over.frame_mean, over.frame_low, over.frame_high))
                found[rate] = {"mean": mean, "low": low, "high": high, "cases": over.cases}
                found[rate] |= {"over_groups": _rounded(over.group_mean), "groups": over.groups}
        return found


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _count(rate: str, cases: Sequence[CaseTrace]) -> int:
    if rate == "missed":
        return sum(case.present for case in cases)
    return sum(bool(np.isfinite(case.values[rate]).all()) for case in cases)
