"""A node's reception beside a bare pynetdicom SCP and dcmtk's ``storescp``, and a cine's way to its stored SEG."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pynetdicom import AE, AllStoragePresentationContexts, evt

from tests.orthanc import free_port
from tests.pipeline.pacs.listening.listeners import archive, bundle_with, listening, until
from tests.pipeline.pacs.listening.nodes import receiving, sent
from tests.pipeline.pacs.peers import accepts
from tests.pipeline.prediction.batch import write_image
from tests.pipeline.prediction.runs import BUNDLE, write_checkpoint
from tests.transforms.dicom.series_cases import write_series

__all__ = ["table"]

SLICES, CINES, FRAMES, QUIET = 200, 20, 30, 1.0


def table() -> str:
    """Two tables, in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        series = write_series(folder / "series", np.zeros((SLICES, 512, 512), np.int16))
        rows = [
            f"| {name} | {_rate(server(folder / name.split()[0]), series):.0f} |"
            for name, server in (("pyraseg listen, fsync of file and folder", _ours), ("pynetdicom, no fsync", _bare),
                                 ("storescp, no fsync", _storescp))
        ]  # fmt: skip
        seconds = np.sort(_cines(folder))
    head = f"| {SLICES} slices of 512 x 512 by dcmtk's storescu, one association | slices/s |\n| --- | --- |"
    cine = f"| cine of {FRAMES} frames of 64 x 64, received to SEG stored | p50 | p95 |\n| --- | --- | --- |"
    p50, p95 = np.percentile(seconds, [50, 95])
    return "\n".join(
        [head, *rows, "", cine, f"| seconds, of which {QUIET:g} are the quiet time | {p50:.1f} | {p95:.1f} |"]
    )


def _rate(server: Any, series: Path) -> float:
    with server as (title, port):
        command = ["storescu", "-aet", "SENDER", "-aec", title, "+sd", "127.0.0.1", str(port), str(series)]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return SLICES / (time.perf_counter() - began)


@contextmanager
def _ours(folder: Path) -> Iterator[tuple[str, int]]:
    with receiving(folder) as node:
        yield "PYRASEG", node.port


@contextmanager
def _bare(folder: Path) -> Iterator[tuple[str, int]]:
    folder.mkdir()
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, port))
    process.start()
    until(lambda: accepts(port))
    yield "BARE", port
    process.kill()
    process.join()


def _serve(folder: Path, port: int) -> None:
    entity = AE("BARE")
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax)

    def keep(event: evt.Event) -> int:
        (folder / f"{event.request.AffectedSOPInstanceUID}.dcm").write_bytes(event.encoded_dataset())
        return 0

    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, keep)])


@contextmanager
def _storescp(folder: Path) -> Iterator[tuple[str, int]]:
    folder.mkdir()
    if not shutil.which("storescp"):
        raise FileNotFoundError("storescp, of Debian's package dcmtk")
    port = free_port()
    process = subprocess.Popen(["storescp", "+B", "-od", str(folder), str(port)])
    until(lambda: accepts(port))
    yield "STORESCP", port
    process.kill()
    process.wait()


def _cines(folder: Path) -> list[float]:
    """Seconds of each from its Success to its SEG in an archive, one after the other."""
    bundle, seconds = bundle_with(folder, BUNDLE, write_checkpoint), []
    options = ("--quiet-seconds", str(QUIET), "--formats", "seg")
    with (
        archive() as there,
        listening(folder / "out", [bundle], *options, "--return-to", there.address) as node,
    ):
        for number in range(CINES):
            path = write_image(folder / f"{number}.dcm", number, frames=FRAMES)
            assert sent(node.port, path) == [0]
            began = time.perf_counter()
            until(lambda wanted=number + 1: len(there.got) >= wanted)
            seconds.append(time.perf_counter() - began)
    return seconds[1:]  # the first also starts the worker
