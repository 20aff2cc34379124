"""Results appear whole or not at all, and what has failed is said, whatever is cut off or full."""

from __future__ import annotations

import json
import resource
from dataclasses import replace

import pytest

from pyraseg.pipeline.prediction.output.folder import RECORD, OutputFolder
from pyraseg.pipeline.prediction.output.folder_lock import STATE, Shard
from pyraseg.pipeline.writers.tables.item_records import Failure, FrameRecord, Item, ItemRecord
from pyraseg.transforms.errors import OutputError
from pyraseg.transforms.records import SourceRef

RESULT = ItemRecord(
    case="c1", file="a.dcm", study_instance_uid="1", series_instance_uid="2", sop_instance_uid="3",
    frames=1, rows=4, columns=4,
    spacing_mm=(0.5, 0.25), spacing_source="region", key_frame=0, units={"area": "mm2"},
    rows_of_frames=(FrameRecord(0, {"area": 1.0}, confidence=0.5, flags=("low",)),), flags=("low",), notes=(),
    seconds=1.0, outputs=("seg.dcm",), fingerprint="f", size=10, modified_ns=20,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> OutputFolder:
    made = OutputFolder(tmp_path / "out", shard=Shard(), fingerprint="f")
    made.prepare()
    return made


def fill(folder: OutputFolder, record: ItemRecord = RESULT, content: str = "seg") -> None:
    draft = folder.draft(record.case)
    draft.mkdir()
    (draft / "seg.dcm").write_text(content)
    (draft / RECORD).write_text(json.dumps(record.to_json()))


def item(**changes: object) -> Item:
    source = SourceRef("a.dcm", "3", "1.2", "2", "US", "1.2.840.10008.1.2.1", 1, rows=4, columns=4)
    return replace(Item("c1", source, "a.dcm", 10, 20), **changes)


def test_a_draft_is_no_result_and_a_published_one_is_the_same_record(folder):
    fill(folder)
    assert list(folder.records()) == []
    assert not folder.is_done(item())
    folder.publish("c1")
    assert list(folder.records()) == [RESULT]
    assert folder.is_done(item())


@pytest.mark.parametrize("change", [{"size": 11}, {"modified_ns": 21}, {"case": "c2"}])
def test_a_file_that_has_changed_is_due(folder, change):
    fill(folder)
    folder.publish("c1")
    assert not folder.is_done(item(**change))


def test_other_weights_or_options_make_it_due_and_take_it_out_of_the_tables(folder):
    fill(folder)
    folder.publish("c1")
    other = OutputFolder(folder.path, shard=Shard(), fingerprint="g")
    assert not other.is_done(item())
    assert list(other.records()) == []


@pytest.mark.parametrize("spoil", ["missing", "cut", "foreign"])
def test_a_result_that_somebody_has_spoiled_is_due(folder, spoil):
    fill(folder)
    folder.publish("c1")
    place = folder.items / "c1"
    if spoil == "missing":
        (place / "seg.dcm").unlink()
    else:
        text = (place / RECORD).read_text()
        (place / RECORD).write_text(text[:-5] if spoil == "cut" else "[1]")
    assert not folder.is_done(item())


def test_a_new_result_takes_the_place_of_the_former_and_nothing_else_is_left(folder):
    for content in ("old", "new"):
        fill(folder, content=content)
        folder.publish("c1")
    assert (folder.items / "c1" / "seg.dcm").read_text() == "new"
    assert [path.name for path in folder.items.iterdir()] == ["c1"]
    assert list(folder.drafts.iterdir()) == []


def test_a_draft_that_is_gone_is_an_error_and_the_former_result_does_not_stay(folder):
    fill(folder)
    folder.publish("c1")
    with pytest.raises(OutputError):
        folder.publish("c1")
    folder.withdraw("c1")
    assert list(folder.items.iterdir()) == []


def test_what_a_killed_run_has_left_is_cleared_away_and_what_is_at_work_is_not(folder):
    fill(folder)
    folder.add_failure(Failure("b.dcm", "broken", "Mend it."))
    other = OutputFolder(folder.path, shard=Shard(2, 10), fingerprint="f")
    other.prepare()
    torn = folder.path / ".0123456789ab-results.csv"
    torn.write_text("")
    (folder.path / ".mine-results.csv").write_text("")
    later = OutputFolder(folder.path, shard=Shard(), fingerprint="f")
    later.prepare()
    assert set((folder.path / STATE / "drafts").iterdir()) == {other.drafts, later.drafts}
    assert later.failures() == []
    assert not torn.exists()
    assert (folder.path / ".mine-results.csv").exists()


def test_failures_of_all_shards_are_told_and_a_line_that_was_cut_off_is_not(folder):
    other = OutputFolder(folder.path, shard=Shard(2, 2), fingerprint="f")
    failures = [Failure(name, "broken\nbadly", "Mend it.", "c9") for name in ("b.dcm", "a\n.dcm")]
    other.add_failure(failures[0])
    with next((folder.path / STATE).glob("failures-*")).open("a") as file:
        file.write('\n{"file": "c.dcm", "rea')
    other.add_failure(failures[1])
    assert folder.failures() == [failures[1], failures[0]]


def test_on_a_full_disk_this_run_still_knows_what_has_failed(folder):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    failures = [Failure(f"{name}.dcm", "no room", "Free some.") for name in "ab"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        folder.add_failure(failures[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder.add_failure(failures[1])
    assert folder.failures() == failures
    other = OutputFolder(folder.path, shard=Shard(2, 2), fingerprint="f")
    assert other.failures() == failures[1:]


def test_at_the_end_no_draft_is_left(folder):
    fill(folder)
    folder.close()
    assert list((folder.path / STATE / "drafts").iterdir()) == []
