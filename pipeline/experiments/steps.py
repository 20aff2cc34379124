"""Steps one after another under one MLflow run, each a process, resumable at the step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyraseg.pipeline.bundle.overrides import FLAGS
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.process import sigterm_unwinds
from pyraseg.pipeline.training.checkpoints import LAST
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import ConfigError, OutputError, RunError

__all__ = ["Begun", "Parent", "Start", "begun_training", "digests", "is_done", "run_series", "run_step"]

DONE = ".done"  # in a folder whose step has ended well

Start = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Begun:
    """What a folder's series was begun with, to be compared when it goes on; in ``NAME.json`` there.

    Attributes:
        name: the command's, for the file.
        what: the same for a sentence, ``a cross-validation``.
        settings: digests by name, because a value may be a path.
        growing: the same of what may be added later, such as another seed.
    """

    output: Path
    name: str
    what: str
    settings: Mapping[str, str]
    growing: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """The file."""
        return self.output / f"{self.name}.json"

    def claim(self, *, resume: bool) -> dict[str, Any]:
        """The state to go on from, or a new one.

        Raises:
            OutputError: the folder is in use.
            ConfigError: it was begun with other settings.
        """
        new: dict[str, Any] = {"run_id": None, "settings": dict(self.settings), "growing": dict(self.growing)}
        if not self.place.is_file():
            if self.output.exists() and any(
                not entry.name.startswith(".") for entry in self.output.iterdir()
            ):
                raise self._in_use("one in use", "Name a new one with --output.")
            return new
        if not resume:
            remedy = "Go on with it with --resume, or name a new folder with --output."
            raise self._in_use(f"one that holds {self.what}", remedy)
        old = json.loads(self.place.read_text(encoding="utf-8"))
        changed = self._changed(old)
        if changed:
            remedy = "Give the settings that it was begun with, or name a new folder with --output."
            wanted = f"the settings of the {self.what.partition(' ')[2]}"
            raise ConfigError(wanted, found=f"others: {', '.join(changed)}", remedy=remedy)
        return {**new, "run_id": old["run_id"], "growing": {**old.get("growing", {}), **new["growing"]}}

    def _changed(self, old: Mapping[str, Any]) -> list[str]:
        settings, growing = old["settings"], old.get("growing", {})
        changed = [n for n in sorted({*settings, *self.settings}) if settings.get(n) != self.settings.get(n)]
        return changed + [n for n in sorted({*growing} & {*self.growing}) if growing[n] != self.growing[n]]

    def _in_use(self, found: str, remedy: str) -> OutputError:
        return OutputError("an empty or new output folder", found=found, remedy=remedy, path=self.output)


@dataclass(frozen=True)
class Parent:
    """The MLflow run above all steps; where it goes is what the bundle's training says.

    Attributes:
        overrides: of the bundle's configs, as typed.
        parameters: logged beside the overrides.
    """

    bundle: Path
    overrides: Mapping[str, str]
    run_name: str
    parameters: Mapping[str, Any]

    def tracker(self, output: Path, *, run_id: str | None) -> RunTracker:
        """The run, new where ``run_id`` is None."""
        uri, experiment, track = self.tracking()
        return RunTracker(
            uri,
            experiment_name=experiment,
            run_name=self.run_name,
            run_id=run_id,
            enabled=track,
            outbox_dir=output / ".mlflow_outbox",
            parameters={**self.parameters, **self.overrides},
        )

    def tracking(self) -> tuple[str, str, bool]:
        """The store's address, the experiment's name, and whether anything is tracked."""
        from monai.bundle import ConfigParser

        from pyraseg.pipeline.bundle.shared_config import extend_parser

        parser = ConfigParser()
        parser.read_config(str(self.bundle / "configs" / "train.yaml"))
        names = ("tracking_uri", "experiment_name", "track")
        given = {name: self.overrides[name] for name in names if name in self.overrides}
        parser.update({"bundle_root": str(self.bundle), **given})
        extend_parser(parser)
        uri, experiment, track = (parser.get_parsed_content(name) for name in names)
        return str(uri), str(experiment), FLAGS.get(str(track).lower(), True) is True


def digests(values: Mapping[str, str]) -> dict[str, str]:
    """Short digests of texts by name."""
    return {name: hashlib.sha256(value.encode()).hexdigest()[:12] for name, value in values.items()}


def run_series(
    begun: Begun, parent: Parent, *, steps: Callable[[RunTracker], Iterator[str]], resume: bool
) -> Iterator[str]:
    """Claim the folder, and run the steps below one MLflow run: the lines that they yield.

    Raises:
        OutputError, ConfigError: as ``Begun.claim``.
        TrackingError: as ``RunTracker``.
        KeyboardInterrupt, SystemExit: it was stopped, after a line that says how to go on.
    """
    state = begun.claim(resume=resume)
    try:
        with sigterm_unwinds(), parent.tracker(begun.output, run_id=state["run_id"]) as tracker:
            _write(begun.place, state | {"run_id": tracker.run_id or state["run_id"]})
            yield from steps(tracker)
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        yield "stopped; what is done is kept. Go on with the same command and --resume"
        raise


def run_step(what: str, folder: Path, *, command: Sequence[str], start: Start) -> Iterator[str]:
    """Run one command unless its folder says that it is done.

    Raises:
        RunError: its exit status is not 0.
    """
    if is_done(folder):
        return
    yield what
    status = start(command)
    if status != 0:
        raise RunError(
            "every training and evaluation to end well",
            found=f"{what}: exit status {status}",
            remedy="Correct what its own message says, then go on with the same command and --resume.",
        )
    _write(folder / DONE, {})


def is_done(folder: Path) -> bool:
    """Whether the step of this output folder has ended well."""
    return (folder / DONE).is_file()


def begun_training(folder: Path) -> bool:
    """Whether a training can go on there; one that ended before its first ``last.pt`` begins anew."""
    return (folder / LAST).is_file()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
