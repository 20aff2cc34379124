"""The outbox: what is added arrives once, whatever dies meanwhile."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pyraseg.pipeline.pacs.outbox import Counts, Outbox, Refused
from pyraseg.pipeline.pacs.outcome import Outcome
from pyraseg.pipeline.pacs.peers import Peer, parse_peer
from pyraseg.transforms.errors import PeerAwayError, UsageError
from tests.orthanc import Orthanc

PEER = parse_peer("PEER@127.0.0.1:104")


class Receiver:
    """Stands in for `deliver`: notes contents, and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.away = False
        self.answers: dict[bytes, str] = {}

    def __call__(self, files: Sequence[Path], peer: Peer) -> Iterator[Outcome]:
        for path in files:
            if self.away:
                raise PeerAwayError("an answer", found="none", remedy="Wait.")
            content = path.read_bytes()
            self.received.append(content)
            state = self.answers.get(content, "stored")
            yield Outcome(path, state, "" if state == "stored" else "the reason")


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def box(tmp_path, receiver) -> Iterator[Outbox]:
    with Outbox(tmp_path / "box", send=receiver) as outbox:
        yield outbox


def write(folder: Path, **contents: str) -> list[Path]:
    """Files that replace those of their names, as results do."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, content in contents.items():
        draft = folder / f".{name}"
        draft.write_text(content)
        paths.append(draft.rename(folder / f"{name}.dcm"))
    return paths


def copies(box: Outbox) -> int:
    return len(list((box.folder / "files").iterdir()))


def test_what_is_added_is_sent_once_and_leaves_no_copy(box, receiver, tmp_path):
    files = write(tmp_path / "item", seg="1", sr="2")
    assert box.add("item", files, PEER) == 2
    assert box.counts() == Counts(waiting=2)
    box.send_due()
    assert box.add("item", files, PEER) == 0
    box.send_due()
    assert sorted(receiver.received) == [b"1", b"2"]
    assert box.counts() == Counts(sent=2)
    assert copies(box) == 0


def test_newer_results_replace_those_that_wait(box, receiver, tmp_path):
    box.add("item", write(tmp_path / "item", seg="1", sr="2"), PEER)
    box.add("item", write(tmp_path / "item", seg="later"), PEER)
    assert copies(box) == 1
    box.send_due()
    assert receiver.received == [b"later"]


def test_results_that_are_replaced_while_they_are_sent_are_sent_again(tmp_path):
    received = []

    def send(files, peer):
        for path in files:
            received.append(path.read_bytes())
            if len(received) == 1:
                box.add("item", write(tmp_path / "item", seg="later"), PEER)
            yield Outcome(path, "stored")

    with Outbox(tmp_path / "box", send=send) as box:
        box.add("item", write(tmp_path / "item", seg="1"), PEER)
        box.send_due()
        assert box.counts() == Counts(waiting=1)
        box.send_due()
    assert received == [b"1", b"later"]


def test_the_copy_is_sent_though_the_result_is_gone(box, receiver, tmp_path):
    (path,) = write(tmp_path / "item", seg="1")
    box.add("item", [path], PEER)
    path.unlink()
    box.send_due()
    assert receiver.received == [b"1"]


def test_a_peer_that_is_away_loses_nothing_and_is_told_once(box, receiver, tmp_path, caplog):
    receiver.away = True
    box.add("item", write(tmp_path / "item", seg="1"), PEER)
    with caplog.at_level(logging.WARNING):
        pauses = []
        for _ in range(3):
            pauses.append(round(box.send_due()))
            box.drain(0)  # lets it try at once
    assert len(caplog.records) == 1
    assert pauses == [1, 2, 4]
    receiver.away = False
    box.send_due()
    assert box.counts() == Counts(sent=1)


def test_what_is_refused_for_good_is_kept_with_its_reason_and_told_once(box, receiver, tmp_path, caplog):
    receiver.answers = {b"1": "refused"}
    box.add("item", write(tmp_path / "item", seg="1", sr="2"), PEER)
    with caplog.at_level(logging.WARNING):
        box.send_due()
        box.send_due()
    assert box.counts() == Counts(sent=1, refused=1)
    assert box.refused() == [Refused("item", "seg.dcm", "the reason")]
    assert len(caplog.records) == 1
    assert copies(box) == 1


def test_a_file_that_ends_every_association_does_not_keep_the_others_back(tmp_path):
    def send(files, peer):
        for path in files:
            if path.read_bytes() == b"bad":
                raise PeerAwayError("an answer", found="none", remedy="Wait.")
            yield Outcome(path, "stored")

    with Outbox(tmp_path / "box", send=send) as box:
        for name in ("bad", "1", "2"):
            box.add(name, write(tmp_path / name, seg=name), PEER)
        for _ in range(2):
            box.send_due()
            box.drain(0)
        assert box.counts() == Counts(waiting=1, sent=2)


def test_what_waits_is_sent_with_the_settings_that_count_now(tmp_path):
    used: list[Peer] = []

    def send(files, peer):
        used.append(peer)
        return [Outcome(path, "stored") for path in files]

    with Outbox(tmp_path / "box", send=send) as box:
        box.add("item", write(tmp_path / "item", seg="1"), PEER)
        later = parse_peer(str(PEER), timeout=5)
        box.know(later)
        box.send_due()
        assert used == [later]
        assert box.counts(later) == box.counts(PEER) == Counts(sent=1)


def test_one_process_at_a_time_holds_an_outbox(box, receiver):
    with pytest.raises(UsageError, match="holds this outbox"):
        Outbox(box.folder, send=receiver)


def test_files_are_their_owners_alone(box, tmp_path):
    box.add("item", write(tmp_path / "item", seg="1"), PEER)
    assert [path for path in (box.folder, *box.folder.glob("*.db*")) if path.stat().st_mode & 0o077] == []


def test_draining_ends_in_time_where_nobody_answers(box, receiver, tmp_path):
    receiver.away = True
    box.start()
    box.add("item", write(tmp_path / "item", seg="1"), PEER)
    assert not box.drain(0.3)
    receiver.away = False
    assert box.drain(10)


ADDING = """
import sys
from pathlib import Path
from pyraseg.pipeline.pacs.outbox import Outbox
from pyraseg.pipeline.pacs.peers import parse_peer
box = Outbox(sys.argv[1], send=lambda files, peer: [])
for number in range(100_000):
    path = Path(sys.argv[2]) / f"{number}.dcm"
    path.write_text(str(number))
    box.add(str(number), [path], parse_peer("PEER@127.0.0.1:104"))
    print(number, flush=True)
"""


def test_a_kill_loses_nothing_of_what_was_added(tmp_path, receiver):
    (tmp_path / "files").mkdir()
    added = 0
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(ADDING), tmp_path / "box", tmp_path / "files"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        lines += process.communicate()[0].splitlines()
        added = max(added, *(int(line) + 1 for line in lines if line.strip()))
    with Outbox(tmp_path / "box", send=receiver) as box:
        while box.counts().waiting:
            box.send_due()
        assert set(map(str, range(added))) <= {content.decode() for content in receiver.received}
        assert len(receiver.received) <= added + 1  # one that was added and not yet told
        assert copies(box) == 0


@pytest.fixture
def own_orthanc(tmp_path) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path / "orthanc").start()
    yield server
    server.stop(kill=True)


def test_an_archive_that_stops_and_starts_again_gets_everything_once(own_orthanc, studies, tmp_path):
    files = [path for paths in studies.values() for path in paths]
    peer = parse_peer(own_orthanc.address, timeout=5)
    own_orthanc.stop()
    with Outbox(tmp_path / "box") as box:
        box.start()
        for number, path in enumerate(files):
            box.add(f"item {number}", [path], peer)
        until = time.monotonic() + 20
        while box.failure(peer) is None and time.monotonic() < until:
            time.sleep(0.05)
        assert box.failure(peer) is not None
        own_orthanc.start()
        until = time.monotonic() + 20
        while not box.counts().sent and time.monotonic() < until:
            box.drain(0.05)
        own_orthanc.stop(kill=True)
        own_orthanc.start()
        assert box.drain(40)
        assert box.counts() == Counts(sent=len(files))
    assert own_orthanc.ask("/statistics")["CountInstances"] == len(files)
