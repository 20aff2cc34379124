"""Broken files give frames of the stated shape or our error: no other exception, no noise, no memory, no
hang."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid

from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import InputError
from tests import mutations
from tests.mutations import KINDS, mutate, survey

SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
]


@pytest.fixture
def samples(write_dicom, region, grey, colour) -> list[Path]:
    """A cine in grey and a picture in colour, with regions, in each transfer syntax; 16 bits where that can
    be."""
    more = {"SequenceOfUltrasoundRegions": [region((2, 2, 30, 50), (0.1, 0.1))]}
    paths = []
    for number, syntax in enumerate(SYNTAXES):
        jpeg = syntax == uid.JPEGBaseline8Bit
        paths.append(write_dicom([grey, grey[::-1].copy()], syntax=syntax, name=f"cine{number}.dcm", **more))
        photometric = "YBR_FULL_422" if jpeg else "RGB"
        paths.append(
            write_dicom(colour, photometric=photometric, syntax=syntax, name=f"colour{number}.dcm", **more)
        )
        if not jpeg:
            deep = grey.astype(np.uint16) * 200
            paths.append(write_dicom(deep, syntax=syntax, name=f"deep{number}.dcm", **more))
    return paths


def check(files: Sequence[Path], count: int) -> None:
    verdict = survey(files, count)
    assert verdict.defects == []
    assert sum(verdict.outcomes.values()) == count
    assert 0 < verdict.outcomes["a result"] < count


def test_broken_copies_of_synthetic_files_are_read_or_refused(samples):
    check(samples, 240)


def test_broken_copies_of_real_files_are_read_or_refused(shared_data):
    check(sorted((shared_data / "dicom" / "us").glob("*.dcm")), 60)


def test_a_seed_breaks_a_file_in_one_way_and_seeds_in_many():
    data = bytes(range(256)) * 20
    assert mutate(data, 7) == mutate(data, 7)
    assert len({mutate(data, seed) for seed in range(50)}) > 40
    assert len(KINDS) == 6


def test_what_is_neither_a_frame_nor_our_error_is_called_a_defect(write_dicom, grey, monkeypatch):
    def broken_reader(path: Path) -> object:
        raise KeyError("Rows")

    monkeypatch.setitem(mutations.TARGETS, "frame", replace(mutations.TARGETS["frame"], read=broken_reader))
    assert list(mutations.read_broken(0, 2, 0, [write_dicom(grey)])) == [
        "image.dcm 0/0\tDEFECT: KeyError: 'Rows'",
        "image.dcm 0/1\tDEFECT: KeyError: 'Rows'",
    ]


def stating(path: Path, size: int) -> Path:
    """The file with a header that says ``size`` rows and columns."""
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = size
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_absurd_size_takes_no_memory(write_dicom, grey, syntax):
    path = stating(write_dicom(grey, syntax=syntax), 60000)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="60000 x 60000"):
            CineReader(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_large_size_that_the_compressed_frame_does_not_have_takes_no_memory(write_dicom, grey, syntax):
    path = stating(write_dicom(grey, syntax=syntax), 9000)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="compressed frame"):
            CineReader(path).frame(0)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_length_of_gigabytes_takes_no_memory(write_dicom, grey):
    path = write_dicom(grey, PixelSpacing=[0.5, 0.5], syntax=uid.ImplicitVRLittleEndian)
    data = bytearray(path.read_bytes())
    place = data.index(b"\x28\x00\x30\x00")
    data[place + 4 : place + 8] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            CineReader(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
