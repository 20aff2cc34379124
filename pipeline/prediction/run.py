"""A batch from beginning to end: find, share out, publish, write the tables; what fails costs itself
alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from pyraseg.pipeline.inference.backends import Backend
from pyraseg.pipeline.prediction.batch import Batch
from pyraseg.pipeline.prediction.bundle import LoadedBundle, load_bundle, read_metadata
from pyraseg.pipeline.prediction.discovery.acceptance_rules import Rules, read_rules
from pyraseg.pipeline.prediction.discovery.find_items import Found, find_items
from pyraseg.pipeline.prediction.discovery.header_processes import in_processes
from pyraseg.pipeline.prediction.dry_run import count, describe
from pyraseg.pipeline.prediction.job import Job, check_unit, fingerprint
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.folder_lock import Claim
from pyraseg.pipeline.prediction.plan import Plan, make_backend, make_plan
from pyraseg.pipeline.prediction.processes.workers import start_ahead
from pyraseg.transforms.errors import PyrasegError, UsageError

__all__ = ["predict"]

PRELOAD = (
    "pyraseg.pipeline.prediction.items.volume_task",
    "highdicom.sr",
    "PIL.WebPImagePlugin",
    "skimage.measure",
)


def predict(job: Job) -> Iterator[str]:
    """Do a job and yield the lines to print.

    Nothing in the output folder is touched before it is known that the work can begin.

    Raises:
        UsageError: bundle, weights or output folder cannot be used, or there is nothing to predict.
        RunError: at the end, some items have failed.
        KeyboardInterrupt: it was told to stop; what is done is in the tables.
    """
    start_ahead(PRELOAD)
    started = datetime.now(UTC)
    with before_work():
        rules = read_rules(read_metadata(job.bundle))
        check_unit(job, rules)
    if job.dry_run and not job.resume:
        found = _find(job, rules)
        yield from describe(found, make_plan(job, found.items, None))
        return
    with before_work():
        bundle = _load(job)
        wish = _wish(job, fingerprint(job, bundle))
        wish.check()
    yield f"bundle {bundle.folder}, version {bundle.algorithm.version}, weights sha256 {bundle.algorithm.weights}"
    found, folder = (
        _find(job, rules),
        OutputFolder(wish.folder, shard=job.shard, fingerprint=wish.fingerprint),
    )
    plan = make_plan(job, found.items, folder)
    if job.dry_run:
        yield from describe(found, plan)
        return
    yield _outline(found, plan)
    backend = None
    if plan.due:
        with before_work():
            backend = make_backend(job, bundle, plan.frames, former=folder.backend())
        yield f"backend {backend.reason}"
    with ExitStack() as held:
        with before_work():
            _hold(wish, folder, backend, held)
        yield from Batch(job, bundle, rules, folder, found, plan, backend, started).run()


def _outline(found: Found, plan: Plan) -> str:
    beyond = f" ({plan.beyond} more beyond the limit)" if plan.beyond else ""
    return (
        f"{count(len(found.items), 'item')}: {len(plan.kept)} done before, {len(plan.due)} to do{beyond}; "
        f"{count(len(found.left_out), 'file')} left out, {len(found.failures)} cannot be read"
    )


def _load(job: Job) -> LoadedBundle:
    return load_bundle(
        job.bundle,
        checkpoints=job.checkpoints,
        device=job.device,
        overrides=job.overrides,
        probabilities=job.probabilities or job.seg_type == "fractional",
    )


def _wish(job: Job, mark: str) -> Claim:
    if job.output is None:
        raise UsageError("an output folder", found="none", remedy="Name a new one with --output.")
    return Claim(job.output.absolute(), job.shard, mark, job.resume, job.overwrite)


def _hold(wish: Claim, folder: OutputFolder, backend: Backend | None, held: ExitStack) -> None:
    """Make the output folder this run's own until ``held`` is closed."""
    held.enter_context(_private())
    held.enter_context(wish.hold())
    folder.prepare()
    held.callback(folder.close)
    if backend is not None:
        folder.keep_backend(backend.name.split()[0])


@contextmanager
def before_work() -> Iterator[None]:
    """What keeps a batch from beginning is a matter of its command line; exit status 1 is for items that
    failed."""
    try:
        yield
    except PyrasegError as error:
        raise UsageError(error.wanted, found=error.found, remedy=error.remedy, path=error.path) from error


def _find(job: Job, rules: Rules) -> Found:
    without = [] if job.output is None else [job.output]
    found = find_items(job.inputs, rules, map_headers=in_processes(os.cpu_count() or 1), without=without)
    if not (found.items or found.failures or found.left_out):
        remedy = "Check the INPUT: DICOM files, folders that hold some, or a DICOMDIR."
        raise UsageError("files to predict", found="none", remedy=remedy)
    return found


@contextmanager
def _private() -> Iterator[None]:
    """Files for their owner alone: mode 0600, folders 0700."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
