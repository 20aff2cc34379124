"""The work of one run on a claimed folder: share out what is due, publish what is done, write the tables."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil
import torch

from pipeline.inference.backends import Backend, build_backend
from pipeline.prediction.bundle import LoadedBundle
from pipeline.prediction.description import count
from pipeline.prediction.discovery import Found
from pipeline.prediction.exchange import Shapes
from pipeline.prediction.folder import OutputFolder
from pipeline.prediction.item import Done, ItemTask
from pipeline.prediction.job import Job
from pipeline.prediction.progress import Progress
from pipeline.prediction.rules import Rules
from pipeline.prediction.server import ForwardServer
from pipeline.prediction.stopping import Stopping
from pipeline.prediction.tables import Totals, write_tables
from pipeline.prediction.workers import Outcome, Workers
from pipeline.writers.records import Failure, Item
from transforms.errors import OutputError, PyrasegError, RunError, UsageError

__all__ = ["Batch", "before_work"]

CHUNK = 4  # frames that a worker sends to the network at a time
GPU_BATCH = 32
LEAST_MEMORY = 2**31  # bytes for a worker's item, however many workers there are


@contextmanager
def before_work() -> Iterator[None]:
    """What keeps a batch from beginning is a matter of its command line; exit status 1 is for items that failed."""
    try:
        yield
    except PyrasegError as error:
        raise UsageError(error.wanted, found=error.found, remedy=error.remedy, path=error.path) from error


@dataclass
class Batch:
    """One run.

    Attributes:
        found: what the inputs hold.
        started: when the run began, its discovery included.
        totals, stages: what it has done, and the processor seconds by stage.
    """

    job: Job
    bundle: LoadedBundle
    rules: Rules
    folder: OutputFolder
    found: Found
    started: datetime
    totals: Totals = field(default_factory=Totals)
    stages: Counter[str] = field(default_factory=Counter)

    def run(self) -> Iterator[str]:
        """Do it and yield the lines to print; a signal is obeyed between two items, and never in the midst of a table.

        Raises:
            UsageError: the network cannot be run as it was asked for.
            RunError: at the end, some items have failed.
            KeyboardInterrupt: it was told to stop.
        """
        with Stopping() as stopping:
            yield from self._run(stopping)

    def _run(self, stopping: Stopping) -> Iterator[str]:
        found, due = self.found, self._due()
        yield (
            f"{count(len(found.items), 'item')}: {self.totals.kept} done before, {len(due)} to do; "
            f"{count(len(found.left_out), 'file')} left out, {len(found.failures)} cannot be read"
        )
        backend, stopped = None, False
        broken: PyrasegError | None = None
        try:
            if due:
                with before_work():
                    backend = self._backend(sum(item.source.number_of_frames for item in due))
                yield f"backend {backend.reason}"
                yield from self._work(due, backend, stopping)
        except KeyboardInterrupt:
            stopped = True
        except PyrasegError as error:  # of the run itself; what is done until then is in the tables
            broken = error
        self.totals.seconds = (datetime.now(UTC) - self.started).total_seconds()
        write_tables(
            self.folder,
            self.bundle,
            self.job,
            found=found,
            totals=self.totals,
            started=self.started,
            stopped=stopped,
            backend=None if backend is None else backend.name,
            stages=self.stages,
        )
        if broken is not None:
            raise broken
        yield from self._summary(stopped)

    def _due(self) -> list[Item]:
        shard, found = self.job.shard, self.found
        mine = [item for item in found.items if shard.takes(item.case)][: self.job.limit]
        due = [item for item in mine if not (self.job.resume and self.folder.is_done(item))]
        self.totals.kept = len(mine) - len(due)
        for failure in found.failures:
            if shard.takes(failure.file):
                self.folder.withdraw(failure.case)
                self.folder.keep_failure(failure)
                self.totals.failed += 1
        return due

    def _backend(self, frames: int) -> Backend:
        bundle, job = self.bundle, self.job
        return build_backend(
            job.backend,
            network=bundle.network,
            device=bundle.device,
            amp=bundle.inference["amp"],
            input_size=bundle.input_shape[1:],
            in_channels=bundle.input_shape[0],
            weights_hash=bundle.algorithm.weights,
            lanes=self._lanes,
            batch_size=self._batch_size,
            mode=bundle.inference["mode"],
            tta_flips=bundle.inference["tta_flips"],
            images=frames,
        )

    @property
    def _lanes(self) -> int:
        return 1 if self.bundle.device.type != "cpu" else torch.get_num_threads()

    @property
    def _batch_size(self) -> int:
        return self.job.batch_size or (CHUNK if self.bundle.device.type == "cpu" else GPU_BATCH)

    def _work(self, due: list[Item], backend: Backend, stopping: Stopping) -> Iterator[str]:
        server = ForwardServer(backend, batch_size=self._batch_size, lanes=self._lanes)
        classes, shape = len(self.bundle.segments), self.bundle.input_shape
        number = min(self.job.workers or (os.cpu_count() or 1) + 1, len(due))
        memory = max(LEAST_MEMORY, int(0.8 * psutil.virtual_memory().available) // number)
        workers = Workers(
            self._task(),
            number=number,
            seconds=self.job.item_timeout,
            memory=memory,
            shapes=Shapes(min(CHUNK, self._batch_size), shape, (classes, *shape[1:])),
            serve=server.submit,
        )
        begin = time.monotonic()
        with Progress(len(due)) as progress, workers:
            for outcome in workers.run(due, watch=(server.check, stopping.check)):
                failed = not self._settle(outcome)
                yield from progress.add(frames=outcome.item.source.number_of_frames, failed=failed)
            self.totals.work = time.monotonic() - begin
        server.close()
        self.stages["network"] += server.seconds  # type: ignore[assignment]

    def _task(self) -> ItemTask:
        bundle, job = self.bundle, self.job
        return ItemTask(
            preprocessing=bundle.preprocessing,
            postprocessing=bundle.postprocessing,
            segments=bundle.segments,
            quantities=tuple(bundle.metadata.get("quantities", ())),
            rules=self.rules,
            algorithm=bundle.algorithm,
            formats=job.formats,
            seg_type=job.seg_type,
            probabilities=job.probabilities,
            identify=job.identify,
            drafts=self.folder.drafts,
            fingerprint=self.folder.fingerprint,
        )

    def _settle(self, outcome: Outcome) -> bool:
        """Publish what is done and write down what failed; whether it is done."""
        item, error = outcome.item, outcome.error
        if error is None:
            try:
                self.folder.publish(item.case)
            except OutputError as refusal:
                error = refusal
        if error is not None:
            self._fail(item, error)
            return False
        done: Done = outcome.result
        self.totals.done += 1
        self.totals.frames += done.frames
        self.totals.flagged += bool(done.flags)
        self.stages.update(done.seconds)
        return True

    def _fail(self, item: Item, error: PyrasegError) -> None:
        self.folder.withdraw(item.case)
        self.folder.keep_failure(Failure.of(error, file=item.file, case=item.case))
        self.totals.failed += 1

    def _summary(self, stopped: bool) -> Iterator[str]:
        totals = self.totals
        yield (
            f"{totals.done} done in {totals.seconds:.0f} s ({count(totals.frames, 'frame')}), "
            f"{totals.flagged} flagged, {totals.failed} failed, {totals.kept} kept, {len(self.found.left_out)} left out"
        )
        yield f"results: {self.folder.path / 'report.html'}"
        if stopped:
            yield "stopped; go on with the same command and --resume"
            raise KeyboardInterrupt
        if totals.failed:
            number = f"{totals.failed} that failed"
            remedy = "failures.csv says which and why; --resume tries them again."
            raise RunError("every item done", found=number, remedy=remedy)
