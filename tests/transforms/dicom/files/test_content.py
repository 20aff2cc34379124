"""A file is DICOM by its content, with a prefix or without, and nothing else is."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import pydicom
import pytest
from pydicom import uid

from pyraseg.transforms.dicom.files.content import has_dicom_marker, is_dicom
from pyraseg.transforms.dicom.files.discover import discover
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from tests.transforms.dicom.series_cases import stored_values, write_series

NATIVE = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]


def without_prefix(path, *, meta: bool = False):
    """The file without preamble and DICM, and without its file meta group."""
    length = 0 if meta else 12 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    path.write_bytes(path.read_bytes()[132 + length :])
    return path


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("meta", [False, True])
def test_a_data_set_is_told_without_its_prefix(write_dicom, grey, syntax, meta):
    path = write_dicom(grey.astype(np.uint16), syntax=syntax)
    assert is_dicom(path)
    assert has_dicom_marker(path)
    without_prefix(path, meta=meta)
    assert is_dicom(path)
    assert not has_dicom_marker(path)


def test_other_files_are_no_dicom(tmp_path):
    draw = random.Random(0)
    others = [draw.randbytes(size) for size in (0, 3, 8, 131, 132, 2000) for _ in range(40)]
    others += [bytes(first) + draw.randbytes(2000) for first in (b"\x08\0", b"\x02\0", b"\0\x08\0\x05")]
    others += [b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + draw.randbytes(500)]  # one element that is right
    others += [b"\x08\0\x05\0CS\x0a\0ISO_IR 100" * 20]  # and again, which is no order
    others += [json.dumps({"a": 1}).encode(), gzip.compress(b"a" * 900), b"\x08" * 900, bytes(2000)]
    for number, data in enumerate(others):
        (tmp_path / f"{number}.bin").write_bytes(data)
        assert not is_dicom(tmp_path / f"{number}.bin")
    assert not is_dicom(tmp_path / "missing")
    assert not is_dicom(tmp_path)


def test_a_series_without_prefixes_is_found_by_content_and_read(tmp_path):
    write_series(tmp_path / "series")
    expected = read_series(the_series(find_series(tmp_path / "series"))).array
    for path in list((tmp_path / "series").iterdir()):
        without_prefix(path).rename(path.with_suffix(".img"))
    (tmp_path / "series" / "notes.img").write_bytes(bytes(5000))
    with pytest.warns(UserWarning, match="no DICM prefix"):
        volume = read_series(the_series(find_series(tmp_path / "series")))
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.array.shape[::-1] == stored_values().shape


def test_an_ultrasound_image_without_prefix_is_discovered(write_dicom, grey):
    path = without_prefix(write_dicom(grey, name="frame.us"))
    images, errors = discover(path.parent)
    assert ([image.path for image in images], errors) == ([str(path)], [])
