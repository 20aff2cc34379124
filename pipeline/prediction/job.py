"""The options of one ``predict`` call."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyraseg.pipeline.bundle.metadata import BundleMetadata
from pyraseg.pipeline.bundle.overrides import override_pairs
from pyraseg.pipeline.prediction.bundle import BundleConfig, LoadedBundle, load_bundle, read_bundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules, read_rules
from pyraseg.pipeline.prediction.discovery.search_box import SearchBox, parse_search_box
from pyraseg.pipeline.prediction.items.outputs import DEFAULT_FORMATS, FORMATS
from pyraseg.pipeline.prediction.output.folder_lock import FolderLock, Shard, parse_shard
from pyraseg.pipeline.utils.reading_options import FLAGS, reading_options
from pyraseg.pipeline.utils.version import package_version
from pyraseg.pipeline.utils.without_paths import is_model_reference
from pyraseg.transforms.errors import UsageError
from pyraseg.transforms.io.reading_options import OF_FRAMES, ReadingOptions

__all__ = ["Job", "absolute", "fingerprint", "for_bundle", "load_job", "lock_of", "parse_job", "read_job"]

# Config ids that command-line options set
RESERVED_IDS = (
    "bundle_root", "checkpoint", "device", "dataset_dir", "output_dir", "overwrite", "num_workers", "reading",
    "operating_point", "tracking_uri", "weights",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """The options, checked as far as possible without opening a file."""

    inputs: tuple[Path, ...]
    bundle: Path
    output: Path | None
    checkpoints: tuple[str | Path, ...] = ()
    formats: tuple[str, ...] = DEFAULT_FORMATS
    seg_type: str = "binary"
    probabilities: bool = False
    identify: bool = False
    device: str = "auto"
    backend: str = "auto"
    workers: int | None = None
    batch_size: int | None = None
    item_timeout: float = 600.0
    dry_run: bool = False
    limit: int | None = None
    shard: Shard = field(default_factory=Shard)
    resume: bool = False
    overwrite: bool = False
    earlier: Path | None = None
    replace: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)
    roi: SearchBox | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    engine: str = "local"
    ray_address: str | None = None
    ray_cores: int | None = None
    tracking_uri: str | None = None


def parse_job(arguments: argparse.Namespace) -> Job:
    """The job of a command line.

    Raises:
        UsageError: an invalid option, or an input that does not exist.
    """
    values = {name: value for name, value in vars(arguments).items() if name in Job.__dataclass_fields__}
    if arguments.output is None and (arguments.resume or not arguments.dry_run):
        raise UsageError("an output folder", found="none", remedy="Name a new one with --output.")
    inputs = tuple(Path(text) for text in arguments.inputs)
    for path in inputs:
        _check_exists(path)
    formats = _formats(arguments.formats)
    if arguments.seg_type != "binary" and "seg" not in formats:
        found = f"--seg-type {arguments.seg_type} without seg"
        remedy = "Add it to --formats, or leave --seg-type out."
        raise UsageError("seg among the formats", found=found, remedy=remedy)
    if arguments.engine != "ray" and (arguments.ray_address or arguments.ray_cores):
        remedy = "Add --engine ray, or leave the options of Ray out."
        raise UsageError("options of this engine", found="options of another", remedy=remedy)
    point = {"operating_point": arguments.operating_point} if arguments.operating_point is not None else {}
    return Job(
        **{
            **values,
            "inputs": inputs,
            "bundle": Path(arguments.bundle),
            "output": None if arguments.output is None else Path(arguments.output),
            "earlier": _earlier(arguments),
            "checkpoints": tuple(t if is_model_reference(t) else Path(t) for t in arguments.checkpoint),
            "formats": tuple(name for name in FORMATS if name in formats),
            "shard": parse_shard(arguments.shard),
            "overrides": _overrides(arguments.overrides) | point,
            "roi": None if arguments.roi is None else parse_search_box(arguments.roi),
            "reading": reading_options(arguments),
        }
    )


def _earlier(arguments: argparse.Namespace) -> Path | None:
    """The folder of the results to replace; `--overwrite` leaves none in the output folder."""
    if arguments.earlier is not None:
        _check_exists(Path(arguments.earlier))
        return Path(arguments.earlier)
    if arguments.replace and not arguments.resume:
        remedy = "Name the earlier run's output with --earlier, or go on in it with --resume."
        raise UsageError("earlier results, for --replace", found="none", remedy=remedy)
    return Path(arguments.output) if arguments.resume else None


def _check_exists(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        found = "nothing of that name" if isinstance(error, FileNotFoundError) else f"none ({error.strerror})"
        wanted, remedy = "a file or folder that can be read", "Check the INPUT."
        raise UsageError(wanted, found=found, remedy=remedy, path=path) from error


def _formats(text: str) -> set[str]:
    words = {word.strip() for word in text.split(",") if word.strip()}
    if not words or not words <= set(FORMATS):
        wanted, remedy = f"formats among {', '.join(FORMATS)}", "Write for example --formats seg,overlay."
        raise UsageError(wanted, found=repr(text), remedy=remedy)
    return words


def read_job(job: Job) -> tuple[BundleConfig, AcceptanceRules, Job]:
    """Read the configs of a job's bundle: none of their code runs; the job with what they say.

    Raises:
        ConfigError: it is no bundle, or does not say what it takes.
        UsageError: as `for_bundle`.
    """
    config = read_bundle(job.bundle)
    rules = read_rules(config.metadata)
    return config, rules, for_bundle(job, rules, BundleMetadata.from_mapping(config.metadata).reading)


def absolute(job: Job) -> Job:
    """The job with absolute paths, and with versions of models for their aliases, for processes elsewhere."""
    tracking_uri = job.tracking_uri
    if any(map(is_model_reference, job.checkpoints)):
        from pyraseg.pipeline.tracking import default_tracking_uri

        tracking_uri = tracking_uri or default_tracking_uri(job.bundle)
    return replace(
        job,
        inputs=tuple(path.absolute() for path in job.inputs),
        bundle=job.bundle.absolute(),
        output=None if job.output is None else job.output.absolute(),
        checkpoints=tuple(_elsewhere(checkpoint, tracking_uri) for checkpoint in job.checkpoints),
        tracking_uri=tracking_uri,
        earlier=None if job.earlier is None else job.earlier.absolute(),
    )


def _elsewhere(checkpoint: str | Path, tracking_uri: str | None) -> str | Path:
    if tracking_uri is None or not is_model_reference(checkpoint):
        return Path(checkpoint).absolute()
    from pyraseg.pipeline.tracking.registry import pinned

    return pinned(str(checkpoint), tracking_uri=tracking_uri)


def load_job(job: Job, config: BundleConfig) -> LoadedBundle:
    """Load a job's bundle and weights, as `load_bundle`.

    Where others compute, this machine needs no GPU.

    Raises:
        ConfigError, CheckpointError: as there.
    """
    return load_bundle(
        config,
        checkpoints=job.checkpoints,
        device=job.device,
        overrides=job.overrides,
        probabilities=job.probabilities or job.seg_type == "fractional",
        tracking_uri=job.tracking_uri,
    )


def for_bundle(job: Job, rules: AcceptanceRules, reading: ReadingOptions) -> Job:
    """The job with the bundle's ``reading`` where the command line gives none.

    Raises:
        UsageError: an option for series where the bundle takes single files, or the other way round.
    """
    asked = {"--formats rtstruct": "rtstruct" in job.formats, "--roi": job.roi is not None}
    of_series = [option for option, given in asked.items() if given]
    of_series += [FLAGS[name] for name in job.reading.given if name not in OF_FRAMES]
    of_frames = [FLAGS[name] for name in job.reading.given if name in OF_FRAMES]
    takes, others = ("series", "single files") if rules.volumes else ("single files", "series")
    if wrong := of_frames if rules.volumes else of_series:
        wanted, remedy = f"a bundle that takes {others}, for {wrong[0]}", "Leave the option out."
        raise UsageError(wanted, found=f"one that takes {takes}", remedy=remedy)
    return replace(job, reading=job.reading.over(reading))


def _overrides(words: list[str]) -> dict[str, str]:
    pairs = override_pairs(words)
    for name in sorted(set(pairs) & set(RESERVED_IDS)):
        remedy = "Use the option of its own, before the --, or leave it out."
        raise UsageError("overrides of what has no option of its own", found=f"--{name}", remedy=remedy)
    return pairs


def fingerprint(job: Job, bundle: LoadedBundle) -> str:
    """A hash of everything but the item that results depend on; a new one makes every item due again."""
    names = ("formats", "seg_type", "probabilities", "identify", "backend", "replace")
    parts = {
        "weights": bundle.algorithm.weights,
        "bundle": bundle.digest,
        "version": package_version(),
        **{name: getattr(job, name) for name in names},
        "series": [None if job.roi is None else job.roi.bounds, job.reading.given],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def lock_of(job: Job, mark: str) -> FolderLock:
    """The lock on the job's output folder, for results with the fingerprint ``mark``.

    Raises:
        UsageError: the job names none.
    """
    if job.output is None:
        raise UsageError("an output folder", found="none", remedy="Name a new one with --output.")
    return FolderLock(job.output.absolute(), job.shard, mark, job.resume, job.overwrite)
