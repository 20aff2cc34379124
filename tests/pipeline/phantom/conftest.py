"""One small phantom for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyraseg.pipeline.phantom import PhantomReport, generate


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory, _strict_dicom_writing: None) -> PhantomReport:
    return generate(tmp_path_factory.mktemp("phantom") / "us", cases=8, seed=3)


@pytest.fixture(scope="session")
def images(phantom: PhantomReport) -> list[Path]:
    return sorted((phantom.output / "images").iterdir())
