"""Check that runs may be compared: same cases, groups and reference, and no run was trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pyraseg.pipeline.comparison.read.artifacts import damage_of
from pyraseg.pipeline.comparison.read.runs import Run
from pyraseg.pipeline.comparison.statistics.metrics import row_values
from pyraseg.transforms.errors import DatalistError, InputError

__all__ = ["require_comparable", "require_table"]

Key = tuple[str, str, str]  # case, group, class
NEEDED = {
    "case",
    "group",
    "class",
    "dice",
    "reference_pixels",
    "predicted_pixels",
    "missed",
    "false_positive",
}


def require_comparable(runs: Sequence[Run], *, split: str = "test") -> None:
    """Check that runs measured the same classes, cases and reference, and were not trained on them.

    The message names the runs as their user named them.

    Raises:
        DatalistError: test cases differ, a run was trained on a group it is measured on, or only one case.
        InputError: a table lacks the columns of an evaluation, or repeats a row.
    """
    for run in runs:
        require_table(run)
    # The pixels of each class in each case's reference: another mask of the same case is another test.
    first, *others = [
        {(row["case"], row["group"], row["class"]): row["reference_pixels"] for row in run.scores}
        for run in runs
    ]
    differing = [(run, keys) for run, keys in zip(runs[1:], others, strict=True) if keys != first]
    if differing:
        raise _other_cases(runs[0], first, differing)
    if len({case for case, _, _ in first}) < 2:
        remedy = "Evaluate on a split with more cases."
        raise DatalistError("at least two test cases", found="one", remedy=remedy)
    _refuse_seen(runs, {group for _, group, _ in first}, split=split)


def require_table(run: Run) -> None:
    """Check that a run's ``cases.csv`` is one of an evaluation.

    Raises:
        InputError: it lacks columns, holds what is no number, or repeats a row.
    """
    remedy = "Evaluate the checkpoint again, or leave the run out with --runs."
    missing = sorted(NEEDED - set(run.scores[0])) if run.scores else ["any row"]
    if missing:
        found = f"one of {run.name!r} without {', '.join(missing)}"
        raise InputError("the cases.csv of an evaluation", found=found, remedy=remedy)
    with damage_of("cases.csv", run.name):
        for row in run.scores:
            row_values(row)
    twice = sum(count > 1 for count in Counter((row["case"], row["class"]) for row in run.scores).values())
    if twice:
        found = f"{twice} twice in {run.name!r}"
        raise InputError("each case and class once in cases.csv", found=found, remedy=remedy)


def _other_cases(
    first: Run, known: dict[Key, str], differing: Sequence[tuple[Run, dict[Key, str]]]
) -> DatalistError:
    parts = []
    for run, keys in differing[:5]:
        ours, theirs = ({key[:2] for key in each} for each in (known, keys))
        if ours != theirs:
            new, gone = len(theirs - ours), len(ours - theirs)
            what = f"{new} of its cases are not there, {gone} of the other's not in it"
        elif set(known) != set(keys):
            what = "the classes are others"
        else:
            number = sum(known[key] != keys[key] for key in known)
            what = f"the reference of {number} cases and classes is another"
        parts.append(f"{_both_names(run)}: {what}")
    more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
    return DatalistError(
        f"runs measured on the same cases as {_both_names(first)}",
        found="; ".join(parts) + more,
        remedy="Evaluate all of them on one datalist, with one hash key, or choose others with --runs.",
    )


def _both_names(run: Run) -> str:
    """One training may have evaluations on several data sets."""
    return repr(run.label) if run.trained_by in ("", run.name) else f"{run.name!r} of {run.label!r}"


def _refuse_seen(runs: Sequence[Run], measured: set[str], *, split: str) -> None:
    """Refuse runs that were trained on measured cases, unless asked for, or chosen by them.

    The validation split chooses networks; that of another datalist may be part of a run's training data.
    """
    if split == "training":
        return
    chosen_by_it = split == "validation"
    for run in runs:
        number = len((run.data.trained_on if chosen_by_it else run.data.groups) & measured)
        if number:
            how = "training" if chosen_by_it else "training or validation"
            raise DatalistError(
                f"{split} groups that no run has seen in {how}",
                found=f"{number} of {len(measured)} that {run.label!r} has seen",
                remedy="Compare trainings that hold out the same groups, or choose others with --runs.",
            )
