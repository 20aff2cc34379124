"""Where the pinned decoder fails another stands in, with the same values; none fills up what is damaged."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.dicom.files.values import BrokenFile
from pyraseg.transforms.dicom.pixels import compressed
from pyraseg.transforms.dicom.pixels.decode import CineReader, FrameDecoder
from pyraseg.transforms.errors import InputError


def stored(path: Path) -> np.ndarray:
    return FrameDecoder(read_header(path)).stored(0)


def with_codestream(path: Path, change) -> Path:
    """The file with its codestream changed."""
    dataset = pydicom.dcmread(path)
    (data,) = generate_frames(dataset.PixelData, number_of_frames=1)
    data = change(data.rstrip(b"\0"))
    dataset.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def failing(name: str):
    def decode_by_plugin(*arguments, **options):
        raise BrokenFile(name)

    return decode_by_plugin


@pytest.mark.parametrize("modality", ["US", "MR", "CT"])
@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_12_bit_jpeg_is_read_as_simpleitk_reads_it(tmp_path, name, modality):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("this example is not part of the installed pydicom")
    dataset = pydicom.dcmread(path)
    dataset.Modality, dataset.PixelRepresentation = modality, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0  # which SimpleITK would apply
    dataset.save_as(tmp_path / name)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / name)))
    decoded = stored(tmp_path / name)
    assert decoded.dtype == np.uint16
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("process", ["+el", "+e1", "+ee", "+es"])
def test_dcmtks_jpeg_of_any_process_is_read_as_simpleitk_reads_it(write_dicom, grey, tmp_path, process):
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("needs dcmcjpeg of DCMTK")
    more = {"StudyInstanceUID": "1.2.3", "PatientID": "", "Modality": "MR", "SOPClassUID": uid.MRImageStorage}
    raw = write_dicom(grey.astype(np.uint16) * 16, BitsStored=12, HighBit=11, **more)
    path = tmp_path / "jpeg.dcm"
    subprocess.run(["dcmcjpeg", process, raw, path], check=True, capture_output=True)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0]
    assert np.abs(stored(path).astype(int) - expected).max() <= (0 if process in ("+el", "+e1") else 1)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("colours", [False, True])
def test_zeros_before_the_end_of_jpeg_ls_are_passed_over(write_dicom, grey, colour, bits, colours):
    deep = grey.astype(np.uint16) * 2 ** (bits - 8)
    frame = colour if colours else deep if bits > 8 else grey
    more = {} if colours or bits == 8 else {"BitsStored": bits, "HighBit": bits - 1}
    photometric = "RGB" if colours else "MONOCHROME2"
    path = write_dicom(frame, photometric=photometric, syntax=uid.JPEGLSLossless, **more)
    decoded = stored(with_codestream(path, lambda data: data[:-2] + b"\0" + data[-2:]))
    np.testing.assert_array_equal(decoded, frame)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("kind", ["grey", "signed", "colour"])
def test_a_stand_in_gives_the_same_values(write_dicom, grey, colour, monkeypatch, syntax, kind):
    frame = {"grey": grey.astype(np.uint16) * 15, "signed": grey.astype(np.int16) - 100, "colour": colour}[
        kind
    ]
    more = {"photometric": "RGB"} if kind == "colour" else {"PixelRepresentation": int(kind == "signed")}
    stated = {"Modality": "CT", "SOPClassUID": uid.CTImageStorage}
    path = write_dicom(frame.view(np.uint16) if kind == "signed" else frame, syntax=syntax, **more, **stated)
    before = stored(path)
    plugin = compressed.PLUGINS[syntax]
    real = compressed.decode_by_plugin

    def without_pinned(header, source, **options):
        return (failing("pinned") if options["plugin"] == plugin else real)(header, source, **options)

    monkeypatch.setattr(compressed, "decode_by_plugin", without_pinned)
    np.testing.assert_array_equal(stored(path), before)


def test_a_stand_in_whose_values_are_not_of_the_stated_bits_is_not_believed(write_dicom, grey, monkeypatch):
    path = write_dicom(grey.astype(np.uint16), syntax=uid.JPEGLSLossless, BitsStored=12, HighBit=11)
    monkeypatch.setattr(compressed, "decode_by_plugin", failing("pinned"))
    monkeypatch.setattr(compressed, "_decode_by_simpleitk", lambda header, data: np.full((40, 64), 4096))
    with pytest.raises(InputError, match=r"by none of pyjpegls, SimpleITK\). Install another decoder"):
        CineReader(path).frame(0)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2K])
def test_where_no_decoder_can_the_syntax_and_the_decoders_are_named(write_dicom, grey, monkeypatch, syntax):
    path = write_dicom(grey, syntax=uid.JPEG2000Lossless if syntax == uid.HTJ2K else syntax)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    monkeypatch.setattr(compressed, "decode_by_plugin", failing("any"))
    monkeypatch.setattr(compressed, "_decode_by_simpleitk", failing("SimpleITK"))
    with pytest.raises(InputError) as refusal:
        CineReader(path).frame(0)
    assert f"{syntax.name}, by none of {compressed.PLUGINS[syntax]}" in str(refusal.value)
    assert "its pixel data is damaged" not in str(refusal.value)


def test_damaged_jpeg_ls_is_refused_and_not_filled_up(write_dicom, grey):
    noisy = np.random.default_rng(0).integers(0, 4096, (40, 64)).astype(np.uint16)
    path = write_dicom(noisy, syntax=uid.JPEGLSLossless, BitsStored=12, HighBit=11)
    whole, draw = path.read_bytes(), np.random.default_rng(1)
    for at in draw.integers(200, 3000, 30):
        with_codestream(path, lambda data, at=at: data[:at] + data[-2:])
        with pytest.raises(InputError):
            stored(path)
        path.write_bytes(whole)


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_codestream_without_its_end_is_given_to_no_other_decoder(write_dicom, grey, monkeypatch, syntax):
    path = with_codestream(write_dicom(grey, syntax=syntax), lambda data: data[: len(data) * 2 // 3])
    monkeypatch.setattr(compressed, "_decode_by_simpleitk", lambda *arguments: pytest.fail("was asked"))
    with contextlib.suppress(InputError):
        stored(path)
        pytest.fail("a part of a frame")
