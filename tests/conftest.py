"""What every test shares: strict DICOM writing, a private hash key, and the real data where it is present."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pydicom
import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports home from version 1.29 on


@pytest.fixture(scope="session", autouse=True)
def _strict_dicom_writing():
    """An object that pydicom would only warn about fails here, so conformance is checked wherever DICOM is
    written."""
    before = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
    yield
    pydicom.config.settings.writing_validation_mode = before


@pytest.fixture(scope="session", autouse=True)
def _hash_key():
    """Case names that no test run stores a key for."""
    os.environ["PYRASEG_HASH_KEY"] = "the key of the tests"


@pytest.fixture(autouse=True)
def _no_log_into_the_output_of_an_earlier_test():
    """MONAI's ``run`` makes a handler for the output as it is then, which pytest closes after the test."""
    yield
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real images in ../shared/data, which are not part of the project")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_the_tests():
    """A shell starts its background jobs with SIGINT ignored, and a test that interrupts itself would wait
    for ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
