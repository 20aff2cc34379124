"""What an image file must satisfy before any memory is taken for its pixels."""

from __future__ import annotations

from pydicom.uid import UID, AllTransferSyntaxes, RLELossless

from transforms.dicom.codestream import Codestream
from transforms.dicom.header import UNDEFINED_LENGTH, ImageHeader
from transforms.errors import InputError
from transforms.records import SourceRef

__all__ = ["MAX_FRAME_BYTES", "check_codestream", "check_display_valued", "check_native_length", "check_supported"]

MAX_FRAME_BYTES = (
    2**28
)  # 268 MB decoded, 9,459 x 9,459 pixels of colour: more is a broken header, not an ultrasound frame

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
# Modalities whose stored values are what a display shows. CT, MR and PET hold quantities and come in by volume.
DISPLAY_MODALITIES = frozenset({"US", "IVUS", "OT", "XC", "ES", "GM", "SC"})
DISPLAY_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.6.",  # Ultrasound
    "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture and its multi-frame kin
)


def check_display_valued(header: ImageHeader | SourceRef) -> None:
    """Refuse what is not ultrasound or a secondary capture: its values need HU, SUV or a real-world mapping first."""
    if header.modality in DISPLAY_MODALITIES or header.sop_class_uid.startswith(DISPLAY_CLASSES):
        return
    raise InputError(
        "an ultrasound or secondary capture image",
        found=f"modality {header.modality or '(none)'}",
        remedy="Read CT, MR and PET as a series; single slices of them are not read as pictures.",
        path=header.path,
    )


def check_supported(header: ImageHeader, syntaxes: frozenset[UID]) -> None:
    """Refuse a transfer syntax, colour space, sample format or size that cannot be read right.

    Raises:
        InputError: with what the header says and what to do.
    """
    syntax, photometric = header.transfer_syntax, header.photometric
    if syntax not in syntaxes:
        known = f" ({syntax.name})" if syntax in AllTransferSyntaxes else ""
        _refuse(header, "a transfer syntax that can be decoded", f"{syntax or 'none'}{known}")
    if SAMPLES.get(photometric) != header.samples:
        _refuse(
            header, f"one of {', '.join(SAMPLES)}", f"{photometric or 'none'} with {header.samples} samples per pixel"
        )
    if header.bits_allocated not in (8, 16) or not 1 <= header.bits_stored <= header.bits_allocated:
        _refuse(header, "8 or 16 bits allocated", f"{header.bits_stored} bits stored in {header.bits_allocated}")
    if header.high_bit != header.bits_stored - 1 and (not syntax.is_encapsulated or syntax == RLELossless):
        _refuse(
            header, "values in the lowest bits", f"high bit {header.high_bit} with {header.bits_stored} bits stored"
        )
    if header.pixel_representation and photometric.startswith("MONOCHROME"):
        _refuse(header, "unsigned grey values", "signed ones, whose black and white are not defined")
    if header.rows * header.columns * header.samples * (header.bits_allocated // 8) > MAX_FRAME_BYTES:
        _refuse(
            header,
            f"frames of at most {MAX_FRAME_BYTES} bytes",
            f"a header that says {header.rows} x {header.columns} pixels",
        )


def check_native_length(header: ImageHeader) -> None:
    """Refuse uncompressed pixel data that is shorter than its header says, or whose subsampling is a lie."""
    if header.value_length == UNDEFINED_LENGTH:
        _refuse(header, "uncompressed pixel data of a stated length", "fragments, as compressed data has them")
    pixels = header.rows * header.columns * header.number_of_frames * (header.bits_allocated // 8)
    subsampled = header.photometric == "YBR_FULL_422"
    needed = pixels * (2 if subsampled else header.samples)
    present = min(header.value_length, header.file_size - header.value_offset)
    if present < needed:
        _refuse(
            header, f"{needed} bytes of pixel data", f"{present}", "Copy or export the file again, it is truncated."
        )
    if subsampled and header.value_length >= pixels * 3:
        _refuse(
            header,
            "YBR_FULL_422 data with two samples per pixel",
            "three, so that it may be RGB or YBR_FULL",
            "Correct its Photometric Interpretation (0028,0004).",
        )
    if subsampled and header.columns % 2:
        _refuse(header, "an even number of columns for YBR_FULL_422", f"{header.columns}")


def check_codestream(header: ImageHeader, facts: Codestream) -> None:
    """Refuse a compressed frame that is not of the size that the header says."""
    stated, found = (header.rows, header.columns, header.samples), (facts.rows, facts.columns, facts.components)
    if stated != found:
        _refuse(
            header,
            "compressed frames of the stated {} x {} pixels, {} samples".format(*stated),
            "one of {} x {} pixels, {} samples".format(*found),
        )


def _refuse(
    header: ImageHeader, wanted: str, found: str, remedy: str = "Export the file again in a common format."
) -> None:
    raise InputError(wanted, found=found, remedy=remedy, path=header.path)
