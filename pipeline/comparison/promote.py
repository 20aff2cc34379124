"""Put a network into use: the alias of a registered model moves only where a comparison shows it may."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
)

from pyraseg.pipeline.comparison.claims import Promotion, claimed, finish, is_pending, versions
from pyraseg.pipeline.comparison.compare import compare
from pyraseg.pipeline.comparison.present.pictures import side_by_side
from pyraseg.pipeline.comparison.present.wording import ALPHA, interval_text, p_text, signed, spaced
from pyraseg.pipeline.comparison.read.candidate import Candidate, find_candidate
from pyraseg.pipeline.comparison.read.runs import Run
from pyraseg.pipeline.comparison.read.store import open_store
from pyraseg.pipeline.comparison.run import PAGE, lines, require_free, write_comparison
from pyraseg.pipeline.comparison.statistics.metrics import higher_is_better, title
from pyraseg.pipeline.comparison.statistics.results import Comparison, Difference
from pyraseg.pipeline.comparison.statistics.tests import LEAST_GROUPS
from pyraseg.pipeline.tracking.logged_model import TRAINED
from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.registry import (
    StoredCheckpoint,
    fetch_checkpoint,
    find_checkpoint,
    registered_model,
)
from pyraseg.pipeline.tracking.store import READABLE, READABLE_REMEDY
from pyraseg.transforms.errors import PromotionError, UsageError

__all__ = ["Job", "promote"]


@dataclass(frozen=True)
class Job:
    """Which network is to be used and what must be shown; the fields are the options of the command line."""

    experiment: str
    model: str
    tracking_uri: str
    alias: str = "champion"
    runs: tuple[str, ...] = ()
    metric: str = "dice"
    margin: float = 0.0
    not_worse_by: float | None = None
    because: str = ""
    split: str = "test"
    output: Path | None = None
    overwrite: bool = False


def promote(job: Job) -> Iterator[str]:
    """Compare a candidate with the model that the alias points to, and move the alias; yields lines.

    Without such a model, a candidate that was evaluated takes the alias. Otherwise it must be shown over
    patients, in every class: better by more than ``margin`` (the 95 % interval of the difference lies above,
    and p after Holm's correction is below 0.05), or, if asked, not worse by ``not_worse_by`` (the interval
    lies above its negative, as in a non-inferiority trial, ICH E9 section 3.3.2).

    Raises:
        UsageError: an unknown experiment, run, metric or name, or several candidates.
        PromotionError: it was not shown, or another promotion came first. Nothing is registered.
        TrackingError: the store cannot be read, or lacks an evaluation.
        DatalistError: candidate and champion were measured on different cases.
        CheckpointError: the file of a checkpoint is gone or was changed.
    """
    _check(job)
    with open_store(job.tracking_uri) as store, TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            champion = _champion(store.client, job)
            there = versions(store.client, job.model)
        candidate = find_candidate(
            store,
            job.experiment,
            folder=folder,
            names=job.runs,
            split=job.split,
            champion=champion.sha256 if champion else "",
            registered={version.tags.get(TRAINED, "") for version in there if not is_pending(version)},
        )
        paths, reason = [], ""
        if champion is None or candidate.champion is None:
            yield f"{job.model} has no {job.alias!r} to compare with"
        else:
            comparison = _compare(job, candidate.measured, candidate.champion, version=champion.version)
            pictures = list(side_by_side(comparison, store, folder=folder, frames=None))
            paths = write_comparison(job.output or folder / "comparison", comparison, pictures)
            yield from lines(comparison)
            if job.output is not None:
                yield f"written: {paths[-1]}"
            reason = "; ".join(_shortcomings(job, comparison))
            if reason and not job.because:
                remedy = f"Keep the {job.alias}, or overrule this with --because REASON."
                raise PromotionError(_wanted(job), found=reason, remedy=remedy)
        yield _register(store.client, job, candidate, champion, paths=paths, overruled=reason)
        if reason:
            yield f"overruled, because {job.because}: {reason}"
        yield f"use it: --checkpoint models:/{job.model}@{job.alias}"


def _check(job: Job) -> None:
    remedy = "Correct --model and --alias."
    try:
        _validate_model_name(job.model)
        _validate_model_alias_name(job.alias)
        _validate_model_alias_name_reserved(job.alias)
    except MlflowException as error:
        found = f"{job.model!r} and {job.alias!r}"
        raise UsageError("names that MLflow takes", found=found, remedy=remedy) from error
    if "@" in job.model or '"' in job.model:
        raise UsageError("a model's name without @ and quotes", found=repr(job.model), remedy=remedy)
    limits = {"--margin": job.margin, "--not-worse-by": job.not_worse_by or 0.0}
    for name, value in limits.items():
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(
                f"a {name} of 0 or more", found=str(value), remedy="Give it in the metric's unit."
            )
    if job.margin and job.not_worse_by is not None:
        remedy = "Ask for one: better by more than the margin, or not worse by the limit."
        raise UsageError("--margin or --not-worse-by", found="both", remedy=remedy)
    if job.output is not None:
        require_free(job.output, overwrite=job.overwrite)


def _champion(client: Any, job: Job) -> StoredCheckpoint | None:
    """The checkpoint that the alias points to; None without one."""
    model = registered_model(client, job.model)
    if model is None or job.alias not in dict(model.aliases):
        return None
    champion = find_checkpoint(client, f"models:/{job.model}@{job.alias}")
    if is_pending(client.get_model_version(job.model, champion.version)):
        finish(client, job.model, champion.version)  # its promotion was interrupted after the last step
    return champion


def _compare(job: Job, candidate: Run, champion: Run, *, version: str) -> Comparison:
    names = f"{job.alias}, version {version}", f"candidate, {candidate.label}"
    return compare(
        [champion, candidate],
        experiment=job.experiment,
        split=job.split,
        metrics=[job.metric],
        arms={names[0]: [champion.run_id], names[1]: [candidate.run_id]},
        baseline=names[0],
    )


def _wanted(job: Job) -> str:
    if job.not_worse_by is None:
        return f"a candidate better than the {job.alias} by more than {job.margin:g} in every class"
    return f"a candidate not worse than the {job.alias} by {job.not_worse_by:g} in any class"


def _shortcomings(job: Job, comparison: Comparison) -> Iterator[str]:
    """Why the comparison does not show what is asked for, class by class."""
    if not comparison.differences:
        yield "no class that both have measured"
    for d in comparison.differences:
        if not _is_shown(job, d):
            what = f"{spaced(d.label)}, {title(d.metric)}: {signed(d.mean, d.metric)}"
            if d.groups < LEAST_GROUPS:
                yield f"{what} in {d.groups} groups, too few to be tested"
            else:
                yield f"{what} (95 % interval {interval_text(d.interval, d.metric)}, p {p_text(d.adjusted)})"


def _is_shown(job: Job, d: Difference) -> bool:
    sign = 1 if higher_is_better(d.metric) else -1
    low = min(sign * limit for limit in d.interval)
    if d.groups < LEAST_GROUPS or not math.isfinite(low):
        return False
    if job.not_worse_by is not None:
        return low > -job.not_worse_by
    return low > job.margin and d.adjusted < ALPHA and sign * d.effect > 0


def _register(
    client: Any,
    job: Job,
    candidate: Candidate,
    champion: StoredCheckpoint | None,
    *,
    paths: Sequence[Path],
    overruled: str,
) -> str:
    run_id, measured = candidate.training_id, candidate.measured
    _, stored = fetch_checkpoint(f"runs:/{run_id}", tracking_uri=job.tracking_uri)  # whole, and the same
    with store_errors(READABLE, remedy=READABLE_REMEDY):
        there = {entry.path for entry in client.list_artifacts(run_id)}
    before = champion.version if champion else ""
    tags = {
        "pyraseg.evaluation": measured.run_id,
        "pyraseg.replaces": before or "none",
        "pyraseg.rule": f"{_wanted(job)}: {job.metric}" if champion else "the first, compared with none",
        "pyraseg.because": job.because,
        "pyraseg.overruled": overruled,
    }
    promotion = Promotion(
        job.model,
        job.alias,
        before,
        run_id=run_id,
        sha256=stored.sha256,
        source=f"runs:/{run_id}/{'model' if 'model' in there else 'checkpoints'}",
        tags={name: value for name, value in tags.items() if value},
    )
    with claimed(client, promotion) as claim:
        if paths:
            _log_comparison(client, promotion, claim.version, paths)
        claim.take()
    instead = f" in place of version {before}" if before else ""
    return f"promoted: {measured.label} is version {claim.version} of {job.model}, the {job.alias}{instead}"


def _log_comparison(client: Any, promotion: Promotion, version: str, paths: Sequence[Path]) -> None:
    """Store the comparison with the training of a version, whose tag leads to the page."""
    folder = f"promotions/{promotion.name} {version}"
    with store_errors("a run that takes the comparison"):
        for path in paths:
            client.log_artifact(promotion.run_id, str(path), folder)
        page = f"runs:/{promotion.run_id}/{folder}/{PAGE}"
        client.set_model_version_tag(promotion.name, version, "pyraseg.comparison", page)
