"""The contract of every writer: it returns its path, writes whole or not at all, and repeats itself to the
byte."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.nifti import write_label, write_labels, write_probabilities
from pyraseg.pipeline.writers.pictures.cine import write_cine, write_contact_sheet
from pyraseg.pipeline.writers.pictures.overlay import write_overlay
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.pipeline.writers.report import Run, write_report
from pyraseg.pipeline.writers.tables.csv_tables import write_failures, write_manifest, write_results
from pyraseg.pipeline.writers.tables.item_records import Failure
from pyraseg.transforms.errors import OutputError

IMAGE = np.random.default_rng(0).random((1, 30, 40), np.float32)
MASK = np.zeros((30, 40), np.uint8)
MASK[5:20, 8:30] = 1
SEGMENTS = resolve_segments(("background", "kidney"))
RUN = Run(Algorithm("name", "0.1.0", "0" * 64, "bundle"), datetime(2026, 3, 2), {"kidney_area": "mm2"})

# A new writer is a line here: the extension, and how it writes to a path.
WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "nifti": (".nii.gz", lambda path: write_label(path, MASK, spacing_mm=(0.3, 0.2))),
    "nifti of a cine": (".nii.gz", lambda path: write_labels(path, np.stack([MASK] * 3), frame_time_ms=40.0)),
    "nifti of probabilities": (".nii.gz", lambda path: write_probabilities(path, IMAGE[None])),
    "cine": (".webp", lambda path: write_cine(path, lambda _: IMAGE, np.stack([MASK] * 3), SEGMENTS)),
    "sheet": (
        ".png",
        lambda path: write_contact_sheet(path, lambda _: IMAGE, np.stack([MASK] * 3), SEGMENTS, key_frame=1),
    ),
    "overlay": (".png", lambda path: write_overlay(path, IMAGE, MASK, SEGMENTS, reference=MASK)),
    "png": (".png", lambda path: write_png(path, np.zeros((4, 5, 3), np.uint8))),
    "failures": (
        ".csv",
        lambda path: write_failures(path, [Failure("1.dcm", "truncated", "Copy it again.")]),
    ),
    "results": (".csv", lambda path: write_results(path, [], units={"kidney_area": "mm2"})),
    "manifest": (".json", lambda path: write_manifest(path, {"items": 1})),
    "report": (".html", lambda path: write_report(path, [], run=RUN)),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    return WRITERS[request.param]


def test_it_returns_the_path_where_the_only_new_file_is(writer, tmp_path):
    extension, write = writer
    target = tmp_path / "new" / f"case{extension}"
    assert write(target) == target
    assert target.stat().st_size > 0
    assert list(target.parent.iterdir()) == [target]


def test_repeated_it_gives_the_same_bytes(writer, tmp_path):
    extension, write = writer
    assert write(tmp_path / f"a{extension}").read_bytes() == write(tmp_path / f"b{extension}").read_bytes()


def test_a_place_that_cannot_be_written_is_an_output_error(writer, tmp_path):
    extension, write = writer
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "taken" / f"case{extension}")
    assert caught.value.path == str(tmp_path / "taken" / f"case{extension}")
    assert "taken" not in str(caught.value)


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(writer, tmp_path, monkeypatch):
    extension, write = writer
    target = tmp_path / f"case{extension}"
    target.write_bytes(b"old")

    def no_room(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OutputError, match="no room"):
        write(target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
