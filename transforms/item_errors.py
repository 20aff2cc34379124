"""What is told of an item that failed, whatever was raised: the boundary between one item and all others."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from pyraseg.transforms.errors import InputError, PyrasegError, RunError

__all__ = ["OURS", "TRACEBACK_VARIABLE", "item_error"]

TRACEBACK_VARIABLE = "PYRASEG_TRACEBACK"
ROOT = Path(__file__).resolve().parents[1]
OURS = (f"{ROOT / 'pipeline'}{os.sep}", f"{ROOT / 'transforms'}{os.sep}")  # this project's code


def item_error(error: Exception) -> PyrasegError:
    """The error of one item, for whoever does many: call it where every ``Exception`` of an item is caught.

    Parsers of foreign bytes raise what they like, so no list of exceptions would be whole. An error of this
    project, also behind MONAI's wrapping, is itself; memory that runs out and files that the system refuses
    are told as such. Anything else is a bug of ours and says where it happened, without its message, which
    may quote a path or the patient.

    >>> item_error(MemoryError()).found
    'one that does not'
    """
    if os.environ.get(TRACEBACK_VARIABLE) == "1" and not isinstance(error, PyrasegError):
        traceback.print_exception(error)
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, PyrasegError):
            return chain
        if isinstance(chain, MemoryError) or "alloc" in str(chain):  # torch: "can't allocate memory"
            remedy = "Give it more with fewer --workers, or process it on a larger machine."
            return InputError("an item that fits into the memory", found="one that does not", remedy=remedy)
        if isinstance(chain, OSError) and chain.strerror:
            remedy = "Check that it is still there, and who may read it."
            found = f"one that the system refuses ({chain.strerror})"
            return InputError("a file that can be read", found=found, remedy=remedy)
        chain = chain.__cause__ or chain.__context__
    return _internal_error(error)


def _internal_error(error: BaseException) -> RunError:
    while error.__cause__ is not None:  # MONAI wraps the error of a transform
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames[1:] if frame.filename.startswith(OURS)]  # the first is the boundary's
    last = (ours or frames)[-1]
    file = os.path.relpath(last.filename, ROOT) if ours else os.path.basename(last.filename)
    kind = type(error).__name__
    return RunError(
        "an item that can be processed",
        found=f"an internal error of pyraseg, an unexpected {kind} in {file}, line {last.lineno}",
        remedy=f"Report it; the file need not be at fault. {TRACEBACK_VARIABLE}=1 shows the traceback.",
    )
