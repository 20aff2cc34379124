"""What is learnt on validation for the warnings and the intervals; see `Calibration`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.evaluation.quantities import QuantityError
from pyraseg.pipeline.evaluation.scores import CaseScore, as_labels
from pyraseg.pipeline.trust import quality
from pyraseg.pipeline.trust.evidence import EVIDENCE
from pyraseg.pipeline.trust.intervals import Spread, fewest_groups, relative_size
from pyraseg.pipeline.trust.quality import Expected, agreement, share_over_groups
from pyraseg.pipeline.trust.unlike import LEAST, Unlike
from pyraseg.pipeline.utils.distributed import gather

__all__ = ["ExpectedDice", "Intervals", "TrainingFeatures"]

FRACTIONS = ("fluid_fraction",)  # measures that end at 1, which their unit does not say

logger = logging.getLogger(__name__)


class _Learner:
    """What these calibrators have in common."""

    uses_point = True

    def __init__(self) -> None:
        self.settings: Mapping[str, Any] = {}
        self.records: list[Any] = []

    def check(self, items: Any) -> Iterator[str]:
        """Nothing can be missing."""
        return iter(())

    def write(self, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """Nothing: it is for the checkpoint alone."""
        return []


def _groups(items: Any) -> int:
    """Of all processes' parts of a split."""
    return len(set().union(*gather({str(item["group"]) for item in items.data})))


@dataclass(frozen=True, eq=False)
class Seen:
    """A case's features; ``training``: whether it is of the training split."""

    group: str
    features: np.ndarray
    training: bool


class TrainingFeatures(_Learner):
    """The calibrator of the warning `unlike.FLAG`: what the training images look like to the network."""

    name = "unlike"

    def check(self, items: Any) -> Iterator[str]:
        """Say how coarse the threshold will be with few groups."""
        if (number := _groups(items)) < fewest_groups():
            yield (
                f"validation has {number} groups: an image is flagged as unlike the training data where it "
                f"is beyond all of them; with {fewest_groups()} groups or more, beyond 95 % of them"
            )

    def learn(self, item: Mapping[str, Any]) -> None:
        """See a training item, as validation sees it."""
        self._keep(item, training=True)

    def add(self, item: Mapping[str, Any]) -> None:
        """See a validation item."""
        self._keep(item, training=False)

    def _keep(self, item: Mapping[str, Any], *, training: bool) -> None:
        (features,) = item[EVIDENCE].features
        self.records.append(Seen(str(item["group"]), features, training))

    def facts(self) -> dict[str, Any]:
        """Empty where the network has no features, or too few images were seen."""
        training, other = ([s for s in self.records if s.training is kind] for kind in (True, False))
        if len(training) < LEAST or not other or not training[0].features.size:
            reason = "the network does not name its encoder" if training and other else "too few images"
            logger.warning("no image will be told as unlike the training data: %s", reason)
            return {}
        fitted = Unlike.fit(np.stack([seen.features for seen in training]).astype(np.float64))
        features = np.stack([seen.features for seen in other]).astype(np.float64)
        return fitted.with_threshold(features, [seen.group for seen in other]).facts()


@dataclass(frozen=True)
class Judged:
    """One class in one case: what its probabilities lead one to expect, and what is true."""

    case: str
    group: str
    label: str
    expected: float
    peak: float
    found: bool
    observed: float


class ExpectedDice(_Learner):
    """The calibrator of the warning `quality.FLAG`.

    Args:
        label_names: of the training.
    """

    name = "quality"

    def __init__(self, label_names: Sequence[str]) -> None:
        super().__init__()
        self.label_names = list(label_names)

    def add(self, item: Mapping[str, Any]) -> None:
        """Compare each class of a case with its reference."""
        sums, maps = item[EVIDENCE].sums, [as_labels(item[key]) for key in ("pred", "label")]
        expected = sums.expected_dice()
        for k, name in enumerate(self.label_names[1:], start=1):
            masks = [each == k for each in maps]
            predicted, reference = (int(np.count_nonzero(mask)) for mask in masks)
            observed = agreement(predicted, reference, int(np.count_nonzero(masks[0] & masks[1])))
            known = (str(item["case"]), str(item["group"]), name)
            self.records.append(
                Judged(*known, float(expected[k]), float(sums.peak[k]), predicted > 0, observed)
            )

    def facts(self) -> dict[str, Any]:
        """The curves by class, and the quality below which a fifth of the validation's items lies."""
        classes, worst, groups = {}, dict[str, float](), {row.case: row.group for row in self.records}
        for name in self.label_names[1:]:
            rows = [row for row in self.records if row.label == name]
            curve = _curve(rows)
            classes[name] = {"found": curve.found, "absent": curve.absent}
            for row in rows:
                value = curve.quality(row.expected, row.peak, row.found)
                worst[row.case] = min(worst.get(row.case, 1.0), value)
        threshold = share_over_groups([*worst.values()], [groups[case] for case in worst], quality.FLAGGED)
        return {"classes": classes, "threshold": threshold}


def _curve(rows: Sequence[Judged]) -> Expected:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.group] = counts.get(row.group, 0) + 1
    table = np.array([(row.expected, row.peak, row.found) for row in rows], float).reshape(-1, 3)
    return Expected.fit(table, [row.observed for row in rows], [1 / counts[row.group] for row in rows])


class Intervals(_Learner):
    """The calibrator of the intervals of quantities and of the classes' sizes.

    Args:
        scores: the metric that measures them, `SegmentationScores` with the bundle's quantities.
    """

    name = "intervals"

    def __init__(self, scores: Any) -> None:
        super().__init__()
        self.scores = scores

    def check(self, items: Any) -> Iterator[str]:
        """Say where there will be no interval."""
        if (number := _groups(items)) < fewest_groups():
            yield f"no intervals: validation has {number} groups, and they need {fewest_groups()}"

    def add(self, item: Mapping[str, Any]) -> None:
        """Measure a case and its reference."""
        self.scores.reset()
        self.scores.update([item])
        # the surfaces are not measured, and nothing of an image is kept
        self.records += [replace(row, surfaces=None) for row in self.scores.rows]
        self.records += self.scores.quantities

    def facts(self) -> dict[str, Any]:
        """By quantity and by class; those with too few groups are absent."""
        measured = [row for row in self.records if isinstance(row, QuantityError) and np.isfinite(row.error)]
        sized = [row for row in self.records if isinstance(row, CaseScore)]
        fractions = {each["name"] for each in self.scores.declared if each["measure"] in FRACTIONS}
        quantities = {
            name: _spread(
                [(r.predicted.value, r.reference.value, r.group) for r in rows],
                rows[0].reference.unit,
                most=1.0 if name in fractions else math.inf,
            )
            for name, rows in _by((row.reference.name, row) for row in measured).items()
        }
        sizes = {
            name: _spread(
                [
                    (*(relative_size(r, n) for n in (r.predicted_pixels, r.reference_pixels)), r.group)
                    for r in rows
                ],
                most=math.inf if rows[0].size_unit == "ml" else 1.0,
            )
            for name, rows in _by((row.label, row) for row in sized).items()
        }
        lacking = ", ".join(name for name, spread in quantities.items() if spread is None)
        if lacking and len({row.group for row in sized}) >= fewest_groups():  # with fewer it was said before
            logger.warning(
                "no interval of %s: fewer than %d groups have it in prediction and reference",
                *(lacking, fewest_groups()),
            )
        return {
            kind: {name: spread.facts() for name, spread in found.items() if spread is not None}
            for kind, found in (("quantities", quantities), ("sizes", sizes))
        }


def _by(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, row in pairs:
        found.setdefault(name, []).append(row)
    return found


def _spread(rows: Sequence[tuple[Any, Any, str]], unit: str = "", *, most: float = math.inf) -> Spread | None:
    predicted, reference, groups = zip(*rows, strict=True)
    return Spread.fit(predicted, reference, groups=groups, unit=unit, most=most)
