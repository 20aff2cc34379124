"""Warnings and intervals of a result, by what its checkpoint learnt on validation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ignite.engine import Engine
from monai.engines import IterationEvents

from pyraseg.pipeline.inference.decision import Decision
from pyraseg.pipeline.trust import quality, unlike
from pyraseg.pipeline.trust.evidence import EVIDENCE, Evidence, TakeEvidence
from pyraseg.pipeline.trust.intervals import Interval, Spread
from pyraseg.pipeline.trust.quality import Expected, MapSums
from pyraseg.pipeline.trust.unlike import Unlike
from pyraseg.transforms.errors import CheckpointError
from pyraseg.transforms.records import Quantity

__all__ = ["JUDGEMENT", "Judge", "JudgeItems", "Judgement"]

JUDGEMENT = "judgement"  # the item's entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Judgement:
    """Of one image.

    Attributes:
        unlike: its distance from the training data over the distance that is flagged: above 1 it is unlike
            them. None where the checkpoint cannot tell.
        expected_dice: of each class, from 0 to 1; empty where the checkpoint cannot tell.
        flags: the warnings.
    """

    unlike: float | None = None
    expected_dice: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def quality(self) -> float | None:
        """The least expected Dice of a class; None where the checkpoint cannot tell."""
        return min(self.expected_dice.values(), default=None)


@dataclass(frozen=True, eq=False)
class Member:
    """What one checkpoint has learnt; parts that it has not are None or empty."""

    unlike: Unlike | None
    expected: Mapping[str, Expected]
    threshold: float
    quantities: Mapping[str, Spread]
    sizes: Mapping[str, Spread]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Member:
        """Of ``calibration`` in a checkpoint's facts."""
        dice, spreads = facts.get("quality") or {}, facts.get("intervals") or {}
        return cls(
            Unlike.from_facts(facts["unlike"]) if facts.get("unlike") else None,
            {name: Expected(**points) for name, points in dice.get("classes", {}).items()},
            float(dice.get("threshold", -np.inf)),
            *(
                {name: Spread.from_facts(each) for name, each in spreads.get(kind, {}).items()}
                for kind in ("quantities", "sizes")
            ),
        )


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges results by what one checkpoint, or each member of an ensemble, has learnt.

    An ensemble's distance and expected Dice are the means of its members', and its intervals hold all of
    theirs. What a member cannot tell, the ensemble cannot.

    Attributes:
        label_names: the classes, background first.
        members: one for each checkpoint.
    """

    label_names: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()

    @classmethod
    def of(cls, trained: Mapping[str, Any]) -> Judge:
        """Of `trained_facts`.

        Raises:
            CheckpointError: a calibration that no training wrote.

        >>> judge = Judge.of({"label_names": ["background", "kidney"], "calibrations": [{}]})
        >>> judge.judge(None, found=[False]), judge.around("kidney_area", 12.0)
        (Judgement(unlike=None, expected_dice={}, flags=()), None)
        """
        try:
            members = tuple(Member.of(facts) for facts in trained.get("calibrations", ()))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            remedy = "Choose the checkpoint as its training wrote it."
            wanted, found = "a calibration that a training wrote", f"another ({type(error).__name__})"
            raise CheckpointError(wanted, found=found, remedy=remedy) from error
        return cls(tuple(trained["label_names"]), members)

    @property
    def features(self) -> tuple[int, ...]:
        """How many features each member needs of an image; empty where no distance can be told."""
        if any(member.unlike is None for member in self.members):
            return ()
        return tuple(len(member.unlike.mean) for member in self.members if member.unlike is not None)

    def evidence(self, features: np.ndarray, sums: MapSums) -> Evidence:
        """Of all members' features (F,) one after another."""
        parts = np.split(features, np.cumsum(self.features)[:-1]) if self.features else ()
        return Evidence(tuple(parts), sums)

    def judge(self, evidence: Evidence | None, *, found: Sequence[bool]) -> Judgement:
        """Judge one image.

        Args:
            found: whether each class but the background is in the final label map.
        """
        if evidence is None or not self.members:
            return Judgement()
        ratio, dice = self._ratio(evidence.features), self._expected(evidence, found)
        flags = []
        if ratio is not None and ratio > 1:
            flags.append(unlike.FLAG)
        if dice and min(dice.values()) <= float(np.mean([member.threshold for member in self.members])):
            flags.append(quality.FLAG)
        return Judgement(ratio, dice, tuple(flags))

    def _ratio(self, features: Sequence[np.ndarray]) -> float | None:
        ratios = []
        for member, own in zip(self.members, features, strict=False):
            if member.unlike is None or own.shape != member.unlike.mean.shape:
                return None
            ratios.append(float(member.unlike.ratios(own[None].astype(np.float64))[0]))
        return float(np.mean(ratios)) if len(ratios) == len(self.members) else None

    def _expected(self, evidence: Evidence, found: Sequence[bool]) -> dict[str, float]:
        expected, peak = evidence.sums.expected_dice(), evidence.sums.peak
        names = self.label_names[1:]
        if any(set(names) - set(member.expected) for member in self.members):
            return {}
        return {
            name: float(
                np.mean(
                    [
                        m.expected[name].quality(float(expected[k]), float(peak[k]), there)
                        for m in self.members
                    ]
                )
            )
            for k, (name, there) in enumerate(zip(names, found, strict=True), start=1)
        }

    def around(self, quantity: str, value: float | None) -> Interval | None:
        """The interval of a quantity; None without a value, or where the checkpoint has none."""
        return _widest([member.quantities.get(quantity) for member in self.members], value)

    def with_intervals(self, quantities: Sequence[Quantity]) -> tuple[Quantity, ...]:
        """The quantities with their intervals, where the checkpoint has them."""
        known = ((each, self.around(each.name, each.value)) for each in quantities)
        return tuple(q if i is None else replace(q, interval=(i.low, i.high)) for q, i in known)

    def around_size(self, label: str, size: float) -> Interval | None:
        """The interval of a class's `relative_size`."""
        return _widest([member.sizes.get(label) for member in self.members], size)


def _widest(spreads: Sequence[Spread | None], value: float | None) -> Interval | None:
    known = [spread.around(value) for spread in spreads if spread is not None and value is not None]
    if not known or len(known) < len(spreads):
        return None
    return Interval(min(each.low for each in known), max(each.high for each in known))


class JudgeItems:
    """Ignite handler for MONAI's evaluator: adds a `Judgement` to each item's output.

    Args:
        trained: of `trained_facts`.
        decision: how probabilities become labels.

    Attributes:
        judge: the `Judge`.
    """

    def __init__(self, trained: Mapping[str, Any], decision: Decision | None = None) -> None:
        self.judge = Judge.of(trained)
        self._evidence = TakeEvidence(None if decision is None else decision.weights)

    def attach(self, engine: Engine) -> None:
        if any(facts for facts in self.judge.members):
            self._evidence.attach(engine)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._judge)

    def _judge(self, engine: Any) -> None:
        for item in engine.state.output:
            labels = np.asarray(item["pred"].cpu())
            found = [bool((labels == k).any()) for k in range(1, len(self.judge.label_names))]
            item[JUDGEMENT] = self.judge.judge(item.get(EVIDENCE), found=found)
