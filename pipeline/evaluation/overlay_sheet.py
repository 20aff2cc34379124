"""Pictures of predictions while training and evaluating: one contact sheet of chosen cases."""

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
from pyraseg.transforms.frame.preprocessing import source_view
from pyraseg.transforms.records import Segment

__all__ = ["OverlayGrid"]

_T = TypeVar("_T")
NOTE = "filled: prediction, dashed: reference"


@dataclass(frozen=True)
class _Seen:
    """One case: its Dice (the mean over the classes that it shows, NaN without any) and both label maps,
    compressed."""

    case: str
    dice: float
    prediction: bytes
    reference: bytes

    @property
    def title(self) -> str:
        return f"{self.case}  no structure" if np.isnan(self.dice) else f"{self.case}  Dice {self.dice:.2f}"


class OverlayGrid:
    """Ignite handler for an evaluator: a sheet with ``count`` cases, logged whenever the key metric is the
    best so far.

    First come the best, the median and the worst case by mean Dice over the classes that they show, named so;
    then cases spread over the groups as evenly as their sizes allow, so that neighbouring frames of one
    patient do not fill the sheet, by falling Dice. Each tile shows the frame within its tissue region only,
    or the four axial slices of a volume that show most of the labels, the prediction filled, the reference as
    a line. Images are read and drawn only for a sheet that is made.

    Args:
        tracker: the MLflow run; the sheet becomes ``overlays/<name>.png``.
        segments: names and colours of the classes.
        preprocessing: what made the images; its crop and blanking, or its window, show them at their own
            resolution.
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
        self._seen: dict[str, _Seen] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._seen = {}

    def _collect(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            case, maps = str(batch["case"]), (output["pred"], output["label"])
            scores = score_case(*maps, label_names=[s.name for s in self.segments], case=case, group="")
            dice = [score.dice for score in scores if score.reference_pixels]
            self._seen[case] = _Seen(case, float(np.mean(dice)) if dice else float("nan"), *map(pack, maps))

    def _finish(self, engine: Any) -> None:
        if self._seen and engine.state.best_metric_epoch == engine.state.epoch:
            items = {i["case"]: i for part in gather(list(engine.data_loader.dataset.data)) for i in part}
            seen = {case: one for part in gather(self._seen) for case, one in part.items()}
            if is_main():
                self._publish(self._sheet(seen, items))
        self._seen = {}

    def _publish(self, sheet: np.ndarray) -> None:
        self.tracker.log_image(sheet, f"overlays/{self.name}.png")
        if self.folder is not None:
            write_png(self.folder / "overlays.png", sheet)

    def _sheet(self, seen: dict[str, _Seen], items: dict[str, dict[str, Any]]) -> np.ndarray:
        ranked = _ranked(seen.values(), most=self.count)
        named = {one.case: f"{place}: {one.title}" for place, one in ranked.items()}
        others = [item for item in items.values() if item["case"] in seen and item["case"] not in named]
        spread = _spread(others, self.count - len(named)) if others and self.count > len(named) else set()
        rest = sorted(
            (seen[case] for case in spread), key=lambda one: (-np.nan_to_num(one.dice, nan=-1.0), one.case)
        )
        titles = named | {one.case: one.title for one in rest}
        tiles = [self._tile(seen[case], items[case]["image"]) for case in titles]
        return draw_grid(tiles, columns=4, titles=list(titles.values()), segments=self.segments, note=NOTE)

    def _tile(self, one: _Seen, path: str) -> np.ndarray:
        image = self.view({"image": path, "case": one.case})["image"]
        maps = unpack(one.prediction), unpack(one.reference)
        if maps[0].ndim == 3:
            shown = {"affine": np.asarray(image.affine), "reference": maps[1]}
            return draw_volume(image.numpy()[0], maps[0], self.segments, slices=4, columns=2, **shown)
        return draw_overlay(np.asarray(image), maps[0], self.segments, reference=maps[1])


def _ranked(seen: Iterable[_Seen], *, most: int) -> dict[str, _Seen]:
    """The best, the median and the worst of the cases that show a structure; fewer where there are fewer."""
    order = sorted((one for one in seen if not np.isnan(one.dice)), key=lambda one: (-one.dice, one.case))
    chosen: dict[str, _Seen] = {}
    for name, place in (("best", 0), ("worst", -1), ("median", (len(order) - 1) // 2)):
        if order and len(chosen) < most and order[place] not in chosen.values():
            chosen[name] = order[place]
    return {name: chosen[name] for name in ("best", "median", "worst") if name in chosen}


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
