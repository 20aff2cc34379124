"""Programs that judge DICOM files: dciodvfy (Debian's dicom3tools), dcmdump and dsrdump (dcmtk)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {"dciodvfy": "dicom3tools", "dcmdump": "dcmtk", "dsrdump": "dcmtk"}


def needs(program: str) -> pytest.MarkDecorator:
    """Skips a test, with the reason, where a program is missing."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program} ({PACKAGES[program]})")


def errors(path: Path) -> list[str]:
    """The lines of dciodvfy that start with "Error"; its exit code says nothing."""
    lines = _run("dciodvfy", path)
    assert lines, "dciodvfy always says what it takes the file for"
    return [line for line in lines if line.startswith("Error")]


def accepts(program: str, path: Path) -> bool:
    """Whether dcmdump or dsrdump reads the whole file."""
    done = subprocess.run([program, str(path)], capture_output=True, check=False)
    return done.returncode == 0 and not [
        line for line in done.stderr.splitlines() if line.startswith((b"E:", b"F:"))
    ]


def _run(program: str, path: Path) -> list[str]:
    done = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout + done.stderr).splitlines()
