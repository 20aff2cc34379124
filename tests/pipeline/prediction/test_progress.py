"""What is said while a batch runs, where there is no terminal."""

from __future__ import annotations

from pyraseg.pipeline.prediction import progress
from pyraseg.pipeline.prediction.progress import Progress


def test_items_frames_and_failures_are_counted():
    with Progress(3) as counted:
        lines = [*counted.add(frames=7, failed=False), *counted.add(frames=1, failed=True)]
    assert (counted.done, counted.failed, counted.frames) == (2, 1, 8)
    assert lines == []
    assert counted.line().startswith("2/3 items, 1 failed, ")


def test_now_and_then_a_line_comes_but_none_at_the_end(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    with Progress(2) as counted:
        assert [line.split(",")[0] for line in counted.add(frames=1, failed=False)] == ["1/2 items"]
        assert list(counted.add(frames=1, failed=False)) == []
