"""OHIF in a browser, in front of Orthanc, all on 127.0.0.1: every frame shows its mask, and nothing else.

With docs/ohif-cine.js in its configuration for cines, as it comes for single frames.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import threading
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tests.clients.conftest import CASES, VOLUME, Case, client, run
from tests.orthanc import Orthanc

CINE = Path(__file__).resolve().parents[2] / "docs" / "ohif-cine.js"
CONFIG = """window.config = { routerBasename: null, extensions: [], modes: [], showStudyList: true,
  disableConfirmationPrompts: true, defaultDataSourceName: "orthanc", dataSources: [{
    namespace: "@ohif/extension-default.dataSourcesModule.dicomweb", sourceName: "orthanc",
    configuration: { friendlyName: "Orthanc", name: "orthanc", qidoRoot: "/dicom-web", wadoRoot: "/dicom-web",
      imageRendering: "wadors", thumbnailRendering: "wadors", enableStudyLazyLoad: true,
      omitQuotationForMultipartRequest: true, bulkDataURI: { enabled: true } } }] };
"""
EDGE = 4  # screen pixels: the width of an outline
STRONG = 20  # of 255: the least change that counts as colour


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """Its port."""
    if not shutil.which("chromium"):
        pytest.skip("needs Debian's package chromium")
    server = Orthanc(tmp_path_factory.mktemp("orthanc"), DicomServerEnabled=False).start()
    yield server.http
    server.stop(kill=True)


@pytest.fixture(scope="module")
def ohif(orthanc):
    """Addresses of OHIF: as it comes, and with our addition for cines."""
    files = client("ohif", "package", "dist")
    servers = [_serve(files, orthanc, CONFIG), _serve(files, orthanc, CONFIG + CINE.read_text())]
    yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()


def _serve(files: Path, orthanc: int, config: str) -> ThreadingHTTPServer:
    """OHIF's files, and Orthanc's DICOMweb at the same address, as browsers want it."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(files))

        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path.startswith("/dicom-web"):
                inner = http.client.HTTPConnection("127.0.0.1", orthanc)
                inner.request("GET", self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
                answer = inner.getresponse()
                self._answer(answer.status, answer.getheader("Content-Type", ""), answer.read())
            elif self.path == "/app-config.js":
                self._answer(200, "text/javascript", config.encode())
            else:
                if not Path(self.translate_path(self.path)).is_file():
                    self.path = "/index.html"  # an address within OHIF
                super().do_GET()

        def _answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def look(address: str, orthanc: int, given: Case, result: Path, folder: Path) -> dict:
    """Store a source and one result, open the latter; pictures of all frames lie in the folder then."""
    modules = client("node", "node_modules", "playwright-core").parents[1]
    stored = []
    for path in (given.source, result):
        request = urllib.request.Request(f"http://127.0.0.1:{orthanc}/instances", path.read_bytes())
        stored.append(json.load(urllib.request.urlopen(request))["ID"])
    study = json.load(urllib.request.urlopen(f"http://127.0.0.1:{orthanc}/instances/{stored[0]}/study"))
    page = f"{address}/viewer?StudyInstanceUIDs={study['MainDicomTags']['StudyInstanceUID']}"
    script = Path(__file__).with_name("ohif.mjs")
    try:
        done = run("node", script, modules, page, len(given.prediction.labels), folder)
    finally:
        for name in stored:
            delete = urllib.request.Request(f"http://127.0.0.1:{orthanc}/instances/{name}", method="DELETE")
            urllib.request.urlopen(delete).read()
    if kept := os.environ.get("CLIENTS_PICTURES"):
        shutil.copytree(folder, Path(kept) / folder.name, dirs_exist_ok=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def check_frame(folder: Path, frame: int, labels: np.ndarray, corners: list[list[float]]) -> None:
    """Red where the kidney is and green where the fluid is, but for the outlines' width; no change beyond."""
    plain = picture(folder / f"plain{frame}.png")
    change = picture(folder / f"shown{frame}.png") - plain
    (left, top), (right, bottom) = corners
    rows, columns = (
        np.floor((np.arange(size) + 0.5 - first) / (last - first) * number).astype(int)
        for size, first, last, number in zip(
            change.shape, (top, left), (bottom, right), labels.shape, strict=False
        )
    )
    inside = np.outer((rows >= 0) & (rows < labels.shape[0]), (columns >= 0) & (columns < labels.shape[1]))
    where = labels[np.ix_(rows.clip(0, labels.shape[0] - 1), columns.clip(0, labels.shape[1] - 1))] * inside
    redder, red = change[..., 0] - change[..., 1], plain[..., 0] - plain[..., 1]
    for value, coloured, already in ((1, redder > STRONG, red), (2, redder < -STRONG, -red)):
        mask = where == value
        core = ndimage.binary_erosion(mask, iterations=EDGE) & (already < 255 - 4 * STRONG)
        assert core.any()
        bare = np.count_nonzero(core & ~coloured)
        assert not bare, f"frame {frame}: {bare} pixels of {value} without colour"
        beyond = np.count_nonzero(coloured & inside & ~ndimage.binary_dilation(mask, iterations=EDGE))
        assert not beyond, f"frame {frame}: {beyond} pixels with the colour of {value} beyond it"


@pytest.mark.parametrize("name", CASES)
def test_every_frame_shows_its_mask_and_no_other(tmp_path, case, ohif, orthanc, name):
    given = case(name)
    labels = given.prediction.labels
    said = look(ohif[len(labels) > 1], orthanc, given, given.seg, tmp_path)
    assert said["errors"] == []
    for frame, label in enumerate(labels):
        check_frame(tmp_path, frame, label, said["corners"])


def test_ohif_as_it_comes_draws_all_masks_of_a_cine_on_each_frame(tmp_path, case, ohif, orthanc):
    """If this fails, OHIF has learnt it: docs/ohif-cine.js can go."""
    given = case("uncalibrated cine")
    said = look(ohif[0], orthanc, given, given.seg, tmp_path)
    with pytest.raises(AssertionError, match="frame 0: "):
        check_frame(tmp_path, 0, given.prediction.labels[0], said["corners"])


@pytest.mark.parametrize("name", ["cine", VOLUME])
def test_a_report_shows_every_quantity_at_its_place(tmp_path, case, ohif, orthanc, name):
    given = case(name)
    said = look(ohif[name != VOLUME], orthanc, given, given.report, tmp_path)
    assert said["errors"] == []
    for quantity in given.prediction.quantities:
        assert quantity.value is None or f"{quantity.value:.2f}" in said["said"]
