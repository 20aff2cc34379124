"""What one evaluation found: the records of every case, and the summary of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pyraseg.pipeline.evaluation.bootstrap import LEVEL
from pyraseg.pipeline.evaluation.calibration import BINS, CaseConfidence, Reliability, pool
from pyraseg.pipeline.evaluation.lesions import OVERLAP, CaseLesions, LesionSummary, summarise_lesions
from pyraseg.pipeline.evaluation.quantities import QuantityError, QuantitySummary, summarise_quantities
from pyraseg.pipeline.evaluation.scores import CaseScore
from pyraseg.pipeline.evaluation.summary import ClassSummary, flatten, mean_dice, plain, summarise_classes

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """Records of one evaluation.

    Attributes:
        scores: a row for each case and class.
        confidences: a record for each case, where the probabilities were there.
        quantities: a row for each case and quantity, where they were asked for.
        lesions: a record for each case and class, where lesions were compared.
        tolerance: of surface Dice, by unit; empty where surfaces were not compared.
        resamples, seed: of the bootstrap; see `estimate`.
    """

    scores: tuple[CaseScore, ...]
    confidences: tuple[CaseConfidence, ...] = ()
    quantities: tuple[QuantityError, ...] = ()
    lesions: tuple[CaseLesions, ...] = ()
    tolerance: Mapping[str, float] = field(default_factory=dict)
    resamples: int = 0
    seed: int = 0

    @cached_property
    def classes(self) -> dict[str, ClassSummary]:
        """The summary class by class."""
        return summarise_classes(self.scores, resamples=self.resamples, seed=self.seed)

    @cached_property
    def reliability(self) -> tuple[Reliability, ...]:
        """The calibration curves, every group weighing the same."""
        return pool(self.confidences)

    @cached_property
    def measured(self) -> dict[str, QuantitySummary]:
        """The errors of the clinical quantities, summarised one by one."""
        return summarise_quantities(self.quantities, resamples=self.resamples, seed=self.seed)

    @cached_property
    def detection(self) -> dict[str, LesionSummary]:
        """The detection of lesions class by class."""
        return summarise_lesions(self.lesions, resamples=self.resamples, seed=self.seed)

    @property
    def mean_dice(self) -> float:
        """The key metric: the mean over the classes of their means over groups; NaN without any case."""
        return mean_dice(self.classes)

    def metrics(self) -> dict[str, float]:
        """One number a name, for trackers: those of `flatten`, ``ece_<class>``, ``ece_top_label``, and
        lesions'."""
        flat = flatten(self.classes) | {f"ece_{curve.name}": curve.error for curve in self.reliability}
        return flat | {
            name: value for each in self.detection.values() for name, value in each.metrics().items()
        }

    def document(self) -> dict[str, Any]:
        """The content of ``summary.json``; what is not defined is null."""
        calibrated = {score.case for score in self.scores if score.spacing_mm}
        by_pixel = {curve.name: curve.error for curve in pool(self.confidences, by_group=False)}
        curves = {c.name: {"ece": c.error, "ece_over_pixels": by_pixel[c.name]} for c in self.reliability}
        found = {name: _lesions(summary) for name, summary in self.detection.items()}
        return {
            **plain({"mean_dice": self.mean_dice}),
            "cases": len({score.case for score in self.scores}),
            "calibrated_cases": len(calibrated),
            "groups": len({score.group for score in self.scores}),
            "interval": {
                "level": LEVEL,
                "resamples": self.resamples,
                "seed": self.seed,
                "resampled": "groups",
            },
            "surface_tolerance": dict(self.tolerance),
            "classes": {name: summary.document() for name, summary in self.classes.items()},
            "calibration": {"bins": BINS, "curves": curves} if curves else {},
            "quantities": {name: _quantity(summary) for name, summary in self.measured.items()},
        } | ({"lesions": {"overlap": OVERLAP, "classes": found}} if found else {})


def _quantity(summary: QuantitySummary) -> dict[str, Any]:
    names = ("error", "absolute_error", "relative_error")
    return {"unit": summary.unit} | {name: plain(vars(getattr(summary, name))) for name in names}


def _lesions(summary: LesionSummary) -> dict[str, Any]:
    return {
        key: plain(value) if isinstance(value, dict) else value for key, value in summary.document().items()
    }
