"""Pictures of predictions in training and evaluation: a contact sheet of selected cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Compose

from pyraseg.pipeline.evaluation.result_files import pack, unpack
from pyraseg.pipeline.evaluation.scores import score_case
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.utils.distributed import gather, is_main
from pyraseg.pipeline.writers.pictures.contact_sheet import draw_grid
from pyraseg.pipeline.writers.pictures.montage import draw_volume
from pyraseg.pipeline.writers.pictures.overlay import draw_overlay
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.transforms.frame.source_view import source_view
from pyraseg.transforms.records import Segment

__all__ = ["OverlayGrid"]

_T = TypeVar("_T")
NOTE = "filled: prediction, dashed: reference"


@dataclass(frozen=True)
class _ScoredCase:
    """A case: its mean Dice over the classes that it shows (NaN without any), and packed label maps."""

    name: str
    dice: float
    prediction: bytes
    reference: bytes

    @property
    def title(self) -> str:
        return f"{self.name}  no structure" if np.isnan(self.dice) else f"{self.name}  Dice {self.dice:.2f}"


class OverlayGrid:
    """Ignite handler for an evaluator: log a sheet of ``count`` cases when the key metric is the best so far.

    First come the best, the median and the worst case by mean Dice over the classes that they show, marked as
    such. Then come cases spread over the groups as evenly as their sizes allow, by falling Dice, so that
    neighbouring frames of one patient do not fill the sheet. Each tile shows the frame within its tissue
    region, or the four axial slices of a volume with most labels; the prediction is filled, the reference is
    a line. Images are read and drawn only when a sheet is made.

    Args:
        tracker: the MLflow run; the sheet becomes ``overlays/<name>.png``.
        segments: names and colours of the classes.
        preprocessing: transforms of the images; tiles use their crop and blanking, or their window.
        folder: an optional folder for ``overlays.png``.

    Example:
        >>> from pyraseg.transforms import LoadFramed
        >>> tracker = RunTracker("sqlite:///mlruns.db", experiment_name="kidney", enabled=False)
        >>> OverlayGrid(tracker, segments=(), preprocessing=Compose([LoadFramed("image")])).count
        12
    """

    def __init__(
        self,
        tracker: RunTracker,
        *,
        segments: Sequence[Segment],
        preprocessing: Compose,
        name: str = "validation",
        folder: str | Path | None = None,
        count: int = 12,
    ) -> None:
        self.tracker = tracker
        self.segments = tuple(segments)
        self.view = source_view(preprocessing)
        self.name = name
        self.folder = None if folder is None else Path(folder)
        self.count = count
        self._cases: dict[str, _ScoredCase] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._cases = {}

    def _collect(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            name, maps = str(batch["case"]), (output["pred"], output["label"])
            scores = score_case(*maps, label_names=[s.name for s in self.segments], case=name, group="")
            dice = [score.dice for score in scores if score.reference_pixels]
            mean = float(np.mean(dice)) if dice else float("nan")
            self._cases[name] = _ScoredCase(name, mean, *map(pack, maps))

    def _finish(self, engine: Any) -> None:
        if self._cases and engine.state.best_metric_epoch == engine.state.epoch:
            items = {i["case"]: i for part in gather(list(engine.data_loader.dataset.data)) for i in part}
            cases = {name: case for part in gather(self._cases) for name, case in part.items()}
            if is_main():
                sheet = self._sheet(cases, items)
                self.tracker.log_image(sheet, f"overlays/{self.name}.png")
                if self.folder is not None:
                    write_png(self.folder / "overlays.png", sheet)
        self._cases = {}

    def _sheet(self, cases: dict[str, _ScoredCase], items: dict[str, dict[str, Any]]) -> np.ndarray:
        ranked = _ranked(cases.values(), most=self.count)
        titles = {case.name: f"{rank}: {case.title}" for rank, case in ranked.items()}
        others = [item for item in items.values() if item["case"] in cases and item["case"] not in titles]
        spread = _spread(others, self.count - len(titles)) if others and self.count > len(titles) else set()
        rest = [cases[name] for name in spread]
        rest.sort(key=lambda case: (-np.nan_to_num(case.dice, nan=-1.0), case.name))
        titles |= {case.name: case.title for case in rest}
        tiles = [self._tile(cases[name], items[name]["image"]) for name in titles]
        return draw_grid(tiles, columns=4, titles=list(titles.values()), segments=self.segments, note=NOTE)

    def _tile(self, case: _ScoredCase, path: str) -> np.ndarray:
        image = self.view({"image": path, "case": case.name})["image"]
        prediction, reference = unpack(case.prediction), unpack(case.reference)
        if prediction.ndim == 2:
            return draw_overlay(np.asarray(image), prediction, self.segments, reference=reference)
        shown = {"affine": np.asarray(image.affine), "reference": reference}
        return draw_volume(image.numpy()[0], prediction, self.segments, slices=4, columns=2, **shown)


def _ranked(cases: Iterable[_ScoredCase], *, most: int) -> dict[str, _ScoredCase]:
    """The best, the median and the worst case that shows a structure; fewer if there are fewer."""
    shown = [case for case in cases if not np.isnan(case.dice)]
    order = sorted(shown, key=lambda case: (-case.dice, case.name))
    chosen: dict[str, _ScoredCase] = {}
    for rank, index in (("best", 0), ("worst", -1), ("median", (len(order) - 1) // 2)):
        if order and len(chosen) < most and order[index] not in chosen.values():
            chosen[rank] = order[index]
    return {rank: chosen[rank] for rank in ("best", "median", "worst") if rank in chosen}


def _spread(items: Sequence[dict[str, Any]], count: int) -> set[str]:
    """Names of ``count`` cases: the same number of each group where possible, evenly spaced within it."""
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(item["group"], []).append(item["case"])
    if len(groups) > count:
        return {cases[0] for cases in _evenly(list(groups.values()), count)}
    quota = dict.fromkeys(groups, 0)
    for _ in range(min(count, len(items))):
        fewest = min((name for name in groups if quota[name] < len(groups[name])), key=quota.__getitem__)
        quota[fewest] += 1
    return {case for name, cases in groups.items() for case in _evenly(cases, quota[name])}


def _evenly(values: list[_T], count: int) -> list[_T]:
    return [values[i] for i in np.linspace(0, len(values) - 1, count).round().astype(int)]
