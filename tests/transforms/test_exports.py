"""What the packages export is there, and asking for errors alone loads none of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pyraseg import transforms
from pyraseg.transforms import dicom


@pytest.mark.parametrize("package", [transforms, dicom])
def test_every_exported_name_is_there_and_shows_an_example(package):
    assert set(package.__all__) <= set(dir(package))
    assert [name for name in package.__all__ if ">>> " not in (getattr(package, name).__doc__ or "")] == []


def test_type_checkers_see_what_the_package_exports():
    tree = ast.parse(Path(transforms.__file__).read_text())
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    names = {
        (node.module, alias.name)
        for node in imports
        if str(node.module).startswith("pyraseg.")
        for alias in node.names
    }
    assert names == {(f"pyraseg.transforms.{module}", name) for name, module in transforms._MODULE_OF.items()}


def test_a_config_names_them_by_the_package():
    parser = ConfigParser({"step": {"_target_": "pyraseg.transforms.ScaleDisplayd", "keys": "image"}})
    assert isinstance(parser.get_parsed_content("step"), transforms.ScaleDisplayd)


def test_the_errors_load_without_heavy_libraries():
    heavy = {"torch", "monai", "numpy", "pydicom"}
    code = f"import sys, pyraseg.transforms.errors; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="LoadFramez"):
        transforms.LoadFramez  # noqa: B018
