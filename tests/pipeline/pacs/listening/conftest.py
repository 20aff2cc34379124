"""What tests of listening share: a process that receives, and images to send."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.pacs.listening.nodes import Node, receiving
from tests.pipeline.prediction.batch import write_image

pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")


@pytest.fixture(scope="session", autouse=True)
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRASEG_HASH_KEY", "the key of these tests")
        yield


@pytest.fixture(scope="session")
def node(_key: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """It takes objects of at most a megabyte from SENDER."""
    with receiving(tmp_path_factory.mktemp("node") / "received", most=2**20) as node:
        yield node


@pytest.fixture(scope="session")
def new_image(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an ultrasound image that no other test has sent; ``frames`` of it."""
    folder, numbers = tmp_path_factory.mktemp("new"), itertools.count(5000)

    def write(*, frames: int = 1) -> Path:
        number = next(numbers)
        return write_image(folder / f"{number}.dcm", number, frames=frames)

    return write
