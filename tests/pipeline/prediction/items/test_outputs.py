"""Large arrays on disk, that no file is left of and that a full disk refuses instead of ending the
process."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from pyraseg.pipeline.prediction.items import outputs
from pyraseg.pipeline.prediction.items.outputs import scratch_array
from pyraseg.transforms.errors import OutputError


@pytest.mark.parametrize("limit", [0, 2**26])
def test_an_array_is_all_zeros_and_can_be_written(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(outputs, "IN_MEMORY", limit)
    array = scratch_array(tmp_path / ".labels", (3, 5, 7), np.float16)
    assert isinstance(array, np.memmap) == (limit == 0)
    assert array.shape == (3, 5, 7)
    assert array.dtype == np.float16
    assert not array.any()
    array[1] = 2
    assert array.sum() == 70
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_an_error_that_says_so(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(OutputError, match="no room"):
            scratch_array(tmp_path / ".labels", (2**7, 2**20), np.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
