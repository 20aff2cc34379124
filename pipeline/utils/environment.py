"""What a run was made with: the code and its state, the libraries, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

__all__ = ["code_state", "describe_environment", "hardware", "package_versions"]

PACKAGES = ("torch", "monai", "mlflow", "numpy", "pydicom", "pytorch-ignite", "pyraseg")
HERE = Path(__file__).resolve()
GIT_SECONDS = 10.0


def describe_environment() -> dict[str, Any]:
    """Code, package versions and hardware as nested values: ``code``, ``version``, ``hardware``."""
    return {
        "code": code_state(),
        "version": {"python": platform.python_version(), **package_versions()},
        "hardware": hardware(),
    }


def code_state() -> dict[str, Any]:
    """``commit`` and ``dirty`` of the checkout that this code runs from; empty for an installation.

    An installation may lie inside another repository, so this asks whether git tracks this very file.
    """
    if _git("ls-files", "--error-unmatch", HERE.name) is None:
        return {}
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return {} if commit is None else {"commit": commit, "dirty": bool(changes)}


def package_versions() -> dict[str, str]:
    """The versions of the packages that a result depends on; missing packages are left out."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in GB, GPUs and CUDA; no host name."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": ", ".join(gpus) or "none",
        "cuda": torch.version.cuda or "none",
        "system": platform.system(),
    }


def _cpu() -> str:
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        rows = []
    return next(
        (row.partition(":")[2].strip() for row in rows if row.startswith("model name")), platform.processor()
    )


def _git(*arguments: str) -> str | None:
    """Git's answer in this file's folder; None without git, without a repository or after a timeout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(HERE.parent), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
