"""The stored values of many planes, decoded on all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import readable
from pyraseg.transforms.dicom.pixels.codecs import as_stored, decode_grey
from pyraseg.transforms.dicom.pixels.decode import FrameDecoder
from pyraseg.transforms.dicom.series.planes import PlaneHeader
from pyraseg.transforms.errors import InputError

__all__ = ["check_planes", "stored_planes"]

AHEAD = 4  # planes per worker that are decoded before the first is taken
WORTH_PROCESSES = 2**23  # pixels of compressed data, a second or so; processes take as long to start


def check_planes(planes: Iterable[PlaneHeader]) -> None:
    """Refuse what the headers alone show to be undecodable or no grey volume, before any memory is taken.

    Raises:
        InputError: colour, an unknown transfer syntax, or pixel data that is shorter than the header says.
    """
    for image in {plane.image.path: plane.image for plane in planes}.values():
        if not image.path.is_file() or image.path.stat().st_size != image.file_size:
            found, remedy = "one that is gone or has another size", "Find the series again."
            raise InputError("the file that was found", found=found, remedy=remedy, path=image.path)
        FrameDecoder(image)
        if not image.photometric.startswith("MONOCHROME"):
            found = "colour or a palette, as screen shots and fused images have it"
            raise InputError("grey slices", found=found, remedy="Leave them out.", path=image.path)


def stored_planes(planes: Sequence[PlaneHeader], *, workers: int | None = None) -> Iterator[np.ndarray]:
    """Stored values (rows, columns) of each plane in order, int16 or uint16 or smaller.

    Uncompressed planes are read by threads. The decoders of compressed ones hold the interpreter's lock:
    large series are decoded by processes, unless this is one of a data loader already.

    Args:
        workers: how many; all cores by default.

    Raises:
        InputError: a plane cannot be decoded.
    """
    workers = workers or len(os.sched_getaffinity(0))
    compressed = any(plane.image.transfer_syntax.is_encapsulated for plane in planes)
    pixels = sum(plane.image.rows * plane.image.columns for plane in planes)
    if compressed and (pixels < WORTH_PROCESSES or multiprocessing.current_process().daemon):
        workers = 1
    if workers == 1 or len(planes) < 2 * workers:
        yield from map(_stored, planes)
    elif compressed:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
            yield from _in_order(pool, planes, ahead=AHEAD * workers)
    else:
        with ThreadPoolExecutor(workers) as threads:
            yield from _in_order(threads, planes, ahead=AHEAD * workers)


def _in_order(pool: Any, planes: Sequence[PlaneHeader], *, ahead: int) -> Iterator[np.ndarray]:
    """Like `Executor.map`, with few results waiting."""
    rest = iter(planes)
    waiting: list[Future[np.ndarray]] = [pool.submit(_stored, plane) for plane in islice(rest, ahead)]
    try:
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(_stored, plane) for plane in islice(rest, 1)]
    finally:
        for future in waiting:
            future.cancel()


def _stored(plane: PlaneHeader) -> np.ndarray:
    image = plane.image
    if image.transfer_syntax.is_encapsulated:
        return as_stored(image, _decoder(image).stored(plane.frame_index))
    with readable("decodable pixel data", path=image.path, found="none", remedy="Export the file again."):
        return decode_grey(image, plane.frame_index)


@lru_cache(maxsize=4)
def _decoder(image: ImageHeader) -> FrameDecoder:
    """Kept for the frames that follow: they are located once."""
    return FrameDecoder(image)
