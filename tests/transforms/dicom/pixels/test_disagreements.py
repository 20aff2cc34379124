"""A file that disagrees with itself harmlessly is read as pydicom reads it, with a note; others are not."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_files
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_color_lut, get_encoder, pixel_array

from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.dicom.pixels.checks import is_display_valued
from pyraseg.transforms.dicom.pixels.decode import CineReader, FrameDecoder
from pyraseg.transforms.errors import InputError

CT = {"Modality": "CT", "SOPClassUID": uid.CTImageStorage}
HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)


def stored(path: Path) -> np.ndarray:
    return FrameDecoder(read_header(path)).stored(0)


def edited(path: Path, **attributes: object) -> Path:
    """The file with other attributes; those of the value None are gone."""
    dataset = pydicom.dcmread(path)
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def relabelled(path: Path, syntax: uid.UID) -> Path:
    """The file with another transfer syntax in its file meta group, and its data set as it is."""
    dataset = pydicom.dcmread(path)
    body = path.read_bytes()[144 + dataset.file_meta.FileMetaInformationGroupLength :]
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    length = pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    path.write_bytes(path.read_bytes()[: 144 + length] + body)
    return path


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless])
@pytest.mark.parametrize(("coded", "said"), [(11, 12), (12, 16), (14, 16), (16, 12)])
@pytest.mark.parametrize("signed", [False, True])
def test_a_compressed_frame_has_the_bits_of_its_codestream(write_dicom, grey, syntax, coded, said, signed):
    frame = grey.astype(np.int16 if signed else np.uint16) * 3 - (300 if signed else 0)
    path = write_dicom(frame.view(np.uint16), syntax=syntax, **CT)
    described = {
        "rows": 40, "columns": 64, "number_of_frames": 1, "samples_per_pixel": 1, "bits_allocated": 16,
        "bits_stored": coded, "pixel_representation": int(signed),
        "photometric_interpretation": "MONOCHROME2",
    }  # fmt: skip
    part = get_encoder(syntax).encode(frame, **described)
    whole = encapsulate([part + b"\0" * (len(part) % 2)])
    edited(path, PixelData=whole, BitsStored=said, HighBit=said - 1, PixelRepresentation=int(signed))
    with pytest.warns(UserWarning, match=f"frames of {coded} bits, {said} stated"):
        decoded = stored(path)
    np.testing.assert_array_equal(decoded, frame)
    np.testing.assert_array_equal(decoded, pixel_array(path))


def test_a_codestream_of_more_bits_than_are_allocated_is_refused(write_dicom, grey):
    path = write_dicom(grey.astype(np.uint16) * 200, syntax=uid.JPEG2000Lossless)
    with pytest.raises(InputError, match="at most 8 bits, as allocated, found one of 16 bits"):
        CineReader(edited(path, BitsAllocated=8, BitsStored=8, HighBit=7)).frame(0)


def test_the_white_of_a_compressed_picture_is_that_of_its_codestream(write_dicom, grey):
    path = edited(write_dicom(grey, syntax=uid.JPEG2000Lossless), BitsAllocated=16, BitsStored=16, HighBit=15)
    with pytest.warns(UserWarning, match="8 bits, 16 stated"):
        frame = CineReader(path).frame(0)
    assert (int(frame.max()), CineReader(path).display_max) == (int(grey.max()), 255)


@pytest.mark.parametrize("syntax", HTJ2K)
@pytest.mark.parametrize("colours", [False, True])
def test_high_throughput_jpeg_2000_is_decoded(write_dicom, grey, colour, syntax, colours):
    frame, photometric = (colour, "RGB") if colours else (grey, "MONOCHROME2")
    path = write_dicom(frame, photometric=photometric, syntax=uid.JPEG2000Lossless)
    decoded = CineReader(relabelled(path, syntax)).frame(0)  # one decoder reads both kinds of blocks
    np.testing.assert_array_equal(decoded, frame[None] if frame.ndim == 2 else frame.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian),
        (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian),
    ],
)
def test_a_data_set_in_the_vr_of_another_syntax_is_read(write_dicom, grey, written, said):
    path = relabelled(write_dicom(grey, syntax=written), said)
    with pytest.warns(UserWarning, match="VR, against its transfer syntax"):
        np.testing.assert_array_equal(CineReader(path).frame(0)[0], grey)


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
@pytest.mark.parametrize("meta", [False, True])
def test_a_data_set_without_prefix_is_read(write_dicom, grey, syntax, meta):
    frame = grey.astype(np.uint16) * 257
    path = write_dicom(frame, syntax=syntax)
    length = 0 if meta else 12 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    path.write_bytes(path.read_bytes()[132 + length :])
    with pytest.warns(UserWarning, match="no DICM prefix"):
        cine = CineReader(path)
    assert cine.header.transfer_syntax == syntax
    np.testing.assert_array_equal(cine.frame(0)[0], frame)


@pytest.mark.parametrize("padding", [b"\0", b"x", b"\0" * 700, b"\xff" * 700])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_padding_behind_the_frames_is_passed_over(write_dicom, grey, padding, kind):
    frame = grey.astype(kind)
    path = write_dicom([frame, frame], **CT)
    data = pydicom.dcmread(path).PixelData + padding * np.dtype(kind).itemsize
    edited(path, PixelData=data + b"\0" * (len(data) % 2))
    with pytest.warns(UserWarning, match="padding"):
        np.testing.assert_array_equal(stored(path), frame)


@pytest.mark.parametrize("behind", ["content", "a frame"])
def test_what_may_be_pixels_is_no_padding(write_dicom, grey, behind):
    path = write_dicom([grey, grey])
    data = pydicom.dcmread(path).PixelData
    more = data[:700] if behind == "content" else bytes(grey.size)
    with pytest.raises(InputError, match="not those of its pixel data"):
        CineReader(edited(path, PixelData=data + more))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_padding_behind_a_codestream_is_passed_over(write_dicom, grey, syntax):
    path = write_dicom(grey, syntax=syntax)
    before = CineReader(path).frame(0)
    (part,) = generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)
    edited(path, PixelData=encapsulate([part + b"\0" * 700]))
    np.testing.assert_array_equal(CineReader(path).frame(0), before)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("padded", [False, True])
def test_an_odd_number_of_bytes_may_be_padded_or_not(write_dicom, grey, frames, padded):
    odd = [np.ascontiguousarray(np.roll(grey, shift)[:39, :61]) for shift in range(frames)]
    path = write_dicom(odd)
    if not padded:  # pydicom writes no odd length
        data = bytearray(path.read_bytes())
        place = data.rindex(b"\xe0\x7f\x10\x00OB") + 8
        size = 39 * 61 * frames
        data[place : place + 4] = size.to_bytes(4, "little")
        path.write_bytes(data[: place + 4 + size])
    for index, frame in enumerate(odd):
        np.testing.assert_array_equal(CineReader(path).frame(index)[0], frame)


@pytest.mark.parametrize(
    "missing",
    [("SamplesPerPixel",), ("PhotometricInterpretation",), ("SamplesPerPixel", "PhotometricInterpretation"),
     ("BitsStored", "HighBit"), ("PixelRepresentation",)],
)  # fmt: skip
def test_what_one_sample_of_grey_leaves_unsaid_is_clear(write_dicom, grey, missing):
    path = edited(write_dicom(grey), **dict.fromkeys(missing))
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(CineReader(path).frame(0)[0], grey)
    assert len(notes) == missing.count("PhotometricInterpretation")


def test_colour_without_a_name_is_refused_and_without_a_count_is_read(write_dicom, colour):
    path = edited(write_dicom(colour, photometric="RGB"), SamplesPerPixel=None, PlanarConfiguration=None)
    np.testing.assert_array_equal(CineReader(path).frame(0), colour.transpose(2, 0, 1))
    with pytest.raises(InputError, match="none with 3 samples"):
        CineReader(edited(path, SamplesPerPixel=3, PhotometricInterpretation=None))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT"])
def test_a_transform_of_jpeg_2000_is_undone_elsewhere(write_dicom, colour, syntax, photometric):
    path = write_dicom(colour, photometric="RGB", syntax=syntax)
    edited(path, PhotometricInterpretation=photometric)
    np.testing.assert_array_equal(CineReader(path).frame(0), colour.transpose(2, 0, 1))
    np.testing.assert_array_equal(colour, pixel_array(path))


def test_a_high_bit_that_cannot_be_is_none_where_all_bits_are_stored(write_dicom, grey):
    np.testing.assert_array_equal(CineReader(edited(write_dicom(grey), HighBit=3)).frame(0)[0], grey)


def test_32_bits_of_a_value_with_a_unit_are_read_and_of_a_picture_refused(write_dicom, grey):
    frame = grey.astype(np.uint32) * 70000
    path = write_dicom(frame, **CT)
    np.testing.assert_array_equal(stored(path), frame)
    with pytest.raises(InputError, match="8 or 16 bits allocated"):
        CineReader(edited(path, SOPClassUID=uid.UltrasoundImageStorage, Modality="US"))


# Refused although pydicom decodes them
JUSTIFIED = {
    "image_dfl.dcm": "deflated",
    "JPEG2000.dcm": "signed ones",  # a secondary capture without a window: its white is not stated
    "SC_rgb_rle_32bit.dcm": "32 bits stored",
    "SC_rgb_rle_32bit_2frame.dcm": "32 bits stored",
}


def by_pydicom(path: Path) -> np.ndarray | None:
    """The first frame, grey as stored and colour as RGB; None for what is no image or not decoded."""
    try:
        dataset = pydicom.dcmread(path, force=True)
        frame = pixel_array(dataset, index=0, raw=dataset.PhotometricInterpretation.startswith("MONO"))
        coloured = dataset.PhotometricInterpretation == "PALETTE COLOR"
        return None if dataset.BitsAllocated == 1 else apply_color_lut(frame, dataset) if coloured else frame
    except Exception:  # whatever it raises on a broken file
        return None


def by_us(path: Path) -> np.ndarray | str:
    try:
        header = read_header(path)
        if not is_display_valued(header):
            return FrameDecoder(header).stored(0)
        frame = CineReader(header).frame(0)
    except InputError as error:
        return str(error)
    return frame[0] if len(frame) == 1 else frame.transpose(1, 2, 0)


@pytest.mark.filterwarnings("ignore")
def test_pydicoms_own_files_are_read_as_pydicom_reads_them():
    truths = {Path(name): by_pydicom(Path(name)) for name in get_testdata_files("**/*.dcm")}
    refused, seen = {}, 0
    for path, truth in truths.items():
        if truth is None:
            continue
        seen, answer = seen + 1, by_us(path)
        if isinstance(answer, str):
            refused[path.name] = answer
            continue
        # JPEG with loss is rounded by each decoder in its own way
        tolerance = 3 if truth.ndim == 3 else 1 if path.name == "JPGExtended.dcm" else 0
        assert np.abs(answer.astype(int) - truth).max() <= tolerance, path.name
    assert seen > 50
    assert refused.keys() <= JUSTIFIED.keys()
    assert all(JUSTIFIED[name] in answer for name, answer in refused.items())
