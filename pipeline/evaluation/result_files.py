"""One evaluation and its files: tables, summary, reliability plot and predicted label maps."""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from pyraseg.pipeline.evaluation.bootstrap import Estimate, rate_in_words
from pyraseg.pipeline.evaluation.calibration import CaseConfidence
from pyraseg.pipeline.evaluation.judgements import CaseJudgement, JudgementSummary
from pyraseg.pipeline.evaluation.lesions import CaseLesions
from pyraseg.pipeline.evaluation.page import write_page
from pyraseg.pipeline.evaluation.quantities import QuantityError
from pyraseg.pipeline.evaluation.scores import CaseScore
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.inference.decision import point_in_words
from pyraseg.pipeline.inference.trained import checkpoint_paths, load_checkpoints
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.logged_model import EVALUATED
from pyraseg.pipeline.trust import quality
from pyraseg.pipeline.utils.distributed import gather, is_main
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.files import atomic_write, private_files, sha256_of, write_json, write_rows
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.pipeline.writers.pictures.reliability import draw_reliability
from pyraseg.pipeline.writers.pictures.shares import draw_shares

__all__ = ["CASES", "CaseResults", "evaluate", "pack", "report", "unpack", "write_masks", "write_results"]

CASES = (
    *("case", "group", "class", "dice", "iou", "sensitivity", "precision"),
    *("hd95", "assd", "surface_dice", "distance_unit"),
    *("reference_pixels", "predicted_pixels", "area_error_pixels"),
    *("reference_size", "predicted_size", "size_error", "size_unit", "missed", "false_positive"),
    *("predicted_pixels_low", "predicted_pixels_high", "predicted_size_low", "predicted_size_high"),
    *("expected_dice", "unlike", "warnings"),
    *("lesion_sensitivity", "false_positive_lesions"),
)
QUANTITIES = (
    *("case", "group", "quantity", "unit", "predicted", "reference", "error", "reason"),
    *("predicted_low", "predicted_high"),
)
LESIONS = ("case", "group", "class", "kind", "voxels", "volume_ml", "common_voxels", "result")
CONFIDENCE = ("case", "group", "curve", "bin", "pixels", "confidence_sum", "correct")

logger = logging.getLogger(__name__)


def evaluate(
    evaluator: Any, tracker: Any, *, checkpoint: str | Path | Sequence[str | Path], folder: str | Path
) -> None:
    """Load a checkpoint, run a MONAI evaluator in a new MLflow run, write, log and report the results.

    The run's tag ``evaluated.sha256`` names the checkpoint, as a training's ``checkpoint.sha256`` does; for
    an ensemble it has one digest per member.

    Args:
        evaluator: with `SegmentationScores` as its key metric.
        tracker: the run to log to.
        checkpoint: the weights; several for an ensemble.
        folder: for the files of `CaseResults`.

    Raises:
        CheckpointError: the checkpoint is missing or does not fit the network.
        OutputError: ``folder`` cannot be written.
    """
    load_checkpoints(evaluator.network, checkpoint)
    evaluated = " ".join(map(sha256_of, checkpoint_paths(checkpoint)))
    with private_files(), unwrap_monai_errors(), tracker:
        about = {name: tracker.parameters.get(name) for name in ("split", "dataset_digest")}
        about |= {"weights_sha256": evaluated.split(), "run_id": tracker.run_id}
        CaseResults(tracker, folder=folder, about=about).attach(evaluator)
        tracker.log_tags({EVALUATED: evaluated})
        evaluator.run()
        tracker.log_evaluated(evaluated)
        results = evaluator.state.results
        text = report(results)
        tracker.log_file(write_page(Path(folder), results, report=text, weights=evaluated))
    logger.info("%s", text)


class CaseResults:
    """Ignite handler for an evaluator with `SegmentationScores`: write and log the results of the cases.

    It acts whenever the key metric is the best so far, and replaces earlier files. The files are those of
    `write_results`, ``reliability.png`` if there are probabilities, ``warnings.png`` if the checkpoint can
    tell what is likely to be wrong and some of it is, and ``predictions.npz``, the predicted label maps on
    the source grids by case.

    Args:
        tracker: the MLflow run.
        folder: for the files.
        artifacts: their folder among the run's artifacts.
        about: plain values on what was evaluated, the entry ``evaluated`` of ``summary.json``.

    Example:
        >>> tracker = RunTracker("sqlite:///mlruns.db", experiment_name="kidney", enabled=False)
        >>> CaseResults(tracker, folder=f"{folder}/validation").folder.name
        'validation'
    """

    def __init__(
        self,
        tracker: RunTracker,
        *,
        folder: str | Path,
        artifacts: str = "",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.tracker = tracker
        self.folder = Path(folder)
        self.artifacts = artifacts
        self.about = about
        self._masks: dict[str, bytes] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._masks = {}

    def _collect(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            self._masks[str(batch["case"])] = pack(output["pred"])

    def _finish(self, engine: Any) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            masks = {case: mask for part in gather(self._masks) for case, mask in part.items()}
            if is_main():
                results = engine.state.results
                paths = write_results(self.folder, results, about=self.about)
                if results.reliability:
                    plot = draw_reliability(results.reliability)
                    paths.append(write_png(self.folder / "reliability.png", plot))
                if results.warnings is not None and results.warnings.curve:
                    base = results.warnings.wrong.frame_mean
                    plot = draw_shares(results.warnings.curve, base=base, flagged=quality.FLAGGED)
                    paths.append(write_png(self.folder / "warnings.png", plot))
                for path in [*paths, write_masks(self.folder / "predictions.npz", masks)]:
                    self.tracker.log_file(path, self.artifacts)
        self._masks = {}


def pack(label_map: torch.Tensor) -> bytes:
    """Compress a label map of bytes (1, H, W) or (1, H, W, D), mostly background, to about a hundredth."""
    buffer = io.BytesIO()
    np.save(buffer, torch.as_tensor(label_map)[0].cpu().numpy().astype(np.uint8), allow_pickle=False)
    return zlib.compress(buffer.getvalue(), level=1)


def unpack(packed: bytes) -> np.ndarray:
    """The uint8 label map (H, W) or (H, W, D) of `pack`."""
    return np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False)


def write_masks(path: str | Path, masks: dict[str, bytes]) -> Path:
    """Write packed label maps as a compressed ``.npz``, one array per case.

    Raises:
        OutputError: the file cannot be written.
    """
    deflated = zipfile.ZIP_DEFLATED
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", deflated, compresslevel=1) as archive:
        for case, packed in masks.items():
            archive.writestr(zipfile.ZipInfo(f"{case}.npy"), zlib.decompress(packed), deflated)
    return Path(path)


def write_results(
    folder: str | Path, results: Results, *, about: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write the tables and the summary of an evaluation.

    These are ``cases.csv`` (a row per case and class), ``summary.json`` and, if there are such records,
    ``quantities.csv``, ``lesions.csv`` and ``confidence.csv``. ``about`` is the
    summary's entry ``evaluated``.

    Returns:
        Their paths.

    Raises:
        OutputError: ``folder`` cannot be written.

    >>> results = Results((CaseScore("c1", "g1", "kidney", 10, 10, 5),))
    >>> [path.name for path in write_results(getfixture("tmp_path"), results)]
    ['cases.csv', 'summary.json']
    """
    folder = Path(folder)
    judged = {row.case: row for row in results.judged}
    lesions = {(row.case, row.label): row for row in results.lesions}
    scores = (
        _score_row(score, judged.get(score.case), lesions.get((score.case, score.label)))
        for score in results.scores
    )
    document = ({"evaluated": dict(about)} if about else {}) | results.document()
    paths = [
        _write_table(folder / "cases.csv", CASES, scores),
        write_json(folder / "summary.json", document),
    ]
    if results.quantities:
        rows = (_quantity_row(row, judged.get(row.case)) for row in results.quantities)
        paths.append(_write_table(folder / "quantities.csv", QUANTITIES, rows))
    if results.lesions:
        rows = (row for record in results.lesions for row in _lesion_rows(record))
        paths.append(_write_table(folder / "lesions.csv", LESIONS, rows))
    if results.confidences:
        bins = (row for record in results.confidences for row in _confidence_rows(record))
        paths.append(_write_table(folder / "confidence.csv", CONFIDENCE, bins))
    return paths


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    return write_rows(path, header, (map(_cell, row) for row in rows))


def _cell(value: Any) -> Any:
    """Numbers with six decimals; empty for NaN and None."""
    if isinstance(value, float):
        return f"{value:.6f}" if np.isfinite(value) else ""
    return "" if value is None else int(value) if isinstance(value, bool) else value


def _score_row(score: CaseScore, judged: CaseJudgement | None, lesions: CaseLesions | None) -> list[Any]:
    s = score.surfaces
    sizes = [score.size(n) for n in (score.reference_pixels, score.predicted_pixels)]
    return [
        *(score.case, score.group, score.label, score.dice, score.iou, score.sensitivity, score.precision),
        *((s.hd95, s.assd, s.surface_dice, s.unit) if s else (None, None, None, "")),
        *(score.reference_pixels, score.predicted_pixels, score.predicted_pixels - score.reference_pixels),
        *(*sizes, sizes[1] - sizes[0], score.size_unit, score.missed, score.false_positive),
        *_judged_cells(score, judged),
        *((lesions.sensitivity, len(lesions.false_positives)) if lesions else (None, None)),
    ]


def _judged_cells(score: CaseScore, judged: CaseJudgement | None) -> list[Any]:
    if judged is None:
        return [None] * 7
    pixels: list[float | None] = [None, None]
    if (interval := judged.sizes.get(score.label)) is not None:
        one = score.size(1) if score.size_unit == "ml" else 1 / max(score.pixels, 1)
        pixels = [interval.low / one, interval.high / one]
    sizes = [None if value is None else score.size(1) * value for value in pixels]
    told = judged.judgement
    return [*pixels, *sizes, told.expected_dice.get(score.label), told.unlike, "; ".join(told.flags)]


def _quantity_row(row: QuantityError, judged: CaseJudgement | None) -> list[Any]:
    values = row.predicted.value, row.reference.value, row.error
    interval = None if judged is None else judged.quantities.get(row.reference.name)
    limits = (None, None) if interval is None else (interval.low, interval.high)
    return [row.case, row.group, row.reference.name, row.reference.unit, *values, row.reason, *limits]


def _lesion_rows(record: CaseLesions) -> Iterable[list[Any]]:
    hits = zip(record.reference, record.detected, strict=True)
    rows = [("reference", lesion, "detected" if hit else "missed") for lesion, hit in hits]
    rows += [("predicted", x, "on a lesion" if x.common else "false positive") for x in record.predicted]
    for kind, lesion, result in rows:
        volume = None if record.voxel_ml is None else lesion.voxels * record.voxel_ml
        yield [record.case, record.group, record.label, kind, lesion.voxels, volume, lesion.common, result]


def _confidence_rows(record: CaseConfidence) -> Iterable[list[Any]]:
    """Filled bins only: most are empty."""
    for curve, index in zip(*np.nonzero(record.pixels), strict=True):
        parts = record.pixels, record.confidence, record.correct
        pixels, confidence, correct = (part[curve, index] for part in parts)
        counts = int(pixels), float(confidence), int(correct)
        yield [record.case, record.group, record.names[curve], int(index), *counts]


def report(results: Results) -> str:
    """A short table for the log: a line per score and quantity, means over groups first."""
    cases = {score.case for score in results.scores}
    lines = [f"{len(cases)} cases of {len(results.groups)} groups", *results.notes]
    lines.append(_line("", "groups", "95 % interval", "frames", "cases"))
    for name, summary in results.classes.items():
        lines.append(
            f"{name}: in {summary.present} cases, missed in {summary.missed}; "
            f"found in {summary.false_positives} of {summary.absent} without it"
        )
        lines += [_estimate(m, value) for m, value in summary.metrics.items() if not m.endswith("_pixels")]
    measured = [summary for summary in results.measured.values() if summary.error.cases]
    if measured:
        lines.append("mean absolute error of quantities")
        lines += [
            _estimate(f"{summary.name}, {summary.unit}", summary.absolute_error) for summary in measured
        ]
    for name, lesions in results.detection.items():
        lines.append(f"{name}: {lesions.detected} of {lesions.lesions} lesions detected")
        lines += [_estimate("lesion sensitivity", lesions.sensitivity)] if lesions.lesions else []
        lines.append(_estimate("false positive lesions in a case", lesions.false_positives))
    for name, found in results.operating.items():
        point = point_in_words(found["threshold"], found["smallest"], unit=found["unit"])
        lines.append(f"{name}, operating point {point}; (the plain argmax); rates over cases")
        for rate in ("missed", *sorted(found["rates"].keys() - {"missed", "dice"})):
            pair = [rate_in_words(found[key][rate]) for key in ("rates", "argmax") if rate in found[key]]
            lines += [f"  {rate.replace('_', ' '):<14}{pair[0]:>42}{f'({pair[1]})':>46}"] if pair else []
    if results.reliability:
        errors = (f"{curve.name} {curve.error:.4f}" for curve in results.reliability)
        lines.append(f"calibration error: {', '.join(errors)}")
    if results.warnings is not None:
        lines += _warning_lines(results.warnings)
    return "\n".join(lines)


def _warning_lines(warnings: JudgementSummary) -> list[str]:
    shares = {
        "flagged: unlike the training data": warnings.unlike,
        "flagged: likely to be wrong": warnings.flagged,
        "wrong (Dice below 0.5)": warnings.wrong,
        "wrong ones that are flagged": warnings.caught,
    }
    shares |= {f"inside the interval: {name}": value for name, value in warnings.coverage.items()}
    return ["warnings", *(_estimate(name, value) for name, value in shares.items() if value.cases)]


def _estimate(name: str, value: Estimate) -> str:
    interval = f"{value.low:.3f} to {value.high:.3f}" if np.isfinite(value.low) else "none"
    return _line(name, f"{value.group_mean:.3f}", interval, f"{value.frame_mean:.3f}", str(value.cases))


def _line(name: str, groups: str, interval: str, frames: str, cases: str) -> str:
    return f"  {name:<36}{groups:>10}{interval:>24}{frames:>10}{cases:>7}"
