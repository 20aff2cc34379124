"""Broken files through ``predict``: each ends as a result, as a failure or as left out, and the batch never
stops."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.fuzz.targets import write_seeds
from tests.mutations import mutate
from tests.pipeline.prediction.batch import Batch, files_of, result_of
from tests.pipeline.prediction.runs import write_checkpoint
from tests.torture.copies import copies

__all__ = ["run"]

LISTED = 40


def run(folder: Path, count: int, seed: int) -> tuple[str, list[str]]:
    """Predict ``count`` mutated files; the table of outcomes and whatever broke a promise."""
    images, faults = folder / "images", []
    images.mkdir()
    seeds = write_seeds("frame", folder / "seeds")
    for kind, seed_file in enumerate(seeds):
        for number, copy in copies(seed_file.read_bytes(), range(kind, count, len(seeds))):
            (images / f"{seed_file.name}-{number:05d}.dcm").write_bytes(mutate(copy, f"{seed}/{number}"))
    batch = Batch((images,), write_checkpoint(folder / "weights.pt"))
    with batch.started(folder / "out", "--item-timeout", "60") as process:
        said, errors = process.communicate()
    if process.returncode != 1 or errors.count("\n") > 2:
        faults.append(f"status {process.returncode}: {errors[-2000:]}")
    found = result_of(folder / "out")
    named = Counter(files_of(found.results) + files_of(found.failures) + files_of(found.left_out))
    there = [path.name for path in images.iterdir()]
    faults += [f"{name} is in {named[name]} tables" for name in there if named[name] != 1]
    reasons = Counter(_plain(row["reason"]) for row in found.failures)
    reasons.update("left out: " + _plain(row["reason"]) for row in found.left_out)
    lines = [
        f"| a result | {len(found.results)} |",
        *(f"| {r} | {n} |" for r, n in reasons.most_common(LISTED)),
    ]
    rest = sum(reasons.values()) - sum(number for _, number in reasons.most_common(LISTED))
    lines += [f"| {len(reasons) - LISTED} other reasons | {rest} |"] if rest else []
    end = "\n".join(f"    {line}" for line in said.splitlines()[-2:])
    return "\n".join(["| outcome | files |", "| --- | --- |", *lines, "", end]), faults


def _plain(reason: str) -> str:
    """Without what is this file's own."""
    return re.sub(
        r"'[^']*'|\"[^\"]*\"", "...", re.sub(r"[\d.]+", "N", re.sub(r"\bc[0-9a-f]{12}\b", "C", reason))
    ).replace("|", "/")
