"""The objects are valid ultrasound images, and every encoding shows the same picture."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import JPEGBaseline8Bit, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from pyraseg.pipeline.phantom.ultrasound.annotations import COLOURS, annotation_layer
from pyraseg.pipeline.phantom.ultrasound.cases import draw_planned_case, plan_cases
from pyraseg.pipeline.phantom.ultrasound.dicom import ENCODINGS, Encoding, Frames, build_dataset

PLAN = plan_cases(1, seed=5, patient_name=None)[0]
SECTOR = draw_planned_case(PLAN).sector


def picture(frames: int, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Frames:
    """A smooth picture inside the sector, so that JPEG changes it little; annotations around it."""
    rows, columns = np.mgrid[: SECTOR.rows, : SECTOR.columns]
    grey = np.where(SECTOR.mask(), 60 + 30 * np.sin(rows / 40) + 30 * np.cos(columns / 50), 0).astype(
        np.uint8
    )
    stack = np.stack([np.where(grey > 0, grey + 10 * index, 0) for index in range(frames)]).astype(np.uint8)
    return Frames(stack, annotation_layer(SECTOR, PLAN.header, calipers=True), tint, SECTOR, True)


def decoded(dataset: pydicom.Dataset) -> np.ndarray:
    pixels = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = (apply_color_lut(pixels, dataset) >> 8).astype(np.uint8)
    grey = dataset.PhotometricInterpretation == "MONOCHROME2"
    pixels = np.repeat(pixels[..., None], 3, -1) if grey else pixels
    return pixels if int(dataset.get("NumberOfFrames", 1)) > 1 else pixels[None]


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "encoding", ENCODINGS, ids=lambda e: f"{e.photometric}-{e.planar}-{e.transfer_syntax.name}"
)
def test_every_encoding_decodes_to_the_picture(tmp_path, encoding: Encoding, frames: int):
    shown = picture(frames)
    build_dataset(shown, PLAN.header, encoding=encoding, identity=("test",)).save_as(
        tmp_path / "a.dcm", enforce_file_format=True
    )
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    pixels = decoded(dataset)
    assert pixels.shape == (*shown.grey.shape, 3)
    tolerance = 6 if encoding.transfer_syntax == JPEGBaseline8Bit else 0
    tissue = SECTOR.mask()
    off = np.abs(pixels[:, tissue].astype(int) - shown.grey[:, tissue, None])
    assert np.percentile(off, 99) <= tolerance
    text = pixels[:, shown.layer == 1].mean()
    assert abs(text - COLOURS[1][0]) <= 3 * tolerance
    assert dataset.PhotometricInterpretation == encoding.photometric
    assert dataset.get("PlanarConfiguration") == encoding.planar
    assert dataset.file_meta.TransferSyntaxUID == encoding.transfer_syntax


def test_the_jpeg_has_half_as_many_chroma_columns():
    dataset = build_dataset(picture(1), PLAN.header, encoding=ENCODINGS[1], identity=("test",))
    stream = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    start = stream.index(b"\xff\xc0")
    factors = [stream[start + 11 + 3 * component] for component in range(3)]
    assert factors == [0x21, 0x11, 0x11]
    assert dataset.LossyImageCompression == "01"


def test_the_planar_configurations_hold_the_same_samples():
    together, apart = (
        build_dataset(picture(2, (1, 0.9, 0.8)), PLAN.header, encoding=ENCODINGS[i], identity=("t",))
        for i in (0, 4)
    )
    assert together.PixelData != apart.PixelData
    assert np.array_equal(decoded(together), decoded(apart))


def test_the_region_surrounds_the_tissue_and_carries_its_spacing():
    dataset = build_dataset(picture(1), PLAN.header, encoding=ENCODINGS[0], identity=("test",))
    (region,) = dataset.SequenceOfUltrasoundRegions
    rows, columns = np.nonzero(SECTOR.mask())
    box = (
        region.RegionLocationMinX0,
        region.RegionLocationMinY0,
        region.RegionLocationMaxX1,
        region.RegionLocationMaxY1,
    )
    assert box == (columns.min(), rows.min(), columns.max(), rows.max())
    assert (region.RegionSpatialFormat, region.RegionDataType) == (1, 1)
    assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)
    assert (10 * region.PhysicalDeltaY, 10 * region.PhysicalDeltaX) == pytest.approx(SECTOR.spacing_mm)


def test_spacing_varies_between_cases_and_one_case_has_none(images):
    regions = [
        pydicom.dcmread(path, stop_before_pixels=True).get("SequenceOfUltrasoundRegions") for path in images
    ]
    deltas = [(r[0].PhysicalDeltaX, r[0].PhysicalDeltaY) for r in regions if r]
    assert len(set(deltas)) == len(deltas) == len(images) - 1
    assert any(x != y for x, y in deltas)
    assert sum(not r for r in regions) == 1


def test_single_frames_and_cines_have_their_own_storage_class(images):
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in images]
    kinds = {(d.SOPClassUID, int(d.get("NumberOfFrames", 1)) > 1) for d in datasets}
    assert kinds == {(UltrasoundImageStorage, False), (UltrasoundMultiFrameImageStorage, True)}
    assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
    assert {(d.PhotometricInterpretation) for d in datasets} == {e.photometric for e in ENCODINGS}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (dicom3tools)")
def test_the_validator_finds_no_error(images):
    for path in images:
        found = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        lines = (found.stdout + found.stderr).splitlines()
        assert any(line.startswith("US") for line in lines)
        assert [line for line in lines if line.startswith("Error")] == []
