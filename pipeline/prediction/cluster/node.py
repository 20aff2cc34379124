"""What a node must have before it gets items: this version, the inputs and the common output folder."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pyraseg.pipeline.prediction.output.folder_lock import STATE
from pyraseg.pipeline.utils.files import private_files
from pyraseg.pipeline.utils.version import package_version
from pyraseg.transforms.errors import InputError, OutputError, PyrasegError, UsageError

__all__ = ["Common", "check_node", "common_to_nodes"]

WANTED = "an output folder that is common to all nodes"
MOUNT = "Put --output on a file system that every node has under the same path."


@dataclass(frozen=True)
class Common:
    """What the driver and its nodes have in common.

    Attributes:
        output: the folder, absolute.
        token: the name of a file that the driver has made in it.
        lock: the name of the lock that the driver holds.
        inputs: what must be there; absolute.
        version: of this package.
    """

    output: Path
    token: str
    lock: str
    inputs: Sequence[Path]
    version: str


@contextmanager
def common_to_nodes(output: Path, shard: str, *, inputs: Sequence[Path]) -> Iterator[Common]:
    """Leave a token in the output folder for the block; its lock is held by the caller.

    Raises:
        OSError: it cannot be written.
    """
    token = output / STATE / f"nodes-{shard}-{secrets.token_hex(8)}"
    for stale in token.parent.glob(f"nodes-{shard}-*"):  # of a driver that was killed
        stale.unlink()
    token.touch(mode=0o600)
    try:
        yield Common(output, token.name, f"run-{shard}.lock", inputs, package_version())
    finally:
        token.unlink(missing_ok=True)


def check_node(common: Common, name: str) -> PyrasegError | None:
    """Why this node, called ``name``, cannot take items; None where it can. Called on the node.

    The folder must be the driver's (its token is there), move a folder by its name, and have the locks of all
    nodes: the driver's must hold here.
    """
    if package_version() != common.version:
        found = f"{package_version()} on the node {name}"
        return UsageError(f"pyraseg {common.version} on every node", found=found, remedy="Install it there.")
    for path in common.inputs:
        if not path.exists():
            found, remedy = (
                f"a node without one ({name})",
                "Name inputs that every node has by the same path.",
            )
            return InputError("inputs that all nodes can read", found=found, remedy=remedy, path=path)
    state = common.output / STATE
    if not state.is_dir():
        return OutputError(WANTED, found=f"a node without it ({name})", remedy=MOUNT, path=common.output)
    if not (state / common.token).exists():
        found = f"a node where another folder has its name ({name})"
        return OutputError(WANTED, found=found, remedy=MOUNT, path=common.output)
    try:
        with private_files():
            _move(state / f"{common.token}-{secrets.token_hex(4)}")
        if _can_lock(state / common.lock):
            remedy = "Mount it with locks, as NFS 4 does; without them use --shard, one machine a shard."
            found = f"one whose locks do not reach the node {name}"
            return OutputError(WANTED, found=found, remedy=remedy, path=common.output)
    except OSError as error:
        found = f"one that the node {name} cannot write ({error.strerror or type(error).__name__})"
        remedy = "Give your user there write access, and a file system with rename and locks."
        return OutputError(WANTED, found=found, remedy=remedy, path=common.output)
    return None


def _move(folder: Path) -> None:
    """Make a folder with a file, and rename it, as results are published."""
    moved = folder.with_name(f"{folder.name}-moved")
    try:
        folder.mkdir()
        (folder / "probe").write_bytes(b"")
        folder.rename(moved)
        (moved / "probe").stat()
    finally:
        for left in (folder, moved):
            shutil.rmtree(left, ignore_errors=True)


def _can_lock(path: Path) -> bool:
    with contextlib.suppress(Timeout), FileLock(path, timeout=0):
        return True
    return False
