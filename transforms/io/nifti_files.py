"""Open NIfTI files within plausible sizes: the header is looked at before anything that it announces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyraseg.transforms.dicom.files.search import check_regular
from pyraseg.transforms.dicom.files.values import malformed
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.limits import INFLATION, NIFTI_OFFSET, VOLUME_BYTES, VOXELS

if TYPE_CHECKING:
    from nibabel import Nifti1Image

__all__ = ["nifti_data", "open_nifti"]

DAMAGED: dict[str, Any] = {
    "wanted": "a readable NIfTI file",
    "found": "a damaged or another kind of file",
    "remedy": "Replace the file or leave it out.",
}
HEADER_BYTES = 540  # of NIfTI-2; 348 of NIfTI-1
AROUND = 2**16  # bytes by which the estimate of what a file inflates to may be short


def open_nifti(path: str | Path) -> Nifti1Image:
    """Open a NIfTI-1 or NIfTI-2 file; its voxels stay on disk, and fit into its bytes and into `limits`.

    Raises:
        InputError: another kind of file, a damaged one, or one that announces more than it can hold, more
            than `VOXELS` or more than `VOLUME_BYTES`.
    """
    import nibabel
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.openers import ImageOpener

    path = Path(path)
    check_regular(path, wanted="a readable NIfTI file")
    with malformed(path=path, **DAMAGED):
        with ImageOpener(path) as file:
            start = file.read(HEADER_BYTES)
        new = len(start) == HEADER_BYTES and HEADER_BYTES in (
            int.from_bytes(start[:4], order) for order in ("little", "big")
        )
        kind: Any = nibabel.Nifti2Image if new else nibabel.Nifti1Image
        own = start[: kind.header_class.template_dtype.itemsize]  # no extensions, which may state any length
        header = kind.header_class(own)
        shape, bits = tuple(map(int, header.get_data_shape())), 8 * header.get_data_dtype().itemsize
        offset = float(header["vox_offset"])
    _check_size(path, shape, bits=bits, offset=offset)
    with malformed(path=path, **DAMAGED):
        return kind(ArrayProxy(str(path), header.copy()), None, header)


def _check_size(path: Path, shape: tuple[int, ...], *, bits: int, offset: float) -> None:
    voxels = math.prod(shape)
    stored = voxels * bits // 8
    size = path.stat().st_size
    most = AROUND + size * (INFLATION if path.suffix.lower() == ".gz" else 1)
    header = f"a header that says {' x '.join(map(str, shape))} voxels of {bits} bits"
    remedy = "Crop or resample it, or store it in fewer bits."
    if voxels > VOXELS or stored > VOLUME_BYTES:
        wanted = f"a volume of at most {VOXELS} voxels and {VOLUME_BYTES} bytes"
    elif min(shape, default=0) < 1 or not 0 <= offset <= NIFTI_OFFSET or offset + stored > most:
        wanted, remedy = "a file that holds what its header announces", DAMAGED["remedy"]
        header += f" behind {offset:.0f}, in a file of {size} bytes"
    else:
        return
    raise InputError(wanted, found=header, remedy=remedy, path=path)


def nifti_data(image: Nifti1Image, path: str | Path, dtype: Any = None) -> np.ndarray:
    """The values of an opened file, in ``dtype`` or as they are stored, with the header's scale.

    Raises:
        InputError: they are cut off or damaged.
    """
    with malformed(path=path, **DAMAGED), np.errstate(over="ignore", invalid="ignore"):
        if dtype is None:
            return np.asanyarray(image.dataobj)
        return np.asarray(image.get_fdata(dtype=dtype, caching="unchanged"))
