"""The tables, manifest and report of a batch, made from its output folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from filelock import FileLock

from pyraseg.pipeline.measurement.frame import FRAME_MEASURES
from pyraseg.pipeline.measurement.volume import VOLUME_MEASURES
from pyraseg.pipeline.prediction.bundle import LoadedBundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.discovery.find_items import Discovered
from pyraseg.pipeline.prediction.items.outputs import THUMBNAIL
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.folder_lock import STATE
from pyraseg.pipeline.utils.version import package_version
from pyraseg.pipeline.writers.report import Run, write_report
from pyraseg.pipeline.writers.tables.csv_tables import (
    write_failures,
    write_frames,
    write_left_out,
    write_manifest,
    write_results,
)
from pyraseg.pipeline.writers.tables.item_records import ItemRecord

__all__ = ["Totals", "write_tables"]

LIBRARIES = ("monai", "torch", "numpy", "scipy", "pydicom", "highdicom")


@dataclass
class Totals:
    """The counts of this run: items done and kept, failures (unreadable files included), frames.

    ``seconds`` is the wall time of the run, ``work`` that from the workers' start to the last result.
    """

    done: int = 0
    kept: int = 0
    failed: int = 0
    flagged: int = 0
    frames: int = 0
    seconds: float = 0.0
    work: float = 0.0


def write_tables(
    folder: OutputFolder,
    bundle: LoadedBundle,
    job: Job,
    *,
    rules: AcceptanceRules,
    discovered: Discovered,
    totals: Totals,
    started: datetime,
    stopped: bool,
    backend: str | None,
    stages: Mapping[str, float],
) -> None:
    """Write all tables from the results of every shard so far.

    Raises:
        OutputError: a file cannot be written.
    """
    ended = datetime.now(UTC)
    measures = VOLUME_MEASURES if rules.volumes else FRAME_MEASURES
    units = {
        str(entry["name"]): measures[entry["measure"]].unit for entry in bundle.metadata.get("quantities", ())
    }
    options = _options(job, rules)
    with FileLock(folder.path / STATE / "tables.lock"):
        shown = {"identify": job.identify, "volumes": rules.volumes}
        write_results(folder.path / "results.csv", folder.records(), units=units, **shown)
        if not rules.volumes:
            write_frames(folder.path / "frames.csv", folder.records(), units=units)
        failures = folder.failures()
        write_failures(folder.path / "failures.csv", failures)
        write_left_out(folder.path / "left_out.csv", discovered.left_out)
        write_report(
            folder.path / "report.html",
            folder.records(),
            run=Run(
                bundle.algorithm,
                ended,
                units,
                bundle.segments,
                _in_words(options),
                trained_on=rules.trained_on,
                volumes=rules.volumes,
            ),
            failures=failures,
            left_out=discovered.left_out,
            thumbnail=lambda record: _thumbnail(folder, record),
            identify=job.identify,
        )
        content = {
            "bundle": {
                "name": bundle.algorithm.name,
                "version": bundle.algorithm.version,
                "digest": bundle.digest,
            },
            "model": bundle.algorithm.model or None,
            "weights_sha256": bundle.algorithm.weights,
            "operating_point": bundle.algorithm.operating_point,
            "trained_on": rules.trained_on or None,
            "fingerprint": folder.fingerprint,
            "versions": {
                "pyraseg": package_version(),
                "python": platform.python_version(),
                **{name: version(name) for name in LIBRARIES},
            },
            "options": options,
            "backend": backend,
            "device": str(bundle.device),
            "shard": {"index": job.shard.index, "count": job.shard.count},
            "started": started.isoformat(timespec="seconds"),
            "ended": ended.isoformat(timespec="seconds"),
            "stopped": stopped,
            "counts": _counts(folder, discovered, totals, len(failures)),
            "seconds": {
                "wall": round(totals.seconds, 3),
                "work": round(totals.work, 3),
                "by_stage": {name: round(seconds, 3) for name, seconds in sorted(stages.items())},
            },
        }
        write_manifest(folder.path / "manifest.json", content)


def _options(job: Job, rules: AcceptanceRules) -> dict[str, Any]:
    """The options of the job, without paths."""
    options: dict[str, Any] = {
        name: getattr(job, name)
        for name in ("seg_type", "probabilities", "identify", "device", "backend", "limit", "resume")
    }
    if rules.volumes:
        options["roi"] = "" if job.roi is None else ",".join(f"{bound:g}" for bound in job.roi.bounds)
    for name, value in job.reading.given.items():
        options[name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return {"formats": ", ".join(job.formats), **options, "overrides": ", ".join(job.overrides)}


def _in_words(options: Mapping[str, Any]) -> dict[str, str]:
    """The options for people, without those that were not given."""
    asked = {name: value for name, value in options.items() if value not in (None, "", False)}
    return {name.replace("_", " "): "yes" if value is True else str(value) for name, value in asked.items()}


def _counts(folder: OutputFolder, discovered: Discovered, totals: Totals, failed: int) -> dict[str, int]:
    return {
        "items_found": len(discovered.items),
        "results": sum(1 for _ in folder.records()),
        "failed": failed,
        "left_out": len(discovered.left_out),
        "done_in_this_run": totals.done,
        "kept_from_before": totals.kept,
        "flagged_in_this_run": totals.flagged,
        "frames_in_this_run": totals.frames,
    }


def _thumbnail(folder: OutputFolder, record: ItemRecord) -> bytes | None:
    try:
        return (folder.items / record.case / THUMBNAIL).read_bytes()
    except OSError:
        return None
