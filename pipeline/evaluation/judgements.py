"""How good the warnings and the intervals of an evaluation are, held against its references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate, plain
from pyraseg.pipeline.evaluation.quantities import QuantityError
from pyraseg.pipeline.evaluation.scores import CaseScore
from pyraseg.pipeline.trust import quality, unlike
from pyraseg.pipeline.trust.intervals import LEVEL, Interval, relative_size
from pyraseg.pipeline.trust.judge import Judge, Judgement
from pyraseg.pipeline.trust.quality import agreement

__all__ = ["WRONG", "CaseJudgement", "JudgementSummary", "judge_case"]

WRONG = 0.5  # a Dice below it is wrong
SHARES = tuple(round(0.05 * n, 2) for n in range(21))


@dataclass(frozen=True)
class CaseJudgement:
    """The warnings of one case, and what is true.

    Attributes:
        dice: the least Dice of a class; 0 where a class is found that is absent, 1 where all are rightly
            absent.
        sizes: by class the interval of its `relative_size`; ``quantities``: by name.
        covered: by "class size" or quantity, whether the reference's value is inside.
    """

    case: str
    group: str
    judgement: Judgement
    dice: float
    sizes: Mapping[str, Interval] = field(default_factory=dict)
    quantities: Mapping[str, Interval] = field(default_factory=dict)
    covered: Mapping[str, bool] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether a class's Dice is below 0.5, or a class is found that is absent."""
        return self.dice < WRONG


def judge_case(
    judge: Judge, judgement: Judgement, scores: Sequence[CaseScore], quantities: Sequence[QuantityError]
) -> CaseJudgement:
    """Put the intervals of a case beside its references.

    Args:
        scores: of each class of the case; ``quantities``: of the case.
    """
    sizes, known, covered = {}, {}, {}
    for row in scores:
        interval = judge.around_size(row.label, relative_size(row, row.predicted_pixels))
        if interval is not None:
            sizes[row.label] = interval
            covered[f"{row.label} size"] = _inside(interval, relative_size(row, row.reference_pixels))
    for error in quantities:
        interval = judge.around(error.reference.name, error.predicted.value)
        if interval is not None:
            known[error.reference.name] = interval
            if error.reference.value is not None:
                covered[error.reference.name] = _inside(interval, error.reference.value)
    counts = ((row.predicted_pixels, row.reference_pixels, row.common_pixels) for row in scores)
    dice = min((agreement(*each) for each in counts), default=1.0)
    return CaseJudgement(scores[0].case, scores[0].group, judgement, dice, sizes, known, covered)


def _inside(interval: Interval, value: float) -> bool:
    return bool(interval.low - 1e-9 <= value <= interval.high + 1e-9)


@dataclass(frozen=True)
class JudgementSummary:
    """The warnings and intervals of all cases; shares are means over groups.

    Attributes:
        unlike, flagged: the share with either warning; ``wrong``: of wrong cases.
        caught: the share of the wrong cases that is flagged as likely to be wrong.
        curve: for each share of cases that is flagged, those of the least expected Dice first, the share of
            the wrong cases among them; of cases, not of groups.
        coverage: by interval, the share of references inside; wanted is `LEVEL`.
    """

    unlike: Estimate
    flagged: Estimate
    wrong: Estimate
    caught: Estimate
    curve: tuple[tuple[float, float], ...]
    coverage: Mapping[str, Estimate]

    @classmethod
    def of(cls, rows: Sequence[CaseJudgement], *, resamples: int = 0, seed: int = 0) -> JudgementSummary:
        """Of the cases that a checkpoint can judge."""

        def share(values: Sequence[bool], of: Sequence[CaseJudgement]) -> Estimate:
            groups = [row.group for row in of]
            return estimate([float(value) for value in values], groups, resamples=resamples, seed=seed)

        told = [row for row in rows if row.judgement.unlike is not None]
        rated = [row for row in rows if row.judgement.quality is not None]
        bad = [row for row in rated if row.wrong]
        flagged = [quality.FLAG in row.judgement.flags for row in rated]
        names = dict.fromkeys(name for row in rows for name in row.covered)
        inside = {name: [row for row in rows if name in row.covered] for name in names}
        return cls(
            share([unlike.FLAG in row.judgement.flags for row in told], told),
            share(flagged, rated),
            share([row.wrong for row in rated], rated),
            share([quality.FLAG in row.judgement.flags for row in bad], bad),
            _caught(rated),
            {name: share([row.covered[name] for row in of], of) for name, of in inside.items()},
        )

    def metrics(self) -> dict[str, float]:
        """Values by name, for trackers."""
        values = {"flagged_unlike": self.unlike.group_mean, "flagged_wrong": self.flagged.group_mean}
        values |= {"wrong": self.wrong.group_mean, "wrong_caught": self.caught.group_mean}
        values |= {f"coverage_{n.replace(' ', '_')}": e.group_mean for n, e in self.coverage.items()}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def document(self) -> dict[str, Any]:
        """The entries of ``summary.json``."""
        curve = [plain({"flagged": flagged, "caught": caught}) for flagged, caught in self.curve]
        shares = {name: getattr(self, name).document() for name in ("flagged", "wrong", "caught")}
        coverage = {name: value.document() for name, value in self.coverage.items()}
        return {
            "unlike": {"flagged": self.unlike.document()},
            "likely_to_be_wrong": {"dice_below": WRONG, **shares, "curve": curve},
            "intervals": {"nominal": LEVEL, "coverage": coverage},
        }


def _caught(rows: Sequence[CaseJudgement]) -> tuple[tuple[float, float], ...]:
    """Among cases of equal expected Dice the wrong ones come last."""
    order = sorted(rows, key=lambda row: (row.judgement.quality, row.wrong))
    found = np.cumsum([0, *(row.wrong for row in order)])
    if not found[-1]:
        return ()
    return tuple((share, float(found[int(share * len(order) + 1e-9)] / found[-1])) for share in SHARES)
