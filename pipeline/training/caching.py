"""Preprocessed items on disk, computed again when a file or a transform has changed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose, Randomizable
from monai.utils import TraceKeys, convert_to_tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from pyraseg.pipeline.networks import read_checkpoint
from pyraseg.pipeline.training.checkpoints import save_tensors
from pyraseg.pipeline.training.sampling import Draw
from pyraseg.pipeline.utils.files import private_folder
from pyraseg.transforms.dicom.files.search import search
from pyraseg.transforms.errors import ConfigError, InputError, OutputError
from pyraseg.transforms.io.paths import split_frame_path

__all__ = ["CachedDataset", "hash_files"]

logger = logging.getLogger(__name__)

# part of every cache key; raised when a transform computes something else under the same parameters
CACHE_VERSION = 2
# Beside tensors and plain values an item holds the keys of a MetaTensor's trace, and arrays of numbers in the
# records of MONAI's Orientation and Spacing. What rebuilds them is named by NumPy itself.
STORED_TYPES = [
    TraceKeys,
    np.ndarray,
    np.dtype,
    np.zeros(1).__reduce__()[0],
    np.float64(0).__reduce__()[0],
    *{type(np.dtype(code)) for code in np.typecodes["All"] if code != "O"},
]


class CachedDataset(PersistentDataset):
    """MONAI's ``PersistentDataset``, with a cache that notices changed files, transforms and entries.

    An entry that is damaged, or belongs to another item, is made anew. Without room for an entry the item is
    prepared again in every epoch.

    Args:
        data, transform, cache_dir: as MONAI's; the folder is made with the first item.
        track_meta: keep the metadata and the trace of transforms, for inversion.

    Raises:
        OutputError: with the first item, the folder cannot be written or belongs to another user.
        ConfigError: with the first item, the transforms give objects that are read back by no safe reader.
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
        super().__init__(data, flat, None, hash_transform=pickle_hashing, track_meta=track_meta)
        self.cache_dir = Path(cache_dir)
        self._opened = self._full = False
        self._random = np.random.RandomState()  # the kind that MONAI takes

    def __getitem__(self, index: Any) -> Any:
        """The item, augmented with the random numbers of its draw, whichever process loads it."""
        if isinstance(index, Draw) and isinstance(self.transform, Compose):
            # one generator for all: making one for each transform takes as long as all that they do
            self._random.seed(index.seed)
            for transform in self.transform.transforms:
                if isinstance(transform, Randomizable):
                    transform.set_random_state(state=self._random)
        return super().__getitem__(index)

    def _cachecheck(self, item_transformed: Any) -> Any:
        """The item before the first random transform, stored or fresh, of the same types either way.

        Not MONAI's, which meets a damaged entry with a traceback, or with a warning that names the path.
        """
        if not self._opened:
            private_folder(self.cache_dir, remedy="Name another with --cache_dir.")
            self._opened = True
        key = hash_files(item_transformed).decode() + self.transform_hash
        path = self.cache_dir / f"{key}.pt"
        item = _read(path, key)
        if item is None:
            item = self._pre_transform(deepcopy(item_transformed))
            item = convert_to_tensor(item, convert_numeric=False, track_meta=self.track_meta)
            self._store(item, path, key)
        return convert_to_tensor(item, convert_numeric=False, track_meta=self.track_meta)

    def _store(self, item: Any, path: Path, key: str) -> None:
        try:
            save_tensors(path, {"key": key, "item": item})
        except OutputError as error:
            if not self._full:
                logger.warning(
                    "the cache takes no more: %s; images are prepared again each time", error.found
                )
            self._full = True
            return
        with safe_globals(STORED_TYPES):
            unknown = get_unsafe_globals_in_checkpoint(path)
        if unknown:
            path.unlink(missing_ok=True)
            remedy = "Let the transforms before the random ones give these alone."
            wanted = "items of tensors, arrays of numbers and plain values, which the cache can read back"
            raise ConfigError(wanted, found=", ".join(sorted(unknown)), remedy=remedy)


def _read(path: Path, key: str) -> Any:
    """The item in an entry of the cache; None where there is none that is whole and of this key."""
    if not path.is_file():
        return None
    try:
        with safe_globals(STORED_TYPES):
            entry = read_checkpoint(path)
        if entry["key"] == key:
            return entry["item"]
    except Exception:  # bytes that were flipped raise anything in an unpickler
        pass
    logger.warning("an entry of the cache is damaged, and made anew")
    return None


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
    return [(str(file.relative_to(source)), *_size_and_time(file)) for file in search(source)[0]]


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        found = f"one that is gone ({error.strerror})"
        remedy = "Check the data set, or build the datalist again."
        raise InputError("an image or label file", found=found, remedy=remedy, path=file) from error
    return status.st_size, status.st_mtime_ns
