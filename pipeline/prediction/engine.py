"""The engine of a machine: the network and the processes that it takes, started once, for rounds of items."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import psutil

from pyraseg.pipeline.inference.backends import Backend
from pyraseg.pipeline.prediction.bundle import LoadedBundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.discovery.find_items import Discovered
from pyraseg.pipeline.prediction.items.frame_task import FrameTask
from pyraseg.pipeline.prediction.items.task import Done, ItemTask
from pyraseg.pipeline.prediction.items.volume_task import VolumeTask
from pyraseg.pipeline.prediction.job import Job, fingerprint, load_job, lock_of, read_job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.folder_lock import FolderLock
from pyraseg.pipeline.prediction.output.tables import Totals, write_tables
from pyraseg.pipeline.prediction.plan import CHUNK, batch_size, make_backend, network_threads
from pyraseg.pipeline.prediction.processes.network_client import SLOTS, Shapes
from pyraseg.pipeline.prediction.processes.network_server import ForwardServer
from pyraseg.pipeline.prediction.processes.template import start_template
from pyraseg.pipeline.prediction.processes.workers import Outcome, Workers
from pyraseg.pipeline.utils.files import private_files
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import OutputError, RunError

__all__ = ["Engine", "Settled", "hold_folder", "open_engine"]

LEAST_MEMORY = 2**31  # bytes for a worker's item, however many workers there are
MANY = 100_000  # frames that a process without an end of its work expects


@dataclass(frozen=True)
class Settled:
    """An item that has come to its end: published, or failed."""

    item: Item
    done: Done | None = None
    failure: Failure | None = None


class Engine:
    """Predicts items, in as many rounds as its user likes; a context manager, which holds the processes.

    An item's results appear whole in ``folder`` or not at all, and a failure is recorded there, before its
    `Settled` is yielded. The user holds the folder (`hold_folder`) as long as the engine is open.

    A process that goes on, such as a listener, has one engine open from its start to its end:

        with open_engine(job) as engine, Stopping() as stopping:
            while due := ...:  # folders that are complete
                found = find_items(due, engine.rules)
                for settled in engine.run(found.items, watch=[stopping.check]):
                    ...
            engine.write_tables(found, totals, started=began)

    Rounds end before the next begins. A round that is left early, or ended by its watch, costs the items that
    are in work; the engine can go on.

    Args:
        job: its options; with the bundle's reading (`read_job`).
        bundle: with its weights.
        rules: of the bundle.
        folder: for the results.
        backend: scores the frames.
        most: the most items of a round, where that is known: no more processes are started.
        share: of the machine's memory that its processes may take, where several engines are on it.

    Attributes:
        name: of the backend.
    """

    def __init__(
        self,
        job: Job,
        bundle: LoadedBundle,
        rules: AcceptanceRules,
        *,
        folder: OutputFolder,
        backend: Backend,
        most: int | None = None,
        share: float = 1.0,
    ) -> None:
        self.job, self.bundle, self.rules, self.folder, self.backend = job, bundle, rules, folder, backend
        number = job.workers or (os.cpu_count() or 1) + 1
        self._number = number if most is None else min(number, most)
        self._share = share
        self._server: ForwardServer | None = None

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def seconds(self) -> float:
        """Of the network so far, over its threads."""
        return 0.0 if self._server is None else self._server.seconds

    def __enter__(self) -> Engine:
        threads = network_threads(self.bundle)
        features = self.bundle.judge.features and self.backend.features
        size = batch_size(self.job, self.bundle)
        memory = max(LEAST_MEMORY, int(0.8 * self._share * psutil.virtual_memory().available) // self._number)
        with ExitStack() as held:  # a process that cannot start leaves none of the others
            self._server = server = ForwardServer(
                self.backend, batch_size=size, threads=threads, features=features or None
            )
            held.callback(server.close)
            self._workers = Workers(
                self._task(),
                number=self._number,
                seconds=self.job.item_timeout,
                memory=memory,
                shapes=self._shapes(size),
                serve=server.submit,
            )
            held.callback(self._workers.stop)
            self._workers.__enter__()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def run(self, items: Iterable[Item], *, watch: Iterable[Callable[[], None]] = ()) -> Iterator[Settled]:
        """Predict the items, read one by one, and yield each as it comes to its end; not in order.

        Args:
            watch: called at least about twice a second; an exception ends the round.

        Raises:
            OutputError: the output folder was removed or replaced.
            RunError: the network's threads have ended.
        """
        if self._server is None:
            raise RunError(
                "an engine that is open", found="one that is not", remedy="Use it in a with block."
            )
        checks = (self._server.check, *watch, self.folder.check)
        for outcome in self._workers.run(items, watch=checks):
            yield self._settle(outcome)

    def write_tables(
        self, discovered: Discovered, totals: Totals, *, started: datetime, stopped: bool = False
    ) -> None:
        """Write tables and report of all that is in the folder; ``discovered`` and ``totals`` are the user's.

        Raises:
            OutputError: a file cannot be written.
        """
        write_tables(
            self.folder,
            self.bundle,
            self.job,
            rules=self.rules,
            discovered=discovered,
            totals=totals,
            started=started,
            stopped=stopped,
            backend=self.backend.name,
            stages={},
        )

    def _shapes(self, batch: int) -> Shapes:
        """Volumes get enough slots that a single volume keeps all threads of the network busy."""
        classes, shape = len(self.bundle.segments), self.bundle.input_shape
        share = -(-network_threads(self.bundle) // self._number) if self.bundle.volumes else 0
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
            computed_by=self.backend.name,
        )

    def _settle(self, outcome: Outcome) -> Settled:
        """Publish a finished item or record its failure."""
        item, error = outcome.item, outcome.error
        if error is None:
            try:
                self.folder.publish(item.case)
                return Settled(item, done=outcome.result)
            except OutputError as refusal:
                error = refusal
        self.folder.withdraw(item.case)
        failure = Failure.of(error, file=item.file, case=item.case)
        self.folder.add_failure(failure)
        return Settled(item, failure=failure)


@contextmanager
def hold_folder(lock: FolderLock, folder: OutputFolder) -> Iterator[None]:
    """Hold an output folder for the block, whose files are for their owner alone.

    Raises:
        OutputError: it is in use, holds what it must not, or cannot be written.
    """
    with private_files(), lock.hold():
        folder.prepare()
        try:
            yield
        finally:
            folder.close()


@contextmanager
def open_engine(job: Job, *, frames: int = MANY) -> Iterator[Engine]:
    """Load a job's bundle and weights, hold its output folder, and open an engine, for the block.

    Args:
        job: its inputs are not looked at. With ``resume`` the folder may hold results.
        frames: about as many as will come, by which ``--backend auto`` decides whether to measure.

    Raises:
        PyrasegError: bundle, weights or output folder cannot be used; as `predict`.
    """
    start_template()
    config, rules, job = read_job(job)
    bundle = load_job(job, config)
    lock = lock_of(job, fingerprint(job, bundle))
    folder = OutputFolder(lock.folder, shard=lock.shard, fingerprint=lock.fingerprint)
    with hold_folder(lock, folder):
        backend = make_backend(job, bundle, frames, former=folder.backend())
        folder.save_backend(backend.name.split()[0])
        with Engine(job, bundle, rules, folder=folder, backend=backend) as engine:
            yield engine
