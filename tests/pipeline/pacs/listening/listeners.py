"""A listener in this process, one in a process of its own, and an archive that keeps what it gets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt

from pyraseg.pipeline.cli import _parse
from pyraseg.pipeline.pacs.listening import listener
from pyraseg.pipeline.prediction.stopping import Stopping
from tests.pipeline.prediction.batch import ROOT

__all__ = ["Archive", "Running", "archive", "bundle_with", "listening", "started", "until"]

QUICK = ("--port", "0", "--metrics-port", "0", "--backend", "torch", "--device", "cpu", "--workers", "1")


def until(condition: Callable[[], object], *, seconds: float = 300) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {seconds:.0f} s")
        time.sleep(0.05)


@dataclass
class Archive:
    """What it got, by SOP Instance UID; ``status`` is its answer."""

    port: int = 0
    got: dict[str, list[Dataset]] = field(default_factory=dict)
    status: int = 0

    @property
    def address(self) -> str:
        return f"ARCHIVE@127.0.0.1:{self.port}"

    def of(self, modality: str, **values: str) -> list[Dataset]:
        """The last of each UID, of a modality and with these values."""
        last = [each[-1] for each in self.got.values()]
        return [
            each
            for each in last
            if each.Modality == modality and all(each.get(name) == value for name, value in values.items())
        ]


@contextmanager
def archive() -> Iterator[Archive]:
    """A Storage SCP."""
    there, entity = Archive(), AE("ARCHIVE")
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax)

    def keep(event: evt.Event) -> int:
        if there.status == 0:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            there.got.setdefault(dataset.SOPInstanceUID, []).append(dataset)
        return there.status

    server = entity.start_server(
        ("127.0.0.1", there.port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    there.port = server.server_address[1]
    try:
        yield there
    finally:
        server.shutdown()


@dataclass
class Running:
    """A listener that runs in a thread; ``lines`` is what it has said."""

    output: Path
    stopping: Stopping
    lines: list[str] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def port(self) -> int:
        return int(self.lines[0].rpartition(":")[2])

    def told(self, *words: str) -> list[str]:
        """The lines with all these words."""
        return [line for line in self.lines if all(word in line for word in words)]

    def wait_for(self, *words: str, number: int = 1) -> list[str]:
        until(lambda: self.error or len(self.told(*words)) >= number)
        if self.error:
            raise AssertionError(self.lines) from self.error
        return self.told(*words)

    def ask(self, path: str) -> str:
        """Its page for monitors."""
        address = self.lines[1].split("/metrics")[0]
        with urllib.request.urlopen(f"{address}/{path}", timeout=30) as answer:
            return answer.read().decode()


@contextmanager
def listening(output: Path, bundles: Sequence[Path], *options: str) -> Iterator[Running]:
    """A listener in a thread, ready; drained at the end."""
    words = ["listen", "--output", str(output), *QUICK, *options]
    for bundle in bundles:
        words += ["--bundle", str(bundle)]
    running = Running(output, Stopping())

    def run() -> None:
        try:
            arguments = _parse(words)
            for line in arguments.verb.run(arguments):
                running.lines.append(line)
        except BaseException as error:
            running.error = error

    with mock.patch.object(listener, "Stopping", return_value=running.stopping):
        thread = threading.Thread(target=run)
        thread.start()
        try:
            running.wait_for("bundle", number=len(bundles))
            yield running
        finally:
            running.stopping.requested = True
            thread.join()
    if running.error:
        raise running.error


@contextmanager
def started(output: Path, bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A listener as a process with a group of its own, and its port; killed at the end."""
    command = [
        sys.executable,
        "-m",
        "pyraseg.pipeline",
        "listen",
        "--bundle",
        str(bundle),
        "--output",
        str(output),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, *QUICK, *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def bundle_with(folder: Path, bundle: Path, write: Callable[[Path], object], *, name: str = "") -> Path:
    """A copy of a bundle with weights."""
    copy = folder / (name or bundle.name)
    shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns("models", "__pycache__"))
    write(copy / "models" / "model.pt")
    return copy
