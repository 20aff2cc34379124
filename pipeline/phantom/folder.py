"""The output folder of a phantom: nothing half-written bears a final name, and a failure leaves nothing
behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyraseg.transforms.errors import OutputError

__all__ = ["draft_folder", "publish"]

LAST = "datalist.json"  # written last: with it, the data set is complete


@contextmanager
def draft_folder(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Make the folder and, in it, a draft with a folder for each part; remove the draft at the end.

    Without a datalist, which comes last, all that was written is removed too.

    Raises:
        OutputError: the folder is not empty or cannot be written.
    """
    made = not folder.exists()
    draft = _open(folder, parts)
    try:
        yield draft
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if not (folder / LAST).exists():
            _clear(folder, made=made)


def publish(draft: Path, folder: Path) -> None:
    """Give what lies in the draft its final name."""
    for part in sorted(draft.iterdir()):
        part.rename(folder / part.name)


def _open(folder: Path, parts: Sequence[str]) -> Path:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(
                "an empty or a new output folder",
                found="one with files in it" if folder.is_dir() else "a file",
                remedy="Choose another folder or empty this one.",
                path=folder,
            )
        draft = folder / ".partial"
        for part in parts:
            (draft / part).mkdir(parents=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return draft


def _clear(folder: Path, *, made: bool) -> None:
    """Empty the folder, which was empty or not there when the draft was opened."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    if made:
        folder.rmdir()


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        "an output folder that can be written",
        found=f"a failure to write ({error.strerror})",
        remedy="Check its permissions and the free space, or choose another folder.",
        path=folder,
    )
