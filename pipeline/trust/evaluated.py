"""The operating curve of an evaluation: the rates of what is used, of the argmax, and of all other points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from pyraseg.pipeline.evaluation.scores import source_spacing
from pyraseg.pipeline.inference.clean_up import CleanUpLabels
from pyraseg.pipeline.inference.decision import PLAIN, Decision
from pyraseg.pipeline.trust.curve import CaseTrace, trace_case, trace_used
from pyraseg.pipeline.trust.curve_table import TABLE, write_table
from pyraseg.pipeline.trust.operating_point import curves_of, describe_point
from pyraseg.pipeline.writers.pictures.operating_curve import draw_operating_curves
from pyraseg.pipeline.writers.pictures.picture_files import write_png

__all__ = ["OperatingCurves"]


class OperatingCurves:
    """Ignite handler for an evaluator with `SegmentationScores` and ``probabilities``.

    For each class the results get the rates of the label maps as they are delivered, those of the plain
    argmax, both with intervals over groups, and the curve. ``operating_curve.png`` and ``.csv`` go to the
    folder and to MLflow.

    Args:
        tracker: the MLflow run.
        folder: for the files.
        decision: the operating points that are used.
        cleanup: options of `CleanUpLabels`, or None, as in the postprocessing.
        resamples, seed: of the bootstrap; 0 resamples for no intervals.
    """

    def __init__(
        self,
        tracker: Any,
        *,
        folder: str | Path,
        decision: Decision,
        cleanup: Mapping[str, Any] | None,
        resamples: int = 0,
        seed: int = 0,
    ) -> None:
        self.tracker = tracker
        self.folder = Path(folder)
        self.decision = decision
        self.clean_up = None if cleanup is None else CleanUpLabels(decision.label_names, **cleanup)
        self.bootstrap: dict[str, Any] = {"resamples": resamples, "seed": seed}
        self._traces: list[CaseTrace] = []
        self._used: list[CaseTrace] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._traces, self._used = [], []

    def _collect(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            item = {**batch, **output}
            names = self.decision.label_names
            known: dict[str, Any] = {"label_names": names, "spacing_mm": source_spacing(item)}
            for label in names[1:]:
                self._traces.append(trace_case(item, label, clean_up=self.clean_up, **known))
                self._used.append(trace_used(item, label, **known))

    def _finish(self, engine: Any) -> None:
        curves, found = curves_of(self._traces), {}
        for curve, used in zip(curves, curves_of(self._used), strict=True):
            point = self.decision.points.get(curve.label)
            found[curve.label] = describe_point(curve, **self.bootstrap) | {
                "threshold": point.threshold if point else PLAIN,
                "smallest": point.smallest if point else 0.0,
                "rates": used.rates((0, 0), **self.bootstrap),
            }
        engine.state.results = replace(engine.state.results, operating=found)
        plot = write_png(self.folder / "operating_curve.png", draw_operating_curves(found))
        for path in (plot, write_table(self.folder / TABLE, curves)):
            self.tracker.log_file(path)
