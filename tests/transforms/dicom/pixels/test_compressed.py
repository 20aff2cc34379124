"""Where the pinned decoder fails another stands in, with the same values; none fills up what is damaged."""

from __future__ import annotations

import contextlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
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
from tests.transforms.dicom.conftest import image_dataset
from tests.transforms.dicom.jpeg_encoder import encode_dct, encode_lossless


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


RETIRED = [uid.UID(f"1.2.840.10008.1.2.4.{process}") for process in (53, 55)]
BITS = [(8, np.uint8), (10, np.uint16), (12, np.uint16), (16, np.uint16)]


def write_jpeg(tmp_path: Path, frame: np.ndarray, data: bytes, *, syntax, modality="CT", **stated) -> Path:
    photometric = "MONOCHROME2" if frame.ndim == 2 else "RGB"
    dataset = image_dataset([frame], photometric=photometric, syntax=syntax, Modality=modality, **stated)
    if modality == "CT":
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    dataset.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.save_as(tmp_path / "jpeg.dcm", enforce_file_format=True)
    return tmp_path / "jpeg.dcm"


def noise(bits: int, dtype: type, shape: tuple[int, ...] = (24, 40)) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 2**bits, shape).astype(dtype)


@pytest.mark.parametrize(("bits", "dtype"), BITS)
@pytest.mark.parametrize("selection", range(1, 8))
def test_lossless_jpeg_gives_the_values_that_were_encoded(tmp_path, bits, dtype, selection):
    frame, syntax = noise(bits, dtype), uid.JPEGLosslessSV1 if selection == 1 else uid.JPEGLossless
    data = encode_lossless(frame, precision=bits, selection=selection)
    decoded = stored(write_jpeg(tmp_path, frame, data, syntax=syntax, BitsStored=bits, HighBit=bits - 1))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, frame)


@pytest.mark.parametrize(("bits", "precision"), [(12, 12), (12, 16), (16, 16)])
def test_signed_values_of_lossless_jpeg_keep_their_sign(tmp_path, bits, precision):
    frame = np.random.default_rng(0).integers(-2000, 2000, (24, 40)).astype(np.int16)
    data = encode_lossless(frame.astype(int) & (2**precision - 1), precision=precision)
    more = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the two disagree
        decoded = stored(write_jpeg(tmp_path, frame, data, syntax=uid.JPEGLosslessSV1, **more))
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, frame)


def test_colours_of_lossless_jpeg_stay_as_they_are(tmp_path):
    frame = noise(8, np.uint8, (24, 40, 3))
    data = encode_lossless(frame, precision=8)
    path = write_jpeg(tmp_path, frame, data, syntax=uid.JPEGLosslessSV1, modality="US")
    np.testing.assert_array_equal(CineReader(path).frame(0), frame.transpose(2, 0, 1))


@pytest.mark.parametrize(("bits", "dtype"), [BITS[0], BITS[2]])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("syntax", [uid.JPEGExtended12Bit, *RETIRED])
def test_extended_and_progressive_jpeg_are_decoded_to_within_two_greys(
    tmp_path, bits, dtype, progressive, syntax
):
    rows, columns = np.mgrid[:24, :40]
    frame = ((rows * 3 + columns * 5) % 190 / 200 * 2**bits).astype(dtype)
    data = encode_dct(frame, precision=bits, progressive=progressive)
    decoded = stored(write_jpeg(tmp_path, frame, data, syntax=syntax, BitsStored=bits, HighBit=bits - 1))
    assert decoded.dtype == dtype
    assert np.abs(decoded.astype(int) - frame).max() <= 2


@pytest.mark.parametrize("kind", ["lossless", "extended"])
@pytest.mark.parametrize("damage", ["cut", "cut and closed", "a hole"])
def test_damaged_jpeg_is_refused_and_not_filled_up(tmp_path, kind, damage, capfd):
    frame = noise(12, np.uint16, (64, 64))
    lossless = kind == "lossless"
    syntax = uid.JPEGLosslessSV1 if lossless else uid.JPEGExtended12Bit
    data = encode_lossless(frame, precision=12) if lossless else encode_dct(frame, precision=12)
    for at in np.random.default_rng(1).integers(700, len(data) - 300, 8):
        parts = {
            "cut": data[:at],
            "cut and closed": data[:at] + data[-2:],
            "a hole": data[:at] + data[at + 90 :],
        }
        path = write_jpeg(tmp_path, frame, parts[damage], syntax=syntax, BitsStored=12, HighBit=11)
        with pytest.raises(InputError, match="damaged"):
            stored(path)
    assert capfd.readouterr().err == ""


def test_zeros_before_the_end_of_jpeg_are_passed_over(tmp_path, capfd):
    frame = noise(12, np.uint16)
    data = encode_lossless(frame, precision=12)
    path = write_jpeg(tmp_path, frame, data[:-2] + bytes(6) + data[-2:], syntax=uid.JPEGLosslessSV1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        np.testing.assert_array_equal(stored(path), frame)
    assert capfd.readouterr().err == ""


def test_what_others_print_while_a_frame_is_decoded_is_not_lost(tmp_path, monkeypatch, capfd):
    frame = noise(12, np.uint16)
    path = write_jpeg(
        tmp_path,
        frame,
        encode_lossless(frame, precision=12),
        syntax=uid.JPEGLosslessSV1,
        BitsStored=12,
        HighBit=11,
    )
    real = SimpleITK.GetArrayFromImage
    monkeypatch.setattr(
        SimpleITK, "GetArrayFromImage", lambda image: (os.write(2, b"of others"), real(image))[1]
    )
    stored(path)
    assert capfd.readouterr().err == "of others"


def test_threads_decode_jpeg_side_by_side(tmp_path):
    frames = [noise(12, np.uint16, (40, 40 + n)) for n in range(6)]
    paths = []
    for number, frame in enumerate(frames):
        data = encode_lossless(frame, precision=12)
        (tmp_path / str(number)).mkdir()
        stated = {"syntax": uid.JPEGLosslessSV1, "BitsStored": 12, "HighBit": 11}
        paths.append(write_jpeg(tmp_path / str(number), frame, data, **stated))
    with ThreadPoolExecutor(4) as pool:
        for decoded, frame in zip(pool.map(stored, paths * 5), frames * 5, strict=True):
            np.testing.assert_array_equal(decoded, frame)


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
    monkeypatch.setattr(compressed, "_decode_by_simpleitk", lambda *arguments: np.full((40, 64), 4096))
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
