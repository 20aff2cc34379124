"""Real peers, one of each a session and only once they are asked for, and what is sent to them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from pyraseg.pipeline.pacs.peers import parse_peer
from tests.orthanc import Orthanc, free_port
from tests.pipeline.pacs.peers import accepts
from tests.pipeline.writers.dicom_cases import write_source
from tests.transforms.dicom.series_cases import stored_values, write_series

ROOT = "1.2.826.0.1.3680043.8.498"  # of UIDs
OURS = "PYRASEG"  # our AE title


@pytest.fixture(scope="session")
def move_port() -> int:
    """Where Orthanc sends what a C-MOVE asks for, and reports of commitment."""
    return free_port()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory, move_port) -> Iterator[Orthanc]:
    """An archive that stays as it is: tests store what is theirs alone."""
    server = Orthanc(tmp_path_factory.mktemp("orthanc"), {OURS: move_port}).start()
    yield server
    server.stop(kill=True)


@pytest.fixture(params=["DIMSE", "DICOMweb"])
def archive_peer(request, orthanc):
    """Orthanc by either way."""
    return parse_peer(orthanc.address if request.param == "DIMSE" else orthanc.url)


@pytest.fixture(scope="session")
def studies(tmp_path_factory) -> dict[str, list[Path]]:
    """Files of a study each: a single frame, a cine, a CT in JPEG 2000 and a PET."""
    folder = tmp_path_factory.mktemp("studies")
    for number, (name, frames) in enumerate({"frame": 1, "cine": 5}.items(), 1):
        uids = {"StudyInstanceUID": f"{ROOT}.{number}", "SeriesInstanceUID": f"{ROOT}.{number}.1",
                "SOPInstanceUID": f"{ROOT}.{number}.1.1", "PatientID": f"SENTINEL-{name}"}  # fmt: skip
        (folder / name).mkdir()
        write_source(folder / name / "image.dcm", frames=frames, **uids)
    for number, (name, syntax) in enumerate(
        {"CT": JPEG2000Lossless, "PT": ExplicitVRLittleEndian}.items(), 3
    ):

        def edit(index: int, dataset, number: int = number, name: str = name) -> None:
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.{number}", f"{ROOT}.{number}.1"
            dataset.PatientID, dataset.PatientName = f"SENTINEL-{name}", "Sentinel^Änne"
            dataset.SpecificCharacterSet, dataset.StudyDate = "ISO_IR 100", "20200102"

        write_series(
            folder / name, stored_values(5, 64, 64), modality=name, first_uid=100 * number, edit=edit,
            syntax=syntax,
        )  # fmt: skip
    return {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir())}


@pytest.fixture(scope="session")
def storescp(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """dcmtk's: its address, and the folder where it puts what it gets."""
    if not shutil.which("storescp"):
        pytest.skip("needs Debian's package dcmtk")
    folder, port = tmp_path_factory.mktemp("storescp"), free_port()
    command = ["storescp", "+B", "+xa", "-aet", "DCMTK", "-od", str(folder), str(port)]
    with (folder.parent / "storescp.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    for _ in range(100):
        if accepts(port):
            break
        time.sleep(0.05)
    yield f"DCMTK@127.0.0.1:{port}", folder
    server.kill()
    server.wait()
