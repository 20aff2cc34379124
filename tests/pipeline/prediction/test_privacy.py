"""Nothing that ``predict`` writes or prints identifies a patient, but SEG and SR, and tables when they are
told to.

A sentinel stands in every attribute that identifies, in private ones, burned into the pixels, in the folder's
and in a file's name. A second run, on data that differ in nothing else, shows that no picture depends on it.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from pyraseg.pipeline.phantom import generate
from tests.pipeline.prediction.runs import BUNDLE, predict

ROOT = BUNDLE.parents[1]
SENTINEL, OTHER = (
    "SENTINEL^ZYXWV",
    "ALPHABET^QRSTU",
)  # of one length, so that the burned-in texts take the same room
BORN, OTHER_BORN = "19020304", "19050607"
PARTS = [word[at : at + 5].lower().encode() for word in SENTINEL.split("^") for at in range(len(word) - 4)]
BORN_IN_ALL_FORMS = [b"19020304", b"1902-03-04", b"04.03.1902", b"03/04/1902"]
IDENTIFYING = (
    *("PatientID", "OtherPatientNames", "PatientComments", "PatientAddress", "PatientMotherBirthName"),
    *(
        "InstitutionName",
        "ReferringPhysicianName",
        "OperatorsName",
        "PerformingPhysicianName",
        "AccessionNumber",
    ),
    *(
        "StudyDescription",
        "SeriesDescription",
        "ImageComments",
        "ProtocolName",
        "StationName",
        "DeviceSerialNumber",
    ),
)
FORMULA, SCRIPT, ESCAPE = "=HYPERLINK(1)", "<script>alert(1)</script>", "\x1b[31mRED"
HOSTILE_NAME, HOSTILE_ID = f"{SCRIPT}^{ESCAPE}", "=cmd|' /C calc'!A0"


@dataclass(frozen=True)
class Outcome:
    """What one process has left and said."""

    output: Path
    status: int
    said: str


def write_data(folder: Path, name: str, born: str) -> Path:
    """The phantom, ``name`` in every attribute that could identify; and a file that breaks off."""
    generate(folder / "us", cases=5, seed=5, patient_name=name)
    images = sorted((folder / "us/images").iterdir())
    for path in images:
        dataset = pydicom.dcmread(path)
        for keyword in IDENTIFYING:
            setattr(dataset, keyword, name[:16] if keyword in ("AccessionNumber", "StationName") else name)
        dataset.PatientBirthDate = born
        dataset.private_block(0x0099, "SENTINEL", create=True).add_new(1, "LO", name)
        dataset.save_as(path)
    broken = images[0].with_name(f"{name.replace('^', '_')}.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.save_as(broken)
    broken.write_bytes(broken.read_bytes()[:-2000])
    return folder / "us/images"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("in")


@pytest.fixture(scope="module")
def outcome(place, checkpoint, tmp_path_factory) -> Outcome:
    """A process of its own, whose output is kept whole, that of its workers and of C libraries too."""
    folder, output = (
        write_data(place / "SENTINEL_ZYXWV", SENTINEL, BORN),
        tmp_path_factory.mktemp("out") / "out",
    )
    command = [
        sys.executable,
        "-m",
        "pyraseg.pipeline",
        "predict",
        str(folder.relative_to(place)),
        "--bundle",
        str(BUNDLE),
    ]
    command += [
        "--checkpoint",
        str(checkpoint),
        "--output",
        str(output),
        "--probabilities",
        "--backend",
        "torch",
    ]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("PYRASEG_SHOW_PATHS", "PYRASEG_TRACEBACK"):
        variables.pop(name, None)
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, env=variables, check=False)
    return Outcome(output, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def other(place, checkpoint, tmp_path_factory):
    """The same with another name."""
    folder, output = write_data(place / "other", OTHER, OTHER_BORN), tmp_path_factory.mktemp("out") / "out"
    return predict(folder, output=output, checkpoints=[checkpoint], options=["--probabilities"])


def identifying(content: bytes) -> list[bytes]:
    lower = content.lower()
    return [part for part in (*PARTS, *BORN_IN_ALL_FORMS) if part in lower]


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def stated(path: Path) -> bytes:
    """What a file says; of a NIfTI the header, for a slope of probabilities falls through "zyxwv", too."""
    content = unpacked(path)
    return content[: int(struct.unpack_from("<f", content, 108)[0])] if path.suffix == ".gz" else content


def test_the_data_hold_the_name_and_one_file_fails(outcome, place):
    """Or else the tests below could not fail."""
    for path in (place / "SENTINEL_ZYXWV/us/images").iterdir():
        assert len(identifying(path.read_bytes())) == len(PARTS) + 1
    assert outcome.status == 1
    assert len(list((outcome.output / "items").iterdir())) == 5
    assert (outcome.output / "failures.csv").read_text(encoding="utf-8").count("\n") == 2


def test_nothing_that_is_said_identifies(outcome):
    assert "5 done" in outcome.said
    assert identifying(outcome.said.encode()) == []


def test_no_file_identifies_but_segmentation_and_report_and_the_name_of_the_failed_one(outcome):
    holding = {
        path.name for path in outcome.output.rglob("*") if path.is_file() and identifying(stated(path))
    }
    assert holding == {"seg.dcm", "sr.dcm", "failures.csv", "failures-1-of-1.jsonl"}
    for name in ("failures.csv", ".pyraseg/failures-1-of-1.jsonl"):
        text = (outcome.output / name).read_text(encoding="utf-8")
        assert "SENTINEL_ZYXWV.dcm" in text  # relative to INPUT: it leads back to the file
        assert identifying(text.replace("SENTINEL_ZYXWV.dcm", "").encode()) == []


def test_no_name_of_a_file_or_folder_identifies(outcome):
    names = [str(path.relative_to(outcome.output)) for path in outcome.output.rglob("*")]
    assert [name for name in names if identifying(name.encode())] == []


def test_segmentation_and_report_carry_what_files_them_and_no_more(outcome):
    """Patient and study as the source has them; nothing of comments, institution or private attributes."""
    allowed = {"PatientName", "PatientID", "PatientBirthDate", "ReferringPhysicianName", "AccessionNumber"}
    allowed |= {"StudyDescription"}
    for path in outcome.output.rglob("s?*.dcm"):
        found = {
            each.keyword for each in pydicom.dcmread(path).iterall() if identifying(str(each.value).encode())
        }
        assert found - {"PixelData"} == allowed


def test_no_picture_and_no_mask_depends_on_what_is_burned_in(outcome, other):
    """Cases have the same names: by UIDs that do not depend on the patient."""
    names = [path.relative_to(outcome.output) for path in sorted((outcome.output / "items").rglob("*.*"))]
    pictures = [name for name in names if name.suffix in (".png", ".webp", ".jpg")]
    assert len(pictures) == 2 * 5 + 2 * 2
    for name in pictures:
        with Image.open(outcome.output / name) as here, Image.open(other.output / name) as there:
            assert (here.size, here.info.keys() & {"exif", "xmp", "comment"}) == (there.size, set())
            for index in range(getattr(here, "n_frames", 1)):
                here.seek(index)
                there.seek(index)
                np.testing.assert_array_equal(np.asarray(here), np.asarray(there))
    for name in [name for name in names if name.suffix == ".gz"]:
        assert unpacked(outcome.output / name) == unpacked(other.output / name)


def test_the_tables_name_the_patient_when_they_are_told_to(place, other, checkpoint, tmp_path):
    files = sorted((place / "other/us/images").glob("case_*.dcm"))[:1]
    run = predict(
        *files, output=tmp_path / "out", checkpoints=[checkpoint], options=["--identify", "--formats", "sr"]
    )
    (row,) = run.results
    assert (row["patient_name"], row["patient_id"], row["birth_date"]) == (OTHER, OTHER, OTHER_BORN)
    page = (run.output / "report.html").read_text(encoding="utf-8")
    assert all(text in page for text in (OTHER, OTHER_BORN))
    assert OTHER not in run.stdout + run.stderr
    assert OTHER not in (run.output / "manifest.json").read_text(encoding="utf-8")
    assert not {"patient_name", "patient_id", "birth_date"} & set(other.results[0])


@pytest.fixture(scope="module")
def hostile(phantom, checkpoint, tmp_path_factory):
    """Formulas, scripts and terminal escapes in the patient's attributes and in file names, good and broken
    files."""
    folder = tmp_path_factory.mktemp("hostile")
    source = sorted(phantom.iterdir())[0]
    names = (
        f"{FORMULA}.dcm",
        "<img src=x onerror=alert(1)>.dcm",
        f"{ESCAPE}\a.dcm",
        "+1.dcm",
        "@SUM(A1).dcm",
    )
    for number, name in enumerate(names):
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(source)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
            dataset.PatientName, dataset.PatientID, dataset.SeriesDescription = (
                HOSTILE_NAME,
                HOSTILE_ID,
                SCRIPT,
            )
            dataset.PatientBirthDate = FORMULA
            dataset.save_as(folder / name)
    shutil.copy(folder / names[0], folder / f"-{SCRIPT.replace('/', '')}{ESCAPE}.dcm")
    for name in (f"={ESCAPE}{SCRIPT.replace('/', '')}.dcm", f"{ESCAPE} ruin.dcm"):
        (folder / name).write_bytes(b"no DICOM")
    return predict(
        folder,
        output=tmp_path_factory.mktemp("out") / "out",
        checkpoints=[checkpoint],
        options=["--identify"],
    )


def test_cells_are_no_formulas(hostile):
    assert len(hostile.results) == 5
    rows = [row for name in ("results", "frames", "failures", "left_out") for row in hostile.table(name)]
    cells = [cell for row in rows for cell in row.values()]
    texts = [cell for cell in cells if not is_number(cell)]
    assert [text for text in texts if text.lstrip().startswith(("=", "+", "-", "@"))] == []
    assert f"'{FORMULA}.dcm" in texts
    assert f"'{HOSTILE_ID}" in texts
    assert [text for text in texts if not text.isprintable()] == []


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_the_page_has_no_element_of_a_name(hostile):
    page = (hostile.output / "report.html").read_text(encoding="utf-8")
    assert "alert(1)" in page  # the names are there
    assert [text for text in ("<script>alert", "<img src=x", "<scriptalert") if text in page] == []
    assert "\x1b" not in page
    assert "\a" not in page


def test_nothing_turns_the_terminal_red(hostile):
    assert hostile.status == 1
    assert "\x1b" not in hostile.stdout + hostile.stderr


def test_what_would_be_done_is_said_without_control_characters(hostile, place, checkpoint, tmp_path, capfd):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"{ESCAPE} ruin.dcm").write_bytes(b"no DICOM")
    run = predict(folder, output=tmp_path / "out", checkpoints=[checkpoint], options=["--dry-run"])
    assert "ruin.dcm" in run.stdout
    assert "\x1b" not in run.stdout + run.stderr
    assert not (tmp_path / "out").exists()


def test_records_of_items_are_plain_json(hostile):
    for path in hostile.output.glob("items/*/item.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["identity"]["patient_id"] == HOSTILE_ID
