"""A batch from beginning to end: find, share out, publish, write the tables; what fails costs itself alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from pipeline.prediction.batch import Batch, before_work
from pipeline.prediction.bundle import LoadedBundle, load_bundle, read_metadata
from pipeline.prediction.claim import claim
from pipeline.prediction.description import describe
from pipeline.prediction.discovery import Found, find_items
from pipeline.prediction.folder import OutputFolder
from pipeline.prediction.headers import in_processes
from pipeline.prediction.job import Job, fingerprint
from pipeline.prediction.rules import Rules, read_rules
from pipeline.prediction.workers import start_ahead
from transforms.errors import UsageError

__all__ = ["predict"]

PRELOAD = ("pipeline.prediction.item", "highdicom.sr", "PIL.WebPImagePlugin", "skimage.measure")


def predict(job: Job) -> Iterator[str]:
    """Do a job and yield the lines to print.

    Raises:
        UsageError: bundle, weights or output folder cannot be used, or there is nothing to predict.
        RunError: at the end, some items have failed.
        KeyboardInterrupt: it was told to stop; what is done is in the tables.
    """
    start_ahead(PRELOAD)
    with before_work():
        rules = read_rules(read_metadata(job.bundle))
    if job.dry_run:
        yield from describe(_find(job, rules), job.limit)
        return
    with before_work():
        bundle = _load(job)
    yield f"bundle {bundle.folder}, version {bundle.algorithm.version}, weights sha256 {bundle.algorithm.weights}"
    with ExitStack() as held:
        with before_work():
            folder = _claimed(job, fingerprint(job, bundle), held)
        started = datetime.now(UTC)
        yield from Batch(job, bundle, rules, folder, _find(job, rules), started).run()


def _load(job: Job) -> LoadedBundle:
    return load_bundle(
        job.bundle,
        checkpoints=job.checkpoints,
        device=job.device,
        overrides=job.overrides,
        probabilities=job.probabilities or job.seg_type == "fractional",
    )


def _claimed(job: Job, mark: str, held: ExitStack) -> OutputFolder:
    """The output folder, this run's own until ``held`` is closed."""
    if job.output is None:
        raise UsageError("an output folder", found="none", remedy="Name a new one with --output.")
    held.enter_context(_private())
    held.enter_context(claim(job.output, shard=job.shard, fingerprint=mark, resume=job.resume, overwrite=job.overwrite))
    folder = OutputFolder(job.output, shard=job.shard, fingerprint=mark)
    folder.prepare()
    held.callback(folder.close)
    return folder


def _find(job: Job, rules: Rules) -> Found:
    found = find_items(job.inputs, rules, map_headers=in_processes(os.cpu_count() or 1))
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
