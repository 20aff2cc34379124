"""The records of an evaluation and their summary: per class, over groups and over frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import LEVEL, Estimate, estimate, plain
from pyraseg.pipeline.evaluation.calibration import BINS, CaseConfidence, Reliability, pool
from pyraseg.pipeline.evaluation.judgements import CaseJudgement, JudgementSummary
from pyraseg.pipeline.evaluation.lesions import OVERLAP, CaseLesions, LesionSummary, summarise_lesions
from pyraseg.pipeline.evaluation.quantities import QuantityError, QuantitySummary, summarise_quantities
from pyraseg.pipeline.evaluation.scores import CaseScore
from pyraseg.pipeline.utils.groups import note_on_groups

__all__ = ["ClassSummary", "Counted", "Results", "flatten", "mean_dice", "plain", "summarise_classes"]


@dataclass(frozen=True)
class ClassSummary:
    """The summary of one class over all cases.

    Attributes:
        present, absent: cases with and without the structure.
        missed: cases with the structure and without a prediction.
        false_positives: cases without the structure and with a prediction.
        metrics: an estimate for each score of any case, by its name with its unit.
    """

    label: str
    present: int
    absent: int
    missed: int
    false_positives: int
    metrics: dict[str, Estimate]

    @property
    def missed_rate(self) -> float:
        """Over the cases with the structure; NaN without any."""
        return self.missed / self.present if self.present else float("nan")

    @property
    def false_positive_rate(self) -> float:
        """Over the cases without the structure; NaN without any."""
        return self.false_positives / self.absent if self.absent else float("nan")

    def document(self) -> dict[str, Any]:
        """The entry of ``summary.json``."""
        cases = {"present": self.present, "absent": self.absent, "missed": self.missed}
        cases |= {"false_positive": self.false_positives, "true_negative": self.absent - self.false_positives}
        rates = {"missed_rate": self.missed_rate, "false_positive_rate": self.false_positive_rate}
        return {
            "cases": cases,
            **plain(rates),
            **{name: value.document() for name, value in self.metrics.items()},
        }


class Counted(NamedTuple):
    """One class in one case: whether reference and prediction show it, and its scores by name with unit."""

    label: str
    group: str
    present: bool
    found: bool
    values: Mapping[str, float]


def summarise_classes(
    counted: Iterable[Counted], *, resamples: int = 0, seed: int = 0
) -> dict[str, ClassSummary]:
    """Summarise class by class; the arguments are those of `estimate`."""
    by_class: dict[str, list[Counted]] = defaultdict(list)
    for one in counted:
        by_class[one.label].append(one)
    return {
        name: _summarise_class(name, rows, resamples=resamples, seed=seed) for name, rows in by_class.items()
    }


def _summarise_class(name: str, rows: Sequence[Counted], *, resamples: int, seed: int) -> ClassSummary:
    columns: dict[str, list[tuple[float, str]]] = {"dice": []}
    for row in rows:
        for metric, value in row.values.items():
            columns.setdefault(metric, []).append((value, row.group))
    metrics = {
        metric: estimate([v for v, _ in column], [g for _, g in column], resamples=resamples, seed=seed)
        for metric, column in columns.items()
    }
    present = sum(row.present for row in rows)
    return ClassSummary(
        name,
        present=present,
        absent=len(rows) - present,
        missed=sum(row.present and not row.found for row in rows),
        false_positives=sum(row.found and not row.present for row in rows),
        metrics=metrics,
    )


def mean_dice(classes: dict[str, ClassSummary]) -> float:
    """The mean over the classes of their group means; NaN if no case shows any."""
    values = [summary.metrics["dice"].group_mean for summary in classes.values()]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def flatten(classes: dict[str, ClassSummary]) -> dict[str, float]:
    """Values by name, for trackers.

    Returns:
        ``mean_dice`` and for each class: every score's group mean as ``<score>_<class>``;
        ``frame_mean_dice_<class>``, ``frame_median_dice_<class>``; ``missed_rate_<class>`` over the cases
        with the structure and ``false_positive_rate_<class>`` over those without; with intervals
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


@dataclass(frozen=True)
class Results:
    """Records of one evaluation, and their summary.

    Attributes:
        scores: one per case and class.
        confidences: one per case with probabilities.
        quantities: one per case and quantity, if requested.
        lesions: one per case and class, if lesions were compared.
        judged: one per case, if the checkpoint can judge.
        tolerance: of surface Dice, by unit; empty if surfaces were not compared.
        operating: by class the operating point, its rates and those of the argmax, and the curve
            (`pyraseg.pipeline.trust.OperatingCurves`), if it was looked at.
        resamples, seed: of the bootstrap; see `estimate`.

    >>> scores = (CaseScore("c1", "g1", "kidney", 10, 10, 5), CaseScore("c2", "g2", "kidney", 10, 0, 0))
    >>> results = Results(scores)
    >>> results.mean_dice, results.classes["kidney"].missed
    (0.25, 1)
    """

    scores: tuple[CaseScore, ...]
    confidences: tuple[CaseConfidence, ...] = ()
    quantities: tuple[QuantityError, ...] = ()
    lesions: tuple[CaseLesions, ...] = ()
    judged: tuple[CaseJudgement, ...] = ()
    tolerance: Mapping[str, float] = field(default_factory=dict)
    operating: Mapping[str, Any] = field(default_factory=dict)
    resamples: int = 0
    seed: int = 0

    @cached_property
    def classes(self) -> dict[str, ClassSummary]:
        """The summary class by class."""
        counted = (
            Counted(s.label, s.group, s.reference_pixels > 0, s.predicted_pixels > 0, s.values())
            for s in self.scores
        )
        return summarise_classes(counted, resamples=self.resamples, seed=self.seed)

    @cached_property
    def groups(self) -> frozenset[str]:
        """The groups of the cases."""
        return frozenset(score.group for score in self.scores)

    @property
    def notes(self) -> tuple[str, ...]:
        """What these numbers cannot say: images that count as patients, classes without a case."""
        shown = (f"No case shows {name}: no score says how it is segmented." for name in self.absent)
        return (*filter(None, [note_on_groups(self.groups)]), *shown)

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes that no case shows."""
        return tuple(name for name, summary in self.classes.items() if not summary.present)

    @cached_property
    def reliability(self) -> tuple[Reliability, ...]:
        """The calibration curves; all groups weigh the same."""
        return pool(self.confidences)

    @cached_property
    def measured(self) -> dict[str, QuantitySummary]:
        """The errors of each clinical quantity, summarised."""
        return summarise_quantities(self.quantities, resamples=self.resamples, seed=self.seed)

    @cached_property
    def detection(self) -> dict[str, LesionSummary]:
        """The detection of lesions class by class."""
        return summarise_lesions(self.lesions, resamples=self.resamples, seed=self.seed)

    @cached_property
    def warnings(self) -> JudgementSummary | None:
        """How good the warnings and intervals are; None where the checkpoint has none."""
        if not any(row.judgement.unlike is not None or row.judgement.expected_dice for row in self.judged):
            return None
        return JudgementSummary.of(self.judged, resamples=self.resamples, seed=self.seed)

    @property
    def mean_dice(self) -> float:
        """The key metric: the mean over the classes of their means over groups; NaN without any case."""
        return mean_dice(self.classes)

    def metrics(self) -> dict[str, float]:
        """Values by name, for trackers: those of `flatten`, ``ece_<class>`` and those of lesions."""
        flat = flatten(self.classes) | {f"ece_{curve.name}": curve.error for curve in self.reliability}
        for lesions in self.detection.values():
            flat |= lesions.metrics()
        return flat | ({} if self.warnings is None else self.warnings.metrics())

    def document(self) -> dict[str, Any]:
        """The content of ``summary.json``; undefined values are null."""
        by_pixel = {curve.name: curve.error for curve in pool(self.confidences, by_group=False)}
        curves = {c.name: {"ece": c.error, "ece_over_pixels": by_pixel[c.name]} for c in self.reliability}
        interval = {"level": LEVEL, "resamples": self.resamples, "seed": self.seed, "resampled": "groups"}
        lesions = {name: summary.document() for name, summary in self.detection.items()}
        warnings = {} if self.warnings is None else {"warnings": self.warnings.document()}
        return (
            {
                **plain({"mean_dice": self.mean_dice}),
                "cases": len({score.case for score in self.scores}),
                "calibrated_cases": len({score.case for score in self.scores if score.spacing_mm}),
                "groups": len(self.groups),
                "notes": list(self.notes),
                "interval": interval,
                "surface_tolerance": dict(self.tolerance),
                "classes": {name: summary.document() for name, summary in self.classes.items()},
                "calibration": {"bins": BINS, "curves": curves} if curves else {},
                "operating_point": dict(self.operating),
                "quantities": {name: summary.document() for name, summary in self.measured.items()},
            }
            | ({"lesions": {"overlap": OVERLAP, "classes": lesions}} if lesions else {})
            | warnings
        )
