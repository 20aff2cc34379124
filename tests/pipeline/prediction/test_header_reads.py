"""A header is read once by discovery and once by the item's worker, however much is written of it."""

from __future__ import annotations

from tests.pipeline.prediction.batch import BUNDLE, write_image
from tests.pipeline.prediction.header_reads import header_reads
from tests.pipeline.prediction.volume_runs import BUNDLES, write_numbered


def test_discovery_and_the_worker_read_the_header_of_a_frame_and_of_a_cine_once_each(checkpoint, tmp_path):
    write_image(tmp_path / "in" / "frame.dcm", 1)
    write_image(tmp_path / "in" / "cine.dcm", 2, frames=9)
    reads = header_reads(tmp_path / "in", tmp_path / "run", bundle=BUNDLE, checkpoint=checkpoint)
    assert {path.name: len(seconds) for path, seconds in reads.items()} == {"frame.dcm": 2, "cine.dcm": 2}


def test_of_a_series_the_first_slice_is_read_once_more_for_what_is_written(volume_checkpoint, tmp_path):
    folder = write_numbered(tmp_path / "series", 1)
    reads = header_reads(folder, tmp_path / "run", bundle=BUNDLES["ct"], checkpoint=volume_checkpoint)
    assert sorted(len(seconds) for seconds in reads.values()) == [*[2] * (len(reads) - 1), 3]
