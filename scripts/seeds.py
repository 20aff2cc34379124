"""Compare two recipes that were trained with several seeds, case by case.

    python scripts/seeds.py --a RUN/test ... --b RUN/test ... [--label NAME]

Each folder holds one `run evaluating`, all on the same split. A case's score is its mean over the seeds.
Intervals are 95 % percentiles of a bootstrap over groups. The difference a - b is taken case by case, before
the bootstrap.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import estimate

SCORES = ("dice", "iou", "hd95", "assd", "surface_dice", "sensitivity", "precision")
RATES = ("missed", "false_positive")

Cases = dict[tuple[str, str], float]  # a score by (case, group)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--a", nargs="+", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--b", nargs="+", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--label", default="hydronephrosis")
    arguments = parser.parse_args()
    for score in (*SCORES, *RATES):
        a, b = (mean_over_seeds(folders, arguments.label, score) for folders in (arguments.a, arguments.b))
        difference = {case: a[case] - b[case] for case in a.keys() & b.keys()}
        print(f"{score:15}", *(describe(cases) for cases in (a, b, difference) if cases), sep="  |  ")


def mean_over_seeds(folders: list[Path], label: str, score: str) -> Cases:
    """The mean of a score, where every seed has it."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for folder in folders:
        with open(folder / "cases.csv") as file:
            for case in csv.DictReader(file):
                if case["class"] == label and is_defined(case, score):
                    values[case["case"], case["group"]].append(float(case[score]))
    return {case: float(np.mean(scores)) for case, scores in values.items() if len(scores) == len(folders)}


def is_defined(case: dict[str, str], score: str) -> bool:
    """Rates are over the cases that have the structure (missed) or have it not (false_positive)."""
    present = int(case["reference_pixels"]) > 0
    return case[score] != "" and {"missed": present, "false_positive": not present}.get(score, True)


def describe(cases: Cases) -> str:
    ordered = sorted(cases)
    e = estimate([cases[case] for case in ordered], [group for _, group in ordered], resamples=10_000)
    return (
        f"groups {e.group_mean:.3f} [{e.low:.3f}, {e.high:.3f}]  "
        f"frames {e.frame_mean:.3f} [{e.frame_low:.3f}, {e.frame_high:.3f}]  "
        f"median {e.median:.3f}  ({e.groups} groups, {e.cases} frames)"
    )


if __name__ == "__main__":
    main()
