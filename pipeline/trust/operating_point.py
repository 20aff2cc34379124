"""The operating point of each class: a threshold and a smallest size that meet a rule on validation."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.evaluation.scores import source_spacing
from pyraseg.pipeline.inference.clean_up import CleanUpLabels
from pyraseg.pipeline.inference.decision import PLAIN
from pyraseg.pipeline.trust.curve import SIZES, THRESHOLDS, CaseTrace, Curve, trace_case
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import ConfigError

__all__ = ["OperatingPoints", "Rule", "choose", "read_rules"]

RESAMPLES = 2000
KINDS = ("missed", "false_alarms", "false_lesions")
HINT = 'Write for example {"hydronephrosis": {"false_alarms": 0.10}}; {} for the plain argmax.'
ARGMAX = THRESHOLDS.index(PLAIN), 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """What the operating point of a class must keep on the validation split: ``kind`` at most ``limit``.

    Attributes:
        kind: "missed": the share of cases with the structure in which nothing is predicted, in volumes the
            share of lesions that are not detected. "false_alarms": the share of cases without the structure
            in which something is. "false_lesions": false lesions in a case, for volumes.
    """

    kind: str
    limit: float

    def document(self) -> dict[str, float]:
        """As in a bundle's metadata."""
        return {self.kind: self.limit}


def read_rules(
    declared: Mapping[str, Any] | None, *, label_names: Sequence[str], known: Sequence[str]
) -> dict[str, Rule]:
    """The rules by class; one for a known class that the label set lacks is left out, with a line in the log.

    Args:
        declared: ``{"hydronephrosis": {"false_alarms": 0.10}}``, or ``{"missed": 0.05}``; None or empty for
            none.
        label_names: of the training.
        known: the bundle's classes.

    Raises:
        ConfigError: an unknown class or key, several keys, or a limit outside 0 to 1.

    >>> read_rules({"fluid": {"missed": 0.05}}, label_names=["background", "fluid"], known=[])
    {'fluid': Rule(kind='missed', limit=0.05)}
    """
    if not isinstance(declared or {}, Mapping):
        raise ConfigError("operating_point as a mapping of classes", found=repr(declared), remedy=HINT)
    rules = {}
    for name, content in (declared or {}).items():
        if name in label_names[1:]:
            rules[name] = _rule(name, content)
        elif name in known[1:]:
            logger.info("this label set has no %s: its operating point is left out", name)
        else:
            wanted = f"operating_point of classes among {', '.join(label_names[1:])}"
            raise ConfigError(wanted, found=f'"{name}"', remedy=HINT)
    return rules


def _rule(name: str, content: Any) -> Rule:
    if not isinstance(content, Mapping) or len(content) != 1 or not set(content) <= set(KINDS):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else repr(content)
        wanted = f"operating_point of {name} with one of {', '.join(KINDS)}"
        raise ConfigError(wanted, found=found or "nothing", remedy=HINT)
    ((kind, limit),) = content.items()
    highest = math.inf if kind == "false_lesions" else 1
    number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if not number or not 0 <= limit <= highest or math.isinf(limit):
        wanted = f"{kind} of {name} of 0 or more" if highest > 1 else f"{kind} of {name} from 0 to 1"
        raise ConfigError(wanted, found=str(limit), remedy=HINT)
    return Rule(kind, float(limit))


def choose(curve: Curve, rule: Rule) -> tuple[int, int] | None:
    """The indices of the threshold and of the smallest size that meet a rule; None where none does.

    Among those that meet it the one with the best other rate; ties by mean Dice, then by nearness to the
    argmax, so that a rule which the argmax meets as well as any other point changes nothing.
    """
    kept = curve.mean(rule.kind)
    if not np.isfinite(kept).any():
        return None
    false = "false_lesions" if curve.unit == "ml" else "false_alarms"
    other = np.nan_to_num(curve.mean(false if rule.kind == "missed" else "missed"))
    dice = np.nan_to_num(curve.mean("dice"))
    meeting = [(int(i), int(j)) for i, j in np.argwhere(kept <= rule.limit + 1e-9)]

    def order(at: tuple[int, int]) -> tuple[float, ...]:
        far = abs(math.log(THRESHOLDS[at[0]] / (1 - THRESHOLDS[at[0]])))
        return (round(float(other[at]), 9), -round(float(dice[at]), 4), round(far, 9), at[1])

    return min(meeting, key=order, default=None)


class OperatingPoints:
    """The calibrator that finds the operating points; see `Calibration`.

    Args:
        rules: by class, as `read_rules` takes them: what each operating point must keep. A class without one
            has a curve and stays with the argmax.
        label_names: of the training.
        segments: the bundle's classes, whose rules a training without them passes over.
        cleanup: options of `CleanUpLabels`, or None, as in the postprocessing.

    Raises:
        ConfigError: as `read_rules`.
    """

    name = "operating_point"
    uses_point = False

    def __init__(
        self,
        rules: Mapping[str, Any] | None,
        *,
        label_names: Sequence[str],
        segments: Sequence[Mapping[str, Any]],
        cleanup: Mapping[str, Any] | None,
    ) -> None:
        self.label_names = list(label_names)
        known = [str(segment.get("name")) for segment in segments]
        self.rules = read_rules(rules, label_names=self.label_names, known=known)
        self.settings = {name: rule.document() for name, rule in self.rules.items()} | {"cleanup": cleanup}
        self.clean_up = None if cleanup is None else CleanUpLabels(self.label_names, **cleanup)
        self.records: list[CaseTrace] = []

    def check(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Say which rules the validation split cannot meet: a class that is nowhere, or everywhere."""

    def add(self, item: Mapping[str, Any]) -> None:
        """Trace each class of a case."""
        spacing = source_spacing(item)
        known: dict[str, Any] = {"label_names": self.label_names, "clean_up": self.clean_up}
        self.records += [
            trace_case(item, label, spacing_mm=spacing, **known) for label in self.label_names[1:]
        ]

    def facts(self) -> dict[str, Any]:
        """By class: the curve, the argmax's rates, and the point that meets the rule, if there is one."""
        return {name: self._class(curve) for name, curve in self.curves().items()}

    def curves(self) -> dict[str, Curve]:
        """The curve of each class."""
        labels = dict.fromkeys(trace.label for trace in self.records)
        return {name: Curve.of(t for t in self.records if t.label == name) for name in labels}

    def _class(self, curve: Curve) -> dict[str, Any]:
        return describe_point(curve, self.rules.get(curve.label))

    def write(self, folder: Path) -> list[Path]:
        """``operating_point.json``."""
        path = folder / "operating_point.json"
        with atomic_write(path, "w") as file:
            file.write(json.dumps(self.facts(), indent=1, allow_nan=False) + "\n")
        return [path]


def describe_point(curve: Curve, rule: Rule | None) -> dict[str, Any]:
    """The entry of a class in a checkpoint's facts."""
    found: dict[str, Any] = {"unit": curve.unit, "groups": len(curve.groups)}
    found |= {"argmax": curve.rates(ARGMAX, resamples=RESAMPLES), "curve": front(curve)}
    if rule is None:
        return found
    at = choose(curve, rule) if len(curve.groups) > 1 else None
    found |= {"rule": rule.document(), "met": at is not None}
    if at is not None:
        threshold, smallest = THRESHOLDS[at[0]], SIZES[curve.unit][at[1]]
        found |= {"threshold": threshold, "smallest": smallest}
        found["rates"] = curve.rates(at, resamples=RESAMPLES)
    return found


def front(curve: Curve) -> list[dict[str, float]]:
    """The points that no other one beats in both rates, by falling share of missed."""
    false = "false_lesions" if curve.unit == "ml" else "false_alarms"
    rates = {name: np.round(np.nan_to_num(curve.mean(name)), 6) for name in ("missed", false, "dice")}
    points = sorted(np.ndindex(rates["missed"].shape), key=lambda at: (rates["missed"][at], rates[false][at]))
    kept: list[dict[str, float]] = []
    for i, j in points:
        values = {name: float(rate[i, j]) for name, rate in rates.items()}
        if not kept or values[false] < kept[-1][false]:
            kept.append({"threshold": THRESHOLDS[i], "smallest": SIZES[curve.unit][j], **values})
    return kept
