"""Preprocessed items on disk, computed again when a file or a transform has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose
from monai.utils import TraceKeys, convert_to_tensor

from pyraseg.pipeline.training.sampling import Draw
from pyraseg.transforms.dicom.files.search import search
from pyraseg.transforms.errors import InputError, OutputError
from pyraseg.transforms.io.paths import split_frame_path

__all__ = ["CachedDataset", "hash_files"]

# part of every cache key; raised when a transform computes something else under the same parameters
CACHE_VERSION = 1


class CachedDataset(PersistentDataset):
    """MONAI's ``PersistentDataset``, with a cache that notices changed files and transforms.

    Args:
        data, transform, cache_dir: as MONAI's; the folder is made with the first item.
        track_meta: keep the metadata and the trace of transforms, for inversion.
    """

    def __init__(
        self,
        data: Sequence[Any],
        transform: Callable[..., Any],
        cache_dir: str | Path,
        *,
        track_meta: bool = False,
    ) -> None:
        # MONAI takes a nested Compose for random and would cache what comes before it: the paths.
        flat = transform.flatten() if isinstance(transform, Compose) else transform
        super().__init__(
            data,
            flat,
            None,  # MONAI would make the folder now, and MONAI's clients build a dataset before they may
            hash_func=hash_files,
            hash_transform=pickle_hashing,
            track_meta=track_meta,
        )
        self.cache_dir = Path(cache_dir)

    def __getitem__(self, index: Any) -> Any:
        """The item, augmented with the random numbers of its draw, whichever process loads it."""
        if isinstance(index, Draw) and isinstance(self.transform, Compose):
            self.transform.set_random_state(seed=index.seed)
        return super().__getitem__(index)

    def _cachecheck(self, item_transformed: Any) -> Any:
        """As MONAI's, with two repairs.

        MONAI does not allow ``TraceKeys``, the keys of a MetaTensor's trace, when it reads an item back. And
        a fresh item keeps its metadata where a stored one has none, so a batch of both does not collate.
        """
        self._make_folder()
        with torch.serialization.safe_globals([TraceKeys]):
            item = super()._cachecheck(item_transformed)
        return convert_to_tensor(item, convert_numeric=False, track_meta=self.track_meta)

    def _make_folder(self) -> None:
        try:
            self.cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found = f"one that cannot be made ({error.strerror})"
            remedy = "Name another place with --cache_dir."
            raise OutputError("a cache folder", found=found, remedy=remedy, path=self.cache_dir) from error


def hash_files(item: Mapping[str, Any]) -> bytes:
    """Cache key of a datalist item: its content, and size and time of every file that it names.

    MONAI's key depends on paths only: training would go on with the cached copy of a corrected mask.

    Raises:
        InputError: a file or folder is gone.
    """
    stamps = {key: _stamp(value) for key, value in item.items() if key in ("image", "label")}
    text = json.dumps([CACHE_VERSION, dict(item), stamps], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest().encode()


def _stamp(path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of the file, or of each file below the folder of a series."""
    source = split_frame_path(path)[0]
    files = search(source)[0] if source.is_dir() else [source]
    return [(str(file.relative_to(source)), *_size_and_time(file)) for file in files]


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        found = f"one that is gone ({error.strerror})"
        remedy = "Check the data set, or build the datalist again."
        raise InputError("an image or label file", found=found, remedy=remedy, path=file) from error
    return status.st_size, status.st_mtime_ns
