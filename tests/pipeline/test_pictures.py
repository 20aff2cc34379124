"""The contact sheet of an evaluation: cases of every group, tissue only, and only when it is the best so far."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.metrics import Average
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image

from pipeline.inference.label_maps import label_map_postprocessing
from pipeline.pictures import OverlayGrid, _spread
from pipeline.segments import resolve_segments
from pipeline.tracking import RunTracker
from transforms.preprocessing import ultrasound_preprocessing

NAMES = ["background", "kidney"]
SEGMENTS = resolve_segments(NAMES)
PREPROCESSING = ultrasound_preprocessing(size=(48, 64), in_channels=1, label="source", num_classes=2)


class Sheets(RunTracker):
    """A tracker that is switched off and keeps the pictures it is handed."""

    def __init__(self) -> None:
        super().__init__("sqlite:///unused.db", experiment_name="x", enabled=False)
        self.logged: list[tuple[str, np.ndarray]] = []

    def log_image(self, image: np.ndarray, name: str) -> None:
        self.logged.append((name, image))


class Bright(torch.nn.Module):
    """Calls what is bright kidney."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0.6 - x, x - 0.6], dim=1)


def write_case(folder: Path, number: int, *, group: str, kidney: bool = True) -> dict[str, str]:
    """A frame with a dark field of tissue, a bright kidney in it, if any, and burned-in marks in a corner."""
    frame, mask = np.zeros((90, 120), np.uint8), np.zeros((90, 120), np.uint8)
    frame[20:80, 10:110] = np.random.default_rng(number).integers(40, 90, (60, 100))
    if kidney:
        mask[35:60, 40:80] = 1
        frame[mask == 1] = 220
    frame[2:6, 100:118:2] = 255
    paths = {"image": folder / f"{number}.png", "label": folder / f"{number}_mask.png"}
    Image.fromarray(frame).save(paths["image"])
    Image.fromarray(mask).save(paths["label"])
    return {**{key: str(path) for key, path in paths.items()}, "case": f"c{number:03d}", "group": group}


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("cases")
    groups = ["a", "a", "a", "b", "c"]
    return [write_case(folder, n, group=group, kidney=group != "c") for n, group in enumerate(groups)]


def evaluator(items, handler: OverlayGrid, scores: list[float]) -> SupervisedEvaluator:
    values = iter([score for score in scores for _ in items])
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items, PREPROCESSING), batch_size=1, num_workers=0),
        network=Bright(),
        postprocessing=label_map_postprocessing(PREPROCESSING, label_names=NAMES),
        key_val_metric={"score": Average(output_transform=lambda _: next(values))},
        val_handlers=[handler],
    )


def grid(tracker: RunTracker, **options) -> OverlayGrid:
    return OverlayGrid(tracker, segments=SEGMENTS, preprocessing=PREPROCESSING, **options)


def test_a_sheet_is_logged_when_the_metric_is_the_best_so_far_and_never_else(items):
    tracker = Sheets()
    engine = evaluator(items, grid(tracker), [0.5, 0.4, 0.5, 0.6])
    counts = []
    for epoch in range(1, 5):
        engine.run(epoch)
        counts.append(len(tracker.logged))
    assert counts == [1, 1, 1, 2]
    assert {name for name, _ in tracker.logged} == {"overlays/validation.png"}


def test_a_sheet_is_rgb_bytes_and_the_same_cases_each_time(items, tmp_path):
    tracker = Sheets()
    engine = evaluator(items, grid(tracker, folder=tmp_path / "out", name="test", count=2), [0.5, 0.6])
    engine.run(1)
    engine.run(2)
    (name, first), (_, second) = tracker.logged
    assert name == "overlays/test.png"
    assert (first.dtype, first.ndim, first.shape[2]) == (np.uint8, 3, 3)
    assert np.array_equal(first, second)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "overlays.png")), second)


def test_a_tile_shows_the_prediction_within_the_tissue_and_its_dice(items):
    handler = grid(Sheets())
    evaluator(items, handler, [0.5]).run(1)
    tiles = {tile.case: tile for tile in handler._tiles}
    assert set(tiles) == {item["case"] for item in items}
    assert tiles["c000"].dice > 0.9
    assert tiles["c000"].title == f"c000  Dice {tiles['c000'].dice:.2f}"
    assert tiles["c004"].title == "c004  no structure"
    picture = tiles["c000"].picture
    high, wide = picture.shape[:2]
    assert wide / high == pytest.approx(100 / 60, rel=0.1)  # the tissue's shape, not the frame's 120 x 90
    coloured = np.ptp(picture.astype(int), axis=2) > 20
    assert coloured.mean() == pytest.approx(25 * 40 / (60 * 100), rel=0.2)


def test_only_chosen_cases_become_tiles(items):
    handler = grid(Sheets(), count=3)
    evaluator(items, handler, [0.5]).run(1)
    assert [tile.case for tile in handler._tiles] == ["c000", "c003", "c004"]


class TestSpread:
    def chosen(self, groups: str, count: int) -> Counter:
        names = _spread([{"group": group, "case": f"{group}{n}"} for n, group in enumerate(groups)], count)
        return Counter(name[0] for name in names)

    @pytest.mark.parametrize(
        ("groups", "count", "expected"),
        [
            ("a" * 90 + "b" * 2 + "c", 12, {"a": 9, "b": 2, "c": 1}),
            ("a" * 9 + "b" * 9, 6, {"a": 3, "b": 3}),
            ("aab", 12, {"a": 2, "b": 1}),
            ("abcdefgh", 4, {"a": 1, "c": 1, "f": 1, "h": 1}),
        ],
    )
    def test_no_group_fills_the_sheet_while_others_have_cases_left(self, groups, count, expected):
        assert self.chosen(groups, count) == expected

    def test_within_a_group_the_cases_lie_far_apart(self):
        items = [{"group": "a", "case": n} for n in range(101)]
        assert _spread(items, 3) == {0, 50, 100}
