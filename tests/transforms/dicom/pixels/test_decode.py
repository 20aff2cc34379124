"""Frames come out of every transfer syntax and colour space as they went in, and broken ones are refused."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import convert_color_space

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import InputError

NATIVE = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
LOSSLESS = [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
NAME = lambda syntax: syntax.name.split(" (")[0]  # noqa: E731


def to_ybr(rgb: np.ndarray) -> np.ndarray:
    return convert_color_space(rgb, "RGB", "YBR_FULL")


def read(path, index=0) -> np.ndarray:
    """Frame ``index`` as (H, W) or (H, W, 3)."""
    frame = CineReader(path).frame(index)
    return frame[0] if frame.shape[0] == 1 else frame.transpose(1, 2, 0)


@pytest.mark.parametrize("syntax", NATIVE + LOSSLESS, ids=NAME)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_comes_back_bit_for_bit(write_dicom, grey, syntax, dtype):
    frame = grey.astype(dtype) * (1 if dtype == np.uint8 else 251)
    decoded = CineReader(write_dicom(frame, syntax=syntax)).frame(0)
    assert decoded.shape == (1, 40, 64)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded[0], frame)


@pytest.mark.parametrize("syntax", NATIVE, ids=NAME)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_raw_rgb_comes_back_in_both_planar_configurations(write_dicom, colour, syntax, planar, dtype):
    frame = colour.astype(dtype) * (1 if dtype == np.uint8 else 257)
    path = write_dicom([frame, 255 - frame], photometric="RGB", syntax=syntax, PlanarConfiguration=planar)
    assert CineReader(path).frame(0).shape == (3, 40, 64)
    np.testing.assert_array_equal(read(path, 0), frame)
    np.testing.assert_array_equal(read(path, 1), 255 - frame)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=NAME)
@pytest.mark.parametrize("planar", [0, 1])
def test_compressed_rgb_comes_back_whatever_planar_configuration_is_stated(
    write_dicom, colour, syntax, planar
):
    frames = [colour, colour[::-1].copy(), colour[:, ::-1].copy()]
    path = write_dicom(frames, photometric="RGB", syntax=syntax, PlanarConfiguration=planar)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(read(path, index), frame)


@pytest.mark.parametrize(
    "syntax", [*NATIVE, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless], ids=NAME
)
def test_ybr_full_is_converted_to_rgb_once(write_dicom, colour, syntax):
    ybr = to_ybr(colour)
    expected = convert_color_space(ybr, "YBR_FULL", "RGB")
    decoded = read(write_dicom(ybr, photometric="YBR_FULL", syntax=syntax))
    assert np.abs(decoded.astype(int) - expected).max() <= 1
    assert np.abs(decoded.astype(int) - colour).max() <= 3


def test_raw_ybr_full_422_is_resampled_and_converted(write_dicom, colour):
    path = write_dicom([to_ybr(colour), to_ybr(255 - colour)], photometric="YBR_FULL_422")
    cine = pydicom.dcmread(path)
    for index in range(2):
        expected = pydicom.pixels.pixel_array(cine, index=index)
        assert np.abs(read(path, index).astype(int) - expected).max() <= 1


def test_16_bit_ybr_is_converted_around_its_own_centre(write_dicom, colour):
    y, chroma = colour[..., :1].astype(np.uint16) * 257, np.full((40, 64, 2), 2**15, np.uint16)
    decoded = read(write_dicom(np.concatenate([y, chroma], axis=-1), photometric="YBR_FULL"))
    np.testing.assert_array_equal(decoded, np.repeat(y, 3, axis=-1))


def test_reversible_transform_of_jpeg_2000_is_undone_by_its_decoder_alone(write_dicom, colour):
    path = write_dicom(colour, photometric="YBR_RCT", syntax=uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read(path), colour)


@pytest.mark.parametrize("stated", ["YBR_FULL", "YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("subsampling", [0, 1])
def test_jfif_jpeg_is_ycbcr_whatever_the_header_states(write_dicom, colour, stated, subsampling):
    jpeg = {"photometric": "YBR_FULL", "subsampling": subsampling}
    path = write_dicom(colour, photometric=stated, syntax=uid.JPEGBaseline8Bit, jpeg=jpeg)
    assert np.abs(read(path).astype(int) - colour).mean() < 3


@pytest.mark.parametrize("stated", ["YBR_FULL_422", "RGB"])
def test_jpeg_with_components_called_rgb_is_rgb(write_dicom, colour, stated):
    path = write_dicom(colour, photometric=stated, syntax=uid.JPEGBaseline8Bit, jpeg={"photometric": "RGB"})
    assert np.abs(read(path).astype(int) - colour).mean() < 3


@pytest.mark.parametrize("stated", ["YBR_FULL", "RGB"])
def test_jpeg_that_is_silent_about_its_colours_is_what_the_header_states(write_dicom, colour, stated):
    samples = {"YBR_FULL": colour, "RGB": convert_color_space(colour, "YBR_FULL", "RGB")}[stated]
    jpeg = {"photometric": "YBR_FULL", "bare": True}  # pillow turns these samples into YCbCr
    path = write_dicom(samples, photometric=stated, syntax=uid.JPEGBaseline8Bit, jpeg=jpeg)
    expected = samples if stated == "YBR_FULL" else to_ybr(samples)
    assert np.abs(read(path).astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("transform", "stated"), [(1, "YBR_FULL_422"), (1, "RGB"), (0, "YBR_FULL_422"), (0, "RGB")]
)
def test_jpeg_with_an_adobe_marker_is_converted_once(write_dicom, colour, transform, stated):
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    path = write_dicom(
        colour, photometric="RGB", syntax=uid.JPEGBaseline8Bit, jpeg={"photometric": "YBR", "bare": True}
    )
    dataset = pydicom.dcmread(path)
    data = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    data = data[:2] + marker + data[2:]
    dataset.PixelData = encapsulate([data])  # the samples are YCbCr
    dataset.PhotometricInterpretation = stated
    dataset.save_as(path)
    expected = to_ybr(colour) if (transform, stated) == (0, "RGB") else colour
    assert np.abs(read(path).astype(int) - expected).mean() < 3


def test_grey_jpeg_is_read(write_dicom, grey):
    path = write_dicom(grey, syntax=uid.JPEGBaseline8Bit)
    assert np.abs(read(path).astype(int) - grey).max() < 8


def test_monochrome1_is_inverted_within_its_stored_bits(write_dicom, grey):
    np.testing.assert_array_equal(read(write_dicom(grey, photometric="MONOCHROME1")), 255 - grey)
    deep = grey.astype(np.uint16) * 16
    path = write_dicom(deep, photometric="MONOCHROME1", BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read(path), 4095 - deep)
    assert CineReader(path).display_max == 4095


def test_an_overlay_in_unused_high_bits_does_not_reach_the_values(write_dicom, grey):
    deep = grey.astype(np.uint16) * 16
    path = write_dicom(deep | 0x8000, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read(path), deep)


@pytest.mark.parametrize("syntax", [*NATIVE, uid.RLELossless], ids=NAME)
@pytest.mark.parametrize(
    ("pixels", "entries"), [(np.uint8, 8), (np.uint8, 16), (np.uint16, 8), (np.uint16, 16)]
)
def test_a_palette_is_applied(write_dicom, grey, syntax, pixels, entries):
    count, first = (256, 0) if pixels == np.uint8 else (1000, 5)
    lut = np.random.default_rng(3).integers(0, 2**entries, (count, 3)).astype(f"u{entries // 8}")
    order = ">" if syntax == uid.ExplicitVRBigEndian and entries == 16 else "<"
    more = {}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        more[f"{name}PaletteColorLookupTableDescriptor"] = [count, first, entries]
        data = lut[:, channel].astype(f"{order}u{entries // 8}")
        if syntax == uid.ExplicitVRBigEndian and entries == 8:
            data = data.view(np.uint16).byteswap()  # OW: bytes swap in pairs
        more[f"{name}PaletteColorLookupTableData"] = data.tobytes()
    indices = grey.astype(pixels) * (1 if pixels == np.uint8 else 3)
    path = write_dicom([indices, indices[::-1]], photometric="PALETTE COLOR", syntax=syntax, **more)
    expected = lut[np.clip(indices.astype(int) - first, 0, count - 1)]
    np.testing.assert_array_equal(read(path, 0), expected)
    np.testing.assert_array_equal(read(path, 1), expected[::-1])
    assert CineReader(path).display_max == 2**entries - 1


@pytest.mark.parametrize("table", ["none", "basic", "extended", "wrong"])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_are_found_with_any_offset_table(write_dicom, colour, table, fragments):
    frames = [np.roll(colour, shift, axis=1) for shift in range(4)]
    path = write_dicom(
        frames, photometric="YBR_FULL", syntax=uid.JPEGBaseline8Bit, jpeg={"photometric": "YBR_FULL"}
    )
    expected = [read(path, index) for index in range(4)]
    dataset = pydicom.dcmread(path)
    parts = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=4))
    if table == "extended":
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = (
            encapsulate_extended(parts)
        )
    else:
        data = encapsulate(parts, fragments_per_frame=fragments, has_bot=table != "none")
        if table == "wrong":
            data = data[:8] + struct.pack("<4L", 2, 3, 1, 99) + data[24:]
        dataset.PixelData = data
    dataset.save_as(path)
    for index in (3, 1, 0, 2):
        np.testing.assert_array_equal(read(path, index), expected[index])


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS, uid.JPEGBaseline8Bit], ids=NAME)
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_frames_may_be_written_to(write_dicom, colour, syntax, photometric):
    frame = CineReader(write_dicom(colour, photometric=photometric, syntax=syntax)).frame(0)
    assert frame.flags.writeable


def test_one_frame_is_read_without_decoding_the_others(write_dicom, colour, monkeypatch):
    frames = [np.roll(colour, shift, axis=0) for shift in range(5)]
    cine = CineReader(write_dicom(frames, photometric="RGB", syntax=uid.RLELossless))
    read_parts = []
    encoded = CineReader._encoded
    monkeypatch.setattr(
        CineReader, "_encoded", lambda self, index: read_parts.append(index) or encoded(self, index)
    )
    np.testing.assert_array_equal(cine.frame(3).transpose(1, 2, 0), frames[3])
    assert read_parts == [3]
    assert len(list(cine)) == 5


def test_what_is_not_a_display_image_is_refused(write_dicom, grey):
    with pytest.raises(InputError, match="modality CT"):
        CineReader(write_dicom(grey, Modality="CT", SOPClassUID=uid.CTImageStorage))
    CineReader(write_dicom(grey, Modality="CT", SOPClassUID=uid.SecondaryCaptureImageStorage)).frame(0)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"Rows": 60000, "Columns": 60000}, "60000 x 60000"),
        ({"Rows": 0}, "0 rows"),
        ({"NumberOfFrames": 2**31 - 1}, "2147483647 frames"),
        ({"Rows": 41}, "2560"),
        ({"PhotometricInterpretation": "HSV"}, "HSV"),
        ({"SamplesPerPixel": 3}, "3 samples"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "32 bits"),
        ({"BitsStored": 6}, "high bit 7"),
        ({"PixelRepresentation": 1}, "signed"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused_before_decoding(write_dicom, grey, attributes, found):
    path = write_dicom(grey)
    dataset = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    with pytest.raises(InputError, match=found) as caught:
        CineReader(path)
    assert str(path) not in str(caught.value)


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS, uid.JPEGBaseline8Bit], ids=NAME)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB"])
def test_a_file_cut_off_anywhere_is_refused(write_dicom, grey, colour, syntax, photometric):
    frame = grey if photometric == "MONOCHROME2" else colour
    path = write_dicom([frame, frame], photometric=photometric, syntax=syntax)
    whole = path.read_bytes()
    start = CineReader(path).header.value_offset
    for size in [
        0,
        100,
        131,
        140,
        300,
        start - 4,
        start,
        start + 9,
        (start + len(whole)) // 2,
        len(whole) - 40,
    ]:
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            list(CineReader(path))


def test_damaged_compressed_frames_are_refused_or_read_but_never_crash(write_dicom, colour):
    rng = np.random.default_rng(0)
    for syntax in (uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLSLossless):
        path = write_dicom(colour, photometric="RGB", syntax=syntax)
        whole = bytearray(path.read_bytes())
        start = CineReader(path).header.value_offset
        for _ in range(25):
            damaged = whole.copy()
            for place in rng.integers(start, len(whole), 4):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(InputError):
                assert CineReader(path).frame(0).shape == (3, 40, 64)


def test_a_compressed_frame_of_another_size_is_refused(write_dicom, colour):
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.JPEGLSLossless):
        path = write_dicom(colour, photometric="RGB", syntax=syntax)
        dataset = pydicom.dcmread(path)
        dataset.Columns = 16
        dataset.save_as(path)
        with pytest.raises(InputError, match="40 x 64"):
            CineReader(path).frame(0)


def test_fewer_compressed_frames_than_announced_are_refused(write_dicom, colour):
    path = write_dicom([colour, colour], photometric="RGB", syntax=uid.RLELossless, NumberOfFrames=3)
    with pytest.raises(InputError, match="2 of them"):
        CineReader(path).frame(0)


def test_unsubsampled_data_under_ybr_full_422_is_refused(write_dicom, colour):
    path = write_dicom(colour, photometric="RGB")
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.save_as(path)
    with pytest.raises(InputError, match="RGB or YBR_FULL"):
        CineReader(path)


def test_an_unknown_transfer_syntax_is_refused(write_dicom, grey):
    path = write_dicom(grey)
    old, new = uid.ExplicitVRLittleEndian, "1.2.3.4.5.6.7.8.9.0"
    path.write_bytes(path.read_bytes().replace(old.ljust(20, "\0").encode(), new.ljust(20, "\0").encode(), 1))
    with pytest.raises(InputError, match=r"1\.2\.3\.4"):
        CineReader(path)


@pytest.mark.parametrize("syntax", [uid.MPEG4HP41, uid.DeflatedExplicitVRLittleEndian], ids=NAME)
def test_video_and_deflated_files_are_refused_by_name(write_dicom, grey, syntax):
    path = write_dicom(grey)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax.is_encapsulated:
        dataset.PixelData = encapsulate([b"\0\0\0\x01"])
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    with pytest.raises(InputError, match=str(syntax).replace(".", r"\.")):
        CineReader(path)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_frame_outside_the_cine_is_refused(write_dicom, grey, index):
    with pytest.raises(InputError, match="0 to 1"):
        CineReader(write_dicom([grey, grey])).frame(index)


def test_the_header_keeps_no_identity(write_dicom, grey):
    header: ImageHeader = CineReader(write_dicom(grey)).header
    assert "PatientName" not in header.dataset
    assert "SENTINEL" not in str(header.dataset)


def test_pixel_data_of_another_size_than_the_header_states_is_refused(write_dicom, grey):
    for lie in ({"Columns": 32}, {"Rows": 20}, {"NumberOfFrames": 1}):
        with pytest.raises(
            InputError, match=r"for the stated .* pixels of 1 x 8 bits.* not those of its pixel data"
        ):
            CineReader(write_dicom([grey, grey], **lie))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless], ids=NAME)
@pytest.mark.parametrize("table", [True, False])
def test_a_cine_that_passes_for_one_frame_is_refused(write_dicom, grey, syntax, table):
    path = write_dicom([grey, grey], syntax=syntax)
    dataset = pydicom.dcmread(path)
    parts = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=2))
    dataset.PixelData = encapsulate(parts, has_bot=table)
    dataset.NumberOfFrames = 1
    dataset.save_as(path)
    with pytest.raises(InputError, match="the 1 compressed frames"):
        CineReader(path).frame(0)


@pytest.mark.parametrize("stored", [12, 16])
def test_16_bit_rle_comes_back_in_colour_and_with_fewer_bits_stored(write_dicom, grey, colour, stored):
    deep = grey.astype(np.uint16) * 15
    path = write_dicom(deep, syntax=uid.RLELossless, BitsStored=stored, HighBit=stored - 1)
    np.testing.assert_array_equal(read(path), deep)
    wide = colour.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(write_dicom(wide, photometric="RGB", syntax=uid.RLELossless)), wide)


def test_a_16_bit_rle_segment_that_is_too_long_is_cut(write_dicom, grey):
    deep = grey.astype(np.uint16) * 200
    path = write_dicom(deep, syntax=uid.RLELossless)
    dataset = pydicom.dcmread(path)
    (data,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    low = struct.unpack_from("<3L", data)[2]
    longer = data[:low] + b"\x81\x00" * 60 + data[low:]  # each pair makes 128 zeros
    longer = longer[:8] + struct.pack("<L", low + 120) + longer[12:]
    dataset.PixelData = encapsulate([longer])
    dataset.save_as(path)
    np.testing.assert_array_equal(read(path), deep)


def test_text_that_is_no_code_does_not_reach_a_message(write_dicom, grey):
    path = write_dicom(grey)
    path.write_bytes(path.read_bytes().replace(b"MONOCHROME2 ", b"Doe^Jane,19x"))
    with pytest.raises(InputError, match="an invalid one") as caught:
        CineReader(path)
    assert "Doe" not in str(caught.value)
