"""The engine of one node, or of one of its GPUs or groups of cores; Ray runs it as an actor."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from pyraseg.pipeline.prediction.cluster.node import Common, check_node
from pyraseg.pipeline.prediction.engine import Engine
from pyraseg.pipeline.prediction.items.task import Done
from pyraseg.pipeline.prediction.job import Job, fingerprint, load_job, read_job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.plan import make_backend
from pyraseg.pipeline.prediction.processes.template import start_template
from pyraseg.pipeline.utils.files import private_files
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import ConfigError, OutputError, PyrasegError

__all__ = ["NodeEngine", "Opened", "Order", "SharedFolder"]


@dataclass(frozen=True)
class Order:
    """What every node does.

    Attributes:
        job: with absolute paths.
        mark: its fingerprint by the driver; the nodes' must be the same.
        common: to driver and nodes.
        frames: of the whole batch.
        backend: that was asked for or has scored the job's first frames; None where one is to be chosen.
        cores: of an actor; share: of its node's memory.
    """

    job: Job
    mark: str
    common: Common
    frames: int
    backend: str | None
    cores: int
    share: float


@dataclass(frozen=True)
class Opened:
    """The answer of an engine that can begin: its backend's name and reason, and its device."""

    backend: str
    reason: str
    device: str


@dataclass(frozen=True)
class Answer:
    """What became of the items of a chunk, in their order; and the network's seconds so far."""

    ends: list[tuple[Done | None, Failure | None]]
    seconds: float


class SharedFolder(OutputFolder):
    """The output folder as a node sees it: the driver holds its lock and records what fails.

    A node that was given up may still be at work on items that another one has been given. Their results are
    the same, so whichever comes later finds the item done.
    """

    chunk: dict[str, Item]

    def prepare(self) -> None:
        """Make a place for drafts."""
        self.drafts.mkdir(parents=True)

    def publish(self, case: str) -> None:
        try:
            super().publish(case)
        except OutputError:
            if not self.is_done(self.chunk[case]):
                raise

    def withdraw(self, case: str) -> None:
        if not self.is_done(self.chunk[case]):
            super().withdraw(case)

    def add_failure(self, failure: Failure) -> None:
        """Nothing: the driver does, once for each item."""


class NodeEngine:
    """Opens an `Engine` on its node and predicts chunks of items with it.

    Errors are answers: an exception reaches Ray only where the engine itself is lost.

    Args:
        order: what to do.
    """

    def __init__(self, order: Order) -> None:
        self._order, self._node = order, socket.gethostname()
        self._held = ExitStack()

    def open(self) -> Opened | PyrasegError:
        """Check the node, load the bundle and start the engine."""
        try:
            if (refusal := check_node(self._order.common, self._node)) is not None:
                return refusal
            return self._open()
        except PyrasegError as error:
            return error.restated(found=f"{error.found} (on the node {self._node})")

    def _open(self) -> Opened:
        order = self._order
        torch.set_num_threads(order.cores)
        start_template()
        config, rules, job = read_job(order.job)
        bundle = load_job(job, config)
        if fingerprint(job, bundle) != order.mark:
            remedy = "Give every node the same bundle and weights by the same paths."
            raise ConfigError(
                "the driver's bundle, weights and options", found="others by those paths", remedy=remedy
            )
        backend = make_backend(job, bundle, order.frames, former=order.backend)
        self._folder = SharedFolder(order.common.output, shard=job.shard, fingerprint=order.mark)
        self._held.enter_context(private_files())
        self._folder.prepare()
        self._held.callback(self._folder.close)
        engine = Engine(job, bundle, rules, folder=self._folder, backend=backend, share=order.share)
        self._engine = self._held.enter_context(engine)
        return Opened(backend.name, backend.reason, str(bundle.device))

    def predict(self, items: Sequence[Item]) -> Answer:
        """Predict the items of a chunk that are not done yet: another node may have been lost with it."""
        self._folder.chunk = {item.case: item for item in items}
        ends: dict[str, tuple[Done | None, Failure | None]] = {}
        due = []
        for item in items:
            record = self._folder.read(item.case) if self._folder.is_done(item) else None
            if record is None:
                due.append(item)
            else:
                ends[item.case] = Done(record.frames, record.flags, {}), None
        for settled in self._engine.run(due):
            ends[settled.item.case] = settled.done, settled.failure
        return Answer([ends[item.case] for item in items], self._engine.seconds)
