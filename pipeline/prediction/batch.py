"""The work of one run on its output folder: give out due items, publish results, write the tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyraseg.pipeline.prediction.bundle import LoadedBundle
from pyraseg.pipeline.prediction.cluster.ray_engine import RayEngine
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.discovery.find_items import Discovered
from pyraseg.pipeline.prediction.engine import Engine, Settled
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.tables import Totals, write_tables
from pyraseg.pipeline.prediction.plan import Plan, count
from pyraseg.pipeline.prediction.progress import Progress
from pyraseg.pipeline.prediction.stopping import Stopping
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import PyrasegError, RunError

__all__ = ["Batch"]


@dataclass
class Batch:
    """One run.

    Attributes:
        discovered: the content of the inputs; plan: the items of this run.
        engine: predicts the items; None where none is due.
        started: when the run began, discovery included.
        done: the cases published so far.
        totals, stages: the work so far, and its processor seconds by stage.
    """

    job: Job
    bundle: LoadedBundle
    rules: AcceptanceRules
    folder: OutputFolder
    discovered: Discovered
    plan: Plan
    engine: Engine | RayEngine | None
    started: datetime
    done: set[str] = field(default_factory=set)
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
        run_error, stopped, engine = None, False, self.engine
        try:
            if engine is not None:
                yield from self._work(engine, stopping)
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
            backend=None if engine is None else engine.name,
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
        done = (item for item in self.plan.due if item.case in self.done)
        self.totals.done, self.totals.kept = self._still_there(done), self._still_there(self.plan.kept)

    def _still_there(self, items: Iterable[Item]) -> int:
        number = 0
        for item in items:
            if self.folder.is_done(item):
                number += 1
                continue
            reason = "results that are not in the output folder any more"
            remedy = "Keep other programs out of the folder, and go on with --resume."
            self.folder.add_failure(Failure(item.file, reason, remedy, item.case))
            self.totals.failed += 1
        return number

    def _work(self, engine: Engine | RayEngine, stopping: Stopping) -> Iterator[str]:
        due = self.plan.due
        begin = time.monotonic()
        try:
            with Progress(len(due)) as progress, engine:
                for settled in engine.run(due, watch=[stopping.check]):
                    self._count(settled)
                    yield from progress.add(frames=settled.item.frames, failed=settled.done is None)
        finally:
            self.totals.work = time.monotonic() - begin
            self.stages["network"] += engine.seconds  # type: ignore[assignment]

    def _count(self, settled: Settled) -> None:
        if settled.done is None:
            self.totals.failed += 1
            return
        self.done.add(settled.item.case)
        self.totals.done += 1
        self.totals.frames += settled.done.frames
        self.totals.flagged += bool(settled.done.flags)
        self.stages.update(settled.done.seconds)

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
