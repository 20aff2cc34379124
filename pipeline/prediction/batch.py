"""The work of one run on its output folder: give out due items, publish results, write the tables."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import psutil

from pyraseg.pipeline.inference.backends import Backend
from pyraseg.pipeline.prediction.bundle import LoadedBundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.discovery.find_items import Discovered
from pyraseg.pipeline.prediction.items.frame_task import FrameTask
from pyraseg.pipeline.prediction.items.task import Done, ItemTask
from pyraseg.pipeline.prediction.items.volume_task import VolumeTask
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.tables import Totals, write_tables
from pyraseg.pipeline.prediction.plan import CHUNK, Plan, batch_size, count, network_threads
from pyraseg.pipeline.prediction.processes.network_client import SLOTS, Shapes
from pyraseg.pipeline.prediction.processes.network_server import ForwardServer
from pyraseg.pipeline.prediction.processes.workers import Outcome, Workers
from pyraseg.pipeline.prediction.progress import Progress
from pyraseg.pipeline.prediction.stopping import Stopping
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import OutputError, PyrasegError, RunError

__all__ = ["Batch"]

LEAST_MEMORY = 2**31  # bytes for a worker's item, however many workers there are


@dataclass
class Batch:
    """One run.

    Attributes:
        discovered: the content of the inputs; plan: the items of this run.
        backend: scores the frames; None where no item is due.
        started: when the run began, discovery included.
        done: the items published so far.
        totals, stages: the work so far, and its processor seconds by stage.
    """

    job: Job
    bundle: LoadedBundle
    rules: AcceptanceRules
    folder: OutputFolder
    discovered: Discovered
    plan: Plan
    backend: Backend | None
    started: datetime
    done: list[Item] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    stages: Counter[str] = field(default_factory=Counter)

    def run(self) -> Iterator[str]:
        """Do the work and yield lines to print. Signals take effect between items, never within a table.

        Raises:
            RunError: at the end, some items have failed.
            KeyboardInterrupt: the run was told to stop.
        """
        with Stopping() as stopping:
            yield from self._run(stopping)

    def _run(self, stopping: Stopping) -> Iterator[str]:
        self._begin()
        run_error, stopped, backend = None, False, self.backend
        try:
            if backend is not None:
                yield from self._work(list(self.plan.due), backend, stopping)
            self.folder.check()
        except KeyboardInterrupt:
            stopped = True
        except PyrasegError as error:  # the run itself failed; finished items are in the tables
            run_error = error
        if run_error is not None and self.folder.is_gone():
            raise run_error  # there is no place for tables
        self._count_again()
        self.totals.seconds = (datetime.now(UTC) - self.started).total_seconds()
        write_tables(
            self.folder,
            self.bundle,
            self.job,
            rules=self.rules,
            discovered=self.discovered,
            totals=self.totals,
            started=self.started,
            stopped=stopped,
            backend=None if backend is None else backend.name,
            stages=self.stages,
        )
        if run_error is not None:
            raise run_error
        yield from self._summary(stopped)

    def _begin(self) -> None:
        """Record what cannot be read, and where the files of kept results lie now."""
        for failure in self.discovered.failures:
            if self.job.shard.takes(failure.file):
                self.folder.withdraw(failure.case)
                self.folder.add_failure(failure)
                self.totals.failed += 1
        for item in self.plan.kept:
            self.folder.update_file(item)
        self.totals.kept = len(self.plan.kept)

    def _count_again(self) -> None:
        """What was done or kept and is not there at the end has failed: the totals say what is there."""
        for item in (*self.done, *self.plan.kept):
            if not self.folder.is_done(item):
                reason = "results that are not in the output folder any more"
                remedy = "Keep other programs out of the folder, and go on with --resume."
                self.folder.add_failure(Failure(item.file, reason, remedy, item.case))
                self.totals.failed += 1
        self.totals.done = sum(map(self.folder.is_done, self.done))
        self.totals.kept = sum(map(self.folder.is_done, self.plan.kept))

    def _work(self, due: list[Item], backend: Backend, stopping: Stopping) -> Iterator[str]:
        threads = network_threads(self.bundle)
        features = self.bundle.judge.features and backend.features
        server = ForwardServer(
            backend, batch_size=batch_size(self.job, self.bundle), threads=threads, features=features or None
        )
        number = min(self.job.workers or (os.cpu_count() or 1) + 1, len(due))
        memory = max(LEAST_MEMORY, int(0.8 * psutil.virtual_memory().available) // number)
        workers = Workers(
            self._task(),
            number=number,
            seconds=self.job.item_timeout,
            memory=memory,
            shapes=self._shapes(server.batch_size, workers=number),
            serve=server.submit,
        )
        begin = time.monotonic()
        try:
            with Progress(len(due)) as progress, workers:
                watch = (server.check, stopping.check, self.folder.check)
                for outcome in workers.run(due, watch=watch):
                    failed = not self._settle(outcome)
                    yield from progress.add(frames=outcome.item.frames, failed=failed)
        finally:
            server.close()
            self.totals.work = time.monotonic() - begin
            self.stages["network"] += server.seconds  # type: ignore[assignment]

    def _shapes(self, batch: int, *, workers: int) -> Shapes:
        """Volumes get enough slots that a single volume keeps all threads of the network busy."""
        classes, shape = len(self.bundle.segments), self.bundle.input_shape
        share = -(-network_threads(self.bundle) // workers) if self.bundle.volumes else 0
        slots, features = max(SLOTS, share), sum(self.bundle.judge.features)
        return Shapes(min(CHUNK, batch), shape, (classes, *shape[1:]), slots, features)

    def _task(self) -> ItemTask:
        bundle, job = self.bundle, self.job
        kind: Callable[..., ItemTask] = partial(FrameTask, value_range=job.reading.value_range)
        if self.rules.volumes:
            kind = partial(VolumeTask, reading=job.reading, box=job.roi, overlap=bundle.inferer.overlap)
        return kind(
            preprocessing=bundle.preprocessing,
            postprocessing=bundle.postprocessing,
            segments=bundle.segments,
            quantities=tuple(bundle.metadata.get("quantities", ())),
            rules=self.rules,
            judge=bundle.judge,
            algorithm=bundle.algorithm,
            formats=job.formats,
            seg_type=job.seg_type,
            probabilities=job.probabilities,
            identify=job.identify,
            drafts=self.folder.drafts,
            fingerprint=self.folder.fingerprint,
            earlier=None if job.earlier is None else job.earlier / "items",
            replace=job.replace,
            computed_by="" if self.backend is None else self.backend.name,
        )

    def _settle(self, outcome: Outcome) -> bool:
        """Publish a finished item or record its failure; returns whether it is done."""
        item, error = outcome.item, outcome.error
        if error is None:
            try:
                self.folder.publish(item.case)
            except OutputError as refusal:
                error = refusal
        if error is not None:
            self.folder.withdraw(item.case)
            self.folder.add_failure(Failure.of(error, file=item.file, case=item.case))
            self.totals.failed += 1
            return False
        done: Done = outcome.result
        self.done.append(item)
        self.totals.done += 1
        self.totals.frames += done.frames
        self.totals.flagged += bool(done.flags)
        self.stages.update(done.seconds)
        return True

    def _summary(self, stopped: bool) -> Iterator[str]:
        totals, noun = self.totals, "slice" if self.rules.volumes else "frame"
        yield (
            f"{totals.done} done in {totals.seconds:.0f} s ({count(totals.frames, noun)}), "
            f"{totals.flagged} flagged, {totals.failed} failed, {totals.kept} kept, "
            f"{len(self.discovered.left_out)} left out"
        )
        yield f"results: {self.folder.path / 'report.html'}"
        if stopped:
            yield "stopped; go on with the same command and --resume"
            raise KeyboardInterrupt
        if totals.failed:
            number = f"{totals.failed} that failed"
            remedy = "failures.csv says which and why; --resume tries them again."
            raise RunError("every item done", found=number, remedy=remedy)
