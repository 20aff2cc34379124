"""Which processor a name means."""

from __future__ import annotations

import pytest
import torch

from pyraseg.pipeline.utils.devices import select_device
from pyraseg.transforms.errors import ConfigError

CPU = torch.device("cpu")


class TestSelectDevice:
    def test_auto_is_a_gpu_where_there_is_one(self):
        assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")

    def test_a_name_is_taken_as_it_is(self):
        assert select_device("cpu") == CPU

    def test_a_gpu_that_is_not_there_is_refused(self):
        with pytest.raises(ConfigError, match=r"GPU.*Use --device"):
            select_device(f"cuda:{torch.cuda.device_count()}")

    def test_a_name_that_torch_does_not_know_is_refused(self):
        with pytest.raises(ConfigError, match="found 'gpu'"):
            select_device("gpu")
