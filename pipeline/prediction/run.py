"""Run a batch: find items, give them out, publish results, write the tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import torch

from pyraseg.pipeline.prediction.batch import Batch
from pyraseg.pipeline.prediction.cluster.ray_engine import RayEngine, connect
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.discovery.find_items import Discovered, find_items, in_processes
from pyraseg.pipeline.prediction.engine import Engine, hold_folder
from pyraseg.pipeline.prediction.job import Job, absolute, fingerprint, load_job, lock_of, read_job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.folder_lock import check_earlier
from pyraseg.pipeline.prediction.plan import check_found, describe, make_backend, make_plan, outline
from pyraseg.pipeline.prediction.processes.template import start_template
from pyraseg.transforms.errors import PyrasegError, UsageError

__all__ = ["predict"]


def predict(job: Job) -> Iterator[str]:
    """Do a job and yield lines to print.

    The output folder is not touched before it is certain that work can begin.

    Raises:
        UsageError: bundle, weights or output folder cannot be used.
        NothingFoundError: at the end, with tables that say why, the inputs held nothing to predict.
        RunError: at the end, some items have failed.
        KeyboardInterrupt: it was told to stop; finished items are in the tables.
    """
    if job.engine == "local":
        start_template()  # the command has started it before its imports; a caller in Python has not
    started = datetime.now(UTC)
    with before_work():
        config, rules, job = read_job(absolute(job) if job.engine == "ray" else job)
    if job.dry_run and not job.resume:
        discovered = _discover(job, rules)
        yield from describe(discovered, make_plan(job, discovered.items, None))
        check_found(discovered)
        return
    with before_work():
        elsewhere = job.engine == "ray"  # where this machine may have no GPU
        bundle = load_job(replace(job, device="cpu") if elsewhere else job, config)
        mark = fingerprint(job, bundle)
        lock = lock_of(job, mark)
        lock.check()
        if job.earlier not in (None, job.output):
            check_earlier(job.earlier)
    algorithm = bundle.algorithm
    yield f"bundle {bundle.folder}, version {algorithm.version}, weights sha256 {algorithm.weights}"
    if algorithm.model:
        yield f"model: {algorithm.model}"
    yield f"operating point: {algorithm.operating_point}"
    discovered = _discover(job, rules)
    if job.overwrite and lock.folder.exists():
        check_found(discovered)  # earlier results are not given up for none
    folder = OutputFolder(lock.folder, shard=job.shard, fingerprint=mark)
    plan = make_plan(job, discovered.items, folder)
    if job.dry_run:
        yield from describe(discovered, plan)
        check_found(discovered)
        return
    yield outline(discovered, plan)
    with ExitStack() as held:
        engine: Engine | RayEngine | None = None
        if plan.due and job.engine == "local":
            with before_work():
                backend = make_backend(job, bundle, plan.frames, former=folder.backend())
                number = len(plan.due)
                engine = Engine(job, bundle, rules, folder=folder, backend=backend, most=number)
            yield f"backend {backend.reason}"
        with before_work():
            held.enter_context(hold_folder(lock, folder))
            if plan.due and job.engine == "ray":
                items, frames = len(plan.due), plan.frames
                ray = connect(job, mark, folder=folder, items=items, frames=frames, volumes=rules.volumes)
                engine = held.enter_context(ray)
                bundle = replace(bundle, device=torch.device(engine.device))
            if engine is not None:
                folder.save_backend(engine.name.split()[0])
        if isinstance(engine, RayEngine):
            yield f"backend {engine.reason}"
        yield from Batch(job, bundle, rules, folder, discovered, plan, engine, started).run()
    check_found(discovered)


@contextmanager
def before_work() -> Iterator[None]:
    """Errors before the work are usage errors; exit status 1 is for failed items."""
    try:
        yield
    except PyrasegError as error:
        raise error.restated(UsageError) from error


def _discover(job: Job, rules: AcceptanceRules) -> Discovered:
    without = [] if job.output is None else [job.output]
    discovered = find_items(job.inputs, rules, map_files=in_processes(os.cpu_count() or 1), without=without)
    if not discovered.left_out:
        check_found(discovered)  # nothing at all: no results folder either
    return discovered
