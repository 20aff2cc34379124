"""The summary of many cases: per class, over groups and over frames; as a document and as flat metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate
from pyraseg.pipeline.evaluation.scores import CaseScore

__all__ = ["ClassSummary", "flatten", "mean_dice", "plain", "summarise", "summarise_classes"]


@dataclass(frozen=True)
class ClassSummary:
    """What is said of one class over all cases.

    Attributes:
        present, absent: cases that show the structure, and that do not.
        missed: cases that show it and have none predicted. false_positives: the other way round.
        metrics: an estimate for each score that some case has, by its name with its unit.
    """

    label: str
    present: int
    absent: int
    missed: int
    false_positives: int
    metrics: dict[str, Estimate]

    @property
    def missed_rate(self) -> float:
        """Over the cases that show the structure; NaN without any."""
        return self.missed / self.present if self.present else float("nan")

    @property
    def false_positive_rate(self) -> float:
        """Over the cases that do not show the structure; NaN without any."""
        return self.false_positives / self.absent if self.absent else float("nan")

    def document(self) -> dict[str, Any]:
        """The entry of ``summary.json``."""
        cases = {"present": self.present, "absent": self.absent, "missed": self.missed}
        cases |= {"false_positive": self.false_positives, "true_negative": self.absent - self.false_positives}
        rates = {"missed_rate": self.missed_rate, "false_positive_rate": self.false_positive_rate}
        return {
            "cases": cases,
            **plain(rates),
            **{name: plain(vars(value)) for name, value in self.metrics.items()},
        }


def summarise_classes(
    scores: Iterable[CaseScore], *, resamples: int = 0, seed: int = 0
) -> dict[str, ClassSummary]:
    """Summarise class by class; the arguments are those of `estimate`."""
    by_class: dict[str, list[CaseScore]] = defaultdict(list)
    for score in scores:
        by_class[score.label].append(score)
    return {
        name: _summarise_class(name, rows, resamples=resamples, seed=seed) for name, rows in by_class.items()
    }


def _summarise_class(name: str, rows: Sequence[CaseScore], *, resamples: int, seed: int) -> ClassSummary:
    columns: dict[str, list[tuple[float, str]]] = {"dice": []}
    for row in rows:
        for metric, value in row.values().items():
            columns.setdefault(metric, []).append((value, row.group))
    metrics = {
        metric: estimate([v for v, _ in column], [g for _, g in column], resamples=resamples, seed=seed)
        for metric, column in columns.items()
    }
    present = sum(row.reference_pixels > 0 for row in rows)
    return ClassSummary(
        name,
        present=present,
        absent=len(rows) - present,
        missed=sum(row.missed for row in rows),
        false_positives=sum(row.false_positive for row in rows),
        metrics=metrics,
    )


def mean_dice(classes: dict[str, ClassSummary]) -> float:
    """The mean over the classes of their group means; NaN where no case shows any."""
    values = [summary.metrics["dice"].group_mean for summary in classes.values()]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def flatten(classes: dict[str, ClassSummary]) -> dict[str, float]:
    """One number a name, for trackers.

    Returns:
        ``mean_dice`` and for each class: every score's group mean as ``<score>_<class>``;
        ``frame_mean_dice_<class>``, ``frame_median_dice_<class>``; ``missed_rate_<class>`` over the cases
        that have the structure and ``false_positive_rate_<class>`` over those that have not; with intervals
        ``dice_low_<class>`` and ``dice_high_<class>``.
    """
    flat = {"mean_dice": mean_dice(classes)}
    for name, summary in classes.items():
        dice = summary.metrics["dice"]
        flat |= {f"{metric}_{name}": value.group_mean for metric, value in summary.metrics.items()}
        flat |= {f"frame_mean_dice_{name}": dice.frame_mean, f"frame_median_dice_{name}": dice.median}
        flat |= {f"missed_rate_{name}": summary.missed_rate}
        flat |= {f"false_positive_rate_{name}": summary.false_positive_rate}
        if np.isfinite(dice.low):
            flat |= {f"dice_low_{name}": dice.low, f"dice_high_{name}": dice.high}
    return flat


def summarise(scores: Iterable[CaseScore]) -> dict[str, float]:
    """Summarise per class, and over the classes, as the flat dictionary of `flatten`, without intervals."""
    return flatten(summarise_classes(scores))


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: what is not finite is null."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}
