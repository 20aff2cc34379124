"""What is installed with the project has licences that do not bind it, named in a table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# What only torch's builds for a GPU bring; the page names them
OF_GPU_BUILDS = ("nvidia-", "cuda-", "triton")
SAME = {"MIT License": "MIT", "Apache Software License": "Apache-2.0", "Apache License 2.0": "Apache-2.0"}
REFUSED = re.compile(r"GPL|General Public|SSPL|Commons Clause|Proprietary|Commercial", re.IGNORECASE)


def requirements() -> list[str]:
    """Of the project itself, those of its extras too; the fuzzer is not for every system and Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if not is_installed("atheris"):
        del extras["fuzz"]
    return [*project["dependencies"], *(need for needs in extras.values() for need in needs)]


def tree(texts: Iterable[str], extras: frozenset[str] = frozenset({""})) -> set[str]:
    """The names of all that these requirements install here, with what those require in their turn."""
    waiting, done = [(text, extras) for text in texts], set()
    while waiting:
        text, extras = waiting.pop()
        need = Requirement(text)
        name, wanted = canonicalize_name(need.name), frozenset({"", *need.extras})
        used = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
        if not used or (name, wanted) in done:
            continue
        done.add((name, wanted))
        waiting += [(text, wanted) for text in distribution(name).requires or ()]
    return {name for name, _ in done} - {"pyraseg"}  # which names its own extras


def stated_licence(name: str) -> str:
    """As the package's metadata state it; empty where they do not."""
    metadata = distribution(name).metadata
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if "License" in line]
    named = [line for line in classifiers if line != "OSI Approved"]
    licence = metadata.get("License-Expression") or ", ".join(named) or (metadata.get("License") or "")[:40]
    return SAME.get(licence, licence)


def table() -> dict[str, str]:
    """Package and licence of the page's table, which has a row for each licence."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", (ROOT / "docs/licences.md").read_text(), re.MULTILINE)
    return {name: licence for licence, names in rows[2:] for name in names.split(", ")}


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def test_the_table_of_licences_is_that_of_what_is_installed():
    found = {
        name: stated_licence(name) for name in tree(requirements()) if not name.startswith(OF_GPU_BUILDS)
    }
    listed = table()
    assert {name: licence for name, licence in found.items() if licence and listed.get(name) != licence} == {}
    assert found.keys() - listed.keys() == set()
    assert {name for name in listed.keys() - found.keys() if is_installed(name)} == set()


def test_no_requirement_has_a_licence_that_would_bind_the_project():
    listed = table() | {name: stated_licence(name) for name in tree(requirements())}
    bound = {name: licence for name, licence in listed.items() if REFUSED.search(licence)}
    assert {name for name in bound if not name.startswith(OF_GPU_BUILDS)} == set()


def test_a_licence_of_that_kind_would_be_noticed():
    assert all(map(REFUSED.search, ("GNU General Public License v3 (GPLv3)", "AGPL-3.0-only", "LGPL-2.1")))
    assert not REFUSED.search("Mozilla Public License 2.0 (MPL 2.0)")
