"""The operating point of each class: a threshold and a smallest size that meet a rule on validation."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import rate_in_words
from pyraseg.pipeline.evaluation.scores import as_labels, source_spacing
from pyraseg.pipeline.inference.clean_up import CleanUpLabels
from pyraseg.pipeline.inference.decision import PLAIN, point_in_words
from pyraseg.pipeline.trust.curve import SIZES, THRESHOLDS, CaseTrace, Curve, trace_case
from pyraseg.pipeline.trust.curve_table import TABLE, write_table
from pyraseg.pipeline.utils.distributed import gather
from pyraseg.pipeline.utils.files import write_json
from pyraseg.pipeline.writers.pictures.operating_curve import draw_operating_curves
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.transforms.errors import ConfigError

__all__ = [
    "OperatingPoints",
    "Rule",
    "choose",
    "curves_of",
    "describe_point",
    "false_rate",
    "in_words",
    "read_rules",
]

RESAMPLES = 2000
EQUAL = 0.005  # rates that differ less are as good as each other
LEAST_GROUPS = 2  # patients that can break a rule: one says nothing of others
KINDS = ("missed", "false_alarms", "false_lesions")
HINT = 'Write for example {"%s": {"false_alarms": 0.10}}; {} for the plain argmax.'
ARGMAX = THRESHOLDS.index(PLAIN), 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """What the operating point of a class must keep on the validation split: ``kind`` at most ``limit``.

    It is held against the share over all cases, not the mean over groups: most groups have few cases that can
    break it, and a single one of them would count as much as all of another group's.

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

    @property
    def needs(self) -> tuple[bool, ...]:
        """Whether it needs cases with the structure, True, or without it: one kind to break it, one to know
        what it costs."""
        return (True, False) if self.kind == "false_alarms" else (True,)


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
        remedy = HINT % label_names[-1]
        raise ConfigError("operating_point as a mapping of classes", found=repr(declared), remedy=remedy)
    rules = {}
    for name, content in (declared or {}).items():
        if name in label_names[1:]:
            rules[name] = _rule(name, content)
        elif name in known[1:]:
            logger.info("this label set has no %s: its operating point is left out", name)
        else:
            wanted = f"operating_point of classes among {', '.join(label_names[1:])}"
            raise ConfigError(wanted, found=f'"{name}"', remedy=HINT % label_names[-1])
    return rules


def _rule(name: str, content: Any) -> Rule:
    if not isinstance(content, Mapping) or len(content) != 1 or not set(content) <= set(KINDS):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else repr(content)
        wanted = f"operating_point of {name} with one of {', '.join(KINDS)}"
        raise ConfigError(wanted, found=found or "nothing", remedy=HINT % name)
    ((kind, limit),) = content.items()
    highest = math.inf if kind == "false_lesions" else 1
    number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if not number or not 0 <= limit <= highest or math.isinf(limit):
        wanted = f"{kind} of {name} of 0 or more" if highest > 1 else f"{kind} of {name} from 0 to 1"
        raise ConfigError(wanted, found=str(limit), remedy=HINT % name)
    return Rule(kind, float(limit))


def _rate(present: bool) -> str:
    """The rate that cases with the structure tell, or those without."""
    return "missed" if present else "false_alarms"


def false_rate(unit: str) -> str:
    """The rate of what is false: of cases in frames, of lesions in volumes."""
    return "false_lesions" if unit == "ml" else "false_alarms"


def choose(curve: Curve, rule: Rule) -> tuple[int, int] | None:
    """The indices of the threshold and of the smallest size that meet a rule; None where none does, and where
    fewer than `LEAST_GROUPS` groups can break it or say what it costs. A point that finds nothing has no
    false alarms; it meets none.

    Among those that meet it the one with the best other rate over the cases; those within `EQUAL` of it are
    as good, and of these the one with the best mean Dice over groups is taken, then the one nearest to the
    argmax, so that a rule which the argmax meets as well as any other point changes nothing.
    """
    if any(np.count_nonzero(curve.counts[_rate(present)]) < LEAST_GROUPS for present in rule.needs):
        return None
    other = np.nan_to_num(curve.over_cases(false_rate(curve.unit) if rule.kind == "missed" else "missed"))
    dice = np.nan_to_num(curve.over_groups("dice"))
    meeting = (curve.over_cases(rule.kind) <= rule.limit + 1e-9) & ((other < 1) | (rule.kind == "missed"))
    best = meeting & (other <= np.min(other, where=meeting, initial=np.inf) + EQUAL)

    def order(at: tuple[int, int]) -> tuple[float, ...]:
        far = abs(math.log(THRESHOLDS[at[0]] / (1 - THRESHOLDS[at[0]])))
        return (-round(float(dice[at]), 4), round(far, 9), at[1])

    return min(((int(i), int(j)) for i, j in np.argwhere(best)), key=order, default=None)


def describe_point(
    curve: Curve, rule: Rule | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """What is found of a class, as plain values for checkpoints and JSON.

    Returns:
        ``unit`` of the sizes, ``groups``, the rates of the ``argmax``, the ``curve`` (see `front`); with a
        rule also ``rule``, ``met`` and, where it is met, ``threshold``, ``smallest`` and their ``rates``.
    """
    bootstrap = {"resamples": resamples, "seed": seed}
    found: dict[str, Any] = {"unit": curve.unit, "groups": len(curve.groups)}
    found |= {"argmax": curve.rates(ARGMAX, **bootstrap), "curve": front(curve)}
    if rule is None:
        return found
    at = choose(curve, rule)
    found |= {"rule": rule.document(), "met": at is not None}
    if at is not None:
        threshold, smallest = THRESHOLDS[at[0]], SIZES[curve.unit][at[1]]
        found |= {"threshold": threshold, "smallest": smallest, "rates": curve.rates(at, **bootstrap)}
    return found


def front(curve: Curve) -> list[dict[str, float | None]]:
    """The points that none beats in both rates over the cases, by rising share of missed; of equals the one
    with the best ``dice`` over groups. A rate that no case can tell is None."""
    false = false_rate(curve.unit)
    rates = {name: curve.over_cases(name) for name in ("missed", false)} | {"dice": curve.over_groups("dice")}
    rates = {name: np.round(np.nan_to_num(rate), 6) for name, rate in rates.items()}
    order = [rates["missed"], rates[false], -rates["dice"]]
    points = sorted(np.ndindex(rates["missed"].shape), key=lambda at: [float(rate[at]) for rate in order])
    kept: list[dict[str, float | None]] = []
    least = math.inf
    for i, j in points:
        if rates[false][i, j] < least:
            least = float(rates[false][i, j])
            values = {n: float(rate[i, j]) if curve.counts[n].any() else None for n, rate in rates.items()}
            kept.append({"threshold": THRESHOLDS[i], "smallest": SIZES[curve.unit][j], **values})
    return kept


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
        documents = {name: rule.document() for name, rule in self.rules.items()}
        self.settings: dict[str, Any] = {"rules": documents, "cleanup": cleanup}
        self.clean_up = None if cleanup is None else CleanUpLabels(self.label_names, **cleanup)
        self.records: list[CaseTrace] = []

    def check(self, items: Any) -> Iterator[str]:
        """Say which rules the validation split cannot meet: they need two groups of each kind of case.

        Args:
            items: the split as a data set; it is looked through, at places spread over it, until enough is
                seen.

        Raises:
            ConfigError: a rule of lesions, and images are frames.
        """
        seen = {(name, present): set[str]() for name, rule in self.rules.items() for present in rule.needs}
        for index in np.random.default_rng(0).permutation(len(items)) if seen else ():
            if all(len(groups) >= LEAST_GROUPS for groups in seen.values()):
                break
            item = items[int(index)]
            labels = as_labels(item["label"])
            self._refuse_lesions(labels.ndim)
            shown = set(np.unique(labels))
            for (name, present), groups in seen.items():
                if (self.label_names.index(name) in shown) is present:
                    groups.add(str(item["group"]))
        for (name, present), groups in seen.items():
            number = len(set().union(*gather(groups)))
            if number < LEAST_GROUPS:
                yield self._cannot(name, present, number)

    def _refuse_lesions(self, axes: int) -> None:
        for name, rule in self.rules.items():
            if rule.kind == "false_lesions" and axes == 2:
                wanted, remedy = f"missed or false_alarms of {name}, as images are frames", HINT % name
                raise ConfigError(wanted, found=rule.kind, remedy=remedy)

    def add(self, item: Mapping[str, Any]) -> None:
        """Trace each class of a case."""
        known: dict[str, Any] = {"label_names": self.label_names, "spacing_mm": source_spacing(item)}
        self.records += [
            trace_case(item, label, clean_up=self.clean_up, **known) for label in self.label_names[1:]
        ]

    def facts(self) -> dict[str, Any]:
        """By class the result of `describe_point`; a line in the log says what became of each rule."""
        found = {curve.label: describe_point(curve, self.rules.get(curve.label)) for curve in self.curves()}
        for name, rule in self.rules.items():
            point = found[name]
            rates = point["rates" if point["met"] else "argmax"]
            groups = {present: rates.get(_rate(present), {}).get("groups", 0) for present in rule.needs}
            lacking = [present for present, number in groups.items() if number < LEAST_GROUPS]
            if point["met"]:
                text = point_in_words(point["threshold"], point["smallest"], unit=point["unit"])
                logger.info("operating point of %s: %s; %s", name, text, in_words(rates))
            elif lacking:
                logger.warning("%s", self._cannot(name, lacking[0], groups[lacking[0]]))
            else:
                logger.warning(
                    "the rule of %s is not met: no point with %s of at most %g finds any of it. It keeps the "
                    "argmax (%s); give a higher limit with --resume true --operating_point, or train longer",
                    *(name, rule.kind.replace("_", " "), rule.limit, in_words(rates)),
                )
        return found

    def curves(self) -> list[Curve]:
        """The curve of each class."""
        return curves_of(self.records)

    def _cannot(self, name: str, present: bool, groups: int) -> str:
        shown = "with it" if present else "without it"
        return (
            f"the rule of {name} ({self.rules[name].kind}) needs validation cases {shown} of {LEAST_GROUPS} "
            f"groups (patients) or more, and there are {groups}: {name} will keep the argmax. "
            "Give validation more patients with pyraseg datalist --fractions"
        )

    def write(self, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """``operating_point.json`` with the facts, the picture of them, and a table by group."""
        return [
            write_json(folder / "operating_point.json", facts),
            write_png(folder / "operating_curve.png", draw_operating_curves(facts)),
            write_table(folder / TABLE, self.curves()),
        ]


def curves_of(traces: Iterable[CaseTrace]) -> list[Curve]:
    """The curve of each class."""
    by_class: dict[str, list[CaseTrace]] = defaultdict(list)
    for trace in traces:
        by_class[trace.label].append(trace)
    return [Curve.of(members) for members in by_class.values()]


def in_words(rates: Mapping[str, Mapping[str, Any]]) -> str:
    """Rates over cases with their intervals in a line, over groups beside them.

    >>> in_words({"missed": {"mean": 0.1, "low": 0.02, "high": 0.2, "over_groups": 0.4}})
    'missed 0.100 (0.020 to 0.200), over groups 0.400'
    """
    return "; ".join(f"{name.replace('_', ' ')} {rate_in_words(rate)}" for name, rate in rates.items())
