"""What is larger than any real study, in bytes or in what they say, is refused by name and costs little."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset, uid

from pyraseg.pipeline.datalist.groups import _patient_of_file
from pyraseg.pipeline.datalist.sources.headers import mask_values, read_grid
from pyraseg.pipeline.writers.dicom.source import read_source
from pyraseg.transforms.dicom import find_series, read_series, the_series
from pyraseg.transforms.dicom.files.header import parse_file, read_attributes
from pyraseg.transforms.dicom.files.objects import read_object
from pyraseg.transforms.dicom.files.values import BrokenFile
from pyraseg.transforms.dicom.labels.contours import fill_contours
from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.dicom.pixels.encapsulated import parse_jpeg
from pyraseg.transforms.errors import GeometryError, InputError
from pyraseg.transforms.io.frames import read_picture
from pyraseg.transforms.io.limits import most_items
from pyraseg.transforms.io.nifti_volumes import check_nifti_volume, read_nifti_labels, read_nifti_volume
from pyraseg.transforms.records import SourceRef
from tests.transforms.dicom.series_cases import write_series

COMPRESSED = (uid.JPEGBaseline8Bit, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless)
ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
READERS = {
    "discovery": read_object,
    "frames": CineReader,
    "headers": parse_file,
    "series": lambda path: find_series([path]),
    "grids": read_grid,
    "labels": read_drawn_labels,
    "sources": lambda path: read_source(SourceRef(str(path), "1.2", "1.3", "1.4", "US", "", 1, 4, 4)),
}


@contextmanager
def little_memory(most: int = 2**25) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if vr in (b"OB", b"SQ"):
        return struct.pack("<HH2sHL", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def dicom(body: bytes, *, syntax: str = uid.ExplicitVRLittleEndian, meta: bytes = b"") -> bytes:
    """A data set behind a file meta group that begins with ``meta``."""
    us = b"1.2.840.10008.5.1.4.1.1.6.1"
    group = (
        meta
        + element(2, 2, b"UI", us)
        + element(2, 3, b"UI", b"1.2")
        + element(2, 0x10, b"UI", syntax.encode())
    )
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<L", len(group))) + group + body


@pytest.mark.parametrize("name", READERS)
def test_no_reader_inflates_a_data_set_wherever_its_syntax_stands(tmp_path, name):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.66.4") + struct.pack(
        "<HH2sHL", 9, 0x10, b"OB", 0, 2**26
    )
    bomb = (
        packer.compress(start) + b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    )
    path = tmp_path / "bomb.dcm"
    version = element(2, 1, b"OB", bytes(70_000))  # what tells the syntax is behind it
    path.write_bytes(dicom(bomb, syntax=uid.DeflatedExplicitVRLittleEndian, meta=version))
    with little_memory(), pytest.raises(InputError, match="deflated"):
        READERS[name](path)
    assert _patient_of_file(path) == ""


@pytest.mark.parametrize("form", ["to its end", "of a length", "not asked for", "nested"])
def test_a_header_of_items_without_content_is_refused(tmp_path, form):
    items = ITEM * 60_000
    tag = (0x08, 0x1115) if form == "not asked for" else (0x18, 0x6011)
    open_end = (
        struct.pack("<HH2sHL", *tag, b"SQ", 0, 0xFFFFFFFF) + items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    )
    whole = element(*tag, b"SQ", items)
    nested = element(*tag, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, len(whole)) + whole)
    path = tmp_path / "items.dcm"
    path.write_bytes(dicom({"of a length": whole, "nested": nested}.get(form, open_end)))
    for read in (read_object, read_attributes):
        with pytest.raises(InputError, match=f"more than {most_items(path.stat().st_size)} sequence items"):
            read(path)


def stating(path: Path, size: int) -> Path:
    """The file with a header that says ``size`` rows and columns."""
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = size
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, *COMPRESSED])
def test_a_size_that_no_frame_has_takes_no_memory(write_dicom, grey, syntax):
    path = stating(write_dicom(grey, syntax=syntax), 60000)
    with little_memory(2**24), pytest.raises(InputError, match="60000 x 60000"):
        CineReader(path)
    if syntax in COMPRESSED[1:]:
        with little_memory(2**24), pytest.raises(InputError, match="compressed frame"):
            CineReader(stating(path, 9000)).frame(0)


def test_a_length_of_gigabytes_takes_no_memory(write_dicom, grey):
    path = write_dicom(grey, PixelSpacing=[0.5, 0.5], syntax=uid.ImplicitVRLittleEndian)
    data = bytearray(path.read_bytes())
    place = data.index(b"\x28\x00\x30\x00")
    data[place + 4 : place + 8] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)
    with little_memory(2**24), pytest.raises(InputError):
        CineReader(path)


def test_many_frames_of_a_pixel_are_refused_and_a_few_are_read(write_dicom, grey):
    few = CineReader(write_dicom([grey[:2, :2].copy()] * 20))
    assert len(few) == 20
    many = write_dicom([grey[:1, :1].copy()] * 20_000)
    for read in (read_object, CineReader, read_grid, lambda path: mask_values(path, 0)):
        try:
            refused = read(many).problem
        except InputError as error:
            refused = error
        assert "20000 frames of 1 x 1 pixels" in str(refused)


def nifti(
    path: Path, *, shape=(4, 5, 6), stated=None, side: float = 1.0, offset: float | None = None
) -> Path:
    """A file of zeros whose header may state another shape."""
    data = bytearray(
        nibabel.Nifti1Image(np.zeros(shape, np.int16), np.diag([side, side, side, 1])).to_bytes()
    )
    if stated:
        data[42:48] = struct.pack("<3h", *stated)
    if offset is not None:
        data[108:112], data[348:360] = (
            struct.pack("<f", offset),
            struct.pack("<4b2l", 1, 0, 0, 0, 2**31 - 1, 0),
        )
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else bytes(data))
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    "read", [read_nifti_volume, read_nifti_labels, check_nifti_volume, read_grid, mask_values]
)
@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ({"stated": (1200, 1600, 1677)}, "1200 x 1600 x 1677 voxels of 16 bits"),
        ({"stated": (500, 500, 500)}, "500 x 500 x 500 voxels .* in a file of"),
        ({"offset": 2.0**30}, "behind 1073741824"),
        ({"offset": -352.0}, "behind -352|damaged"),
    ],
)
def test_a_nifti_holds_what_its_header_announces(tmp_path, name, read, lie, found):
    with little_memory(), pytest.raises(InputError, match=found):
        read(nifti(tmp_path / name, **lie))


def test_a_patient_is_no_larger_than_a_scanner(tmp_path):
    with pytest.raises(
        InputError, match=r"at most 3 m long and 2 cubic metres, found 60 x 60 x 60 voxels over"
    ):
        read_nifti_volume(nifti(tmp_path / "a.nii.gz", shape=(60, 60, 60), side=90.0))

    def wide(index: int, dataset: Dataset) -> None:
        dataset.PixelSpacing = [90.0, 90.0]
        dataset.ImagePositionPatient = [0, 0, 90.0 * index]

    values = np.zeros((20, 30, 30), np.int16)
    with pytest.raises(InputError, match=r"at most 3 m long and 2 cubic metres"):
        read_series(the_series(find_series(write_series(tmp_path / "ct", values, edit=wide))))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", ["zTXt", "iCCP", "IDAT", "length", "size"])
def test_no_chunk_of_a_png_costs_more_than_a_picture(tmp_path, kind):
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", 4, 4, 8, 0, 0, 0, 0))
    bomb, pixels = zlib.compress(bytes(2**28), 9), chunk(b"IDAT", zlib.compress(bytes(20)))
    end = chunk(b"IEND", b"")
    content = {
        "zTXt": head + chunk(b"zTXt", b"key\0\0" + bomb) + pixels + end,
        "iCCP": head + chunk(b"iCCP", b"key\0\0" + bomb) + pixels + end,
        "IDAT": head + chunk(b"IDAT", bomb) + end,
        "length": head + pixels + struct.pack(">L", 2**31 - 1) + b"IDAT" + bytes(9),
        "size": head[:16] + struct.pack(">LL", 60_000, 60_000) + head[24:] + pixels + end,
    }[kind]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with little_memory():
        for read in (read_picture, read_grid, mask_values):
            with suppress(InputError):
                read(path)


def test_a_jpeg_of_a_thousand_scans_is_refused(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", progressive=True)
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    data = file.getvalue()[:-2] + scan * 1000 + b"\xff\xd9"
    (tmp_path / "a.jpg").write_bytes(data)
    for read in (read_picture, read_grid, mask_values):
        with pytest.raises(InputError, match="scans"):
            read(tmp_path / "a.jpg")
    with pytest.raises(BrokenFile, match="scans"):
        parse_jpeg(data)


@pytest.mark.parametrize("marker", [0x01, 0xD0, 0xD7, 0xD8, 0xD9])
def test_no_marker_hides_the_size_that_a_decoder_sees(marker):
    """Decoders take these for two bytes; whoever skips a length behind them reads another frame header."""
    with pytest.raises(BrokenFile):
        parse_jpeg(b"\xff\xd8\xff" + bytes([marker]) + b"\xff\xc0\0\x11\x08" + b"\xff" * 70_000)


def test_contours_that_cross_a_slice_millions_of_times_are_refused():
    zigzag = np.stack([np.arange(20_000) % 400, np.arange(20_000) % 2 * 500], axis=1)
    with pytest.raises(GeometryError, match="at most 4194304 times"):
        fill_contours([zigzag], (512, 512))


def test_a_sequence_where_a_value_belongs_is_refused(write_dicom, grey):
    path = write_dicom(grey)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 8) + struct.pack("<HH2sH", 0x4D4F, 0x4E4F, b"CH", 0)
    path.write_bytes(data[:at] + element(0x28, 2, b"SQ", item) + data[at + 10 :])
    for read in (read_object, CineReader):
        with pytest.raises(InputError, match=r"Samples per Pixel .* with items"):
            read(path)
