"""Pictures of predictions while training and evaluating: one contact sheet of chosen cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Compose

from pipeline.evaluation import score_case
from pipeline.tracking import RunTracker
from pipeline.writers.grid import draw_grid
from pipeline.writers.overlay import draw_overlay
from pipeline.writers.png import write_png
from transforms.preprocessing import source_view
from transforms.records import Segment

__all__ = ["OverlayGrid"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Tile:
    picture: np.ndarray
    case: str
    dice: float

    @property
    def title(self) -> str:
        return f"{self.case}  no structure" if np.isnan(self.dice) else f"{self.case}  Dice {self.dice:.2f}"


class OverlayGrid:
    """Ignite handler for an evaluator: a sheet with ``count`` cases, logged whenever the key metric is the best so far.

    The cases are spread over the groups as evenly as their sizes allow, so that neighbouring frames of one patient do
    not fill the sheet. Each tile shows the frame within its tissue region only,
    the prediction filled, the reference as a line.

    Args:
        tracker: the MLflow run; the sheet becomes ``overlays/<name>.png``.
        segments: names and colours of the classes.
        preprocessing: what made the images; its crop and blanking show the frames at their own resolution here.
        folder: where to write ``overlays.png`` as well, if anywhere.
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
        self._chosen: dict[str, str] = {}  # case: path
        self._tiles: list[_Tile] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Any) -> None:
        self._tiles = []
        items = engine.data_loader.dataset.data
        if not self._chosen:
            chosen = _spread(items, self.count)
            self._chosen = {item["case"]: item["image"] for item in items if item["case"] in chosen}

    def _collect(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            if batch["case"] in self._chosen:
                self._tiles.append(self._tile({**batch, **output}))

    def _tile(self, item: dict[str, Any]) -> _Tile:
        image = self.view({"image": self._chosen[item["case"]], "case": item["case"]})["image"]
        scores = score_case(
            item["pred"], item["label"], label_names=[s.name for s in self.segments], case=item["case"], group=""
        )
        dice = [score.dice for score in scores if score.reference_pixels]
        prediction, reference = (np.asarray(item[key].cpu())[0].astype(np.uint8) for key in ("pred", "label"))
        picture = draw_overlay(np.asarray(image), prediction, self.segments, reference=reference)
        return _Tile(picture, item["case"], float(np.mean(dice)) if dice else float("nan"))

    def _finish(self, engine: Any) -> None:
        if not self._tiles or engine.state.best_metric_epoch != engine.state.epoch:
            return
        tiles = sorted(self._tiles, key=lambda tile: -np.nan_to_num(tile.dice, nan=-1.0))
        sheet = draw_grid(
            [tile.picture for tile in tiles], columns=4, titles=[t.title for t in tiles], segments=self.segments
        )
        self.tracker.log_image(sheet, f"overlays/{self.name}.png")
        if self.folder is not None:
            write_png(self.folder / "overlays.png", sheet)


def _spread(items: Sequence[dict[str, Any]], count: int) -> set[str]:
    """Names of ``count`` cases: as many of each group as of any other, and at even distances within it."""
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
