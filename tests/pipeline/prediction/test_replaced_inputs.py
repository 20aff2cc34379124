"""What was read is what was found: a file that another takes the place of fails its item, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pyraseg.pipeline.prediction import run as run_module
from pyraseg.pipeline.prediction.discovery.find_items import header_or_error
from pyraseg.pipeline.prediction.items.volume_task import read_item_volume
from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import InputError
from tests.pipeline.prediction.batch import write_image
from tests.pipeline.prediction.runs import predict
from tests.transforms.dicom.series_cases import write_series

WORDS = "found another one in its place"


def replace(
    path: Path, *, patient: str | None = None, seed: int | None = None, same_time: bool = False
) -> None:
    """Another patient's image, or another image, under the same name and of the same size."""
    status = path.stat()
    other = write_image(path.with_name("other.part"), seed) if seed is not None else path
    dataset = pydicom.dcmread(other)
    if patient is not None:
        dataset.PatientID = patient
    dataset.save_as(other.with_name("new.part"))
    os.replace(other.with_name("new.part"), path)
    path.with_name("other.part").unlink(missing_ok=True)
    if same_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_file_replaced_after_the_search_fails_its_item_and_no_other(checkpoint, tmp_path, monkeypatch):
    images = {name: write_image(tmp_path / "in" / f"{name}.dcm", n) for n, name in enumerate("abcd")}
    planned = run_module.make_plan

    def arriving(*arguments):
        plan = planned(*arguments)
        replace(images["a"], patient="7", same_time=True)
        replace(images["b"], seed=9)
        replace(images["c"], seed=8, same_time=True)
        return plan

    monkeypatch.setattr(run_module, "make_plan", arriving)
    done = predict(tmp_path / "in", output=tmp_path / "out", checkpoints=[checkpoint])
    assert [row["file"] for row in done.results] == ["d.dcm"]
    assert {file: WORDS in reason for file, reason in done.reasons("failures").items()} == {
        "a.dcm": True,
        "b.dcm": True,
        "c.dcm": True,
    }


@pytest.mark.parametrize("in_place", [False, True])
def test_pixels_are_those_of_the_header_whatever_takes_their_place(tmp_path, in_place):
    path = write_image(tmp_path / "cine.dcm", 1, frames=3)
    cine = CineReader(read_header(path))
    cine.frame(0)
    status, other = path.stat(), write_image(tmp_path / "other.dcm", 2, frames=3)
    if in_place:
        path.write_bytes(other.read_bytes())
    else:
        os.replace(other, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=WORDS):
        cine.frame(1)


def test_every_slice_of_a_series_is_the_one_that_was_found(tmp_path):
    paths = sorted(write_series(tmp_path).glob("*.dcm"))
    sources = [header_or_error(path).source for path in paths]
    stamps = tuple(ref.stamp for ref in sources)
    item = Item("c1", sources[0], "a", 1, 1, paths=tuple(map(str, paths)), slices=5, stamps=stamps)
    assert np.asarray(read_item_volume(item).array).shape == (8, 6, 5)
    for path in paths:  # all of them, or they would be two series
        dataset, status = pydicom.dcmread(path), path.stat()
        dataset.PatientBirthDate = "19000101"
        dataset.save_as(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=WORDS):
        read_item_volume(item)
