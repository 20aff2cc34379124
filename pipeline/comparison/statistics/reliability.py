"""Calibration and agreement of arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pyraseg.pipeline.comparison.read.runs import Arm
from pyraseg.pipeline.comparison.statistics.results import ArmAgreement, ArmCalibration
from pyraseg.pipeline.comparison.statistics.tests import limits_of_agreement
from pyraseg.pipeline.evaluation.bootstrap import percentiles
from pyraseg.pipeline.evaluation.calibration import CaseConfidence, pool

__all__ = ["agreements", "calibrations"]

NAN = float("nan")


def agreements(arms: Sequence[Arm]) -> Iterator[ArmAgreement]:
    """Bland-Altman agreement of each quantity in each arm: a network's prediction against the reference.

    The runs of an arm are not averaged: the mean of several networks would agree better than any of them.
    Where a prediction has nothing to measure there is no difference. An arm that misses much may agree
    well on the rest, so missed cases are counted too.
    """
    rows = {arm.name: [row for run in arm.runs for row in run.quantities if row["reference"]] for arm in arms}
    units = {row["quantity"]: row["unit"] for of_arm in rows.values() for row in of_arm if row["error"]}
    for quantity, unit in units.items():
        for arm, of_arm in rows.items():
            part = [row for row in of_arm if row["quantity"] == quantity]
            both = [row for row in part if row["error"]]
            if part:
                predicted, reference = (
                    np.array([float(row[name]) for row in both]) for name in ("predicted", "reference")
                )
                differences = predicted - reference
                limits = limits_of_agreement(differences, [row["group"] for row in both])
                means, missed = (predicted + reference) / 2, len(part) - len(both)
                yield ArmAgreement(quantity, unit, arm, limits, means, differences, missed=missed)


def calibrations(arms: Sequence[Arm], *, resamples: int, seed: int) -> Iterator[ArmCalibration]:
    """The expected calibration error of each curve in each arm, and its difference to the first arm.

    Every group has the same weight. The intervals are from a bootstrap that draws the same groups for all
    arms. Nothing where a run has no counts.
    """
    if not all(run.confidences for arm in arms for run in arm.runs):
        return
    groups = sorted({c.group for arm in arms for run in arm.runs for c in run.confidences})
    number = len(groups)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)
    weights = np.concatenate([np.ones((1, number)), drawn])  # each group once, then as drawn
    stacks = {arm.name: [_shares(run.confidences, groups) for run in arm.runs] for arm in arms}
    errors = {name: [_errors(weights, shares) for shares in runs] for name, runs in stacks.items()}
    first = np.mean(errors[arms[0].name], axis=0)
    for arm in arms:
        mean = np.mean(errors[arm.name], axis=0)
        curves = pool([c for run in arm.runs for c in run.confidences])
        for index, curve in enumerate(curves):
            yield ArmCalibration(
                arm.name,
                curve,
                error=float(mean[0, index]),
                interval=percentiles(mean[1:, index]),
                seeds=tuple(float(each[0, index]) for each in errors[arm.name]),
                difference=NAN if arm is arms[0] else float(mean[0, index] - first[0, index]),
                difference_interval=(NAN, NAN) if arm is arms[0] else percentiles((mean - first)[1:, index]),
            )


def _shares(cases: Sequence[CaseConfidence], groups: Sequence[str]) -> np.ndarray:
    """Means over cases of the shares of pixels, confidence and accuracy: (groups, 3, curves, bins)."""
    order = {name: index for index, name in enumerate(groups)}
    shape = (len(groups), 3, *cases[0].pixels.shape)
    sums, counts = np.zeros(shape), np.zeros(len(groups))
    for case in cases:
        stack = np.stack([case.pixels, case.confidence, case.correct]).astype(float)
        if stack[0, -1].any():
            sums[order[case.group]] += stack / stack[0, -1].sum()
            counts[order[case.group]] += 1
    return sums / np.maximum(counts, 1)[:, None, None, None]


def _errors(weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(resamples, curves): |accuracy - confidence| of each bin, weighted by its share."""
    summed = (weights @ shares.reshape(len(shares), -1)).reshape(len(weights), *shares.shape[1:])
    return np.abs(summed[:, 2] - summed[:, 1]).sum(axis=-1) / summed[:, 0].sum(axis=-1)
