"""The part on training efficiency in words: what it is about, what weakens it, and its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from pyraseg.pipeline.comparison.present.table import Table
from pyraseg.pipeline.comparison.present.wording import NONE, number, pair
from pyraseg.pipeline.comparison.statistics.efficiency import SHARE, ArmEfficiency, Efficiency, Learned, Steps
from pyraseg.pipeline.comparison.statistics.metrics import decimals

__all__ = ["LEVEL", "efficiency_tables", "lead", "remarks", "target_name"]

LEVEL = f"{SHARE:.0%}".replace("%", " %")
DICE = decimals("dice")
NEVER = "never"


def lead(efficiency: Efficiency, *, split: str) -> str:
    """Of what, and that it is another split than ``split``, which is compared; or that there is nothing to
    show."""
    if not efficiency.arms:
        return "Absent: no run has a training with a curve of validations. The reasons stand below."
    other = "" if split == "validation" else f", not on the {split} split of the rest of this comparison"
    return (
        f"Mean Dice on the validation split during training{other}: it says how fast an arm learns, and not how good "
        "it is. There are no p-values: the unit here is the seed, and there are few of them."
    )


def target_name(efficiency: Efficiency) -> str:
    """The level that all arms are measured against."""
    return f"{LEVEL} of the final of “{efficiency.baseline}”"


def remarks(efficiency: Efficiency) -> Iterator[str]:
    """What a reader has to know before comparing the arms' steps."""
    arms = efficiency.arms
    if len({run.curve.interval for arm in arms for run in arm.runs}) > 1:
        apart = _each(arms, lambda arm: _range(arm.intervals))
        yield (
            f"The validations lie apart by different numbers of steps ({apart}): where they are rarer, a level is seen "
            "later."
        )
    if len({run.curve.length for arm in arms for run in arm.runs}) > 1:
        ends = _each(arms, lambda arm: _range(arm.lengths))
        yield (
            f"The trainings end after different numbers of steps ({ends}): their finals are not of one step, and a "
            "learning rate that falls towards a planned end falls at another pace."
        )
    if len({_batch(run) for arm in arms for run in arm.runs}) > 1:
        yield "The trainings differ in the size of their batches: a step of one sees more frames than another's."
    if arms and not math.isfinite(efficiency.target):
        yield f"No arm is measured against “{efficiency.baseline}”, which has no curve."
    for arm in arms:
        yield from _of_arm(arm, efficiency)


def _of_arm(arm: ArmEfficiency, efficiency: Efficiency) -> Iterator[str]:
    if len(arm.runs) < arm.of:
        yield f"“{arm.arm}”: {arm.of - len(arm.runs)} of {arm.of} trainings have no curve and are left out."
    yield from _never(arm, arm.own, f"{LEVEL} of their own final")
    if math.isfinite(efficiency.target):
        yield from _never(arm, arm.target, target_name(efficiency))
    low = sum(run.curve.final < SHARE * run.curve.dice.max() for run in arm.runs)
    if low:
        said = f"{low} of {len(arm.runs)} runs end below {LEVEL} of their own best validation"
        yield f"“{arm.arm}”: {said}, so {LEVEL} of their own final was easy to reach."
    first = sum(run.curve.steps[0] in (run.own, run.target) for run in arm.runs)
    if first:
        said = f"{first} of {len(arm.runs)} runs reach a level at their first validation"
        yield f"“{arm.arm}”: {said}; how much earlier they did, nobody looked."


def _never(arm: ArmEfficiency, steps: Steps, level: str) -> Iterator[str]:
    if steps.never:
        rest = "" if steps.never == steps.runs else " The mean is that of the others, which flatters the arm."
        yield f"“{arm.arm}”: {steps.never} of {steps.runs} runs never reach {level}.{rest}"


def _each(arms: Sequence[ArmEfficiency], said: Callable[[ArmEfficiency], str]) -> str:
    return ", ".join(f"“{arm.arm}”: {said(arm)}" for arm in arms)


def _range(limits: tuple[float, float]) -> str:
    return number(limits[0], 0) if limits[0] == limits[1] else pair(limits, 0)


def _batch(learned: Learned) -> tuple[str | None, str | None]:
    settings = learned.run.settings
    return settings.get("batch_size"), settings.get("accumulation_steps")


def efficiency_tables(efficiency: Efficiency) -> list[Table]:
    """Of the arms, of each training, and of the runs that have no curve."""
    left_out = Table("Without a curve", ("arm", "run", "reason"), efficiency.left_out, texts=3)
    return [_arms(efficiency), _trainings(efficiency), left_out]


def _arms(efficiency: Efficiency) -> Table:
    levels = (f"steps to {LEVEL} of own final", f"steps to {target_name(efficiency)}")
    columns = (
        *("arm", "runs", "final Dice ↑", "SD over seeds"),
        *(column for level in levels for column in (f"{level} ↓", "min to max", NEVER)),
        *("validated every … steps", "steps in all"),
    )
    rows = tuple(
        (
            *(arm.arm, str(len(arm.runs)), number(arm.final, DICE), number(arm.final_sd, DICE)),
            *_steps(arm.own),
            *(_steps(arm.target) if math.isfinite(efficiency.target) else (NONE, NONE, NONE)),
            *(_range(arm.intervals), _range(arm.lengths)),
        )
        for arm in efficiency.arms
    )
    note = (
        "Steps of the optimiser before the first validation that reaches the level, the mean over the runs that do; "
        "“never” counts the others. A figure is right to the interval between validations: the level was reached in "
        "that interval or at its end. Final is the last validation, and not the best."
    )
    return Table("", columns, rows, texts=1, note=note)


def _steps(steps: Steps) -> tuple[str, str, str]:
    return number(steps.mean, 0), pair((steps.least, steps.most), 0), f"{steps.never} of {steps.runs}"


def _trainings(efficiency: Efficiency) -> Table:
    levels = (f"steps to {LEVEL} of own final", f"steps to {target_name(efficiency)}")
    columns = (
        "arm",
        "training",
        "final Dice",
        *levels,
        "validations",
        "validated every … steps",
        "steps in all",
    )
    known = math.isfinite(efficiency.target)
    rows = tuple(
        (
            *(arm.arm, each.run.label, number(each.curve.final, DICE), _step(each.own)),
            *(_step(each.target) if known else NONE, str(len(each.curve.steps))),
            *(number(each.curve.interval, 0), number(each.curve.length, 0)),
        )
        for arm in efficiency.arms
        for each in arm.runs
    )
    return Table("Each training", columns, rows, texts=2)


def _step(value: float) -> str:
    return number(value, 0) if math.isfinite(value) else NEVER
