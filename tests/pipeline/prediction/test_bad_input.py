"""A batch of broken and foreign files around a good one: each has its row with a reason, and the good one a
result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from tests.pipeline.prediction.discovery.test_dicomdir import write_dicomdir
from tests.pipeline.prediction.runs import Run, predict
from tests.transforms.dicom.conftest import image_dataset, jpeg_bytes, set_native

Change = Callable[[pydicom.FileDataset], None]
GREY = np.tile(np.linspace(20, 220, 64, dtype=np.uint8), (48, 1))
COLOUR = np.stack([GREY, GREY[:, ::-1], GREY], axis=-1)
STUDY = "1.2.826.0.1.3680043.8.498.1"
NAME, ID = "SENTINEL^ZYXWV", "QXJKVB1234"


def dataset_of(frames: list[np.ndarray], **more: object) -> pydicom.FileDataset:
    photometric = "MONOCHROME2" if frames[0].ndim == 2 else "RGB"
    more = {"StudyInstanceUID": STUDY, "PatientName": NAME, "PatientID": ID, **more}
    dataset = image_dataset(frames, photometric=photometric, syntax=uid.ExplicitVRLittleEndian, **more)
    set_native(dataset, frames)
    return dataset


def save(dataset: pydicom.FileDataset, path: Path) -> Path:
    """As it is, right or wrong."""
    with pydicom.config.disable_value_validation():
        dataset.save_as(path, enforce_file_format=False)
    return path


def write(folder: Path, name: str, *changes: Change, frames: int = 1, image: np.ndarray = GREY) -> Path:
    """An image that ``changes`` have been made to."""
    with pydicom.config.disable_value_validation():
        dataset = dataset_of([image] * frames)
        for change in changes:
            change(dataset)
        return save(dataset, folder / name)


def has(**values: object) -> Change:
    """Sets attributes; those of the value None are removed."""

    def change(dataset: pydicom.FileDataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


def is_in(syntax: str) -> Change:
    def change(dataset: pydicom.FileDataset) -> None:
        dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)

    return change


def write_compressed(path: Path, frames: list[bytes], syntax: str, **more: object) -> Path:
    """A file of compressed ``frames``, whatever they are."""
    dataset = dataset_of([COLOUR] * len(frames), PhotometricInterpretation="YBR_FULL_422", **more)
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    return save(dataset, path)


def write_other(path: Path, sop_class: str, modality: str, *, pixels: bool = True) -> Path:
    """An object of another kind."""
    dataset = dataset_of([GREY], SOPClassUID=sop_class, Modality=modality)
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    if not pixels:
        for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
            delattr(dataset, keyword)
    return save(dataset, path)


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


# File name: a part of the reason in failures.csv, or of the one in left_out.csv
FAILURES = {
    "truncated.dcm": "the stated 48 x 64 pixels of 1 x 8 bits, found a file that ends after 2072",
    "rows too many.dcm": "the stated 96 x 64 pixels of 1 x 8 bits, found 3072",
    "rows too few.dcm": "1536 bytes of pixel data, for the stated 24 x 64 pixels",
    "frames too many.dcm": "9 frames, found 3072",
    "bits too many.dcm": "12 bits stored in 8",
    "16 bits that are 8.dcm": "6144 bytes of pixel data, for the stated 48 x 64 pixels of 1 x 16 bits, "
    "found 3072",
    "unknown syntax.dcm": "a transfer syntax that can be decoded",
    "video.dcm": "a transfer syntax that can be decoded, found 1.2.840.10008.1.2.4.102",
    "no pixels.dcm": "without pixel data",
    "zero rows.dcm": "0 rows and 64 columns",
    "60000 x 60000.dcm": "60000 x 60000 pixels",
    "no study.dcm": "a source with a Study Instance UID",
    "no dicom.dcm": "a DICOM file, found a file without the DICM prefix",
    "empty.dcm": "an empty file",
    "noise.dcm": "no SOP Class UID",
    "cut in the header.dcm": "cut off",
    "jpeg of another size.dcm": "one of 24 x 64 pixels",
    "no jpeg.dcm": "a frame that cannot be decoded",
    "jpeg cut off.dcm": "cannot be decoded",
    "one frame of two.dcm": "the 2 compressed frames that the header announces, "
    "found 1 of them in 1 fragment",
    "same uid.dcm": "under the same SOP Instance UID",
    "same uid too.dcm": "under the same SOP Instance UID",
    "no class.dcm": "no SOP Class UID",
    "signed.dcm": "signed ones",
    "32 bits.dcm": "8 or 16 bits allocated",
}
LEFT_OUT = {
    "report.dcm": "another kind of object: Comprehensive 3D SR Storage",
    "segmentation.dcm": "another kind of object: Segmentation Storage",
    "presentation.dcm": "another kind of object: Grayscale Softcopy Presentation State Storage",
    "ct.dcm": "modality CT",
    "capture.dcm": "a secondary capture",
    "notes.txt": "no DICOM (.txt)",
    ".hidden.dcm": "hidden",
    "circle": "a link to a place in the same folder",
    "to itself.dcm": "a link that leads nowhere or to itself",
    "away": "a link that leads out of the folder",
    "of good.dcm": "a copy of good.dcm",
    "pipe.dcm": "no regular file",
}
RESULTS = {
    "good.dcm": "",
    "invalid dates.dcm": "Study Date",
    "missing type 2.dcm": "missing in the source, left empty: Patient's Birth Date, Patient's Sex",
    "no patient.dcm": "Patient's Name",
    "no series.dcm": "no valid Series Instance UID",
    "misspelt characters.dcm": "",
    "no modality.dcm": "no Modality",
    "deep/er/IM000001": "",
    "r\xe9in gauche \u814e\u81d3.dcm": "",
    "caf\ufffd.dcm": "",
    "padded.dcm": "",
    "broken pace.dcm": "",
}


def write_failing(folder: Path) -> None:
    cut(write(folder, "truncated.dcm"), -1000)
    write(folder, "rows too many.dcm", has(Rows=96))
    write(folder, "rows too few.dcm", has(Rows=24))
    write(folder, "frames too many.dcm", has(NumberOfFrames=9))
    write(folder, "bits too many.dcm", has(BitsStored=12, HighBit=11))
    write(folder, "16 bits that are 8.dcm", has(BitsAllocated=16, BitsStored=16, HighBit=15))
    write(folder, "unknown syntax.dcm", is_in("1.2.3.4.5"))
    write_compressed(folder / "video.dcm", [b"\0" * 100], "1.2.840.10008.1.2.4.102")
    write(folder, "no pixels.dcm", has(PixelData=None))
    write(folder, "zero rows.dcm", has(Rows=0))
    write(folder, "60000 x 60000.dcm", has(Rows=60000, Columns=60000))
    write(folder, "no study.dcm", has(StudyInstanceUID=None))
    (folder / "no dicom.dcm").write_bytes(b"This is a letter about SENTINEL.")
    (folder / "empty.dcm").touch()
    noise = np.random.default_rng(0).bytes(4000)
    (folder / "noise.dcm").write_bytes(b"\0" * 128 + b"DICM" + noise)
    cut(write(folder, "cut in the header.dcm"), 400)
    picture = jpeg_bytes(COLOUR)
    write_compressed(folder / "jpeg of another size.dcm", [jpeg_bytes(COLOUR[:24])], uid.JPEGBaseline8Bit)
    write_compressed(folder / "no jpeg.dcm", [NAME.encode() * 20], uid.JPEGBaseline8Bit)
    write_compressed(folder / "jpeg cut off.dcm", [picture[: len(picture) // 2 & ~1]], uid.JPEGBaseline8Bit)
    write_compressed(folder / "one frame of two.dcm", [picture], uid.JPEGBaseline8Bit, NumberOfFrames=2)
    for name, image in (("same uid.dcm", GREY), ("same uid too.dcm", GREY[::-1])):
        write(folder, name, has(SOPInstanceUID="1.2.826.0.1.3680043.8.498.2"), image=image)
    nameless = has(SOPClassUID=None)
    path = write(folder, "no class.dcm", nameless)
    dataset = pydicom.dcmread(path)
    del dataset.file_meta.MediaStorageSOPClassUID
    save(dataset, path)
    write(folder, "signed.dcm", has(PixelRepresentation=1))
    write(folder, "32 bits.dcm", has(BitsAllocated=32, BitsStored=32, HighBit=31, Columns=16))


def write_foreign(folder: Path) -> None:
    write_other(folder / "report.dcm", uid.Comprehensive3DSRStorage, "SR", pixels=False)
    write_other(folder / "segmentation.dcm", uid.SegmentationStorage, "SEG")
    write_other(
        folder / "presentation.dcm", uid.GrayscaleSoftcopyPresentationStateStorage, "PR", pixels=False
    )
    write_other(folder / "ct.dcm", uid.CTImageStorage, "CT")
    write_other(folder / "capture.dcm", uid.SecondaryCaptureImageStorage, "US")
    (folder / "notes.txt").write_text("not for the computer")
    write(folder, ".hidden.dcm")
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "to itself.dcm").symlink_to("to itself.dcm")
    (folder / "away").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.dcm")


def write_mendable(folder: Path) -> None:
    shutil.copy(write(folder, "good.dcm"), folder / "of good.dcm")
    dates = {"StudyDate": "the 3rd", "StudyTime": "25:61", "PatientBirthDate": "19991350"}
    write(folder, "invalid dates.dcm", has(**dates))
    write(folder, "missing type 2.dcm")
    write(folder, "no patient.dcm", has(PatientName=None, PatientID=None))
    write(folder, "no series.dcm", has(SeriesInstanceUID=None))
    write(
        folder,
        "misspelt characters.dcm",
        has(SpecificCharacterSet="ISO-IR 100", PatientName="J\xfcrgen^\xc5"),
    )
    write(folder, "no modality.dcm", has(Modality=None))
    (folder / "deep/er").mkdir(parents=True)
    write(folder / "deep/er", "IM000001", frames=3)
    write(folder, "r\xe9in gauche \u814e\u81d3.dcm")
    write(folder, os.fsdecode(b"caf\xe9.dcm"))
    write(folder, "padded.dcm", has(PixelData=GREY.tobytes() + b"\0" * 20))
    path = write(folder, "broken pace.dcm", has(FrameTime="123.25"), frames=2)
    path.write_bytes(path.read_bytes().replace(b"123.25", b"quick!"))


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("bad") / "in"
    folder.mkdir()
    write_failing(folder)
    write_foreign(folder)
    write_mendable(folder)
    return predict(folder, output=folder.parent / "out", checkpoints=[checkpoint])


def test_every_file_has_its_row(run):
    failures, left_out = run.reasons("failures"), run.reasons("left_out")
    assert {
        name: failures.get(name) for name in FAILURES if FAILURES[name] not in failures.get(name, "")
    } == {}
    assert {
        name: left_out.get(name) for name in LEFT_OUT if LEFT_OUT[name] not in left_out.get(name, "")
    } == {}
    assert failures.keys() == FAILURES.keys()
    assert left_out.keys() == LEFT_OUT.keys()
    assert {row["file"] for row in run.results} == set(RESULTS)


def test_what_can_be_mended_gives_a_result_with_a_note(run):
    assert {
        name: run.result(name)["notes"] for name in RESULTS if RESULTS[name] not in run.result(name)["notes"]
    } == {}
    assert run.result("good.dcm")["notes"].count("missing") == 1  # of this test's own image


def test_every_result_is_whole(run):
    for name in RESULTS:
        row = run.result(name)
        assert all((run.item(name) / output).stat().st_size for output in row["outputs"].split("; "))
        assert {"seg.dcm", "sr.dcm", "labels.nii.gz", "overlay.png"} <= set(row["outputs"].split("; "))


def test_a_name_is_read_in_the_character_set_that_was_meant(run):
    seg = pydicom.dcmread(run.item("misspelt characters.dcm") / "seg.dcm")
    assert seg.PatientName == "J\xfcrgen^\xc5"


def test_failures_say_what_was_found_and_what_to_do_and_nothing_of_the_patient(run):
    for row in run.table("failures"):
        assert len(row["reason"]) > 20
        assert row["remedy"].endswith(".")
        assert "in case" not in row["reason"]  # it has a column, and what fails alike has one reason
        for word in ("SENTINEL", "ZYXWV", ID, "Traceback", "Errno", str(run.output.parent)):
            assert word not in row["reason"] + row["remedy"]


def test_the_run_ends_with_a_word_on_its_failures(run):
    assert run.status == 1
    assert f"{len(RESULTS)} done" in run.stdout
    assert f"{len(FAILURES)} failed" in run.stdout
    assert "failures.csv" in run.stderr
    assert all(word not in run.stdout + run.stderr for word in ("SENTINEL", ID, "Traceback", "Warning"))


def test_a_broken_dicomdir_is_a_failure_and_no_crash(checkpoint, tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\x02\0UI\xff\xff")
    good = write(tmp_path, "good.dcm")
    options = ["--formats", "seg"]
    run = predict(
        tmp_path / "DICOMDIR", good, output=tmp_path / "out", checkpoints=[checkpoint], options=options
    )
    assert [row["file"] for row in run.results] == ["good.dcm"]
    assert "DICOMDIR" in run.reasons("failures") or "DICOMDIR" in run.reasons("left_out")


def test_a_dicomdir_that_names_a_missing_file_costs_that_file(checkpoint, tmp_path):
    write(tmp_path, "IM1")
    write_dicomdir(tmp_path / "DICOMDIR", ["IM1", "IM2"])
    options = ["--formats", "seg"]
    run = predict(tmp_path / "DICOMDIR", output=tmp_path / "out", checkpoints=[checkpoint], options=options)
    assert [row["file"] for row in run.results] == ["IM1"]
    assert list(run.reasons("failures")) == ["IM2"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_failure(checkpoint, tmp_path):
    write(tmp_path, "good.dcm")
    write(tmp_path, "secret.dcm").chmod(0)
    run = predict(
        tmp_path,
        output=tmp_path.parent / "out-secret",
        checkpoints=[checkpoint],
        options=["--formats", "seg"],
    )
    assert [row["file"] for row in run.results] == ["good.dcm"]
    assert list(run.reasons("failures")) == ["secret.dcm"]
