"""The folders of the repository as the package ``pyraseg``; everything else stands in pyproject.toml."""

from setuptools import find_namespace_packages, setup

FOLDERS = find_namespace_packages(include=["pipeline*", "transforms*", "bundles*"])

setup(packages=[f"pyraseg.{name}" for name in FOLDERS], package_dir={"pyraseg": "."})
