"""From probabilities to classes: the plain argmax, or the operating points that a checkpoint brings along."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from torch import Tensor, tensor

from pyraseg.transforms.errors import CheckpointError, ConfigError

__all__ = [
    "ARGMAX",
    "PLAIN",
    "PLAINLY",
    "TRAINED",
    "WEAK",
    "Decision",
    "OperatingPoint",
    "class_weights",
    "decide",
    "point_in_words",
]

PLAIN = 0.5  # the threshold of the argmax
ARGMAX, TRAINED = "argmax", "trained"  # values of --operating_point, beside a mapping
WEAK = 128  # added to a class in a label map, where it has not reached its threshold
UNITS = {2: "frame", 3: "ml"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OperatingPoint:
    """Where a class is taken to be there.

    Attributes:
        threshold: a probability. Up to 0.5 the class's mask is all pixels above it. Above 0.5 the mask is the
            argmax's, and a component stays if one of its pixels is above it (hysteresis): so a higher
            threshold drops structures and does not shrink those that stay. That is so where there is one
            other class; of several see `class_weights`.
        smallest: its smallest component, as a fraction of a frame, or in ml of a volume; 0 keeps all.

    Raises:
        ConfigError: a threshold that is not between 0 and 1, or a smallest size below 0.
    """

    threshold: float = PLAIN
    smallest: float = 0.0

    def __post_init__(self) -> None:
        if not _is_number(self.threshold) or not 0 < self.threshold < 1:
            remedy = "Give a probability, for example 0.6; 0.5 is the plain argmax."
            raise ConfigError("a threshold between 0 and 1", found=f"{self.threshold}", remedy=remedy)
        if not _is_number(self.smallest) or not 0 <= self.smallest < float("inf"):
            remedy = "Give a fraction of the frame, or ml of a volume; 0 keeps every component."
            raise ConfigError("a smallest size of 0 or more", found=f"{self.smallest}", remedy=remedy)


@dataclass(frozen=True)
class Decision:
    """How probabilities become labels: the operating points by class; the others follow the argmax.

    Raises:
        ConfigError: a threshold above 0.5 with more classes than `WEAK`.

    >>> decision = Decision(("background", "fluid"), {"fluid": OperatingPoint(0.8, 0.002)})
    >>> str(decision)
    'fluid peak above 0.8, from 0.002 (frame)'
    """

    label_names: tuple[str, ...] = ()
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    axes: int = 2

    def __post_init__(self) -> None:
        if self.seeds is not None and len(self.label_names) > WEAK:
            remedy = "Use --operating_point argmax, or a threshold up to 0.5."
            wanted = f"at most {WEAK} classes for a threshold above {PLAIN}"
            raise ConfigError(wanted, found=str(len(self.label_names)), remedy=remedy)

    @property
    def weights(self) -> Tensor | None:
        """Of the masks, see `class_weights`: thresholds above 0.5 leave the argmax's."""
        capped = {name: min(point.threshold, PLAIN) for name, point in self.points.items()}
        return class_weights(capped, self.label_names)

    @property
    def seeds(self) -> Tensor | None:
        """The weights with which a class must win in one pixel of a component that stays; None: all stay."""
        thresholds = {name: point.threshold for name, point in self.points.items()}
        higher = max(thresholds.values(), default=PLAIN) > PLAIN
        return class_weights(thresholds, self.label_names) if higher else None

    @property
    def smallest(self) -> dict[str, float]:
        """The smallest size by class, for those that have one."""
        return {name: point.smallest for name, point in self.points.items() if point.smallest}

    def __str__(self) -> str:
        """In words, for reports and objects; of the plain argmax "argmax"."""
        unit = UNITS[self.axes]
        words = {n: point_in_words(p.threshold, p.smallest, unit=unit) for n, p in self.points.items()}
        return "; ".join(f"{name} {point}" for name, point in words.items()) or ARGMAX


PLAINLY = Decision()  # the argmax, whatever the classes


def point_in_words(threshold: float, smallest: float = 0.0, *, unit: str) -> str:
    """What must be above the threshold, each pixel or the largest probability of a component, and its size.

    >>> point_in_words(0.3, unit="frame"), point_in_words(0.8, 0.002, unit="frame")
    ('above 0.3', 'peak above 0.8, from 0.002 (frame)')
    """
    size = f", from {smallest:g} ({unit})" if smallest else ""
    return f"{'peak ' if threshold > PLAIN else ''}above {threshold:g}{size}"


def class_weights(thresholds: Mapping[str, float], label_names: Sequence[str]) -> Tensor | None:
    """The factors (K,) of the classes' probabilities before the argmax; None where all are 1.

    A class with the threshold t has (1 - t) / t. So of two classes it wins where its probability is above t;
    of several, where its odds against the best other one are above t / (1 - t). Pixel by pixel this is the
    decision of least expected cost where missing it costs (1 - t) / t times as much as a false alarm (Elkan,
    The foundations of cost-sensitive learning, IJCAI 2001).

    >>> class_weights({"fluid": 0.8}, ["background", "fluid"])
    tensor([1.0000, 0.2500])
    """
    weights = [1.0] * len(label_names)
    for name, threshold in thresholds.items():
        weights[list(label_names).index(name)] = (1 - threshold) / threshold
    return None if set(weights) <= {1.0} else tensor(weights)


def decide(chosen: str | Mapping[str, Any] | None, trained: Mapping[str, Any]) -> Decision:
    """The operating points that are used.

    Args:
        chosen: "trained": the checkpoint's, as far as its rules were met; "argmax" or None: none; or a
            mapping, ``{"hydronephrosis": {"threshold": 0.6, "smallest": 0.002}}``.
        trained: of `trained_facts`.

    Raises:
        ConfigError: another value, an unknown class or key, a threshold or a size out of its range.
        CheckpointError: the members of an ensemble have different operating points.

    >>> facts = {"label_names": ["background", "fluid"], "input_size": [64, 64], "calibrations": [{}]}
    >>> str(decide({"fluid": {"threshold": 0.6}}, facts)), str(decide("trained", facts))
    ('fluid peak above 0.6', 'argmax')
    """
    names, axes = tuple(trained["label_names"]), len(trained["input_size"])
    if chosen in (None, ARGMAX):
        return Decision(names, {}, axes)
    if isinstance(chosen, Mapping):
        points = {name: _given(name, each, label_names=names, axes=axes) for name, each in chosen.items()}
        return Decision(names, points, axes)
    if chosen != TRAINED:
        remedy = "Write for example \"{'hydronephrosis':{'threshold':0.6}}\"."
        wanted = f"--operating_point {TRAINED}, {ARGMAX} or a mapping of classes"
        raise ConfigError(wanted, found=repr(chosen), remedy=remedy)
    members = [_stored(each, names) for each in trained.get("calibrations", ())] or [{}]
    if any(_met(member) != _met(members[0]) for member in members):
        found = " and ".join(dict.fromkeys(str(Decision(names, _met(each), axes)) for each in members))
        remedy = (
            "Name the folder of the cross-validation, which has a common one once all folds are done, or "
            "give --operating_point: argmax, or a mapping."
        )
        raise CheckpointError("members of one operating point", found=found, remedy=remedy)
    for name in (name for name, point in members[0].items() if point is None):
        logger.warning("no point was found for the rule of %s: it follows the argmax", name)
    decision = Decision(names, _met(members[0]), axes)
    if decision.points:
        logger.info("operating point: %s", decision)
    return decision


def _met(points: Mapping[str, OperatingPoint | None]) -> dict[str, OperatingPoint]:
    return {name: point for name, point in points.items() if point is not None}


def _given(name: str, content: Any, *, label_names: Sequence[str], axes: int) -> OperatingPoint:
    if name not in label_names[1:]:
        wanted, remedy = f"classes among {', '.join(label_names[1:])}", "Correct --operating_point."
        raise ConfigError(wanted, found=f'"{name}"', remedy=remedy)
    keys = set(OperatingPoint.__dataclass_fields__)
    if not isinstance(content, Mapping) or not set(content) <= keys:
        wanted = f"an operating point of {' and '.join(sorted(keys))} for {name}"
        remedy = "Give for example {'threshold':0.6,'smallest':0.002}, or argmax; rules are for a training."
        raise ConfigError(wanted, found=repr(content), remedy=remedy)
    point = OperatingPoint(**content)
    if axes == 2 and point.smallest > 1:
        wanted, remedy = "a smallest size from 0 to 1, a fraction of the frame", "Correct --operating_point."
        raise ConfigError(wanted, found=f"{point.smallest:g}", remedy=remedy)
    return point


class _Found(BaseModel):
    """What is used of a class's entry in a checkpoint; the rest, such as its curve, is for people."""

    met: bool = False
    threshold: float = PLAIN
    smallest: float = 0.0
    rule: dict[str, float] = {}


def _stored(calibration: Mapping[str, Any], label_names: Sequence[str]) -> dict[str, OperatingPoint | None]:
    """The operating points that a checkpoint has found; None for a rule that none meets."""
    points: dict[str, OperatingPoint | None] = {}
    try:
        for name, content in dict(calibration.get("operating_point", {})).items():
            found = _Found.model_validate(content)
            if found.met and name in label_names[1:]:
                points[name] = OperatingPoint(found.threshold, found.smallest)
            elif found.rule:
                points[name] = None
    except (ValidationError, ConfigError, ValueError, TypeError) as error:
        remedy = "Choose another checkpoint: this one was changed since its training; or use the argmax."
        wanted = "a checkpoint's operating_point"
        raise CheckpointError(wanted, found="another kind of value", remedy=remedy) from error
    return points


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
