"""What is fuzzed: each target reads a file as a command does, and makes its own small seeds.

The law of every target: any bytes give a result or one of our errors, in bounded memory and time.
"""

from __future__ import annotations

import gzip
import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, uid

from tests.transforms.dicom.conftest import image_dataset, set_encoded, set_native, ultrasound_region
from tests.transforms.dicom.label_cases import (
    FRAME_OF_REFERENCE,
    SERIES,
    contour,
    oblique_grid,
    reference,
    source_series,
    write_structures,
)
from tests.transforms.dicom.series_cases import write_enhanced, write_series

__all__ = ["TARGETS", "Target", "write_seeds"]

FRAMES = 3  # decoded of each file
GRID = oblique_grid()


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        read: reads a file; raises nothing but `PyrasegError`.
        seeds: small files that it reads, by content.
        name: of the file, as its reader needs it, by its content.
        mend: makes check sums right again, which hide everything behind them.
    """

    read: Callable[[Path], object]
    seeds: Callable[[Path], Iterable[bytes]]
    name: Callable[[bytes], str] = lambda data: "file.dcm"
    mend: Callable[[bytes], bytes] = bytes

    def try_bytes(self, data: bytes, folder: Path) -> str:
        """Read the bytes as a file in a folder: "a result", or the sentence of our error.

        Anything else that is raised breaks the law.
        """
        from pyraseg.transforms.errors import PyrasegError

        for name in ("a.png", "b.png"):  # for lists and tables to name
            (folder / name).touch()
        path = folder / self.name(data)
        path.write_bytes(self.mend(data))
        try:
            self.read(path)
        except PyrasegError as error:
            return str(error)
        finally:
            path.unlink()
        return "a result"


def write_seeds(name: str, folder: Path) -> list[Path]:
    """The seeds of a target as files."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        seeds = list(TARGETS[name].seeds(Path(scratch)))
    paths = [folder / f"seed{number}" for number in range(len(seeds))]
    for path, seed in zip(paths, seeds, strict=True):
        path.write_bytes(seed)
    return paths


def _read_frames(path: Path) -> None:
    """As a batch: the header, then some frames."""
    from pyraseg.transforms.dicom.files.objects import read_object
    from pyraseg.transforms.dicom.pixels.decode import CineReader

    found, cine = read_object(path), CineReader(path)
    rows, columns = cine.header.rows, cine.header.columns
    if not found.problem and (found.source is None or found.source.rows != rows):
        raise AssertionError("the discovery and the reader disagree")
    for index in range(min(len(cine), FRAMES)):
        if (shape := cine.frame(index).shape) not in ((1, rows, columns), (3, rows, columns)):
            raise AssertionError(f"a frame of {shape}")


def _frame_seeds(scratch: Path) -> Iterable[bytes]:
    rows, columns = np.mgrid[:40, :48]
    grey = (rows * 3 + columns * 2).astype(np.uint8)
    colour = np.stack([rows * 6, columns * 4, 255 - rows * 3 - columns * 2], axis=-1).astype(np.uint8)
    deep = {"WindowCenter": "20000", "WindowWidth": "30000"}
    region = {"SequenceOfUltrasoundRegions": [ultrasound_region((2, 2, 20, 30), (0.1, 0.1))]}
    for syntax in (
        *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
        *(uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless),
    ):
        jpeg = syntax == uid.JPEGBaseline8Bit
        kinds = [([grey, grey[::-1].copy()], "MONOCHROME2", region), ([grey], "MONOCHROME1", {})]
        kinds.append(([colour], "YBR_FULL_422" if jpeg else "RGB", region))
        kinds += [] if jpeg else [([grey.astype(np.uint16) * 200], "MONOCHROME2", deep)]
        for frames, photometric, more in kinds:
            dataset = image_dataset(frames, photometric=photometric, syntax=syntax, **more)
            dataset.StudyInstanceUID = "1.2.3"  # by which results are filed
            (set_encoded if syntax.is_encapsulated else set_native)(dataset, frames)
            yield _saved(dataset)


def _saved(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _read_series(path: Path) -> object:
    from pyraseg.transforms.dicom.series.find import find_series, the_series
    from pyraseg.transforms.dicom.series.volume import read_series

    chosen = the_series(find_series([path]), number=1)
    return read_series(chosen, stack=1, repair=("single_slice", "copies", "longest_run"), workers=1)


def _series_seeds(scratch: Path) -> Iterable[bytes]:
    for modality in ("CT", "MR", "PT"):
        if modality != "PT":
            yield write_enhanced(scratch / f"{modality}.dcm", modality=modality).read_bytes()
        folder = write_series(scratch / modality, modality=modality)
        yield next(path for path in sorted(folder.iterdir()) if path.is_file()).read_bytes()
    folder = write_series(scratch / "rle", syntax=uid.RLELossless)
    yield next(iter(sorted(folder.iterdir()))).read_bytes()


def _read_nifti(path: Path) -> None:
    from pyraseg.pipeline.datalist.sources.headers import mask_values, read_grid
    from pyraseg.transforms.io.frames import FrameReader
    from pyraseg.transforms.io.nifti_volumes import check_nifti_volume, read_nifti_labels, read_nifti_volume

    reader = FrameReader()
    readers = (
        *(check_nifti_volume, read_nifti_volume, read_nifti_labels, read_grid, mask_values),
        lambda each: reader.get_data(reader.read(each)),
    )
    _each(readers, path)


def _each(readers: Iterable[Callable[[Path], object]], path: Path) -> None:
    """Read by each reader, whatever the others say."""
    from pyraseg.transforms.errors import PyrasegError

    for read in readers:
        with suppress(PyrasegError):
            read(path)


def _nifti_seeds(scratch: Path) -> Iterable[bytes]:
    import nibabel

    values = np.arange(60).reshape(3, 4, 5)
    affine = np.array([[-0.7, 0, 0, 1], [0, -1.5, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]])
    for kind, dtype in ((nibabel.Nifti1Image, np.int16), (nibabel.Nifti2Image, np.float32)):
        image = kind(values.astype(dtype), affine)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a comment"))
        yield image.to_bytes()
        yield gzip.compress(image.to_bytes(), mtime=0)
        yield kind(values[:, :, 0].astype(np.uint8), affine).to_bytes()


def _nifti_name(data: bytes) -> str:
    return "file.nii.gz" if data[:2] == b"\x1f\x8b" else "file.nii"


def _read_picture(path: Path) -> None:
    from pyraseg.pipeline.datalist.sources.headers import mask_values, read_grid
    from pyraseg.transforms.io.frames import read_picture

    _each((read_picture, lambda each: read_picture(each, as_labels=True), read_grid, mask_values), path)


def _picture_seeds(scratch: Path) -> Iterable[bytes]:
    from PIL import Image, PngImagePlugin

    said = PngImagePlugin.PngInfo()
    said.add_text("comment", "a comment", zip=True)
    rows, columns = np.mgrid[:12, :16]
    grey = Image.fromarray((rows * 9 + columns * 5).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode, form, more in (
        ("L", "PNG", {"pnginfo": said, "icc_profile": b"a profile"}),
        ("P", "PNG", {"transparency": 0}),
        ("1", "PNG", {}),
        ("I;16", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("L", "JPEG", {"exif": exif}),
        ("RGB", "JPEG", {"progressive": True}),
        ("RGB", "BMP", {}),
        ("P", "BMP", {}),
    ):
        file = BytesIO()
        image = Image.fromarray(np.asarray(grey).astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
        image.save(file, form, **more)
        yield file.getvalue()


def _mend_png(data: bytes) -> bytes:
    """With the check sum of each chunk."""
    mended, at = bytearray(data), 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        struct.pack_into(">L", mended, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def _read_labels(path: Path) -> object:
    from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels

    drawn = read_drawn_labels(path)
    return drawn.label_map(source_series(GRID), dict.fromkeys(drawn.parts, 1), nearest=True, crop=True)


def _seg_seeds(scratch: Path) -> Iterable[bytes]:
    yield _segmentation("BINARY", bits=1)
    yield _segmentation("FRACTIONAL", bits=8)
    yield _segmentation("LABELMAP", bits=8)
    yield _segmentation("FRACTIONAL", bits=8, syntax=uid.RLELossless)


def _segmentation(kind: str, *, bits: int, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> bytes:
    """Two frames on the first slices of the grid."""
    columns, rows, _ = GRID.shape
    frames = [((np.indices((rows, columns)).sum(axis=0) + at) % 2).astype(np.uint8) for at in (0, 1)]
    dataset = image_dataset(frames, photometric="MONOCHROME2", syntax=syntax)
    classes = {"LABELMAP": uid.UID("1.2.840.10008.5.1.4.1.1.66.7")}
    dataset.SOPClassUID = classes.get(kind, uid.SegmentationStorage)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.Modality, dataset.SegmentationType, dataset.FrameOfReferenceUID = "SEG", kind, FRAME_OF_REFERENCE
    if kind == "FRACTIONAL":
        dataset.MaximumFractionalValue = 1
    dataset.SegmentSequence = [_item(SegmentNumber=1, SegmentLabel="tumour")]
    listed = _item(SeriesInstanceUID=SERIES, ReferencedInstanceSequence=[reference(f"{SERIES}.1")])
    dataset.ReferencedSeriesSequence = [listed]
    orientation = [f"{value:.9f}" for value in (*GRID.row_direction, *GRID.column_direction)]
    plane = _item(ImageOrientationPatient=orientation)
    measures = _item(PixelSpacing=[f"{GRID.spacing[1]:.6f}", f"{GRID.spacing[0]:.6f}"])
    shared = _item(PlaneOrientationSequence=[plane], PixelMeasuresSequence=[measures])
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_groups(at) for at in range(len(frames))]
    (set_encoded if syntax.is_encapsulated else set_native)(dataset, frames)
    if bits == 1:
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
        packed = np.packbits(np.concatenate([frame.ravel() for frame in frames]), bitorder="little").tobytes()
        dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    return _saved(dataset)


def _groups(at: int) -> Dataset:
    place = np.array(GRID.origin) + at * GRID.spacing[2] * np.array(GRID.slice_direction)
    source = _item(SourceImageSequence=[reference(f"{SERIES}.{at + 1}")])
    return _item(
        DerivationImageSequence=[source],
        PlanePositionSequence=[_item(ImagePositionPatient=[f"{value:.9f}" for value in place])],
        SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
    )


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def _structure_seeds(scratch: Path) -> Iterable[bytes]:
    square = [(1, 1), (9, 1), (9, 8), (1, 8)]
    outer = contour(GRID, square, at=2, image=f"{SERIES}.3")
    inner = contour(GRID, [(3, 3), (5, 3), (5, 5)], at=2)
    xor = contour(GRID, square, at=1, kind="CLOSEDPLANAR_XOR")
    point = contour(GRID, [(1, 1)], at=3.3, kind="POINT")
    yield write_structures(scratch / "a.dcm", {1: ("tumour", [outer, inner])}).read_bytes()
    regions = {1: ("tumour", [xor]), 2: ("node", [point, outer]), 3: ("none", None)}
    yield write_structures(scratch / "b.dcm", regions).read_bytes()


def _read_datalist(path: Path) -> object:
    from pyraseg.pipeline.datalist import load_datalist

    return load_datalist(path, split="training")


def _datalist_seeds(scratch: Path) -> Iterable[bytes]:
    names = ["background", "kidney"]
    items = [
        {"image": f"{name}.png", "label": f"{name}.png", "group": name, "case": name} for name in ("a", "b")
    ]
    framed = [{"image": "a.png#frame_index=1", "label": "b.png", "fold": 0}]
    for content in (
        {"training": items, "validation": [], "test": [], "label_names": names, "seed": 1, "digest": "ab"},
        {"training": framed, "label_names": names, "label_map": {"0": 0, "255": 1}, "keep_names": True},
        {"training": items[:1], "label_names": names, "label_map": {"tumour": 1}, "reading": {"stack": 1}},
    ):
        yield json.dumps(content).encode()


def _read_table(path: Path) -> object:
    from pyraseg.pipeline.datalist.sources.table import TableSource

    return TableSource(path, category="kind").collect()


def _table_seeds(scratch: Path) -> Iterable[bytes]:
    yield b"image,label,group,kind\na.png,b.png,p1,x\nb.png,a.png,p2,\n"
    yield b'\xef\xbb\xbfgroup,image,label,kind\r\n"p,1",a.png,"b.png","x""y"\r\n'


def _read_checkpoint(path: Path) -> None:
    from pyraseg.pipeline.networks.checkpoint import facts_of, find_state, read_checkpoint

    content = read_checkpoint(path)
    facts_of(content)
    find_state(content, path=path)


def _checkpoint_seeds(scratch: Path) -> Iterable[bytes]:
    import torch

    from pyraseg.pipeline.networks.checkpoint import with_facts

    state = with_facts({"weight": torch.ones(2, 3)}, {"label_names": ["background", "kidney"]})
    for content in (state, {"model": {"bias": torch.zeros(2)}, "epoch": 3}):
        for zipped in (True, False):  # without, as before PyTorch 1.6, no check sum hides the pickle
            file = BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=zipped)
            yield file.getvalue()


TARGETS = {
    "frame": Target(_read_frames, _frame_seeds),
    "series": Target(_read_series, _series_seeds),
    "nifti": Target(_read_nifti, _nifti_seeds, _nifti_name),
    "picture": Target(_read_picture, _picture_seeds, lambda data: "file.png", _mend_png),
    "seg": Target(_read_labels, _seg_seeds),
    "rtstruct": Target(_read_labels, _structure_seeds),
    "datalist": Target(_read_datalist, _datalist_seeds, lambda data: "datalist.json"),
    "table": Target(_read_table, _table_seeds, lambda data: "table.csv"),
    "checkpoint": Target(_read_checkpoint, _checkpoint_seeds, lambda data: "model.pt"),
}
