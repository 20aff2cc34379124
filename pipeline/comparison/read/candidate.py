"""The network that is to be put into use, with its measurement and the champion's on the same cases."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.comparison.read.checks import require_comparable
from pyraseg.pipeline.comparison.read.find_runs import KIND, choose_runs, find_runs, measured_checkpoint
from pyraseg.pipeline.comparison.read.runs import LeftOut, Run
from pyraseg.pipeline.comparison.read.store import Store, StoredRun
from pyraseg.pipeline.tracking.logged_model import SHA256, TRAINED
from pyraseg.transforms.errors import TrackingError, UsageError

__all__ = ["Candidate", "find_candidate"]


@dataclass(frozen=True)
class Candidate:
    """A trained network that was evaluated.

    Attributes:
        training_id: of the run that trained it.
        measured: its evaluation.
        champion: the champion's evaluation on the same cases; None without a champion.
    """

    training_id: str
    measured: Run
    champion: Run | None = None


def find_candidate(
    store: Store,
    experiment: str,
    *,
    folder: Path,
    names: Sequence[str] = (),
    split: str = "test",
    champion: str = "",
    registered: Container[str] = (),
) -> Candidate:
    """Find the one candidate of an experiment, and the evaluations to compare.

    Args:
        folder: for files, as long as the comparison lasts.
        names: of the candidate's training or evaluation, and of an evaluation of the champion; without names
            the only network counts that was evaluated and is not registered yet.
        champion: the SHA-256 of the champion's checkpoint; empty without one.
        registered: the SHA-256 of checkpoints that are versions of the model already.

    Raises:
        UsageError: there is no candidate, or several; no experiment or run of this name.
        TrackingError: the candidate or the champion was not evaluated.
        DatalistError: they were measured on different cases, or trained on them.
    """
    stored = [run for run in store.runs(store.experiment_id(experiment)) if KIND not in run.tags]
    trainings = {run.tags[TRAINED]: run for run in stored if TRAINED in run.tags}
    if names:
        chosen = [measured_checkpoint(run) for run in choose_runs(stored, names, trainings)]
    else:
        finished = [run for run in stored if run.status == "FINISHED" and _measures(run, split)]
        chosen = [sha256 for run in finished if (sha256 := measured_checkpoint(run)) not in registered]
    sha256 = _the_only(chosen, trainings, champion=champion)
    checkpoints = {sha256, champion} - {""}
    runs, left_out = find_runs(
        store, experiment, folder=folder, split=split, checkpoints=checkpoints, least=0
    )
    own = _measurements(runs, sha256, names)
    others = _measurements(runs, champion, names)
    if not own:
        raise _not_evaluated(trainings[sha256].name, split, left_out)
    if champion and not others:
        raise _not_evaluated("the champion", split, left_out)
    if not champion:
        require_comparable(own[-1:], split=split)
    pairs: list[tuple[Run, Run | None]] = [
        (one, two) for one in own for two in others if one.cases == two.cases
    ]
    pairs = pairs if champion else [(one, None) for one in own[-1:]]
    if not pairs:
        require_comparable([others[-1], own[-1]], split=split)
    if len(pairs) != 1:
        found = "; ".join(f"{one.name!r} and {two.name!r}" for one, two in pairs[:5] if two is not None)
        remedy = "Name both evaluations, the candidate's and the champion's: --runs A B."
        raise UsageError("one evaluation of each on the same cases", found=found, remedy=remedy)
    return Candidate(trainings[sha256].run_id, *pairs[0])


def _measures(run: StoredRun, split: str) -> bool:
    """An evaluation of the split, or a training, which has measured its validation split."""
    return run.params.get("split", "validation" if TRAINED in run.tags else "") == split


def _the_only(chosen: Sequence[str], trainings: Mapping[str, StoredRun], *, champion: str) -> str:
    """The SHA-256 of the one candidate."""
    candidates = [sha256 for sha256 in dict.fromkeys(chosen) if sha256 and sha256 != champion]
    single = [sha256 for sha256 in candidates if SHA256.fullmatch(sha256) and sha256 in trainings]
    if len(single) == 1:
        return single[0]
    if single:
        names = [repr(trainings[sha256].name) for sha256 in single]
        found = f"{len(names)}: {', '.join(names[:5])}{' ...' * (len(names) > 5)}"
        remedy = "Name one with --runs, by the name or ID of its training."
    elif candidates:
        found = "an ensemble, or a network whose training is not in this experiment"
        remedy = "Name a single training of this experiment with --runs."
    elif champion in chosen and champion:
        found, remedy = "the champion itself", "Name another training with --runs."
    else:
        found = "none that was evaluated and is not registered yet"
        remedy = "Evaluate one with `run evaluating`, or name one that was with --runs."
    raise UsageError("one candidate", found=found, remedy=remedy)


def _measurements(runs: Sequence[Run], sha256: str, names: Sequence[str]) -> list[Run]:
    """The measurements of a checkpoint, of several those that were named."""
    found = [run for run in runs if sha256 and run.checkpoint == sha256]
    return [run for run in found if {run.name, run.run_id} & set(names)] or found


def _not_evaluated(who: str, split: str, left_out: Sequence[LeftOut]) -> TrackingError:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:5])
    remedy = (
        "Evaluate its checkpoint in this experiment: run evaluating, which takes models:/NAME@ALIAS, too."
    )
    return TrackingError(
        f"an evaluation of {who} on the {split} split", found=reasons or "none", remedy=remedy
    )
