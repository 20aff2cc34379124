"""The contact sheet of an evaluation: best, median and worst, then cases of every group, only when it is the
best."""

from __future__ import annotations

from collections import Counter
from itertools import repeat

import numpy as np
import pytest
import torch
from ignite.metrics import Average
from PIL import Image

import pyraseg.pipeline.evaluation.overlay_sheet
from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.evaluation import SegmentationScores
from pyraseg.pipeline.evaluation.overlay_sheet import OverlayGrid, _spread
from tests.pipeline.evaluation.engines import (
    PREPROCESSING,
    SEGMENTS,
    TUMOUR,
    VOLUMES,
    Artifacts,
    evaluator,
    write_case,
    write_volume,
)


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[dict[str, str]]:
    """Five frames of three groups: 40, 30, 20 and 10 of the kidney's 40 columns are seen; the last has no
    kidney."""
    folder = tmp_path_factory.mktemp("cases")
    groups = zip("aaabc", (20, 40, 10, 30, 0), strict=True)
    return [write_case(folder, n, group=g, kidney=g != "c", seen=seen) for n, (g, seen) in enumerate(groups)]


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[list[np.ndarray], list[str]]]:
    """The tiles and titles of each sheet that is drawn."""
    sheets: list[tuple[list[np.ndarray], list[str]]] = []
    draw = pyraseg.pipeline.evaluation.overlay_sheet.draw_grid

    def keep(tiles, *, titles, **options):
        sheets.append((tiles, titles))
        return draw(tiles, titles=titles, **options)

    monkeypatch.setattr(pyraseg.pipeline.evaluation.overlay_sheet, "draw_grid", keep)
    return sheets


def grid(tracker: Artifacts, **options) -> OverlayGrid:
    return OverlayGrid(tracker, segments=SEGMENTS, preprocessing=PREPROCESSING, **options)


def run(items, handler, *, metric=None) -> None:
    evaluator(items, [handler], metric=metric or Average(output_transform=lambda _: 1.0)).run()


def test_a_sheet_is_logged_when_the_metric_is_the_best_so_far_and_never_else(items):
    values = iter([score for score in (0.5, 0.4, 0.5, 0.6) for _ in items])
    tracker = Artifacts()
    engine = evaluator(items, [grid(tracker)], metric=Average(output_transform=lambda _: next(values)))
    counts = []
    for epoch in range(1, 5):
        engine.run(epoch)
        counts.append(len(tracker.images))
    assert counts == [1, 1, 1, 2]
    assert {name for name, _ in tracker.images} == {"overlays/validation.png"}


def test_a_sheet_is_rgb_bytes_the_same_each_time_and_in_the_folder(items, tmp_path):
    tracker = Artifacts()
    for _ in range(2):
        run(items, grid(tracker, folder=tmp_path / "out", name="test", count=4))
    (name, first), (_, second) = tracker.images
    assert name == "overlays/test.png"
    assert (first.dtype, first.ndim, first.shape[2]) == (np.uint8, 3, 3)
    assert np.array_equal(first, second)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "overlays.png")), second)


def test_best_median_and_worst_come_first_by_name_then_the_others_by_falling_dice(items, drawn):
    run(items, grid(Artifacts()))
    ((_, titles),) = drawn
    assert [title.split("  ")[0] for title in titles] == [
        "best: c001",
        "median: c003",
        "worst: c002",
        "c000",
        "c004",
    ]
    dice = [float(title.split()[-1]) for title in titles[:4]]
    assert dice[0] > dice[1] > dice[3] > dice[2]
    assert titles[4] == "c004  no structure"


def test_the_dice_in_a_title_is_that_of_the_scores(items, drawn):
    metric = SegmentationScores(["background", "kidney"])
    run(items, grid(Artifacts()), metric=metric)
    best = max((row for row in metric.rows if row.reference_pixels), key=lambda row: row.dice)
    assert drawn[0][1][0] == f"best: {best.case}  Dice {best.dice:.2f}"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [([4], ["c004"]), ([1], ["best"]), ([1, 2], ["best", "worst"]), ([0, 1, 2], ["best", "median", "worst"])],
)
def test_few_cases_have_few_names_and_each_case_is_shown_once(items, drawn, chosen, expected):
    run([items[n] for n in chosen], grid(Artifacts()))
    assert [title.split(" ")[0].rstrip(":") for title in drawn[0][1]] == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_there_are_never_more_tiles_than_asked_for(items, drawn, count):
    run(items, grid(Artifacts(), count=count))
    assert len(drawn[0][1]) == count


def test_a_tile_shows_the_prediction_within_the_tissue(items, drawn):
    run(items, grid(Artifacts()))
    picture = drawn[0][0][0]
    high, wide = picture.shape[:2]
    assert wide / high == pytest.approx(100 / 60, rel=0.1)  # the tissue's shape, not the frame's 120 x 90
    coloured = np.ptp(picture.astype(int), axis=2) > 20
    assert coloured.mean() == pytest.approx(25 * 40 / (60 * 100), rel=0.2)


def test_no_frame_is_read_for_a_sheet_that_is_not_made(items, monkeypatch):
    values = iter([*repeat(0.5, len(items)), *repeat(0.4, len(items))])
    handler = grid(Artifacts())
    engine = evaluator(items, [handler], metric=Average(output_transform=lambda _: next(values)))
    engine.run(1)
    monkeypatch.setattr(handler, "view", lambda _: pytest.fail("a frame was read"))
    engine.run(2)
    assert torch.is_tensor(engine.state.output[0]["pred"])


def test_a_volume_s_tile_shows_the_slices_of_the_tumour_with_the_head_last_and_the_left_on_the_right(
    tmp_path, drawn
):
    items = [
        write_volume(tmp_path, number, group=f"g{number}", seen=seen) for number, seen in enumerate((6, 3))
    ]
    segments = resolve_segments(TUMOUR)
    handler = OverlayGrid(Artifacts(), segments=segments, preprocessing=VOLUMES)
    engine = evaluator(items, [handler], names=TUMOUR, preprocessing=VOLUMES)
    engine.run()
    ((tiles, titles),) = drawn
    assert titles == ["best: c000  Dice 1.00", "worst: c001  Dice 0.67"]
    for tile, columns in zip(tiles, (6, 3), strict=True):
        high, wide = tile.shape[:2]
        assert (high, wide) == (
            2 * 320 + 4,
            2 * 267 + 4,
        )  # 72 mm from front to back, 60 mm from left to right
        contour = (tile == segments[1].colour).all(axis=2)
        quarters = [contour[r : r + 320, c : c + 267] for r in (0, 324) for c in (0, 271)]
        assert all(np.array_equal(quarter, quarters[0]) for quarter in quarters)
        across = np.flatnonzero(quarters[0].any(axis=0))
        assert (across[0], across[-1] + 1) == pytest.approx(
            (267 * (20 - 8 - columns) / 20, 267 * 12 / 20), abs=1.5
        )


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
