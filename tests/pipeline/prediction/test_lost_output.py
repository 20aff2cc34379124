"""The totals say what is in the output folder at the end, whoever removed something from it midway."""

from __future__ import annotations

import shutil

import pytest

from pyraseg.pipeline.prediction.output.folder import OutputFolder
from tests.pipeline.prediction.batch import write_image
from tests.pipeline.prediction.runs import predict


@pytest.mark.parametrize("lost", ["an item", "the folder"])
def test_what_was_removed_midway_is_not_counted_as_done(checkpoint, tmp_path, monkeypatch, lost):
    for number in range(4):
        write_image(tmp_path / "in" / f"{number}.dcm", number)
    output, published, publish = tmp_path / "out", [], OutputFolder.publish

    def publish_and_lose(folder, case):
        publish(folder, case)
        published.append(case)
        if len(published) == 2:
            removed = tmp_path / "removed"  # moved first: the workers write while a folder is being removed
            (output / "items" / case if lost == "an item" else output).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)
            if lost == "the folder":  # as a worker does that is writing a draft just then
                (folder.draft(case) / "overlay").mkdir(parents=True)

    monkeypatch.setattr(OutputFolder, "publish", publish_and_lose)
    done = predict(tmp_path / "in", output=output, checkpoints=[checkpoint], options=["--formats", "nifti"])
    assert done.status == 1
    if lost == "an item":
        assert "3 done" in done.stdout
        assert "1 failed" in done.stdout
        (reason,) = done.reasons("failures").values()
        assert reason == "results that are not in the output folder any more"
    else:
        assert "removed or replaced while the run went on" in done.stderr
        assert "done" not in done.stdout.splitlines()[-1]
        assert not output.exists()
