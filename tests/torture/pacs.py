"""SIGKILL of the listener, its receiving process, a worker, Orthanc and the sender at random moments, and the
network cut, until every image has been taken; then every result is in Orthanc, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from pydicom import dcmread

from tests.orthanc import Orthanc
from tests.pipeline.pacs.listening.listeners import QUICK, bundle_with, until
from tests.pipeline.pacs.listening.nodes import stored
from tests.pipeline.prediction.batch import ROOT, write_image
from tests.pipeline.prediction.runs import BUNDLE, write_checkpoint

__all__ = ["run"]

KILLS = 30  # for 2,000 instances
BATCH = 40  # files in one association of the sender
PAUSE = (0.0, 6.0)  # seconds before a kill
END = 3600.0  # seconds for the rest, once nothing is killed any more


def run(folder: Path, count: int, seed: int, *, kills: int | None = None) -> tuple[str, list[str]]:
    """Send ``count`` instances through ``kills``, by default `KILLS` for 2,000; table and broken promises."""
    draw, kills = random.Random(seed), kills or max(1, KILLS * count // 2000)
    files = [
        write_image(folder / "images" / f"{number:05d}.dcm", number, frames=4 if number % 10 == 9 else 1)
        for number in range(count)
    ]
    orthanc = Orthanc(folder / "orthanc", SyncStorageArea=True).start()
    bundle = bundle_with(folder / "bundles", BUNDLE, write_checkpoint)
    scene = _Scene(folder, bundle, orthanc, files, draw)
    began, seen = time.monotonic(), Counter[str]()
    try:
        for number in range(kills):
            while count - len(scene.left()) < number * count // kills:  # spread over all that is sent
                scene.go_on()
                time.sleep(0.2)
            scene.go_on()
            time.sleep(draw.uniform(*PAUSE))
            what = draw.choice(["listener", "receiver", "worker", "orthanc", "sender", "network"])
            scene.kill(what)
            seen[what] += 1
            print(f"kill {number + 1}: {what}, {len(scene.left())} to send", file=sys.stderr, flush=True)
        while scene.left():
            scene.go_on()
            time.sleep(0.5)
        scene.go_on()
        with suppress(AssertionError):
            until(lambda: len(scene.results()) >= count or scene.go_on(), seconds=END)
        took = time.monotonic() - began
        faults = list(scene.faults(count))
    finally:
        scene.end()
        orthanc.stop(kill=True)
    rows = {"instances": count, **{f"kills of {name}": number for name, number in sorted(seen.items())}}
    rows |= {
        "starts of the listener": scene.starts,
        "results in Orthanc": len(scene.found),
        "seconds": round(took),
    }
    table = "\n".join(["| what | how often |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())])
    return table, faults


class _Scene:
    """Sender, listener and archive; ``go_on`` starts again whatever has been killed."""

    def __init__(
        self, folder: Path, bundle: Path, orthanc: Orthanc, files: list[Path], draw: random.Random
    ) -> None:
        self.folder, self.bundle, self.orthanc, self.files, self.draw = folder, bundle, orthanc, files, draw
        self.output, self.sent = folder / "out", folder / "sent.txt"
        self.sent.touch()
        self.starts, self.port = 0, 0
        self.listener: subprocess.Popen[str] | None = None
        self.sender: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self.found: list[str] = []

    def left(self) -> list[Path]:
        """The files of whose success nobody has been told."""
        done = set(self.sent.read_text().split())
        return [path for path in self.files if path.name not in done]

    def go_on(self) -> None:
        if self.stopped:
            os.kill(self.orthanc._process.pid, signal.SIGCONT)
            self.stopped = False
        if self.orthanc._process is None or self.orthanc._process.poll() is not None:
            self.orthanc.start()
        if self.listener is None or self.listener.poll() is not None:
            self._start_listener()
        if self.sender is None or self.sender.poll() is not None:
            left = self.left()[:BATCH]
            if left:
                code = [sys.executable, "-m", "tests.torture.pacs_sender", str(self.port), str(self.sent)]
                self.sender = subprocess.Popen([*code, *map(str, left)], cwd=ROOT, stderr=subprocess.DEVNULL)

    def _start_listener(self) -> None:
        self.starts += 1
        options = [*QUICK, "--quiet-seconds", "1", "--formats", "seg", "--return-to", self.orthanc.address]
        command = [sys.executable, "-m", "pyraseg.pipeline", "listen", "--bundle", str(self.bundle)]
        self.listener = subprocess.Popen(
            [*command, "--output", str(self.output), *options],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.port = int(self.listener.stdout.readline().rpartition(":")[2])
        # a full pipe would hold the listener at its next line
        threading.Thread(target=self.listener.stdout.read, daemon=True).start()

    def kill(self, what: str) -> None:
        if what == "listener":
            (os.killpg if self.draw.random() < 0.5 else os.kill)(self.listener.pid, signal.SIGKILL)
            self.listener.wait()
        elif what == "orthanc":
            self.orthanc.stop(kill=True)
        elif what == "sender" and self.sender is not None:
            self.sender.kill()
            self.sender.wait()
        elif what == "network":  # a peer that accepts and says nothing
            os.kill(self.orthanc._process.pid, signal.SIGSTOP)
            self.stopped = True
            time.sleep(3)
        else:
            with suppress(psutil.NoSuchProcess):
                self._process(what).kill()

    def _process(self, what: str) -> psutil.Process:
        children = psutil.Process(self.listener.pid).children(recursive=True)
        receivers = [
            each for each in children if any(c.laddr.port == self.port for c in each.net_connections())
        ]
        workers = [each for each in children if each not in receivers and not each.children()]
        return self.draw.choice((receivers if what == "receiver" else workers) or children)

    def results(self) -> list[str]:
        """The segmentations in Orthanc, by its own IDs."""
        query = {"Level": "Instance", "Query": {"Modality": "SEG"}}
        with suppress(OSError):  # it may just have been killed
            self.found = self.orthanc.ask("/tools/find", "POST", json.dumps(query).encode())
        return self.found

    def _sources(self) -> Counter[str]:
        """The series that they are of."""
        return Counter(
            self.orthanc.ask(f"/instances/{one}/simplified-tags")["ReferencedSeriesSequence"][0][
                "SeriesInstanceUID"
            ]
            for one in self.results()
        )

    def faults(self, count: int) -> Iterator[str]:
        wanted = Counter(str(dcmread(path, stop_before_pixels=True).SeriesInstanceUID) for path in self.files)
        found = self._sources()
        if lost := wanted - found:
            yield f"{lost.total()} of {count} results are not in Orthanc"
        if doubled := found - wanted:
            yield f"{doubled.total()} results too many are in Orthanc"
        if (kept := len(stored(self.output / "received"))) != count:
            yield f"{kept} images were kept of {count}"
        if drafts := list((self.output / "received" / ".incoming").iterdir()):
            yield f"{len(drafts)} drafts are left"
        failures = (self.output / self.bundle.name / "failures.csv").read_text().splitlines()[1:]
        if failures:
            yield f"{len(failures)} items failed: {failures[0]}"

    def end(self) -> None:
        for process in (self.sender, self.listener):
            if process is not None and process.poll() is None:
                process.kill()
        if self.listener is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.listener.pid, signal.SIGKILL)
