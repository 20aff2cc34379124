"""An outbox keeps order, survives whoever wrote it, and belongs to one process at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyraseg.pipeline.tracking.outbox import Outbox
from pyraseg.transforms.errors import OutputError, TrackingError

ROOT = Path(__file__).resolve().parents[3]


def numbers(outbox, limit=None):
    return [entry["n"] for _, entry in outbox.waiting(limit)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "outbox" / "run"


@pytest.fixture
def outbox(folder):
    outbox = Outbox(folder, {"run_id": "r"})
    yield outbox
    outbox.close()


def test_entries_wait_in_order_until_they_are_sent(outbox):
    for n in range(5):
        outbox.append({"kind": "metrics", "n": n})
    assert numbers(outbox) == [0, 1, 2, 3, 4]
    position, _ = outbox.waiting()[1]
    outbox.advance(position)
    assert numbers(outbox) == [2, 3, 4]
    assert numbers(outbox, 2) == [2, 3]


def test_what_waits_is_there_for_the_next_process(outbox, folder):
    for n in range(3):
        outbox.append({"kind": "metrics", "n": n})
    outbox.advance(outbox.waiting()[0][0])
    outbox.close()
    later = Outbox(folder)
    assert numbers(later) == [1, 2]
    assert later.facts == {"run_id": "r"}


def test_a_torn_line_of_a_killed_process_is_cut_off(outbox, folder):
    outbox.append({"kind": "metrics", "n": 0})
    outbox.close()
    with open(folder / "journal.jsonl", "ab") as file:
        file.write(b'{"kind": "met')
    later = Outbox(folder)
    later.append({"kind": "metrics", "n": 1})
    assert numbers(later) == [0, 1]


@pytest.mark.parametrize("torn", ["", "9999999", "12\x00"])
def test_a_torn_note_of_what_was_sent_means_sending_again(outbox, folder, torn):
    outbox.append({"kind": "metrics", "n": 0})
    outbox.advance(outbox.waiting()[0][0])
    outbox.append({"kind": "metrics", "n": 1})
    outbox.close()
    (folder / "sent").write_text(torn)
    assert numbers(Outbox(folder)) == [0, 1]


def test_a_file_is_kept_as_it_was_when_it_was_given(outbox, folder, tmp_path):
    for link in (False, True):
        path = tmp_path / f"{link}.txt"
        path.write_text("then")
        outbox.add_file(path, "notes", link=link)
        path.unlink()
    assert [(folder / entry["source"]).read_text() for _, entry in outbox.waiting()] == ["then", "then"]


def test_a_copy_is_no_link_where_the_file_may_change_in_place(outbox, folder, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("then")
    outbox.add_file(path, "")
    path.write_text("now")
    ((_, entry),) = outbox.waiting()
    assert (folder / entry["source"]).read_text() == "then"


def test_only_the_last_of_several_files_for_one_place_takes_room(outbox, folder):
    for text in ("first", "second"):
        outbox.add_text(text, "notes", name="a.txt")
    outbox.add_text("other", "", name="a.txt")
    assert sorted(path.read_text() for path in folder.glob("files/*/*")) == ["other", "second"]


def test_an_outbox_in_which_nothing_waits_disappears_and_another_stays(outbox, folder):
    outbox.append({"kind": "metrics", "n": 0})
    outbox.close()
    assert folder.exists()
    later = Outbox(folder)
    later.advance(later.waiting()[-1][0])
    later.close()
    assert not folder.parent.exists()


def test_refused_entries_are_kept_with_their_reason(outbox, folder):
    outbox.set_aside({"kind": "metrics", "n": 7}, "too long")
    outbox.close()
    assert json.loads((folder / "refused.jsonl").read_text()) == {
        "kind": "metrics",
        "n": 7,
        "reason": "too long",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked on Windows")
def test_a_second_process_is_refused(outbox, folder):
    code = f"from pyraseg.pipeline.tracking.outbox import Outbox; Outbox({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert TrackingError.__name__ in done.stderr
    assert "live process" in done.stderr


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        Outbox(tmp_path / "file" / "run")
    assert caught.value.path
