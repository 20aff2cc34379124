"""An error of this program is told as one, costs its item alone, and blames no file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyraseg.pipeline.prediction.discovery.find_items import header_or_error
from pyraseg.pipeline.prediction.items.frame_task import FrameTask
from tests.pipeline.prediction.batch import write_image
from tests.pipeline.prediction.runs import Run, predict

SECRET = "Doe^Jane"
ERRORS: dict[str, Callable[[], Any]] = {
    "AttributeError": lambda: SECRET.no_such_attribute,  # type: ignore[attr-defined]
    "KeyError": lambda: {}[SECRET],
    "TypeError": lambda: len(SECRET, SECRET),  # type: ignore[call-arg]
}


@dataclass(frozen=True)
class FaultyTask(FrameTask):
    """Has a function of ours raise what nobody expects, while a worker does the image of that name."""

    function: str = ""
    error: str = ""

    def process(self, item: Any, *arguments: Any) -> Any:
        if item.file != "faulty.dcm":
            return super().process(item, *arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.function, lambda *_, **__: ERRORS[self.error]())
            return super().process(item, *arguments)


def faulty_header(path: Path) -> Any:
    return ERRORS["AttributeError"]() if path.stem == "faulty" else header_or_error(path)


@pytest.fixture
def run(checkpoint, tmp_path) -> Callable[[], Run]:
    for number, name in enumerate(("first", "faulty", "last")):
        write_image(tmp_path / "in" / f"{name}.dcm", number)
    return lambda: predict(tmp_path / "in", output=tmp_path / "out", checkpoints=[checkpoint])


def check(run: Run, error: str, file: str) -> None:
    assert run.status == 1
    assert {row["file"] for row in run.results} == {"first.dcm", "last.dcm"}
    (row,) = run.table("failures")
    assert row["file"] == "faulty.dcm"
    assert f"an internal error of pyraseg, an unexpected {error} in {file}, line " in row["reason"]
    assert "Report it" in row["remedy"]
    assert "Export the file again" not in str(row)
    assert SECRET not in str(row) + run.stdout + run.stderr


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("function", "file"),
    [
        ("pipeline.prediction.items.header._frame_time", "pipeline/prediction/items/header.py"),
        ("pipeline.writers.dicom.source._compression", "pipeline/writers/dicom/source.py"),
        # MONAI wraps what a transform raises
        ("transforms.frame.tissue.BlankOutsideTissue.__call__", "transforms/dictionary.py"),
        ("pipeline.prediction.items.frame_task.measure_frame", "pipeline/prediction/items/frame_task.py"),
    ],
)
def test_an_error_of_ours_while_an_item_is_done_is_an_internal_one_and_the_others_go_on(
    run, monkeypatch, function, file, error
):
    def task(**options: Any) -> FaultyTask:
        return FaultyTask(**options, function=f"pyraseg.{function}", error=error)

    monkeypatch.setattr("pyraseg.pipeline.prediction.batch.FrameTask", task)
    check(run(), error, file)


def test_an_error_of_ours_while_files_are_looked_for_is_an_internal_one_too(run, monkeypatch):
    monkeypatch.setattr("pyraseg.pipeline.prediction.discovery.find_items.header_or_error", faulty_header)
    check(run(), "AttributeError", "pipeline/prediction/discovery/find_items.py")
