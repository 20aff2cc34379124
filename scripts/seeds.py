"""Several seeds of two recipes, case by case: python scripts/seeds.py --a RUN/test ... --b RUN/test ...
[--label NAME]

Each folder is one `run evaluating`'s, on the same split. A case's score is its mean over the seeds; intervals
are 95 % percentiles of a bootstrap over groups; the difference a - b is taken case by case before the
bootstrap.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import estimate

SCORES = (
    "dice",
    "iou",
    "hd95",
    "assd",
    "surface_dice",
    "sensitivity",
    "precision",
    "missed",
    "false_positive",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--a", nargs="+", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--b", nargs="+", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--label", default="hydronephrosis")
    arguments = parser.parse_args()
    for score in SCORES:
        a, b = (mean_over_seeds(folders, arguments.label, score) for folders in (arguments.a, arguments.b))
        print(f"{score:15}", *(row(cases) for cases in (a, b, difference(a, b)) if cases), sep="  |  ")


def mean_over_seeds(folders: list[Path], label: str, score: str) -> dict[tuple[str, str], float]:
    """The mean of a score by (case, group), where every seed has it."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for folder in folders:
        with open(folder / "cases.csv") as file:
            for case in csv.DictReader(file):
                if case["class"] == label and defined(case, score):
                    values[case["case"], case["group"]].append(float(case[score]))
    return {case: float(np.mean(given)) for case, given in values.items() if len(given) == len(folders)}


def defined(case: dict[str, str], score: str) -> bool:
    """Rates are over the cases that have the structure (missed) or have it not (false_positive)."""
    present = int(case["reference_pixels"]) > 0
    return case[score] != "" and {"missed": present, "false_positive": not present}.get(score, True)


def difference(
    a: dict[tuple[str, str], float], b: dict[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    return {case: a[case] - b[case] for case in a.keys() & b.keys()}


def row(cases: dict[tuple[str, str], float]) -> str:
    ordered = sorted(cases)
    e = estimate([cases[case] for case in ordered], [group for _, group in ordered], resamples=10_000)
    return (
        f"groups {e.group_mean:.3f} [{e.low:.3f}, {e.high:.3f}]  frames {e.frame_mean:.3f} "
        f"[{e.frame_low:.3f}, {e.frame_high:.3f}]  median {e.median:.3f}  ({e.groups} groups, {e.cases} frames)"
    )


if __name__ == "__main__":
    main()
