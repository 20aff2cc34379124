"""A header is read once by discovery and once by the item's worker, however much is written of it."""

from __future__ import annotations

import pytest

from tests.pipeline.prediction.batch import BUNDLE, write_image
from tests.pipeline.prediction.header_reads import Case, header_reads
from tests.pipeline.prediction.volume_runs import BUNDLES, write_numbered


@pytest.fixture(scope="module")
def reads(checkpoint, volume_checkpoint, tmp_path_factory):
    """Of a frame and a cine, and of a series."""
    folder = tmp_path_factory.mktemp("reads")
    write_image(folder / "in" / "frame.dcm", 1)
    write_image(folder / "in" / "cine.dcm", 2, frames=9)
    series = write_numbered(folder / "series", 1)
    cases = Case(folder / "in", BUNDLE, checkpoint), Case(series, BUNDLES["ct"], volume_checkpoint)
    return header_reads(folder / "run", *cases)


def test_discovery_and_the_worker_read_the_header_of_a_frame_and_of_a_cine_once_each(reads):
    found = {path.name: len(seconds) for path, seconds in reads[0].items()}
    assert found == {"frame.dcm": 2, "cine.dcm": 2}


def test_of_a_series_the_first_slice_is_read_once_more_for_what_is_written(reads):
    assert sorted(len(seconds) for seconds in reads[1].values()) == [*[2] * (len(reads[1]) - 1), 3]
