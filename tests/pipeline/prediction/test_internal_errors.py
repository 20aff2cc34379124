"""An error of this program is told as one, costs its item alone, and blames no file of the user's."""

from __future__ import annotations

from collections.abc import Callable
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


FUNCTIONS = {  # of ours, with the file that is to be told
    "header": ("pipeline.prediction.items.header._frame_time", "pipeline/prediction/items/header.py"),
    "writer": ("pipeline.writers.dicom.source._compression", "pipeline/writers/dicom/source.py"),
    # MONAI wraps what a transform raises
    "transform": ("transforms.frame.tissue.BlankOutsideTissue.__call__", "transforms/dictionary.py"),
    "task": ("pipeline.prediction.items.frame_task.measure_frame", "pipeline/prediction/items/frame_task.py"),
}
FAULTY = {f"{function}.{error}.dcm": (function, error) for function in FUNCTIONS for error in ERRORS}


class FaultyTask(FrameTask):
    """Has a function of ours raise what nobody expects, while a worker does the image that is named so."""

    def process(self, item: Any, *arguments: Any) -> Any:
        function, error = FAULTY.get(item.file, ("", ""))
        if not function:
            return super().process(item, *arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"pyraseg.{FUNCTIONS[function][0]}", lambda *_, **__: ERRORS[error]())
            return super().process(item, *arguments)


def faulty_header(path: Path) -> Any:
    return ERRORS["AttributeError"]() if path.name in FAULTY else header_or_error(path)


def run(names: list[str], checkpoint: Path, folder: Path) -> Run:
    for number, name in enumerate(("first.dcm", *names, "last.dcm")):
        write_image(folder / "in" / name, number)
    return predict(folder / "in", output=folder / "out", checkpoints=[checkpoint])


def check(run: Run, told: dict[str, str]) -> None:
    """The other files are done, and of each faulty one this is told."""
    assert run.status == 1
    assert {row["file"] for row in run.results} == {"first.dcm", "last.dcm"}
    assert {row["file"] for row in run.table("failures")} == set(told)
    for row in run.table("failures"):
        assert f"an internal error of pyraseg, an unexpected {told[row['file']]}, line " in row["reason"]
        assert "Report it" in row["remedy"]
        assert "Export the file again" not in str(row)
        assert SECRET not in str(row) + run.stdout + run.stderr


def test_an_error_of_ours_while_an_item_is_done_is_an_internal_one_and_the_others_go_on(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr("pyraseg.pipeline.prediction.engine.FrameTask", FaultyTask)
    told = {name: f"{error} in {FUNCTIONS[function][1]}" for name, (function, error) in FAULTY.items()}
    check(run([*FAULTY], checkpoint, tmp_path), told)


def test_an_error_of_ours_while_files_are_looked_for_is_an_internal_one_too(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr("pyraseg.pipeline.prediction.discovery.find_items.header_or_error", faulty_header)
    name = next(iter(FAULTY))
    place = "pipeline/prediction/discovery/find_items.py"
    check(run([name], checkpoint, tmp_path), {name: f"AttributeError in {place}"})
