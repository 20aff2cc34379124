"""Truth on real ultrasound files and on the phantom's: what is written for them is valid and holds the
mask."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread, examples

from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.writers.dicom.seg import KINDS, write_seg
from pyraseg.pipeline.writers.dicom.source import read_source
from pyraseg.pipeline.writers.dicom.sr import write_sr
from tests.pipeline.writers.dicom_cases import predict, probabilities
from tests.pipeline.writers.dicom_checkers import accepts, errors, needs

REAL = (
    "IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
    "IM00001.implicit_little_endian.dcm",
    "JPEGLosslessP14SV1_3s_2f_u_08_08.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "OBXXXX1A.dcm",
    "OBXXXX1A_2frame.dcm",
    "OBXXXX1A_rle_2frame.dcm",
    "US-YBR_FULL_422-EVRLE.dcm",
    "US1_J2KR.dcm",
    "US1_UNCI.dcm",
    "color-pl.dcm",
    "color-px.dcm",
    "gdcm-US-ALOKA-16.dcm",
    "no-pixel-spacing.dcm",
)
EXAMPLES = ("palette_color", "rgb_color", "ybr_color")  # ultrasound that comes with pydicom
FOREIGN_ROOT = re.compile(r'Error - Illegal root for UID - "([\d.]+)"')


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory, _strict_dicom_writing):
    report = generate(tmp_path_factory.mktemp("phantom") / "us", cases=5, seed=5)
    return sorted((report.output / "images").iterdir())


def blocks(path: Path):
    """A prediction with a kidney and fluid in it that move from frame to frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's on misspelt character sets
        prediction = predict(path)
    labels = np.zeros_like(prediction.labels)
    _, rows, columns = labels.shape
    for frame, label in enumerate(labels):
        label[rows // 4 + frame : rows // 2 + frame, columns // 4 : columns // 2] = 1
        label[rows // 3 : rows // 3 + 10 + frame, columns // 3 : columns // 3 + 20] = 2
    return replace(prediction, labels=labels)


def errors_of_ours(path: Path, prediction) -> list[str]:
    """All errors but those on the root of a UID that is the source's own: in its study the results must be
    filed."""
    source = read_source(prediction.source).identity
    own = {source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID}
    return [line for line in errors(path) if not ((match := FOREIGN_ROOT.match(line)) and match[1] in own)]


def check_valid(prediction, folder: Path) -> None:
    for kind in ("binary", "fractional"):
        given = replace(prediction, probabilities=probabilities(prediction) if kind == "fractional" else None)
        seg = write_seg(folder / f"{kind}.dcm", given, kind=kind)
        assert errors_of_ours(seg.path, prediction) == []
        assert accepts("dcmdump", seg.path)
    report = write_sr(folder / "sr.dcm", prediction, seg=seg)
    assert errors_of_ours(report.path, prediction) == []
    assert accepts("dsrdump", report.path)


def check_readable(prediction, folder: Path) -> None:
    count, given = len(prediction.labels), replace(prediction, probabilities=probabilities(prediction))
    for kind in KINDS:
        written = write_seg(folder / f"{kind}.dcm", given, kind=kind)
        read = dcmread(written.path)
        planes = highdicom.seg.segread(written.path).pixel_array.reshape(-1, *prediction.labels.shape[1:])
        if kind == "labelmap":
            np.testing.assert_array_equal(planes, prediction.labels)
        elif kind == "binary":
            np.testing.assert_array_equal(planes[:count] + 2 * planes[count:], prediction.labels)
        np.testing.assert_array_equal(read.pixel_array.reshape(planes.shape), planes)
        for item in read.PerFrameFunctionalGroupsSequence:
            reference = item.DerivationImageSequence[0].SourceImageSequence[0]
            assert reference.ReferencedSOPInstanceUID == prediction.source.sop_instance_uid
            assert 1 <= reference.get("ReferencedFrameNumber", 1) <= count


@needs("dciodvfy")
@needs("dsrdump")
@pytest.mark.parametrize("name", REAL)
def test_results_of_a_real_file_are_valid(shared_data, tmp_path, name):
    check_valid(blocks(shared_data / "dicom/us" / name), tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_results_of_a_real_file_hold_the_mask(shared_data, tmp_path, name):
    check_readable(blocks(shared_data / "dicom/us" / name), tmp_path)


@needs("dciodvfy")
@needs("dsrdump")
@pytest.mark.parametrize("name", EXAMPLES)
def test_results_of_an_example_of_pydicom_are_valid(tmp_path, name):
    check_valid(blocks(Path(examples.get_path(name))), tmp_path)


@pytest.mark.parametrize("name", EXAMPLES)
def test_results_of_an_example_of_pydicom_hold_the_mask(tmp_path, name):
    check_readable(blocks(Path(examples.get_path(name))), tmp_path)


def test_a_real_cine_under_the_class_of_single_frames_is_not_referenced_by_frame(shared_data, tmp_path):
    prediction = blocks(shared_data / "dicom/us/OBXXXX1A_2frame.dcm")
    assert len(prediction.labels) == 2
    read = dcmread(write_seg(tmp_path / "seg.dcm", prediction).path)
    keywords = [element.keyword for element in read.iterall()]
    assert "ReferencedFrameNumber" not in keywords
    numbers = [
        i.FrameContentSequence[0].FrameAcquisitionNumber for i in read.PerFrameFunctionalGroupsSequence
    ]
    assert numbers == [1, 2, 1, 2]


@needs("dciodvfy")
@needs("dsrdump")
def test_results_of_the_phantom_are_valid(phantom_files, tmp_path):
    for path in phantom_files:
        check_valid(blocks(path), tmp_path)


def test_results_of_the_phantom_hold_the_mask(phantom_files, tmp_path):
    assert {len(blocks(path).labels) > 1 for path in phantom_files} == {True, False}
    for path in phantom_files:
        check_readable(blocks(path), tmp_path)
