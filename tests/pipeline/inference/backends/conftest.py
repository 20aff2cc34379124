"""Small networks, and a cache of exports that the tests of a session share."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from pyraseg.pipeline.inference.backends import build_backend
from pyraseg.pipeline.inference.backends.base import Setting

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports ONNX Runtime


CPU = torch.device("cpu")
SIZE = (32, 40)


def build(name, network, **options):
    given = {"device": CPU, "amp": False, "input_size": SIZE, "in_channels": 1, "threads": 1}
    return build_backend(name, network=network, **{**given, "weights_hash": "f" * 64, **options})


class SmallNetwork(nn.Module):
    """(B, C, H, W) -> (B, 2, H, W): convolution, batch norm, a global mean; it changes in training mode."""

    def __init__(self, *, seed: int = 0, in_channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.options = {"name": "small", "in_channels": in_channels, "classes": classes}
        self.first = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, classes, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.first(x)).relu()
        return self.last(y - y.mean(dim=(2, 3), keepdim=True))


@pytest.fixture(scope="session")
def small():
    return SmallNetwork


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(monkeypatch, shared_cache):
    """The cache that all tests fill and use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    return shared_cache / "pyraseg" / "backends"


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pyraseg" / "backends"


@pytest.fixture
def setting():
    return Setting(shape=(1, 32, 40), weights_hash="0" * 64, dtype=None, threads=1)
