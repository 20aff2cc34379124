"""``requirements.lock`` is the tested set with hashes: nothing is missing, other or without one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.test_licences import OF_GPU_BUILDS, ROOT, tree

LOCKED = re.compile(
    r"^([\w.-]+)==([\w.]+)(?: ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_the_locked_versions_are_the_tested_ones_and_each_has_hashes():
    locked, tested = pins(ROOT / "requirements.lock"), pins(ROOT / "constraints.txt")
    assert {name for name, version in locked.items() if tested.get(name, version) != version} == set()
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "".join(match.group() for match in LOCKED.finditer(text)) == text


def test_whatever_an_installation_needs_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needs = [need for name in ("openvino", "onnxruntime", "pacs", "publish") for need in extras[name]]
    needed = tree([*project["dependencies"], *needs])
    missing = needed - pins(ROOT / "requirements.lock").keys()
    assert {name for name in missing if not name.startswith(OF_GPU_BUILDS)} == set()
