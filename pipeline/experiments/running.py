"""Run an experiment: one process for each step in turn, resumable, under one MLflow run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from monai.bundle import ConfigParser

from pyraseg.pipeline.bundle.overrides import FLAGS
from pyraseg.pipeline.experiments.experiment import DONE, Experiment, Step, is_done
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.utils.files import write_json
from pyraseg.pipeline.utils.signals import signals_unwind
from pyraseg.transforms.errors import ConfigError, OutputError, RunError

__all__ = ["PATIENCE", "Start", "run_experiment", "run_process"]

logger = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds for a training to save its state
LAST_SECONDS = 15.0  # after a second Ctrl-C

Start = Callable[[Sequence[str]], int]


def run_process(command: Sequence[str], *, patience: float = PATIENCE) -> int:
    """Run a command to its end and return its exit status (negative: ended by that signal).

    The terminal's Ctrl-C reaches only this process, which asks the other once to stop: a training then stops
    between two steps and saves its state. Whatever ends the wait early (Ctrl-C, an exception of a signal
    handler) ends the process and its children, by force after ``patience`` seconds or a second Ctrl-C.
    """
    process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            _end(process, patience)


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    try:
        process.send_signal(signal.SIGTERM)  # not SIGINT, which background jobs of a shell ignore
        process.wait(patience)
    except subprocess.TimeoutExpired:
        logger.warning("the process did not stop within %.0f seconds and is ended", patience)
    except KeyboardInterrupt:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGTERM)  # a second one stops a training at once, with its run KILLED
            process.wait(LAST_SECONDS)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its data-loading processes are in its group
        process.wait()


def run_experiment(
    experiment: Experiment, *, resume: bool = False, start: Start = run_process
) -> Iterator[str]:
    """Run the unfinished steps and pool the results; yields lines of progress and results.

    Args:
        experiment: a ``CrossValidation`` or an ``Ablation``.
        resume: the output folder may hold an experiment with the same settings; finished steps are kept. An
            ablation may have new seeds and arms.
        start: runs a command and returns its exit status.

    Raises:
        OutputError: the output folder is in use, or cannot be written.
        ConfigError: the experiment to resume has other settings.
        RunError: a training or evaluation failed.
        TrackingError: as ``RunTracker``.
        KeyboardInterrupt, SystemExit: it was stopped, after a line that says how to resume.
    """
    state = _read_state(experiment, resume=resume)
    try:
        with signals_unwind(), _tracker(experiment, run_id=state["run_id"]) as tracker:
            state["run_id"] = tracker.run_id or state["run_id"]
            write_json(experiment.output / experiment.state_name, state)
            for step in experiment.steps():
                if not is_done(step.folder):
                    yield step.title
                    _run_step(step, parent=tracker.run_id, start=start)
            yield from experiment.conclude(tracker)
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        yield "stopped; what is done is kept. Go on with the same command and --resume"
        raise
    except RunError:
        _forget_refused(experiment)
        raise


def _forget_refused(experiment: Experiment) -> None:
    """Leave no experiment behind whose first step was refused, so that other settings can be given."""
    file = experiment.output / experiment.state_name
    if all(path == file or path.name.startswith(".") for path in experiment.output.iterdir()):
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what waits for MLflow is kept
            experiment.output.rmdir()


def _run_step(step: Step, *, parent: str | None, start: Start) -> None:
    status = start([*step.command, *(("--parent_run_id", repr(parent)) if parent else ())])
    if status != 0:
        found = f"{step.title}: exit status {status}"
        remedy = "Correct what its own message says, then go on with the same command and --resume."
        raise RunError("every training and evaluation to end well", found=found, remedy=remedy)
    write_json(step.folder / DONE, {})


def _tracker(experiment: Experiment, *, run_id: str | None) -> RunTracker:
    """The MLflow run above all steps, in the store of the bundle's training; None starts a new run."""
    parser = ConfigParser()
    parser.read_config(str(experiment.bundle / "configs" / "train.yaml"))
    names = ("tracking_uri", "experiment_name", "track")
    given = {name: experiment.overrides[name] for name in names if name in experiment.overrides}
    parser.update({"bundle_root": str(experiment.bundle), **given})
    uri, experiment_name, track = (parser.get_parsed_content(name) for name in names)
    return RunTracker(
        str(uri),
        experiment_name=experiment_name,
        run_name=experiment.run_name(experiment.kind),
        run_id=run_id,
        enabled=FLAGS.get(str(track).lower(), True) is True,
        outbox_dir=experiment.output / ".mlflow_outbox",
        parameters={**experiment.parameters, **experiment.overrides},
    )


def _read_state(experiment: Experiment, *, resume: bool) -> dict[str, Any]:
    """The state to resume, or a new one: the MLflow run's ID and digests of the first settings."""
    folder, file = experiment.output, experiment.output / experiment.state_name
    fixed, extensible = experiment.fixed, experiment.extensible
    if not file.is_file() and (not folder.exists() or all(p.name.startswith(".") for p in folder.iterdir())):
        return {"run_id": None, "settings": fixed, "growing": extensible}
    if not file.is_file() or not resume:
        found, remedy = "one in use", "Name a new one with --output."
        if file.is_file():
            found = f"one that holds {experiment.article} {experiment.kind}"
            remedy = "Go on with it with --resume, or name a new folder with --output."
        raise OutputError("an empty or new output folder", found=found, remedy=remedy, path=folder)
    old = json.loads(file.read_text(encoding="utf-8"))
    before, added = old["settings"], old["growing"]
    changed = [name for name in sorted({*before, *fixed}) if before.get(name) != fixed.get(name)]
    changed += [name for name in sorted({*added} & {*extensible}) if added[name] != extensible[name]]
    if changed:
        remedy = "Give the settings that it was begun with, or name a new folder with --output."
        wanted = f"the settings of the {experiment.kind}"
        raise ConfigError(wanted, found=f"others: {', '.join(changed)}", remedy=remedy)
    return {"run_id": old["run_id"], "settings": fixed, "growing": {**added, **extensible}}
