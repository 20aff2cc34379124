"""Slices a second from and to an Orthanc on this machine: ``pull`` and ``push`` against bare loops of
pynetdicom and dicomweb-client."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelGet

from pyraseg.pipeline.pacs.delivery import deliver
from pyraseg.pipeline.pacs.peers import parse_peer
from pyraseg.pipeline.pacs.pull import Fetch, pull
from pyraseg.pipeline.pacs.query import Query
from tests.orthanc import Orthanc
from tests.transforms.dicom.series_cases import write_series

__all__ = ["table"]

SLICES, ROWS, COLUMNS = 200, 512, 512
ROUNDS = 3
STUDY = SERIES = "1.2.826.0.1.3680043.8.498.9"


def table(*, slices: int = SLICES, rounds: int = ROUNDS) -> str:
    """A Markdown table: medians over rounds in which the ways take turns."""
    if not Orthanc.installed():
        return "Needs Debian's packages orthanc and orthanc-dicomweb."
    lines = [
        f"Slices per second, CT of {slices} x {ROWS} x {COLUMNS}, raw, Orthanc on the same machine, median of {rounds} rounds;",
        "ours to the disk (fsync each) under hashed names, the bare loops written and not brought to the disk.",
        "",
        "| | DICOMweb | DIMSE |",
        "| --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _write(folder / "series", slices)
        orthanc = Orthanc(folder / "orthanc").start()
        try:
            for verb, ways in (
                ("push", _sending(orthanc, files)),
                ("pull", _fetching(orthanc, folder, slices)),
            ):
                rates = _rates(ways, slices, rounds)
                for who in ("ours", "bare"):
                    library = "pyraseg" if who == "ours" else "dicomweb-client, pynetdicom"
                    cells = " | ".join(f"{rates[who, way]:.0f}" for way in ("DICOMweb", "DIMSE"))
                    lines.append(f"| {verb}, {library} | {cells} |")
        finally:
            orthanc.stop(kill=True)
    return "\n".join(lines)


Ways = dict[tuple[str, str], Callable[[], None]]


def _rates(ways: Ways, slices: int, rounds: int) -> dict[tuple[str, str], float]:
    seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    return {way: slices / statistics.median(each) for way, each in seconds.items()}


def _write(folder: Path, slices: int) -> list[Path]:
    def edit(index: int, dataset: Dataset) -> None:
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID = STUDY

    values = np.random.default_rng(0).integers(0, 2000, (slices, ROWS, COLUMNS), np.int16)
    write_series(folder, values, first_uid=10_000, edit=edit)
    return sorted(folder.iterdir())


def _sending(orthanc: Orthanc, files: list[Path]) -> Ways:
    def ours(address: str) -> None:
        orthanc.empty()
        assert {outcome.state for outcome in deliver(files, parse_peer(address))} == {"stored"}

    def web() -> None:
        orthanc.empty()
        client = DICOMwebClient(orthanc.url)
        for start in range(0, len(files), 50):
            client.store_instances([dcmread(path) for path in files[start : start + 50]])

    def dimse() -> None:
        orthanc.empty()
        entity = AE()
        entity.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        association = entity.associate("127.0.0.1", orthanc.dicom, ae_title=orthanc.title)
        for path in files:
            assert association.send_c_store(dcmread(path)).Status == 0
        association.release()

    return {
        ("ours", "DICOMweb"): lambda: ours(orthanc.url), ("bare", "DICOMweb"): web,
        ("ours", "DIMSE"): lambda: ours(orthanc.address), ("bare", "DIMSE"): dimse,
    }  # fmt: skip


def _fetching(orthanc: Orthanc, folder: Path, slices: int) -> Ways:
    def ours(address: str) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as output:
            fetch = Fetch(parse_peer(address), Query({"StudyInstanceUID": STUDY}), Path(output))
            *_, last = pull(fetch)
            assert last.startswith(f"{slices} "), last

    def web() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as output:
            for dataset in DICOMwebClient(orthanc.url).retrieve_series(STUDY, SERIES):
                dataset.save_as(Path(output) / dataset.SOPInstanceUID, enforce_file_format=True)

    def dimse() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as output:

            def store(event: evt.Event) -> int:
                uid = event.request.AffectedSOPInstanceUID
                (Path(output) / uid).write_bytes(event.encoded_dataset())
                return 0

            entity = AE()
            entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
            entity.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
            association = entity.associate(
                "127.0.0.1", orthanc.dicom, ae_title=orthanc.title,
                ext_neg=[build_role(CTImageStorage, scp_role=True)], evt_handlers=[(evt.EVT_C_STORE, store)],
            )  # fmt: skip
            asked = Dataset()
            asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.SeriesInstanceUID = (
                "SERIES",
                STUDY,
                SERIES,
            )
            *_, (status, _) = association.send_c_get(asked, StudyRootQueryRetrieveInformationModelGet)
            assert status.Status == 0
            association.release()

    return {
        ("ours", "DICOMweb"): lambda: ours(orthanc.url), ("bare", "DICOMweb"): web,
        ("ours", "DIMSE"): lambda: ours(orthanc.address), ("bare", "DIMSE"): dimse,
    }  # fmt: skip
