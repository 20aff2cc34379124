"""When a series is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyraseg.pipeline.pacs.listening.arrivals import BROKEN, Arrivals, Outcome, images_of

QUIET = 10.0


class Bench:
    """Arrivals on a clock of its own; what comes is on the disk first."""

    def __init__(self, folder: Path, *, expected=None) -> None:
        self.images, self.now, self.expected = folder / "received", 1000.0, expected
        self.images.mkdir(exist_ok=True)
        self.restart()

    def restart(self) -> None:
        more = {"quiet": QUIET, "expected": self.expected, "clock": lambda: self.now}
        self.arrivals = Arrivals(self.images, self.images.parent / "records", **more)

    def store(self, series: str, name: str, *, association: int = 1, new: bool = True) -> None:
        path = self.images / series / f"{name}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        self.arrivals.hear(("stored", association, series, 1, new))

    def come(self, series: str, *names: str, whole: bool = True) -> None:
        """In an association of its own."""
        self.arrivals.hear(("opened", 1))
        for name in names:
            self.store(series, name)
        self.arrivals.hear(("closed", 1, whole))

    def after(self, seconds: float) -> list[str]:
        self.now += seconds
        return self.arrivals.due(99)

    def done(self, series: str, *, failed: bool = False) -> None:
        self.arrivals.settle(series, Outcome.of(images_of(self.images / series), failed=failed))


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_a_series_is_complete_once_its_association_has_ended_and_the_quiet_time_has_passed(bench):
    bench.arrivals.hear(("opened", 1))
    bench.store("a", "1")
    assert bench.after(10 * QUIET) == []
    bench.arrivals.hear(("closed", 1, True))
    assert bench.after(QUIET - 1) == []
    assert bench.after(1) == ["a"]
    assert bench.after(QUIET) == []


def test_another_association_within_the_quiet_time_prolongs_it(bench):
    bench.come("a", "1")
    bench.now += QUIET - 1
    bench.arrivals.hear(("opened", 2))
    bench.store("a", "2", association=2)
    assert bench.after(QUIET) == []
    bench.arrivals.hear(("closed", 2, True))
    assert bench.after(QUIET) == ["a"]


def test_an_open_association_holds_back_only_what_it_has_brought(bench):
    bench.arrivals.hear(("opened", 9))
    bench.come("a", "1")
    bench.store("b", "1", association=9)
    assert bench.after(QUIET) == ["a"]


def test_a_series_of_a_broken_association_waits_longer_for_its_sender_to_try_again(bench):
    bench.come("a", "1", whole=False)
    bench.come("b", "1", whole=False)
    bench.come("b", "2")
    assert bench.after(QUIET) == ["b"]
    assert bench.after((BROKEN - 1) * QUIET) == ["a"]


def test_so_does_one_whose_receiving_process_died(bench):
    bench.arrivals.hear(("opened", 1))
    bench.store("a", "1")
    bench.arrivals.hear(("lost",))
    assert bench.after(QUIET) == []
    assert bench.after(BROKEN * QUIET) == ["a"]


def test_a_late_image_makes_the_series_due_again_and_a_copy_does_not(bench):
    bench.come("a", "1")
    assert bench.after(QUIET) == ["a"]
    bench.done("a")
    bench.arrivals.hear(("opened", 1))
    bench.store("a", "1", new=False)
    bench.arrivals.hear(("closed", 1, True))
    assert bench.after(QUIET) == []
    bench.come("a", "2")
    assert bench.after(QUIET) == ["a"]


def test_after_a_restart_what_has_no_outcome_is_due_and_what_has_one_is_not(bench):
    for series in ("done", "failed", "waiting", "more"):
        bench.come(series, "1")
    assert len(bench.after(QUIET)) == 4
    for series in ("done", "failed", "more"):
        bench.done(series, failed=series == "failed")
    bench.store("more", "2")
    bench.restart()
    assert bench.after(BROKEN * QUIET) == ["failed", "more", "waiting"]


def test_without_the_images_of_its_last_result_a_series_waits_for_them_and_says_so_once(bench):
    bench.come("a", "1", "2", "3")
    bench.after(QUIET)
    bench.done("a")
    for path in images_of(bench.images / "a"):
        path.unlink()
    bench.come("a", "4")
    assert bench.after(QUIET) == []
    assert list(bench.arrivals.remarks()) == ["a: waits, 1 images here, its last result was of 3"]
    assert bench.after(QUIET) == []
    assert list(bench.arrivals.remarks()) == []
    bench.come("a", "1", "2")
    assert bench.after(QUIET) == ["a"]


def test_where_an_archive_is_known_its_count_must_be_reached(tmp_path):
    counts = {"a": 2, "b": None}
    bench = Bench(tmp_path, expected=lambda path: counts[path.parent.name])
    bench.come("a", "1")
    bench.come("b", "1")
    assert bench.after(QUIET) == ["b"]
    assert list(bench.arrivals.remarks()) == ["a: waits, 1 images here, the archive has 2"]
    bench.come("a", "2")
    assert bench.after(QUIET) == ["a"]


def test_images_that_came_after_a_series_was_given_out_are_not_dropped_with_it(bench):
    bench.come("a", "1")
    images = images_of(bench.images / "a")
    bench.come("a", "2")
    bench.arrivals.forget("a", images)
    assert [path.stem for path in images_of(bench.images / "a")] == ["2"]
    bench.arrivals.forget("a", images_of(bench.images / "a"))
    assert not (bench.images / "a").exists()
