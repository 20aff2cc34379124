"""Gives items to engines on the nodes of a Ray cluster; looks like the engine of one machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pyraseg.pipeline.prediction.cluster.actor import Answer, NodeEngine, Opened, Order
from pyraseg.pipeline.prediction.cluster.node import Common, check_node, common_to_nodes
from pyraseg.pipeline.prediction.cluster.session import ray_session
from pyraseg.pipeline.prediction.engine import Settled
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import PyrasegError, RunError, UsageError

__all__ = ["RayEngine", "connect"]

LOOK = 0.5  # seconds between looks at the watch
ALONE = 3600.0  # seconds without any engine before the run ends
CORES = 8  # of an engine at most, where the user says nothing
TURNS, TURNS_OF_SERIES = 16, 2  # items for each core in a chunk, at most
CHUNKS = 4  # for each engine, where items are few
LOSSES = 4  # engines that an item may be lost with; from the second on it goes alone
REPLACED = 5  # engines in a row, for each, that may be lost without an answer
CHECK = 300.0  # seconds for a node's check: its first process imports this package


@dataclass(frozen=True)
class Chunk:
    """Items that go to an engine together, and how many engines were lost while they had them."""

    items: list[Item]
    losses: int = 0


class RayEngine:
    """Engines on a cluster's nodes, as one; a context manager that ends them.

    Ray starts processes and carries messages, and retries nothing: an actor has no restarts and a call no
    retries. An engine that is lost is replaced by a new one, wherever there is room, and its chunk goes to
    whichever is free. What it had published is found done. Items that are lost again go alone, so that one
    that takes its engine with it each time fails, and not its neighbours.

    Args:
        order: for the nodes.
        number: of engines, at most.
        gpus: whether each has one.
        size: items of a chunk.
        folder: the driver's.

    Attributes:
        name, reason, device: of the engines' backend, the same for all.
        seconds: of the networks, over all engines.
    """

    def __init__(
        self, ray: Any, order: Order, *, number: int, gpus: bool, size: int, folder: OutputFolder
    ) -> None:
        self._ray, self._order, self._number, self._gpus, self._folder = ray, order, number, gpus, folder
        self._size = size
        self._opening: dict[Any, Any] = {}  # from the answer to come to the actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Chunk]] = {}
        self._again: deque[Chunk] = deque()
        self._seconds: dict[Any, float] = {}
        self._replaced = 0  # engines since the last answer
        self._seen = time.monotonic()
        self._first: Opened | None = None
        self._refusal: PyrasegError | None = None

    @property
    def name(self) -> str:
        return "" if self._first is None else self._first.backend

    @property
    def reason(self) -> str:
        reason = "" if self._first is None else self._first.reason
        return f"{reason}; {self._number} engines of {self._order.cores} cores by Ray"

    @property
    def device(self) -> str:
        return "cpu" if self._first is None else self._first.device

    @property
    def seconds(self) -> float:
        return sum(self._seconds.values())

    def begin(self) -> None:
        """Wait for the first engine; where the job has no backend yet, this one chooses it for all.

        Raises:
            PyrasegError: it refuses, or none comes.
        """
        alone = self._order.backend is None
        self._open(1 if alone else self._number)
        while self._first is None:
            self._greet()
            if self._refusal is not None:
                raise self._refusal
            self._check_alone()
        if alone:
            self._order = replace(self._order, backend=self.name.split()[0])
            self._open(self._number - 1)

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in (*self._opening.values(), *self._idle, *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)
        self._opening, self._idle, self._busy = {}, [], {}
        self._folder.remove_drafts()

    def run(self, items: Iterable[Item], *, watch: Iterable[Callable[[], None]] = ()) -> Iterator[Settled]:
        """As `Engine.run`; items are read chunk by chunk.

        Raises:
            RunError: no engine is left, and none comes.
        """
        waiting, checks = iter(items), (*watch, self._folder.check)
        more = self._give(waiting)
        while self._busy or more:
            self._greet()
            for check in checks:
                check()
            for answer in self._ready(self._busy):
                yield from self._take(answer)
            more = self._give(waiting)
            self._check_alone()

    def _ready(self, answers: Iterable[Any]) -> list[Any]:
        refs = [*answers]
        return list(self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if refs else []

    def _open(self, number: int) -> None:
        """Order engines; Ray starts each where and when there is room."""
        options = {"num_cpus": self._order.cores, **({"num_gpus": 1} if self._gpus else {})}
        # on purpose: a restarted actor would be unchecked, and a call that is repeated waits for its one node
        kind = self._ray.remote(max_restarts=0, max_task_retries=0, **options)(NodeEngine)
        for _ in range(number):
            actor = kind.remote(self._order)
            self._opening[actor.open.remote()] = actor

    def _replace(self, actor: Any) -> None:
        self._ray.kill(actor)  # it may only be out of reach
        self._replaced += 1
        if self._replaced <= REPLACED * self._number:
            self._open(1)

    def _greet(self) -> None:
        """Wait a moment for any answer, and take those of engines that have opened or refuse to."""
        answers = [*self._busy, *self._opening]
        if answers:
            self._ray.wait(answers, timeout=LOOK)
        for answer in self._ready(self._opening):
            actor, opened = self._opening.pop(answer), self._get(answer)
            if isinstance(opened, Opened) and opened.backend != (self._first or opened).backend:
                remedy = "Use --device cpu and --backend torch, or a cluster of nodes of one kind."
                found = f"{self.name} and {opened.backend}"
                opened = UsageError("nodes that compute alike", found=found, remedy=remedy)
            if opened is None:
                self._replace(actor)
            elif isinstance(opened, PyrasegError):  # its place stays empty
                self._refusal = opened
                self._ray.kill(actor)
            else:
                self._first = self._first or opened
                self._idle.append(actor)

    def _get(self, answer: Any) -> Any:
        """An answer; None where the engine is lost."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayError:
            return None

    def _give(self, waiting: Iterator[Item]) -> bool:
        """Give chunks to idle engines; whether there may be more."""
        while self._idle:
            chunk = self._again.popleft() if self._again else Chunk(list(islice(waiting, self._size)))
            if not chunk.items:
                return False
            actor = self._idle.pop()
            self._busy[actor.predict.remote(chunk.items)] = actor, chunk
        return True

    def _take(self, ref: Any) -> Iterator[Settled]:
        actor, chunk = self._busy.pop(ref)
        answer: Answer | None = self._get(ref)
        if answer is None:
            self._replace(actor)
            yield from self._lose(chunk)
            return
        self._idle.append(actor)
        self._replaced, self._seconds[actor] = 0, answer.seconds
        for item, (done, failure) in zip(chunk.items, answer.ends, strict=True):
            if failure is not None:
                self._folder.add_failure(failure)
            yield Settled(item, done, failure)

    def _lose(self, chunk: Chunk) -> Iterator[Settled]:
        losses = chunk.losses + 1
        if losses < LOSSES:
            parts = [chunk.items] if losses < 2 else [[item] for item in chunk.items]
            self._again.extend(Chunk(part, losses) for part in parts)
            return
        for item in chunk.items:
            found = f"one with which {LOSSES} engines were lost (out of memory?)"
            error = RunError("an item that can be processed", found=found, remedy="Look at it by itself.")
            failure = Failure.of(error, file=item.file, case=item.case)
            self._folder.add_failure(failure)
            yield Settled(item, failure=failure)

    def _check_alone(self) -> None:
        """End where no engine works and none is to be had."""
        if self._busy or self._idle:
            self._seen = time.monotonic()
            return
        if not self._opening and self._refusal is not None:
            raise self._refusal
        seconds = time.monotonic() - self._seen
        if seconds > ALONE or not self._opening:
            found, remedy = f"none after {seconds:.0f} seconds", "Look at `ray status`; --resume goes on."
            raise RunError("a node with room for an engine", found=found, remedy=remedy)


@contextmanager
def connect(
    job: Job, mark: str, *, folder: OutputFolder, items: int, frames: int, volumes: bool
) -> Iterator[RayEngine]:
    """Connect to a cluster, or start Ray here, check each node, and open engines for the block.

    Args:
        job: with absolute paths, its output folder held.
        mark: its fingerprint.
        items, frames: how many will come.

    Raises:
        UsageError: no Ray, no cluster, or none with a core.
        PyrasegError: what a node lacks, in words.
    """
    with (
        ray_session(job.ray_address) as ray,
        common_to_nodes(folder.path, job.shard.label, inputs=job.inputs) as common,
    ):
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            remedy = "Start one with `ray start --address HEAD:PORT`."
            raise UsageError("a cluster with a node that computes", found="none", remedy=remedy)
        _check_nodes(ray, common, nodes)
        sizes = [(int(node["Resources"]["CPU"]), int(node["Resources"].get("GPU", 0))) for node in nodes]
        cores = job.ray_cores or min(CORES, *(cpus for cpus, _ in sizes))
        gpus = job.device != "cpu" and any(number for _, number in sizes)
        places = [min(cpus // cores, number) if gpus else cpus // cores for cpus, number in sizes]
        number = min(items, sum(places))
        if not number:
            found = f"none among {len(nodes)}"
            raise UsageError(f"a node with {cores} cores", found=found, remedy="Use a smaller --ray-cores.")
        own = replace(job, device="cuda" if job.device.startswith("cuda") else job.device)
        own = replace(own, workers=job.workers or cores + 1)
        backend = folder.backend() or (None if job.backend == "auto" else job.backend)
        order = Order(own, mark, common, frames, backend, cores, 1 / max(places))
        size = max(1, min((TURNS_OF_SERIES if volumes else TURNS) * cores, items // (CHUNKS * number)))
        engine = RayEngine(ray, order, number=number, gpus=gpus, size=size, folder=folder)
        with engine:
            engine.begin()
            yield engine


def _check_nodes(ray: Any, common: Common, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Let each node look for what it needs.

    Raises:
        PyrasegError: what one of them lacks.
    """
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    check = ray.remote(num_cpus=0, max_retries=0)(check_node)
    answers = {}
    for node in nodes:
        name, place = node["NodeManagerHostname"], affinity(node["NodeID"], soft=False)
        answers[check.options(scheduling_strategy=place).remote(common, name)] = name
    for answer, name in answers.items():
        try:
            refusal = ray.get(answer, timeout=CHECK)
        except ray.exceptions.RayError as error:
            broken = "import" in str(error) or "No module" in str(error)
            found = f"a node without it ({name})" if broken else f"one that does not answer ({name})"
            remedy = 'Install the same version there: pip install "pyraseg[ray]"; or look at `ray status`.'
            raise UsageError("pyraseg on every node", found=found, remedy=remedy) from error
        if refusal is not None:
            raise refusal
