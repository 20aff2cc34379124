"""The peers' own environments, made on first use under ``peers/``, and scripts that run in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.processes import run

__all__ = ["PINS", "Missing", "command", "in_environment"]

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "peers"
INSIDE = Path(__file__).with_name("inside")
# What both sides use, torch, numpy or pydicom, has the version that ours has, by the constraints.
PINS = {
    "nnunet": ("nnunetv2==2.8.1",),
    "monai": ("monai==1.6.1", "nibabel==5.4.2", "torch==2.13.0"),
    "dicom": ("highdicom==0.28.2", "dicom2nifti==2.6.2", "rt-utils==1.2.7"),
}


class Missing(Exception):
    """A peer that cannot be installed or failed, with its own last words; the table says so."""


def command(name: str, program: str = "python") -> str:
    """The path of a program of the peer's environment."""
    folder, pins = PLACE / name, PINS[name]
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.read_text().split() != list(pins):
        shutil.rmtree(folder, ignore_errors=True)
        _quietly(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _quietly(*pip, "-c", str(ROOT / "constraints.txt"), *pins)
        stamp.write_text("\n".join(pins))
    return str(folder / "bin" / program)


def in_environment(name: str, script: str, *words: object, **variables: str) -> dict[str, Any]:
    """Run a script of ``inside/`` in a peer's environment: the JSON of its last line, and what it took.

    Raises:
        Missing: there is no such environment here, or the script failed.
    """
    python = command(name)
    try:
        spent = run([python, str(INSIDE / script), *map(str, words)], {**os.environ, **variables})
    except subprocess.CalledProcessError as error:
        raise Missing(f"failed: {_last(error.stderr)}") from error
    return {**json.loads(spent.text.splitlines()[-1]), "wall": spent.seconds, "peak_mib": spent.peak_mib}


def _quietly(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"cannot be installed: {_last(done.stderr)}")


def _last(text: str) -> str:
    """pip says first what is wrong, a traceback last."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()] or ["without a word"]
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1]).replace("|", "/")[:200]
