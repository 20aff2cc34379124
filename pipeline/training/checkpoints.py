"""Checkpoints: the best network as ``model.pt``, the last epoch's state as ``last.pt``."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Trainer

from pyraseg.pipeline.bundle.preprocessing import differences, sentence
from pyraseg.pipeline.networks import load_checkpoint, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import BEST, LAST, facts_of, with_facts
from pyraseg.pipeline.training.sampling import GroupSampler
from pyraseg.pipeline.utils import distributed
from pyraseg.pipeline.utils.environment import package_versions
from pyraseg.pipeline.utils.files import atomic_write, hold_file
from pyraseg.transforms.errors import CheckpointError, OutputError, RunError
from pyraseg.transforms.io.limits import are_finite

__all__ = [
    "BEST",
    "LAST",
    "Checkpoints",
    "random_state",
    "save_checkpoint",
    "save_tensors",
    "set_random_state",
    "stored_run_id",
]

LOCK = ".lock"


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write tensors and plain values, so that ``torch.load(weights_only=True)`` can read them.

    Raises:
        RunError: a tensor has NaN or infinity.
        OutputError: the file cannot be written. In either case an earlier one stays.
    """
    if not all(map(are_finite, _numbers(content))):
        remedy = "Try a lower --learning_rate, or --amp false; the file of the epoch before is good."
        raise RunError("weights of finite numbers to store", found="NaN or infinite ones", remedy=remedy)
    return save_tensors(path, content)


def save_tensors(path: str | Path, content: Mapping[str, Any]) -> Path:
    """`save_checkpoint` without a look at the numbers.

    Raises:
        OutputError: the file cannot be written; an earlier one stays.
    """
    with atomic_write(path) as file:
        _write(content, file)
    return Path(path)


def _numbers(content: Any) -> Iterator[torch.Tensor]:
    """The floating-point tensors, however deep they lie."""
    if isinstance(content, torch.Tensor) and content.is_floating_point():
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for part in content.values() if isinstance(content, Mapping) else content:
            yield from _numbers(part)


def _write(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Call ``torch.save``, which hides a full disk behind the RuntimeError of its closing archive."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


class Checkpoints:
    """Ignite handler that writes ``last.pt`` after every epoch and ``model.pt`` when the key metric rose.

    Attach it to the trainer, as the last handler of an epoch's end, and to the evaluator. ``last.pt`` holds
    all that decides about the next step: weights, optimizer, schedule, averages, the counts of early
    stopping, the best metric, every random state and the MLflow run. It is written from the start, so that a
    training killed in its first step is resumed in its MLflow run; where another training's files are to be
    replaced, only after the first step, and its ``model.pt`` goes at the same time. As a context manager
    around a training, the handler holds the folder, and removes ``last.pt`` where an error came before the
    first step.

    Args:
        folder: folder of both files.
        network: the validated network; its state dict is ``model.pt``.
        learning: the network that the optimizer changes, ``model`` in ``last.pt``; None if it is the same.
        state: what else ``last.pt`` keeps, by name: objects with ``state_dict()`` and ``load_state_dict()``.
        facts: plain values that go into both, such as the label names; `facts_of` finds them in ``model.pt``.
        settings: plain values by the names of their options, which a resumed training must repeat.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        network: torch.nn.Module,
        state: Mapping[str, Any],
        facts: Mapping[str, Any],
        learning: torch.nn.Module | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.learning = network if learning is None else learning
        self.state = dict(state)
        self.facts = dict(facts)
        self.settings = dict(settings or {})
        self.tracker: Any = None
        self._evaluator: Any = None
        self._held: IO[bytes] | None = None
        self._made = False
        self._closed = True  # the epoch's end, validation included, is in the state
        self._at_start = False  # last.pt is this training's, and nothing has been learned yet
        self._replaces = False  # the files of another training are still there
        self._scaler: Mapping[str, Any] | None = None

    def attach(self, engine: Engine) -> None:
        if isinstance(engine, Trainer):
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.EPOCH_STARTED, self._open_epoch)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._close_epoch)
        else:
            self._evaluator = engine
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_best)

    def __enter__(self) -> Checkpoints:
        if distributed.is_main():
            self._made = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._held = hold_file(self.folder / LOCK)
            if self._held is None:
                remedy = "Wait until it has ended, or name another folder with --output_dir."
                found = "one that a training which is running writes to"
                raise OutputError("an output folder of its own", found=found, remedy=remedy, path=self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception) and self._at_start:
            (self.folder / LAST).unlink(missing_ok=True)
        if self._held is not None:
            (self.folder / LOCK).unlink(missing_ok=True)
            self._held.close()
            if self._made:
                with suppress(OSError):  # not empty; a training that could not begin leaves no folder
                    self.folder.rmdir()

    def save_last(self, engine: Engine) -> None:
        """Write ``last.pt`` from the trainer ``engine``. All processes call it, between two steps."""
        states = distributed.gather(random_state())
        if self.tracker is not None:
            self.tracker.flush()  # what is logged is never behind what is saved
        content = {
            **self.facts,
            "model": self.learning.state_dict(),
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "epoch_length": engine.state.epoch_length,
            "closed": self._closed,
            "options": self.settings,
            "best_metric": float(self._evaluator.state.best_metric),
            "best_metric_epoch": int(self._evaluator.state.best_metric_epoch),
            "run_id": getattr(self.tracker, "run_id", None),
            "random": states,
            "state": {name: part.state_dict() for name, part in self.state.items()},
            "scaler": None if engine.scaler is None else engine.scaler.state_dict(),
        }
        self._save(LAST, content)
        if self._replaces and distributed.is_main():
            (self.folder / BEST).unlink(missing_ok=True)
        self._at_start, self._replaces = engine.state.iteration == 0, False

    def restore(self, engine: Any) -> bool:
        """Bring a trainer to the state in ``last.pt``; False if there is no such file.

        Raises:
            CheckpointError: it is of other data, another network or other labels, or it is no checkpoint.
        """
        path = self.folder / LAST
        if not path.is_file():
            return False
        content = read_checkpoint(path)
        self._check(content, engine, path=path)
        load_checkpoint(self.learning, path)
        for name, part in self.state.items():
            part.load_state_dict(content["state"][name])
        self._scaler = content["scaler"]
        state, done = engine.state, content["iteration"]
        state.iteration, state.epoch = done, done // state.epoch_length
        self._evaluator.state.best_metric = content["best_metric"]
        self._evaluator.state.best_metric_epoch = content["best_metric_epoch"]
        loader = engine.data_loader
        if isinstance(loader.sampler, GroupSampler):  # others start their next epoch
            loader.sampler.seek(state.epoch, draws=done % state.epoch_length * loader.batch_size)
        self._at_start, self._closed = done == 0, content["closed"]
        set_random_state(content["random"][distributed.rank() % len(content["random"])])
        return True

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Let ``model.pt`` say more of itself. The main process calls it."""
        state = read_checkpoint(self.folder / BEST)
        self._save(BEST, with_facts(state, {**facts_of(state), **facts}))

    def close_epoch(self, engine: Any) -> None:
        """Repeat the validation in which the training was stopped, if it was."""
        done = engine.state.iteration
        if not self._closed and done and done % engine.state.epoch_length == 0:
            engine.fire_event(Events.EPOCH_COMPLETED)

    def finished(self, engine: Any) -> bool:
        """Whether the last epoch is done, or a lack of progress has ended the training."""
        if not self._closed:
            return False
        stopped = any(getattr(part, "stopped", False) for part in self.state.values())
        return stopped or engine.state.iteration >= engine.state.max_epochs * engine.state.epoch_length

    def _check(self, content: Mapping[str, Any], engine: Any, *, path: Path) -> None:
        steps = "steps per epoch"
        # an earlier version kept a few of the settings, under another name
        before = content.get("options", self.settings)
        options = {*before, *self.settings}
        wanted = {**self.facts, **{name: self.settings.get(name) for name in sorted(options)}}
        found = {
            **content,
            **{name: before.get(name) for name in options},
            steps: content.get("epoch_length"),
        }
        if unequal := differences(wanted | {steps: engine.state.epoch_length}, found):
            raise CheckpointError(
                f"a last.pt of the same training, {sentence(unequal, 0)}",
                found=f"one with {sentence(unequal, 1)}",
                remedy="Give the options of its first start again, or train anew in another --output_dir.",
                path=path,
            )
        done = -(-content["iteration"] // engine.state.epoch_length)
        if engine.state.max_epochs < done:
            raise CheckpointError(
                f"max_epochs of {done}, which last.pt has begun, or more",
                found=str(engine.state.max_epochs),
                remedy=f"Give --max_epochs {done} or more.",
                path=path,
            )

    def _start(self, engine: Engine) -> None:
        if self._scaler is not None and engine.scaler is not None:
            engine.scaler.load_state_dict(self._scaler)  # MONAI's trainer has just made it
        if engine.state.iteration:
            return
        there = any((self.folder / name).is_file() for name in (LAST, BEST))
        self._replaces = distributed.any_rank(there)
        if self._replaces:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), self._replace)
        else:
            self.save_last(engine)

    def _replace(self, engine: Engine) -> None:
        if self._replaces:  # else a signal has saved this step already
            self.save_last(engine)

    def _open_epoch(self, engine: Engine) -> None:
        self._closed = False

    def _close_epoch(self, engine: Engine) -> None:
        self._closed = True
        self.save_last(engine)

    def _save_best(self, engine: Engine) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            best = {
                "epoch": engine.state.epoch,
                "best_metric": float(engine.state.best_metric),
                "run_id": getattr(self.tracker, "run_id", None),
                "versions": package_versions(),
            }
            self._save(BEST, with_facts(self.network.state_dict(), {**self.facts, **best}))

    def _save(self, name: str, content: Mapping[str, Any]) -> None:
        if distributed.is_main():
            save_checkpoint(self.folder / name, content)


def stored_run_id(folder: str | Path) -> str | None:
    """The MLflow run in the ``last.pt`` of ``folder``; None without such a file.

    Raises:
        CheckpointError: the file cannot be read.
    """
    path = Path(folder) / LAST
    return read_checkpoint(path).get("run_id") if path.is_file() else None


def random_state() -> dict[str, Any]:
    """The states of the global generators of Python, NumPy, torch and all GPUs."""
    version, keys, gauss = random.getstate()
    name, words, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # the global one is what is kept here
    return {
        "python": [version, list(keys), gauss],
        "numpy": [name, [int(word) for word in words], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore every generator from ``random_state``; GPUs only if their number is the same."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, words, *rest = state["numpy"]
    np.random.set_state((name, np.asarray(words, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
