"""Checks of an image file before memory is allocated for its pixels."""

from __future__ import annotations

import re
import warnings

from pydicom.uid import UID, RLELossless

from pyraseg.transforms.dicom.files.header import UNDEFINED_LENGTH, ImageHeader
from pyraseg.transforms.dicom.pixels.encapsulated import Codestream
from pyraseg.transforms.dicom.pixels.window import has_window
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.limits import FRAME_BYTES
from pyraseg.transforms.records import SourceRef

__all__ = [
    "PADDED",
    "check_codestream",
    "check_display_valued",
    "check_native_length",
    "check_rle_length",
    "check_shape",
    "check_supported",
    "code_text",
    "excess_bytes",
    "is_display_valued",
    "is_secondary_capture",
    "refuse_signed",
]

RLE_RATIO = 64  # two bytes make 128 at most (PS3.5 annex G.3.1)
CODE = re.compile(r"[A-Z0-9_. ]{1,64}")
PADDED = "pixel data longer than its frames: the rest, which is padding, is passed over"
LIE = "Export the file again: its rows, columns, frames or bits are not those of its pixel data."

SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_RCT": 3,
    "YBR_ICT": 3,
}
# Modalities whose stored values are shown as they are. CT, MR and PET hold quantities.
DISPLAY_MODALITIES = frozenset({"US", "IVUS", "OT", "XC", "ES", "GM", "SC"})
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DISPLAY_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.6.",  # Ultrasound
    "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame
    "1.2.840.10008.5.1.4.1.1.77.",  # Visible Light
)


def code_text(text: str) -> str:
    """A code or UID of a header for a message; other text, which may be a name, is not shown."""
    return text if CODE.fullmatch(text) else "none" if not text else "an invalid one"


def is_secondary_capture(sop_class_uid: str) -> bool:
    """Whether an object is a screen shot or another secondary capture, single or multi-frame.

    >>> is_secondary_capture("1.2.840.10008.5.1.4.1.1.7.4"), is_secondary_capture("1.2.840.10008.5.1.4.1.1.2")
    (True, False)
    """
    return sop_class_uid == SECONDARY_CAPTURE or sop_class_uid.startswith(f"{SECONDARY_CAPTURE}.")


def is_display_valued(header: ImageHeader | SourceRef) -> bool:
    """Whether the stored values are shown as they are: ultrasound and secondary captures."""
    if isinstance(header, ImageHeader) and header.of_volume:
        return False
    by_class = is_secondary_capture(header.sop_class_uid) or header.sop_class_uid.startswith(DISPLAY_CLASSES)
    return by_class or header.modality in DISPLAY_MODALITIES


def check_display_valued(header: ImageHeader | SourceRef) -> None:
    """Refuse what is no ultrasound or secondary capture: its values first need HU, SUV or another mapping."""
    if not is_display_valued(header):
        raise InputError(
            "an ultrasound or secondary capture image",
            found=f"modality {code_text(header.modality)}",
            remedy="Read CT, MR and PET as a series; single slices of them are not read as pictures.",
            path=header.path,
        )


def check_supported(header: ImageHeader, syntaxes: frozenset[UID]) -> None:
    """Refuse a transfer syntax, colour space, sample format or size that cannot be read correctly.

    Raises:
        InputError: with the header's values and a remedy.
    """
    syntax, photometric = header.transfer_syntax, header.photometric
    if syntax not in syntaxes:
        known = f" ({syntax.name})" if syntax.name != syntax else ""
        remedy = "Convert the file to Explicit VR Little Endian, or to JPEG frames where it is a video."
        _refuse(header, "a transfer syntax that can be decoded", code_text(syntax) + known, remedy)
    if SAMPLES.get(photometric) != header.samples:
        found = f"{code_text(photometric)} with {header.samples} samples per pixel"
        _refuse(header, f"one of {', '.join(SAMPLES)}", found)
    sizes = (8, 16) if is_display_valued(header) else (8, 16, 32)
    if header.bits_allocated not in sizes or not 1 <= header.bits_stored <= header.bits_allocated:
        found = f"{header.bits_stored} bits stored in {header.bits_allocated}"
        _refuse(header, "8 or 16 bits allocated", found)
    # Values of all bits allocated have one place only, whatever is stated, and a codestream has its own
    placed = header.bits_stored == header.bits_allocated or (syntax.is_encapsulated and syntax != RLELossless)
    if header.high_bit != header.bits_stored - 1 and not placed:
        found = f"high bit {header.high_bit} with {header.bits_stored} bits stored"
        _refuse(header, "values in the lowest bits", found)
    signed = header.pixel_representation and photometric.startswith("MONOCHROME")
    if signed and is_display_valued(header) and not has_window(header):
        refuse_signed(header, "signed ones, whose black and white are not defined")
    if header.rows * header.columns * 3 * (header.bits_allocated // 8) > FRAME_BYTES:
        wanted = f"frames of at most {FRAME_BYTES // 10**6} MB in colour"
        found = f"a header that says {header.rows} x {header.columns} pixels"
        remedy = "Export the file again; where the image is that large, make it smaller."
        _refuse(header, wanted, found, remedy)


def check_native_length(header: ImageHeader) -> None:
    """Refuse uncompressed pixel data whose length or subsampling contradicts the header.

    An excess of less than a row is padding (PS3.5 section 8.1.1), and so is one of less than a frame whose
    bytes are all one. With more, the rows, columns, frames or bits are not those of this image, which would
    come out skewed.
    """
    if header.value_length == UNDEFINED_LENGTH:
        wanted = "uncompressed pixel data of a stated length"
        _refuse(header, wanted, "fragments, as compressed data has them")
    pixels = header.rows * header.columns * header.number_of_frames * (header.bits_allocated // 8)
    subsampled = header.photometric == "YBR_FULL_422"
    needed = _needed_bytes(header)
    present = min(header.value_length, header.file_size - header.value_offset)
    frames = f", {header.number_of_frames} frames" if header.number_of_frames > 1 else ""
    size = f"{header.rows} x {header.columns} pixels of {header.samples} x {header.bits_allocated} bits"
    wanted = f"{needed} bytes of pixel data, for the stated {size}{frames}"
    if present < min(needed, header.value_length):
        remedy = "Copy or export the file again, it is cut off."
        _refuse(header, wanted, f"a file that ends after {present}", remedy)
    if present < needed:
        _refuse(header, wanted, f"{present}", LIE)
    if subsampled and header.value_length >= pixels * 3:
        found = "three, so that it may be RGB or YBR_FULL"
        remedy = "Correct its Photometric Interpretation (0028,0004)."
        _refuse(header, "YBR_FULL_422 data with two samples per pixel", found, remedy)
    excess = excess_bytes(header)
    row = header.columns * header.samples * (header.bits_allocated // 8)
    if excess >= row and (excess >= row * header.rows or not _is_padding(header, present - excess)):
        _refuse(header, wanted, f"{present}", LIE)
    if subsampled and header.columns % 2:
        _refuse(header, "an even number of columns for YBR_FULL_422", f"{header.columns}")


def _needed_bytes(header: ImageHeader) -> int:
    """Of uncompressed frames."""
    pixels = header.rows * header.columns * header.number_of_frames * (header.bits_allocated // 8)
    return pixels * (2 if header.photometric == "YBR_FULL_422" else header.samples)


def excess_bytes(header: ImageHeader) -> int:
    """The bytes behind the frames of uncompressed pixel data; 0 for compressed."""
    if header.transfer_syntax.is_encapsulated:
        return 0
    return max(0, min(header.value_length, header.file_size - header.value_offset) - _needed_bytes(header))


def _is_padding(header: ImageHeader, offset: int) -> bool:
    """Whether all bytes of the pixel data from ``offset`` on are one."""
    with header.opened() as file:
        file.seek(header.value_offset + offset)
        return len(set(file.read(header.value_length - offset))) == 1


def refuse_signed(header: ImageHeader, found: str) -> None:
    """Refuse signed grey values, of which nothing says what is black and what is white."""
    remedy = "Export the file with a window (0028,1050), (0028,1051), or with unsigned values."
    _refuse(header, "unsigned grey values, or signed ones with a window", found, remedy)


def check_codestream(header: ImageHeader, facts: Codestream) -> None:
    """Refuse a compressed frame whose size is not the header's; its bits may differ, as it states its own."""
    if facts.precision > header.bits_allocated:
        wanted = f"compressed frames of at most {header.bits_allocated} bits, as allocated"
        _refuse(header, wanted, f"one of {facts.precision} bits")
    if facts.precision != header.bits_stored:
        found = f"compressed frames of {facts.precision} bits, {header.bits_stored} stated: read by their own"
        warnings.warn(found, stacklevel=2)
    words = "{} x {} pixels, {} samples"
    wanted = words.format(header.rows, header.columns, header.samples)
    found = words.format(facts.rows, facts.columns, facts.components)
    if wanted != found:
        _refuse(header, f"compressed frames of the stated {wanted}", f"one of {found}")


def check_rle_length(header: ImageHeader, length: int) -> None:
    """Refuse an RLE frame of ``length`` bytes that cannot hold the header's number of pixels."""
    needed = header.rows * header.columns * header.samples * (header.bits_allocated // 8)
    if length * RLE_RATIO < needed:
        _refuse(header, f"a compressed frame that can hold {needed} bytes", f"one of {length} bytes")


def check_shape(header: ImageHeader, shape: tuple[int, ...]) -> None:
    """Refuse decoded samples (H, W) or (H, W, 3) of another shape than the header's."""
    size = (header.rows, header.columns)
    if shape != (size if header.samples == 1 else (*size, header.samples)):
        found = f"one of {' x '.join(map(str, shape))}"
        _refuse(header, f"frames of the stated {header.rows} x {header.columns} pixels", found)


def _refuse(
    header: ImageHeader, wanted: str, found: str, remedy: str = "Export the file again in a common format."
) -> None:
    raise InputError(wanted, found=found, remedy=remedy, path=header.path)
